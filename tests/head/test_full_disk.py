"""What TensorFlow's own code writes, where there is no room: an error of the user's file."""

from __future__ import annotations

import subprocess
import sys

import pytest

_FULL = """
import pathlib, resource, sys
import numpy as np
from retrain_tools.export.saved_model import write_saved_model
from retrain_tools.head.event_file import EventFile, scalar
from retrain_tools.head.export import write_checkpoint
from retrain_tools.head.training import Head
from tests.graphdef.tiny_graphs import inception_like, write
from tests.opening import load_graph

folder = pathlib.Path(sys.argv[1])
frozen = load_graph(write(inception_like(), folder / "graph.pb"))
head = Head(np.zeros((300, 2), np.float32), np.zeros(2, np.float32))
write_checkpoint(str(folder / "fits"), head)

def log():
    file = EventFile(folder / "logs")
    for step in range(9):
        file.add(step, [scalar("loss", 1.0)])
    file.close()

JOBS = [
    log,
    lambda: write_checkpoint(str(folder / "new" / "head.ckpt"), head),
    lambda: write_saved_model(str(folder / "served" / "1"), frozen, {"scores": "softmax:0"}),
]
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
for job in JOBS:
    try:
        job()
    except OSError as error:
        print(error)
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full")
    command = [sys.executable, "-c", _FULL, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return folder, done.stdout.splitlines()


def test_each_error_is_the_systems_and_names_what_the_user_asked_for(said):
    folder, lines = said
    [events] = (folder / "logs").iterdir()
    assert lines == [
        f"[Errno 27] File too large: '{path}'"
        for path in (events, folder / "new" / "head.ckpt", folder / "served" / "1")
    ]


def test_no_half_of_a_saved_model_stays(said):
    folder, _ = said
    assert list((folder / "served").iterdir()) == []
