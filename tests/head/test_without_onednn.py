"""Training of layers: its tests run where TensorFlow does without oneDNN, which it is told once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.head.training import Head
from retrain_tools.head.tuned_tail import FineTuning, TunedTail

from .conftest import WITHOUT_ONEDNN


@pytest.mark.parametrize("file", WITHOUT_ONEDNN)
def test_the_tests_of_a_file_pass(file):
    path = Path(__file__).with_name(file)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(path)]
    environment = os.environ | {"TF_ENABLE_ONEDNN_OPTS": "0"}
    done = subprocess.run(
        command, cwd=path.parents[2], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-8000:]


def test_with_onednn_layers_are_not_trained(monkeypatch):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    nothing = np.zeros((1, 2), np.float32)
    with pytest.raises(InputError) as raised:
        TunedTail(None, Head(nothing, nothing[0]), FineTuning("x"), "avg", "graph.pb")
    assert str(raised.value) == (
        "TensorFlow's oneDNN kernels cannot be trusted to train layers: set the environment "
        "variable TF_ENABLE_ONEDNN_OPTS=0 before TensorFlow is loaded, as the script does."
    )
