"""Starts workers, one after the other, and finds out why one died: a crash, a hang, a wait."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from fuzzing.findings import Finding, keep_finding, read_findings
from fuzzing.inputs import Input
from fuzzing.worker import NOTED, Job

_TOOLS = Path(__file__).resolve().parents[1]
_POLL_SECONDS = 0.2
_FRAME = re.compile(
    r'File "[^"]*/(?:retrain_tools/(?:[^"]*/)?|fuzzing/(?=planted))([^"/]+)\.py", line \d+ in (\S+)'
)
_FRAMES = 3
_ENDLESS = 1 << 60


class BrokenError(Exception):
    """The harness itself failed; the message has the worker's last words."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one input may take.

    Attributes:
        input_seconds: of CPU.
        wait_seconds: of waiting for nothing: with next to no CPU time in between.
        extra_bytes: of memory beside what the process has after its seeds.
    """

    input_seconds: float = 20.0
    wait_seconds: float = 60.0
    extra_bytes: int = 1 << 30


@dataclasses.dataclass
class Tally:
    """What was done with a reader so far, over all runs.

    Attributes:
        executions: how many inputs were read.
        seconds: of CPU that this took, without starts.
        slowest: that reading one input took.
        next: the number of the next input.
        corpus: how many inputs showed something new.
        refused_seeds: seeds that the reader does not take, which should be none.
    """

    executions: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    next: int = 0
    corpus: int = 0
    refused_seeds: list[str] = dataclasses.field(default_factory=list)


def fuzz(
    reader: str,
    tally: Tally,
    folders: tuple[Path, Path, Path],
    seed: int,
    budget: tuple[float, int],
    limits: Limits,
) -> None:
    """Let workers read changed inputs for a time; the tally goes on from where it is.

    Args:
        reader: its name.
        tally: is changed.
        folders: of seeds, of work, and of findings, for all readers.
        seed: of the random numbers.
        budget: how many more CPU seconds, and executions.
        limits: for one input.
    """
    seeds, work, keep = folders
    seconds, executions = tally.seconds + budget[0], tally.executions + budget[1]
    while tally.seconds < seconds and tally.executions < executions:
        job = Job(
            reader, str(seeds / reader), str(work / "corpus" / reader), str(keep),
            str(work / "run" / reader), seed, tally.next, executions - tally.executions,
            seconds - tally.seconds, limits.input_seconds, limits.extra_bytes,
        )  # fmt: skip
        found = _run(job, tally, limits)
        if found is not None:
            tally.next, tally.corpus = found["next"], found["corpus"]
            tally.refused_seeds = found["refused_seeds"]


def _run(job: Job, tally: Tally, limits: Limits) -> dict[str, Any] | None:
    """Run one worker, add what it did to the tally, and keep what it died of."""
    run = Path(job.run)
    status, said, words = _finish(job, limits)
    noted = (run / "progress").read_bytes()
    number, done, used, slowest = NOTED.unpack(noted) if noted else (-1, 0, 0.0, 0.0)
    tally.executions += done
    tally.seconds += used
    tally.slowest = max(tally.slowest, slowest)
    if status == 0:
        return said
    if status > 0 or number < -1 or not noted:
        raise BrokenError(f"the worker of {job.reader} ended with {status}: {words[-2000:]}")
    fault = _cause(status, words)
    made = Input.of(run / "current", (run / "entry").read_text())
    keep_finding(Path(job.keep), job.reader, fault, words[-8000:], made)
    tally.executions += 1
    tally.seconds += limits.input_seconds if status == -signal.SIGPROF else 0.1
    tally.next = max(number, tally.next - 1) + 1
    if number < 0:
        raise BrokenError(f"a seed of {job.reader} ends the process: {fault}")
    return None


def _finish(job: Job, limits: Limits) -> tuple[int, dict[str, Any], str]:
    """Run a worker to its end; return its status, what it found, and what it wrote to stderr."""
    run = Path(job.run)
    shutil.rmtree(run, ignore_errors=True)
    for name in ("tmp", "cwd", "home"):
        (run / name).mkdir(parents=True)
    (run / "progress").touch()
    command = [sys.executable, "-m", "fuzzing.worker", json.dumps(dataclasses.asdict(job))]
    path = os.pathsep.join(map(str, (_TOOLS, _TOOLS.parent)))
    variables = {
        **os.environ, "PYTHONPATH": path, "TMPDIR": str(run / "tmp"), "HOME": str(run / "home"),
        "RETRAIN_TOOLS_HOME": str(run / "home"), "PYTHONDONTWRITEBYTECODE": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip
    with (run / "stdout").open("w+") as out, (run / "stderr").open("w+") as errors:
        process = subprocess.Popen(command, stdout=out, stderr=errors, env=variables,
                                   cwd=run / "cwd")  # fmt: skip
        try:
            status = _watched(process, run, limits)
        finally:
            process.kill()
            process.wait()
    words = (run / "stderr").read_text(errors="replace")
    said = (run / "stdout").read_text()
    return status, json.loads(said.splitlines()[-1]) if status == 0 else {}, words


def _watched(process: subprocess.Popen[bytes], run: Path, limits: Limits) -> int:
    """Wait for a process; kill it where it does nothing for too long."""
    last, used, since = b"", 0.0, time.monotonic()
    while (status := process.poll()) is None:
        time.sleep(_POLL_SECONDS)
        noted, now = (run / "progress").read_bytes(), _cpu_of(process.pid)
        if noted != last or now > used + 0.01 * limits.wait_seconds:
            last, used, since = noted, now, time.monotonic()
        elif time.monotonic() - since > limits.wait_seconds:
            process.kill()
            process.wait()
            return -signal.SIGKILL
    return status


def _cpu_of(pid: int) -> float:
    """Return the CPU seconds of a process, and of its children that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _cause(status: int, words: str) -> str:
    """Return what stands for the end of a process, and where in the package it was."""
    kinds = {signal.SIGPROF: "hang", signal.SIGKILL: "wait, or killed for its memory"}
    what = kinds.get(signal.Signals(-status), f"crash {signal.Signals(-status).name}")
    where = [f"{module}.{function}" for module, function in _FRAME.findall(words)]
    return f"{what} at {' < '.join(list(dict.fromkeys(where))[:_FRAMES]) or 'an unknown place'}"


def replay(reader: str, path: Path, work: Path, limits: Limits) -> str:
    """Read one kept input, or file, once; return the fault and its details, or '' for none."""
    keep = str(work / "none")
    job = Job(reader, "", "", keep, str(work / "replay"), 0, 0, 1, _ENDLESS, limits.input_seconds,
              limits.extra_bytes, str(path.resolve()))  # fmt: skip
    status, found, words = _finish(job, limits)
    shutil.rmtree(keep, ignore_errors=True)
    if status > 0:
        raise BrokenError(f"the worker of {reader} ended with {status}: {words[-2000:]}")
    if status < 0:
        return f"{_cause(status, words)}\n{words[-8000:]}"
    return f"{found['fault']}\n{found['details']}".strip() if found["fault"] else ""


def open_findings(reader: str, work: Path, keep: Path, limits: Limits) -> list[Finding]:
    """Return those of a reader's findings that still show when their input is read again."""
    found = read_findings(keep, reader)
    return [one for one in found if replay(reader, one.path, work, limits)]
