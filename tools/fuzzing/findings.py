"""What was found: kept with the smallest input that shows it, under a name of its own."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from fuzzing.inputs import ENDING, Input


class Finding(NamedTuple):
    """A fault of a reader.

    Attributes:
        reader: its name.
        fault: what is wrong, in a line.
        details: a traceback or the like.
        path: the kept input.
    """

    reader: str
    fault: str
    details: str
    path: Path


def keep_finding(folder: Path, reader: str, fault: str, details: str, made: Input) -> None:
    """Keep an input that shows a fault, unless there is a smaller one of the same."""
    name = hashlib.sha256(f"{reader} {fault}".encode()).hexdigest()[:10]
    where = folder / reader
    kept = where / f"{name}{ENDING}"
    scratch = made.keep(where)
    if kept.exists() and kept.stat().st_size <= scratch.stat().st_size:
        scratch.unlink()
        return
    scratch.replace(kept)
    told = {"reader": reader, "fault": fault, "details": details}
    kept.with_suffix(".json").write_text(json.dumps(told, indent=1))


def read_findings(folder: Path, reader: str) -> list[Finding]:
    """Return the findings of a reader that are kept in a folder."""
    found = []
    for path in sorted((folder / reader).glob(f"*{ENDING}")):
        told = json.loads(path.with_suffix(".json").read_text())
        found.append(Finding(reader, told["fault"], told["details"], path))
    return found
