"""Optional packages: what is imported, and the command that is named where one is missing."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.extras import import_extra

# In a process of its own: without packages, as on a machine where they were never installed.
_WITHOUT = """
import sys
for name in sys.argv.pop(1).split(","):
    sys.modules[name] = None
from retrain_tools import fetch_tensors
fetch_tensors.script()
"""


def test_an_installed_module_is_imported_with_its_parents():
    assert import_extra("json", "A test") is json
    assert import_extra("json.decoder", "A test") is json.decoder


def test_a_missing_package_names_its_purpose_and_the_command():
    with pytest.raises(InputError) as error:
        import_extra("no_such_package.part", "A file of rows")
    assert str(error.value) == "A file of rows needs no_such_package: pip install no_such_package"
    assert isinstance(error.value.__cause__, ImportError)


@pytest.mark.parametrize(
    ("blocked", "output", "package"),
    [
        ("pyarrow", "features.parquet", "pyarrow"),
        ("pyarrow.parquet", "features.parquet", "pyarrow"),
        ("h5py", "features.h5", "h5py"),
        ("h5py,pyarrow", "features.hdf5", "h5py"),
        ("h5py,pyarrow", "features.npz", None),
    ],
)
def test_without_the_package_there_is_one_line_and_nothing_is_written(
    pixel_graph, tmp_path, blocked, output, package
):
    (tmp_path / "1.jpg").write_bytes(b"no image")
    flags = [f"--graph={pixel_graph}", f"--output={output}", "1.jpg"]
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT, blocked, *flags, "--input_mean=0", "--input_std=1"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    if package is None:  # the other kinds of file need neither
        assert lines[-1].startswith("error: None of the 1 images can be used")
        return
    assert lines == [f"error: --output={output} needs {package}: pip install {package}"]
    assert [path.name for path in tmp_path.iterdir()] == ["1.jpg"]


@pytest.fixture(scope="module")
def pixel_graph(tmp_path_factory):
    from retrain_tools.quiet_tensorflow import tf

    graph = tf.Graph()
    with graph.as_default():
        pixels = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 3], "input")
        tf.nn.conv2d(pixels, np.ones((1, 1, 3, 2), np.float32), 1, "SAME", name="features")
    path = tmp_path_factory.mktemp("graph") / "graph.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path
