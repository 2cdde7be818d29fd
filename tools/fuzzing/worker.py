"""A process that reads changed inputs, one after the other, until it has done its share or dies.

It is a fork of one that has imported all that readers need, and does nothing else.

Before each it notes which; the input lies in its folder `current`, so that whoever started it knows
at which one it died.
"""

from __future__ import annotations

import dataclasses
import faulthandler
import importlib
import json
import os
import re
import shutil
import signal
import struct
import sys
import tempfile
import traceback
from pathlib import Path
from random import Random
from typing import Any, NoReturn

from fuzzing.changing import changed
from fuzzing.findings import keep_finding
from fuzzing.inputs import ENDING, Input
from fuzzing.readers import PLANTED, READERS, Reader
from fuzzing.watching import Outcome, Watch, cpu_seconds

NOTED = struct.Struct("<qqdd")
"""The file `progress`: the input's number, how many were read, their CPU seconds; the slowest."""

_MOST_TOLD = 3000  # of a corpus: outcomes that are told apart


@dataclasses.dataclass(frozen=True)
class Job:
    """What a worker is to do.

    Attributes:
        reader: its name.
        seeds, corpus, keep, run: folders: of the seeds, of inputs that showed something new, of
            findings, and the one that it may write to.
        seed: of the random numbers.
        first: the number of the first input; below 0 for the seeds themselves before.
        executions, seconds: how many inputs, and CPU seconds behind the seeds, at the most.
        input_seconds: CPU seconds that an input may take.
        extra_bytes: memory that it may take beside what the process has.
        replay: an input or file to read alone, or ''.
    """

    reader: str
    seeds: str
    corpus: str
    keep: str
    run: str
    seed: int
    first: int
    executions: int
    seconds: float
    input_seconds: float
    extra_bytes: int
    replay: str = ""


class _Worker:
    def __init__(self, job: Job) -> None:
        self._job = job
        self._run = Path(job.run)
        self._reader: Reader = {**READERS, **PLANTED}[job.reader]
        self._watch = Watch(self._run, job.input_seconds, job.extra_bytes)
        self._progress = (self._run / "progress").open("wb", buffering=0)
        self._told: set[str] = set()
        self._executions, self._seconds, self._slowest = 0, 0.0, 0.0
        self._start = cpu_seconds()

    def work(self) -> dict[str, Any]:
        """Read the seeds, then changed inputs; return what was found."""
        job = self._job
        if job.replay:
            self._watch.limit_memory()
            return dataclasses.asdict(self._read(0, Input.of(Path(job.replay))))
        seeds = _inputs(Path(job.seeds))
        if not seeds:
            raise FileNotFoundError(f"There are no seeds in {job.seeds}.")
        refused = [seed.name for seed in seeds if self._read(-1, seed).is_refused]
        corpus = _inputs(Path(job.corpus))
        for one in corpus:
            self._read(-1, one)
        self._watch.limit_memory()
        number, self._start, self._executions = job.first, cpu_seconds(), 0
        while self._executions < job.executions and self._seconds < job.seconds:
            chance = Random(f"{job.seed} {job.reader} {number}")
            pool = corpus if corpus and chance.random() < 0.6 else seeds
            made = changed(chance.choice(pool), seeds, chance)
            if self._is_new(self._read(number, made)):
                made.keep(Path(job.corpus))
                corpus.append(made)
            number += 1
        return {"next": number, "refused_seeds": refused, "corpus": len(corpus)}

    def _read(self, number: int, made: Input) -> Outcome:
        """Read an input, and keep it if anything is wrong."""
        current = self._run / "current"
        shutil.rmtree(current, ignore_errors=True)
        current.mkdir()
        try:
            path = made.write(current)
        except (OSError, ValueError):  # a name that no file can have
            return Outcome("", "", "", True, 0, 0)
        (self._run / "entry").write_text(made.entry)
        self._note(number)
        lines = self._watch.lines
        outcome = self._watch.read(self._reader, path)
        self._executions += 1
        self._seconds = cpu_seconds() - self._start
        self._slowest = max(self._slowest, outcome.seconds)
        self._note(number)
        self._has_new_lines = self._watch.lines > lines
        if outcome.fault:
            keep_finding(
                Path(self._job.keep), self._job.reader, outcome.fault, outcome.details, made
            )
        return outcome

    def _note(self, number: int) -> None:
        self._progress.seek(0)
        self._progress.write(NOTED.pack(number, self._executions, self._seconds, self._slowest))

    def _is_new(self, outcome: Outcome) -> bool:
        """Tell whether an input led to lines of code, or to words, that no other did."""
        words = re.sub(r"\d+|'[^']*'|\"[^\"]*\"|/\S+", "#", outcome.told)[:2000]
        is_new = words not in self._told and len(self._told) < _MOST_TOLD
        self._told.add(words)
        return not outcome.fault and (is_new or self._has_new_lines)


def _inputs(folder: Path) -> list[Input]:
    return [Input.of(path) for path in sorted(folder.glob(f"*{ENDING}"))]


_SLOW_TO_IMPORT = ("h5py", "retrain_tools.graphdef.summarize")


def serve() -> None:
    """Do the jobs that come in, one after the other, each in a fork of this process.

    A job is a line of JSON; told are the number of its process, and when that ends, its status.
    """
    for name in _SLOW_TO_IMPORT:
        importlib.import_module(name)
    for line in sys.stdin:
        job = Job(**json.loads(line))
        pid = os.fork()
        if not pid:
            _do(job)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _do(job: Job) -> NoReturn:
    """Do a job in this process, and end it; what was found is in the file `stdout`."""
    run = Path(job.run)
    for name, number in (("stdout", 1), ("stderr", 2)):
        os.dup2(os.open(run / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(run / "cwd")
    homes = {name: str(run / "home") for name in ("HOME", "RETRAIN_TOOLS_HOME")}
    os.environ.update({**homes, "TMPDIR": str(run / "tmp")})
    tempfile.tempdir = None
    faulthandler.enable()
    # A signal when an input's CPU time is up, which also stops what is not Python.
    faulthandler.register(signal.SIGPROF, chain=True)
    try:
        print(json.dumps(_Worker(job).work()), flush=True)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    serve()
