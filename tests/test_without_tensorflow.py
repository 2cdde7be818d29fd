"""What looking at a file imports: no TensorFlow and no Keras, whatever kind of file it is.

`tensorflow.python.tf2` is imported by whatever imports any of TensorFlow: see quiet_tensorflow.py.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.sources.corpus import real

CODE = """
import atexit, runpy, sys

def tell():
    names = {"tensorflow.python.tf2", "keras", "h5py", "PIL"}
    print(",".join(sorted(names & set(sys.modules))), end="")

atexit.register(tell)
script, *sys.argv[1:] = sys.argv[1:]
runpy.run_module(f"retrain_tools.{script}", run_name="__main__", alter_sys=True)
"""
KINDS = (
    "meta",
    "meta alone",
    "checkpoint",
    "checkpoint v1",
    "checkpoint alone",
    "slim v2",
    "saved model 1",
    "hub 1",
    "saved model 2",
    "hub 2",
    "keras export",
)
MODES = ("--outputs --format=names", "--summary", "--variables", "--tree", "--bottlenecks")
SIGNED = ("saved model 1", "hub 1", "saved model 2", "hub 2", "keras export")


def run(*arguments: str) -> tuple[str, str]:
    """What the script printed, and which of the large packages were imported."""
    command = [sys.executable, "-c", CODE, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text, _, imported = done.stdout.rpartition("\n")
    return text, imported


@pytest.mark.parametrize("name", KINDS)
def test_looking_imports_no_tensorflow(
    name: str, kinds: Mapping[str, Path], model_dir: Path
) -> None:
    graph, home = f"--graph={kinds[name]}", f"--model_dir={model_dir}"
    modes = [m for m in MODES if name != "checkpoint alone" or m in ("--summary", "--variables")]
    for mode in [*modes, *(["--signatures"] if name in SIGNED else [])]:
        text, imported = run("list_tensors", graph, home, *mode.split())
        assert (imported, bool(text)) == ("", True), mode


def test_a_session_bundle() -> None:
    graph = f"--graph={real('wild/session_bundle_half_plus_two')}"
    for mode in (*MODES[:4], "--signatures", "--variables --stats"):
        text, imported = run("list_tensors", graph, *mode.split())
        assert (imported, bool(text)) == ("", True), mode


@pytest.mark.parametrize(
    "name", ["graph", "text graph", "meta", "checkpoint v1", "saved model 2", "hub 1"]
)
def test_freezing_imports_no_tensorflow(
    name: str, kinds: Mapping[str, Path], tmp_path: Path
) -> None:
    text, imported = run("freeze_graph", f"--graph={kinds[name]}", f"--output={tmp_path / 'f.pb'}")
    assert imported == ""
    assert text.startswith(f"{tmp_path / 'f.pb'}: ")
    again, imported = run(
        "freeze_graph", f"--graph={tmp_path / 'f.pb'}", f"--output={tmp_path / 'g.pb'}"
    )
    assert imported == ""
    assert (tmp_path / "f.pb").read_bytes() == (tmp_path / "g.pb").read_bytes()
    assert again.startswith(f"{tmp_path / 'g.pb'}: frozen GraphDef; ")
