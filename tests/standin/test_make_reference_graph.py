"""The script that writes the stand-in graph."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from retrain_tools.quiet_tensorflow import tf

_ROOT = Path(__file__).parents[2]


def _run(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "tools/make_reference_graph.py", *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=_ROOT)


def test_it_writes_the_graph_and_says_so_in_one_line(tmp_path: Path) -> None:
    output = tmp_path / "graph.pb"
    result = _run(f"--output={output}", "--width=0.05")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"{output}: 1004 nodes, width 0.05, ")
    assert result.stdout.count("\n") == 1
    graph_def = tf.compat.v1.GraphDef.FromString(output.read_bytes())
    assert (len(graph_def.node), graph_def.versions.producer) == (1004, 8)
    assert list(tmp_path.iterdir()) == [output]


def test_a_wrong_width_is_one_error_line_and_no_file(tmp_path: Path) -> None:
    result = _run(f"--output={tmp_path / 'graph.pb'}", "--width=2")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "error: The width has to be above 0 and at most 1.0, not 2.0.\n"
    assert not list(tmp_path.iterdir())
