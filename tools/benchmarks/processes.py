"""Measurements in processes of their own: a first session fixes TensorFlow's thread pools."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.records import LeftOut

_TOOLS = Path(__file__).resolve().parents[1]
# A process starts with the peak of the one that starts it: this one is small.
_PROBE = """
import json, resource, subprocess, sys, time
start = time.monotonic()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
seconds, used = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({
    "status": done.returncode,
    "value": seconds,
    "cpu": used.ru_utime + used.ru_stime,
    "peak_mb": used.ru_maxrss * 1024 / 1e6,
    "error": done.stderr.decode(errors="replace").strip()[-300:],
}))
"""


def measured(function: str, variables: Mapping[str, str] | None = None, **arguments: Any) -> Any:
    """Call `MODULE.FUNCTION` of this package in a new process and return what it returns.

    Raises:
        LeftOut: it said so, or failed; the message has the last line of its errors.
    """
    command = [sys.executable, "-m", "benchmarks.measure", function, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(variables))
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise LeftOut(f"failed: {lines[-1][:300]}")
    found = json.loads(done.stdout.splitlines()[-1])
    if isinstance(found, dict) and "left_out" in found:
        raise LeftOut(found["left_out"])
    return found


def whole(command: Sequence[str], variables: Mapping[str, str] | None = None) -> dict[str, float]:
    """Run a process to its end; return its seconds (`value`), `cpu` seconds and `peak_mb`.

    Raises:
        LeftOut: it failed.
    """
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, *command],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        env=environment(variables),
    )
    found = json.loads(done.stdout)
    error = found.pop("error")
    if found.pop("status"):
        raise LeftOut(f"failed: {error.splitlines()[-1] if error else 'without a word'}")
    return found


def script(name: str, *flags: str) -> list[str]:
    """Return the command of one of the package's scripts."""
    return [sys.executable, "-m", f"retrain_tools.{name}", *flags]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a measurement: where this package and the tools are, no noise."""
    given = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join(filter(None, [str(_TOOLS), str(_TOOLS.parent), given]))
    return {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3", **(more or {})}
