"""A script in a process that is kept, because importing TensorFlow takes seconds each time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from tests.head.scripts import Finished

RunScript = Callable[..., Finished]
"""`run_script(module, *arguments, cwd=folder)`."""

_HANGS = 600.0  # seconds

# What is written to the descriptors is caught, too: C++ code writes there.
_SERVER = """
import importlib, json, os, sys, tempfile, traceback
from absl.testing import flagsaver

asked, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
module = importlib.import_module(sys.argv[1])
before = {}
for line in asked:
    sys.argv[1:], folder, environment = json.loads(line)
    os.chdir(folder)
    for name in before.keys() - environment:
        os.environ.pop(name, None)
    os.environ.update(environment)
    before = environment
    flags = flagsaver.save_flag_values()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        try:
            module.script()
            status = 0
        except SystemExit as end:
            status = end.code
        except BaseException:
            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        texts = [os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0) for file in (out, err)]
    # Those that an import has defined stay: it will not define them again.
    flagsaver.restore_flag_values(flagsaver.save_flag_values() | flags)
    print(json.dumps([status, *(text.decode() for text in texts)]), file=answers, flush=True)
"""


class ScriptProcess:
    """Runs one script again and again, with its flags as they are at the start.

    A run that hangs is killed after ten minutes.
    """

    def __init__(self, module: str, before: Sequence[str] = ()) -> None:
        """Start it by the command `before`, as `setpriv`, if that is given."""
        self._process = subprocess.Popen(
            [*before, sys.executable, "-c", _SERVER, module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(self, arguments: tuple[object, ...], folder: Path | str) -> Finished:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        folder = Path(folder).absolute()
        asked = [[*map(str, arguments)], str(folder), dict(os.environ)]
        print(json.dumps(asked), file=self._process.stdin)
        self._process.stdin.flush()
        guard = threading.Timer(_HANGS, self._process.kill)
        guard.start()
        answer = self._process.stdout.readline()
        guard.cancel()
        assert answer, f"the process ended with {self._process.wait()}"
        return Finished(*json.loads(answer))
