"""Starts the processes that are struck, and tells how each has ended."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from soaking import faults
from soaking.child import Spec
from soaking.faults import Fault

_TOOLS = Path(__file__).resolve().parents[1]
_LONGEST = 300.0  # seconds: whoever takes longer hangs


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a process has ended.

    Attributes:
        status: its exit status, the negative number of the signal that killed it, or None where it
            hung.
        struck: the faults that have reached it.
        out, err: what it wrote.
        seconds: its time by the clock.
        cpu: its seconds of CPU time.
    """

    status: int | None
    struck: Sequence[Fault]
    out: str
    err: str
    seconds: float
    cpu: float


def environment() -> dict[str, str]:
    """Return the environment of struck processes: this package and the tools, and no noise."""
    given = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join(filter(None, [str(_TOOLS), str(_TOOLS.parent), given]))
    return {
        **os.environ,
        "PYTHONPATH": path,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "no_proxy": "*",
        "PYTHONHASHSEED": "0",
    }


def whole(spec: Spec, fault: Fault) -> Ended:
    """Run a whole process that one signal strikes, by the clock or at a file operation."""
    by_clock = not fault.at
    if by_clock:
        command = [sys.executable, "-m", spec.module, *spec.arguments]
    else:
        spec = dataclasses.replace(spec, faults=[fault])
        command = [sys.executable, "-m", "soaking.child", spec.as_json()]
    Path(spec.report).unlink(missing_ok=True)
    start, used = time.monotonic(), _used()
    struck: list[Fault] = []
    with contextlib.ExitStack() as stack:
        out, err = (stack.enter_context(Path(path).open("wb")) for path in spec.output)
        process = subprocess.Popen(
            command,
            cwd=spec.folder,
            env=environment() | spec.variables,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,  # a Ctrl-C of whoever runs the soak is not for the struck
        )
        if by_clock:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(fault.amount)
            if process.poll() is None:
                process.send_signal(signal.Signals[fault.name])
                struck = [fault]
        status = _waited(process)
    struck = struck or _struck(spec)
    return _ended(spec, status, struck, time.monotonic() - start, _used() - used)


def _waited(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(_LONGEST)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None


def _used() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _struck(spec: Spec) -> list[Fault]:
    """Return the faults that a process has told of."""
    path = Path(spec.report)
    lines = path.read_text().splitlines() if path.exists() else []
    names = [told["struck"] for told in map(json.loads, lines) if "struck" in told]
    return [fault for fault in spec.faults if fault.name in names]


def told_of(spec: Spec) -> tuple[dict[str, int], list[str]]:
    """Return how many file operations of each kind a process has counted, and what it imported."""
    for line in Path(spec.report).read_text().splitlines():
        told = json.loads(line)
        if "counts" in told:
            return told["counts"], told["modules"]
    return {}, []


def _ended(
    spec: Spec, status: int | None, struck: Sequence[Fault], seconds: float, cpu: float
) -> Ended:
    out, err = (Path(path).read_text(errors="backslashreplace") for path in spec.output)
    return Ended(status, struck, out, err, seconds, cpu)


class Waiting(contextlib.AbstractContextManager["Waiting"]):
    """A process that has imported a script, and becomes it again and again, in copies."""

    def __init__(self, module: str, modules: Sequence[str] = ()) -> None:
        """Start it; `modules` are imported before the first copy."""
        self._modules = list(modules)
        command = [sys.executable, "-m", "soaking.child", "--wait", module]
        self._process = subprocess.Popen(
            command,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(self, specs: Sequence[Spec]) -> list[Ended]:
        """Run processes at the same time, to their ends."""
        for spec in specs:
            Path(spec.report).unlink(missing_ok=True)
        start = time.monotonic()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        told = {
            "specs": [spec.as_json() for spec in specs],
            "modules": self._modules,
            "seconds": _LONGEST,
        }
        print(json.dumps(told), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the process that waits ended with {self._process.wait()}")
        self._modules = []
        seconds = time.monotonic() - start
        return [
            _ended(spec, end["status"], _struck(spec), seconds, end["cpu"])
            for spec, end in zip(specs, json.loads(answer), strict=True)
        ]


STATUS_OF = {
    "SIGKILL": (-signal.SIGKILL,),
    "SIGTERM": (143, -signal.SIGTERM),
    "SIGINT": (130, -signal.SIGINT),
    faults.INTERRUPT: (130,),
}
"""The exit status of what a signal stopped; negative where the script had not begun."""
