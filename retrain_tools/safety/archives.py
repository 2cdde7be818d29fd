"""The files in an archive one by one, each in a temporary file while it is looked at.

Nothing is unpacked to where the archive says. Names that lead out of the folder, links and devices
are what an archive attacks with: here they are findings and not, as for `sources.archives`, errors.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from retrain_tools.leftovers import scratch_folder
from retrain_tools.safety.findings import Finding, Severity
from retrain_tools.safety.graphs import has_control
from retrain_tools.sources.kinds import ZIP_DAMAGE, Place

DAMAGE = (*ZIP_DAMAGE, tarfile.TarError, ValueError)
"""What reading a damaged archive raises."""

_MOST_BYTES, _MOST_FILES = 8 * 2**30, 20_000  # of an archive with all that is in it
_CHUNK = 2**20
_TRAVERSAL = "leads out of the folder that the archive is unpacked to"
_LINK = "is a link that leads out of the archive's folder; what is unpacked after it follows it"
_DEVICE = "is a device or pipe, which no model has"
_TERMINAL = "has control characters in its name, which may be commands for a terminal"
_LOCKED = "is encrypted, so that nobody can look into it"
_TOO_MUCH = (
    f"unpacks to more than {_MOST_BYTES:,} bytes or {_MOST_FILES:,} files; the rest was not \
looked into"
)

Sink = Callable[[Finding], None]
Part = tuple[Place, int]
_PACKED: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}


class Budget:
    """How much may still be unpacked of one file that was named, archives in archives included."""

    def __init__(self) -> None:
        self._bytes, self._files = _MOST_BYTES, _MOST_FILES

    def take(self, size: int, files: int = 0) -> bool:
        """Take what is about to be unpacked; False where it is too much."""
        self._bytes -= size
        self._files -= files
        return self._bytes >= 0 and self._files >= 0


class TooMuchError(Exception):
    """An archive unpacks to more than is looked into."""


def is_packed(start: bytes) -> bool:
    """Tell from its first bytes whether a file is packed with gzip, bzip2 or xz."""
    return start.startswith(tuple(_PACKED))


def is_tar(path: Path) -> bool:
    """Tell whether a file, packed or not, is a tar archive."""
    try:
        with tarfile.open(path, "r:*") as tar:
            return tar.next() is not None
    except (*DAMAGE, tarfile.TarError):
        return False


def zip_members(archive: Place, budget: Budget, add: Sink) -> Iterator[Place]:
    """Yield each file in a zip archive as a temporary file, which is gone after the next one.

    Args:
        archive: the archive.
        budget: what may still be unpacked.
        add: called with what is wrong with its entries.

    Raises:
        TooMuchError: the budget is used up.
        DAMAGE: it is damaged.
    """
    with zipfile.ZipFile(archive.path) as packed_files:
        for info in packed_files.infolist():
            _check_name(info.filename.replace("\\", "/"), archive, add)
            if info.filename.endswith("/"):
                continue
            if stat.S_ISLNK(info.external_attr >> 16):
                add(_of(archive, info.filename, "link", _LINK, Severity.MEDIUM))
            if info.flag_bits & 1:
                add(_of(archive, info.filename, "unreadable", _LOCKED, Severity.MEDIUM))
                continue
            with packed_files.open(info) as packed, _held(packed, info.filename, budget) as path:
                yield _inside(archive, info.filename, path)


def tar_members(archive: Place, budget: Budget, add: Sink) -> Iterator[Place]:
    """Yield each file in a tar archive, packed or not, as `zip_members` does."""
    with tarfile.open(archive.path, "r:*") as tar:
        for member in tar:
            _check_name(member.name, archive, add)
            if member.issym() or member.islnk():
                target = PurePosixPath(member.linkname)
                if member.issym():
                    target = PurePosixPath(member.name).parent / target
                if _leads_out(str(target)):
                    add(_of(archive, member.name, "link", _LINK, Severity.HIGH))
                continue
            if not member.isfile():
                if not member.isdir():
                    add(_of(archive, member.name, "device", _DEVICE, Severity.HIGH))
                continue
            packed = tar.extractfile(member)
            if packed is not None:
                with _held(packed, member.name, budget) as path:
                    yield _inside(archive, member.name, path)


def unpacked(packed: Place, start: bytes, budget: Budget) -> Iterator[Place]:
    """Yield what a file packed with gzip, bzip2 or xz holds, as `zip_members` does."""
    opener = next(opener for magic, opener in _PACKED.items() if start.startswith(magic))
    name = re.sub(r"\.(gz|bz2|xz)$", "", packed.named.name) or "unpacked"
    with opener(packed.path) as file, _held(cast(IO[bytes], file), name, budget) as path:
        yield _inside(packed, name, path)


def inflated(data: bytes) -> bytes | None:
    """Return what bytes compressed with zlib hold, as joblib writes them; None for other bytes."""
    if data[:1] != b"\x78":
        return None
    with contextlib.suppress(zlib.error):
        return zlib.decompressobj().decompress(data, _MOST_BYTES // 8)
    return None


def too_much(archive: Place) -> Finding:
    """Return the finding that an archive is too large to be looked into."""
    return Finding(
        Severity.MEDIUM, "too-large", archive.named.name, _TOO_MUCH, str(archive), within="it"
    )


def _inside(archive: Place, name: str, path: Path) -> Place:
    parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part != "/"]
    return Place(path, archive.named.joinpath(*parts))


@contextlib.contextmanager
def _held(packed: IO[bytes], name: str, budget: Budget) -> Iterator[Path]:
    if not budget.take(0, files=1):
        raise TooMuchError
    # By its own name as far as that is safe: a name may tell what kind of file it is.
    last = re.sub(r"[^\w.-]", "_", PurePosixPath(name.replace("\\", "/")).name)[-100:]
    with scratch_folder() as folder:
        path = folder / (last if last.strip(".") else "file")
        with path.open("wb") as file:
            while chunk := packed.read(_CHUNK):
                if not budget.take(len(chunk)):
                    raise TooMuchError
                file.write(chunk)
        yield path


def _leads_out(name: str) -> bool:
    depth = 0
    for part in PurePosixPath(name).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return name.startswith("/") or re.match(r"[A-Za-z]:", name) is not None


def _check_name(name: str, archive: Place, add: Sink) -> None:
    if _leads_out(name):
        add(_of(archive, name, "path", _TRAVERSAL, Severity.HIGH))
    if has_control(name):
        add(_of(archive, name, "terminal-escape", _TERMINAL, Severity.MEDIUM))


def _of(archive: Place, name: str, rule: str, why: str, severity: Severity) -> Finding:
    return Finding(severity, rule, name, why, str(archive))
