"""How much memory this process may still take, as far as the system tells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_AVAILABLE = re.compile(r"^MemAvailable:\s*(\d+) kB$", re.MULTILINE)


def available_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes that are free for this process, or None where the system does not tell.

    That is what Linux takes to be available without swapping, and no more than the control groups
    leave that it is in, as in a container. The files are looked for below `root`.
    """
    found = _AVAILABLE.search(_text(root / "proc/meminfo"))
    left = [int(found[1]) << 10] if found else []
    left += _left_in_groups(root)
    return min(left, default=None)


def _left_in_groups(root: Path) -> Iterator[int]:
    """Yield what each control group leaves, of both versions; caches of files count as free."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        kinds, _, group = rest.partition(":")
        if kinds and "memory" not in kinds.split(","):
            continue
        top, most, used, cache = (
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
            if kinds
            else ("sys/fs/cgroup", "memory.max", "memory.current", "")
        )
        folder = Path(group.lstrip("/"))
        for inside in (folder, *folder.parents):
            where = root / top / inside
            limit, now = _text(where / most).strip(), _text(where / used).strip()
            if limit.isdigit() and now.isdigit():
                files = re.search(
                    rf"^{cache}inactive_file (\d+)$", _text(where / "memory.stat"), re.M
                )
                yield max(0, int(limit) - int(now) + (int(files[1]) if files else 0))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
