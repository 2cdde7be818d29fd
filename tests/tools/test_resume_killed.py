"""`retrain --resume`, killed at ten random steps, ends with the bits of an unbroken training."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path

import pytest
from soaking.child import Spec
from soaking.faults import Fault
from soaking.processes import Ended, Waiting
from soaking.reading import saved_model_text

from tests.head.photos import write_photos
from tests.head.tail_graphs import two_layers

_OF_THE_HEAD, _OF_LAYERS, _KILLS = 50, 40, 10
_MODEL = "saved_model/1/saved_model.pb"
_COUNTS = ("settings", "bottlenecks")  # of metrics.json: where, and how often it was begun


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("resumed")
    write_photos(root / "photos", count=14)
    (root / "graph.pb").write_bytes(two_layers().SerializeToString())
    return root


def train(waiting: Waiting, root: Path, output: str, *more: str, at: int = 0) -> Ended:
    """Train into a folder, and be killed as the checkpoint of a step, from 1, takes its place."""
    flags = [
        "--graph=graph.pb", "--image_dir=photos", "--bottleneck_dir=cache",
        "--fine_tune_from=first/relu", f"--how_many_training_steps={_OF_THE_HEAD}",
        f"--fine_tune_steps={_OF_LAYERS}", f"--output_dir={output}", *more,
    ]  # fmt: skip
    faults = [Fault("SIGKILL", "rename", at)] if at else []
    spec = Spec(
        "retrain_tools.retrain", flags, str(root), {"RETRAIN_TOOLS_HOME": str(root / "home")},
        str(root / "report"), (str(root / "out"), str(root / "err")), faults,
        [f"{root}/{output}/"],
    )  # fmt: skip
    [ended] = waiting.run([spec])
    return ended


def results(folder: Path) -> dict[str, object]:
    metrics = json.loads((folder / "metrics.json").read_text())
    told = {name: value for name, value in metrics.items() if name not in _COUNTS}
    files = [path for path in folder.rglob("*") if path.is_file() and "logs" not in path.parts]
    names = {path.relative_to(folder).as_posix() for path in files}
    kept = names - {"metrics.json", _MODEL, "saved_model/1/fingerprint.pb"}  # a random number
    of_files = {name: (folder / name).read_bytes() for name in kept}
    return {**of_files, "metrics.json": told, _MODEL: saved_model_text(folder / _MODEL)}


def test_ten_kills_at_random_steps_change_no_bit(root: Path) -> None:
    steps = sorted(random.Random(0).sample(range(1, _OF_THE_HEAD + _OF_LAYERS), _KILLS))
    with Waiting("retrain_tools.retrain", ["tensorflow.python.client.session"]) as waiting:
        whole = train(waiting, root, "whole")
        assert whole.status == 0, whole.err
        done = 0
        often = ("--resume", "--checkpoint_minutes=1e-9")
        for step in steps:
            ended = train(waiting, root, "killed", *often, at=step - done)
            assert ended.status == -signal.SIGKILL, ended.err
            assert ("goes on from killed/checkpoint.npz, after step" in ended.err) == (done > 0)
            # Killed before the checkpoint of this step took its place: it is done again.
            done = step - 1
        last = train(waiting, root, "killed", *often)
    assert last.status == 0, last.err
    after = done - 1 - _OF_THE_HEAD
    assert f"fine-tuning goes on from killed/checkpoint.npz, after step {after}\n" in last.err
    assert results(root / "killed") == results(root / "whole")
