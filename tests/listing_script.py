"""`list_tensors` as people run it, in a process that is kept."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.script_process import RunScript

ROOT = Path(__file__).resolve().parents[1]


class Ended(NamedTuple):
    status: int
    stdout: str
    stderr: str


class Runner:
    """Runs the script again and again."""

    def __init__(self, run_script: RunScript) -> None:
        self._run_script = run_script

    def run(self, *arguments: object, **environment: str) -> Ended:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            done = self._run_script("retrain_tools.list_tensors", *arguments, cwd=ROOT)
        return Ended(done.status, done.out, done.err)

    def listed(self, *arguments: object, **environment: str) -> tuple[str, str]:
        """What a run that succeeds prints on stdout and on stderr."""
        status, stdout, stderr = self.run(*arguments, **environment)
        assert status == 0, stderr
        return stdout, stderr

    def error_of(self, *arguments: object) -> str:
        status, stdout, stderr = self.run(*arguments)
        assert (status, stdout) == (2, "")
        assert stderr.startswith("error: ")
        assert stderr.count("\n") == 1
        return stderr.removeprefix("error: ").removesuffix("\n")
