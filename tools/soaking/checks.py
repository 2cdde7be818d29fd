"""What has to be true: nothing lost, nothing wrong, nothing left over."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from soaking.processes import STATUS_OF, Ended
from soaking.reading import content, images_done
from soaking.subjects import Subject

LOST, WRONG, LEFT_OVER = "lost", "wrong", "left over"

# What may differ between two runs that nothing has struck: curves, which are kept of each run, and
# what was found of a plan by timing it.
_ANY_CONTENT = re.compile(r"home/plans/[^/]+\.json|.*/fingerprint\.pb")
_ANY_NUMBER = re.compile(r"out/logs(/.*)?|home/plans/[^/]+\.json")
_FURTHER_MODEL = re.compile(r"out/saved_model/([2-9]|\d\d+)((?:/.*)?)")
_TEMPORARY = re.compile(r"\.retrain_tools-|\.tmp\b|\.part/lock")
_PROBE_OF_PYTHON = re.compile(r"tmp/[a-z0-9_]{8}")  # tempfile looks whether it can write there
_NAMELESS = re.compile(r"^error: \[Errno \d+\] [^:\n]*$", re.MULTILINE)
_CRASH = "Traceback (most recent call last)"
_STOPPED = (0, 1, 2)


class Finding(NamedTuple):
    """Something that must not be.

    Attributes:
        kind: LOST, WRONG or LEFT_OVER.
        text: what was found.
    """

    kind: str
    text: str


def tree(place: Path) -> dict[str, Path]:
    """Return all files and folders below a place, by their names there; folders end in `/`."""
    found = {}
    for path in sorted(place.rglob("*")):
        is_folder = path.is_dir() and not path.is_symlink()
        name = path.relative_to(place).as_posix() + ("/" if is_folder else "")
        if not (_PROBE_OF_PYTHON.fullmatch(name) and path.read_bytes() in (b"", b"blat")):
            found[name] = path
    return found


def of_the_end(place: Path, reference: Path) -> list[Finding]:
    """Compare a place, after its last run, with that of a run that nothing has struck."""
    there, wanted = tree(place), tree(reference)
    findings = []
    for name in sorted(there.keys() - wanted.keys()):
        further = _FURTHER_MODEL.fullmatch(name.removesuffix("/"))
        if further:
            first = f"out/saved_model/1{further[2]}" + ("/" if name.endswith("/") else "")
            if first not in wanted:
                findings.append(Finding(LEFT_OVER, name))
            elif _differs(there[name], wanted[first], name):
                findings.append(Finding(WRONG, f"{name} is not as {first}"))
        elif not _ANY_NUMBER.fullmatch(name.removesuffix("/")) or _TEMPORARY.search(name):
            findings.append(Finding(LEFT_OVER, name))
    for name in sorted(wanted.keys() - there.keys()):
        if not _ANY_NUMBER.fullmatch(name.removesuffix("/")):
            findings.append(Finding(LOST, f"{name} is missing"))
    for name in sorted(wanted.keys() & there.keys()):
        if _differs(there[name], wanted[name], name):
            findings.append(Finding(WRONG, f"{name} is not as in an undisturbed run"))
    return findings


def _differs(path: Path, other: Path, name: str) -> bool:
    if path.is_dir() or _ANY_CONTENT.fullmatch(name) or _ANY_NUMBER.fullmatch(name):
        return False
    return content(path) != content(other)


def of_a_process(ended: Ended) -> list[Finding]:
    """Look at how a struck process ended, and at what it said."""
    if ended.status is None:
        return [Finding(WRONG, "it hung, and was killed")]
    findings = []
    by_signals = [STATUS_OF[fault.name] for fault in ended.struck if fault.name in STATUS_OF]
    if ended.status not in itertools.chain(_STOPPED, *by_signals):
        findings.append(Finding(WRONG, f"exit status {ended.status}"))
    if _CRASH in ended.err and not _was_starting(ended):
        last = ended.err.strip().splitlines()[-1]
        findings.append(Finding(WRONG, f"a traceback: {last}"))
    if nameless := _NAMELESS.search(ended.err):
        findings.append(Finding(WRONG, f"a message names no file: {nameless[0]}"))
    if named := _TEMPORARY.search(ended.err):
        line = next(line for line in ended.err.splitlines() if named[0] in line)
        findings.append(Finding(WRONG, f"a message names what is temporary: {line}"))
    return findings


def _was_starting(ended: Ended) -> bool:
    """Whether Ctrl-C came before the first of the package was imported: Python tells of it then."""
    by_interrupt = ended.err.rstrip().endswith("KeyboardInterrupt")
    return by_interrupt and "command_line.py" not in ended.err


def of_the_last(subject: Subject, ended: Ended, reference: Ended) -> list[Finding]:
    """Look at a run that nothing has struck: it has to be as the undisturbed one was."""
    findings = of_a_process(ended)
    if ended.status not in subject.statuses:
        last = (ended.err.strip().splitlines() or ["nothing said"])[-1]
        findings.append(Finding(WRONG, f"the last run has status {ended.status}: {last}"))
    elif subject.tells and ended.out != reference.out:
        findings.append(Finding(WRONG, "the last run prints something else"))
    images, wanted = _images_told_of(ended.err), _images_told_of(reference.err)
    if images != wanted:
        findings.append(Finding(LOST, f"{images} of {wanted} images are accounted for"))
    return findings


def _images_told_of(err: str) -> int:
    """Return how many images a run has told of, with a result or as failed."""
    told = _summary(err)
    return sum(told.get(name, 0) for name in ("computed", "reused", "repaired", "failed"))


def _summary(err: str) -> Mapping[str, Any]:
    """Return what --log_json wrote as the last line."""
    lines = err.strip().splitlines()
    if not lines or not lines[-1].startswith("{"):
        return {}
    return json.loads(lines[-1])


def of_what_was_done(
    subject: Subject, place: Path, reference: Path, before: frozenset[str]
) -> tuple[list[Finding], frozenset[str]]:
    """Look at what is kept of images after a struck run: nothing that was done before is gone.

    Returns the findings, and which images are done.
    """
    done, wrong = images_done(subject, place, reference)
    findings = [Finding(WRONG, f"a value of {name} is not right") for name in wrong]
    if gone := before - done:
        findings.append(Finding(LOST, f"{len(gone)} images were done before: {sorted(gone)[:3]}"))
    return findings, done


def not_accounted_for(subject: Subject, place: Path, images: list[str]) -> list[str]:
    """Return the images that have neither a value nor a failure that is named, or both."""
    done, _ = images_done(subject, place, place)
    failed = {name for path in place.rglob("failures*.csv") for name in _failed(path, images)}
    failed |= {name for path in place.rglob("*.failures.csv") for name in _failed(path, images)}
    return [name for name in images if (name in done) == (name in failed)]


def _failed(path: Path, images: list[str]) -> list[str]:
    text = path.read_text()
    return [name for name in images if f"/{name}," in text or f'/{name}",' in text]
