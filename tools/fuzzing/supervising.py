"""Starts workers, one after the other, and finds out why one died: a crash, a hang, a wait."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import select
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


class Workers:
    """Workers for any readers, one at a time; to be closed."""

    def __init__(self, limits: Limits) -> None:
        """Start the process that they are forks of."""
        self._limits = limits
        variables = {
            **os.environ, "PYTHONPATH": os.pathsep.join(map(str, (_TOOLS, _TOOLS.parent))),
            "PYTHONDONTWRITEBYTECODE": "1", "TF_CPP_MIN_LOG_LEVEL": "3",
            "OPENBLAS_NUM_THREADS": "1",  # a process that has threads should not fork
        }  # fmt: skip
        self._server = subprocess.Popen(
            [sys.executable, "-m", "fuzzing.worker"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env=variables, bufsize=0,
        )  # fmt: skip

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.kill()
        self._server.communicate()

    def fuzz(
        self,
        reader: str,
        tally: Tally,
        folders: tuple[Path, Path, Path],
        seed: int,
        budget: tuple[float, int],
    ) -> None:
        """Let workers read changed inputs for a time; the tally goes on from where it is.

        Args:
            reader: its name.
            tally: is changed.
            folders: of seeds, of work, and of findings, for all readers.
            seed: of the random numbers.
            budget: how many more CPU seconds, and executions.

        Raises:
            BrokenError: a seed ends the process, or the harness failed.
        """
        seeds, work, keep = folders
        seconds, executions = tally.seconds + budget[0], tally.executions + budget[1]
        while tally.seconds < seconds and tally.executions < executions:
            job = Job(
                reader, str(seeds / reader), str(work / "corpus" / reader), str(keep),
                str(work / "run" / reader), seed, tally.next, executions - tally.executions,
                seconds - tally.seconds, self._limits.input_seconds, self._limits.extra_bytes,
            )  # fmt: skip
            found = self._run(job, tally)
            if found is not None:
                tally.next, tally.corpus = found["next"], found["corpus"]
                tally.refused_seeds = found["refused_seeds"]

    def _run(self, job: Job, tally: Tally) -> dict[str, Any] | None:
        """Run one worker, add what it did to the tally, and keep what it died of."""
        run = Path(job.run)
        status, found, words = self._finish(job)
        noted = (run / "progress").read_bytes()
        number, done, used, slowest = NOTED.unpack(noted) if noted else (-1, 0, 0.0, 0.0)
        tally.executions += done
        tally.seconds += used
        tally.slowest = max(tally.slowest, slowest)
        if status == 0:
            return found
        if status > 0 or not noted:
            raise BrokenError(f"the worker of {job.reader} ended with {status}: {words[-2000:]}")
        fault = _cause(status, words)
        made = Input.of(run / "current", (run / "entry").read_text())
        keep_finding(Path(job.keep), job.reader, fault, words[-8000:], made)
        tally.executions += 1
        tally.seconds += self._limits.input_seconds if status == -signal.SIGPROF else 0.1
        tally.next = max(number + 1, tally.next)
        if number < 0:
            raise BrokenError(f"a seed of {job.reader} ends the process: {fault}")
        return None

    def _finish(self, job: Job) -> tuple[int, dict[str, Any], str]:
        """Let a worker do a job; return its status, what it found, and what it wrote to stderr."""
        run = Path(job.run)
        shutil.rmtree(run, ignore_errors=True)
        for name in ("tmp", "cwd", "home"):
            (run / name).mkdir(parents=True)
        for name in ("progress", "stdout", "stderr"):
            (run / name).touch()
        line = json.dumps(dataclasses.asdict(job)) + "\n"
        self._server.stdin.write(line.encode())  # type: ignore[union-attr]
        status = self._watched(int(self._told()), run)
        words = (run / "stderr").read_text(errors="replace")
        said = (run / "stdout").read_text().splitlines()
        return status, json.loads(said[-1]) if status == 0 else {}, words

    def _told(self) -> bytes:
        line: bytes = self._server.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise BrokenError("the process that workers are forks of has ended")
        return line

    def _watched(self, pid: int, run: Path) -> int:
        """Wait for a worker; end it where it does nothing for too long."""
        last, used, since = b"", 0.0, time.monotonic()
        patience = self._limits.wait_seconds
        while not select.select([self._server.stdout], [], [], _POLL_SECONDS)[0]:
            noted, now = (run / "progress").read_bytes(), _cpu_of(pid)
            if noted != last or now > used + 0.01 * patience:
                last, used, since = noted, now, time.monotonic()
            elif time.monotonic() - since > patience:
                os.kill(pid, signal.SIGKILL)
                since = time.monotonic()
        return int(self._told())

    def replay(self, reader: str, path: Path, work: Path) -> str:
        """Read one kept input, or file, once; return the fault and its details, or '' for none."""
        job = Job(
            reader, "", "", str(work / "replay" / "kept"), str(work / "replay"), 0, 0, 1, 0.0,
            self._limits.input_seconds, self._limits.extra_bytes, str(path.resolve()),
        )  # fmt: skip
        status, found, words = self._finish(job)
        if status > 0:
            raise BrokenError(f"the worker of {reader} ended with {status}: {words[-2000:]}")
        if status < 0:
            return f"{_cause(status, words)}\n{words[-8000:]}"
        return f"{found['fault']}\n{found['details']}".strip() if found["fault"] else ""

    def open_findings(self, reader: str, work: Path, keep: Path) -> list[Finding]:
        """Return those of a reader's findings that still show when their input is read again."""
        return [one for one in read_findings(keep, reader) if self.replay(reader, one.path, work)]


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
