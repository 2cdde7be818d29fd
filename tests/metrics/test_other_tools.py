"""Agreement with torch-fidelity and pytorch-fid, whose own code is run on our features.

They take PyTorch, which nothing else here does. Name a Python that has them with
OTHER_TOOLS_PYTHON; what is needed is `pip install torch scipy pillow tqdm` and
`pip install --no-deps torch-fidelity pytorch-fid`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from retrain_tools.metrics.definitions import find_definition
from retrain_tools.metrics.distances import points
from retrain_tools.metrics.frechet import frechet_distance
from retrain_tools.metrics.inception_score import inception_score
from retrain_tools.metrics.kernel_distance import kernel_distance
from retrain_tools.metrics.moments import moments
from retrain_tools.metrics.neighbourhoods import precision_recall

from .vectors import like_features

DEFINITION = find_definition("torch-fidelity")
AGREES = 1e-6  # relative


def test_scores_are_those_of_torch_fidelity_and_pytorch_fid(tmp_path) -> None:
    depth = 256
    arrays = {
        "reference": like_features(4096, depth, 0),
        "samples": like_features(4200, depth, 1, 0.1),
        "weights": np.random.default_rng(2).normal(0, 0.2, (depth, 60)).astype(np.float32),
    }
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    python = os.environ.get("OTHER_TOOLS_PYTHON", sys.executable)
    script = Path(__file__).with_name("other_tools.py")
    done = subprocess.run(
        [python, str(script), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )
    theirs = json.loads(done.stdout)
    if "missing" in theirs:
        pytest.skip(f"{python} has no torch-fidelity and pytorch-fid: {theirs['missing']}")
    reference, samples = arrays["reference"], arrays["samples"]
    fid = frechet_distance(moments(reference), moments(samples))
    assert fid == pytest.approx(theirs["fid"]["frechet_inception_distance"], rel=AGREES)
    assert fid == pytest.approx(theirs["pytorch_fid"], rel=AGREES)
    found = inception_score(samples, arrays["weights"], DEFINITION.splits, DEFINITION.shuffle_seed)
    assert found[:2] == pytest.approx(tuple(theirs["is"].values()), rel=AGREES)
    rng = np.random.RandomState(DEFINITION.kid_seed)
    kid = kernel_distance(reference, samples, DEFINITION.kid_subsets, DEFINITION.kid_size, rng)
    assert kid[:2] == pytest.approx(tuple(theirs["kid"].values()), rel=AGREES)
    shares = precision_recall(points(reference), points(samples), DEFINITION.neighbours)
    their_shares = theirs["prc"]["precision"], theirs["prc"]["recall"]
    assert shares[:2] == pytest.approx(their_shares, rel=AGREES)
    assert 0.1 < shares.precision < 1
