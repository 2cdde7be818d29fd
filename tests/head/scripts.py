"""Running a script as users do, in a process of its own, or many commands in one to save time."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

_ALL = """
import contextlib, importlib, io, json, sys
from absl import flags

module = importlib.import_module(sys.argv[1])
results = []
for command in json.load(sys.stdin):
    sys.argv = [sys.argv[0], *command]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            module.script()
        except SystemExit as end:
            status = end.code
    results.append([status, out.getvalue(), err.getvalue()])
    flags.FLAGS.unparse_flags()
    for flag in flags.FLAGS.get_flags_for_module(module.__name__):
        flag.unparse()
json.dump(results, sys.stdout)
"""


@dataclass
class Finished:
    status: int
    out: str
    err: str


def run_script(module: str, *arguments: object, cwd) -> Finished:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    return Finished(done.returncode, done.stdout, done.stderr)


def run_commands(module: str, commands: list[list[object]], cwd) -> list[Finished]:
    """Run the script once per list of arguments, all in one process."""
    done = subprocess.run(
        [sys.executable, "-c", _ALL, module],
        cwd=cwd,
        input=json.dumps([[str(argument) for argument in command] for command in commands]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Finished(*result) for result in json.loads(done.stdout)]
