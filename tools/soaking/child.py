"""The process that is struck: a script of the package, whole or as a copy of a process that waits.

`python -m soaking.child SPEC` is a whole process. `python -m soaking.child --wait MODULE` imports a
script once, and makes a copy of itself for each line that it is told, which costs a third.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import importlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from soaking import faults, places
from soaking.faults import Fault
from soaking.striking import Striker

_WITH_TENSORFLOW = "tensorflow.python.client.session"
_OF_OTHERS = ("retrain_tools.", "PIL.", "numpy.", "h5py", "pyarrow", "filelock")
_BETWEEN_LOOKS = 0.003  # seconds


@dataclasses.dataclass(frozen=True)
class Spec:
    """A process to be.

    Attributes:
        module: the script.
        arguments: its flags and words.
        folder: where it is run.
        variables: of its environment.
        report: where it tells of what has struck.
        output: where its stdout and stderr go: two files.
        faults: what strikes it.
        roots: the folders whose operations are counted.
        counts: whether it tells how many operations there were.
    """

    module: str
    arguments: Sequence[str]
    folder: str
    variables: dict[str, str]
    report: str
    output: tuple[str, str]
    faults: Sequence[Fault] = ()
    roots: Sequence[str] = ()
    counts: bool = False

    def as_json(self) -> str:
        """Return it as `read` takes it."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def read(cls, text: str) -> Spec:
        """Return what `as_json` wrote."""
        told = json.loads(text)
        return cls(**{**told, "faults": [Fault(**fault) for fault in told["faults"]]})


def run(spec: Spec) -> None:
    """Be the script, struck: the process exits as it does."""
    os.environ.update(spec.variables)
    os.chdir(spec.folder)
    tempfile.tempdir = None
    for number, path in enumerate(spec.output, 1):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(handle, number)
        os.close(handle)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if any(fault.name == faults.PERMISSION for fault in spec.faults):
        places.give_up_rights()
    module = importlib.import_module(spec.module)
    sys.argv = [spec.module, *spec.arguments]
    striker = Striker(spec.faults, spec.roots, spec.report)
    if spec.counts:
        atexit.register(striker.tell_counts)
    module.script()


def _wait(module: str) -> None:
    """Make copies: each line on stdin is a list of specs and their time in seconds."""
    importlib.import_module(module)
    for line in sys.stdin:
        told = json.loads(line)
        for name in told["modules"]:
            _import(name)
        specs = [Spec.read(text) for text in told["specs"]]
        processes: list[int] = []
        for spec in specs:
            process = os.fork()
            if not process:
                run(spec)
                return
            processes.append(process)
        ends = _ends(processes, told["seconds"])
        sys.stdout.write(json.dumps(ends) + "\n")
        sys.stdout.flush()


def _import(name: str) -> None:
    if name == _WITH_TENSORFLOW:
        from retrain_tools.quiet_tensorflow import tf

        assert tf.Graph and tf.compat.v1.Session and tf.constant
    elif name.startswith(_OF_OTHERS) and name not in sys.modules:
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def _ends(processes: Sequence[int], seconds: float) -> list[dict[str, Any]]:
    """Wait for all; one that takes longer is killed, and has no status."""
    until, found = time.monotonic() + seconds, dict[int, dict[str, Any]]()
    while len(found) < len(processes):
        for process in processes:
            if process in found:
                continue
            ended, status, used = os.wait4(process, os.WNOHANG)
            if ended:
                cpu = used.ru_utime + used.ru_stime
                found[process] = {"status": os.waitstatus_to_exitcode(status), "cpu": cpu}
            elif time.monotonic() > until:
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
                found[process] = {"status": None, "cpu": 0.0}
        time.sleep(_BETWEEN_LOOKS)
    return [found[process] for process in processes]


if __name__ == "__main__":
    if sys.argv[1] == "--wait":
        _wait(sys.argv[2])
    else:
        run(Spec.read(sys.argv[1]))
