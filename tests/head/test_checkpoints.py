"""A training that was stopped goes on to the bits that it would have had."""

from __future__ import annotations

import dataclasses
import json
import logging
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.features.fill import CacheOptions
from retrain_tools.head.checkpoints import HEAD, LAYERS, Checkpoints
from retrain_tools.head.retraining import retrain_on
from retrain_tools.head.settings import RetrainSettings, settings_in
from retrain_tools.head.training import TrainingSettings
from retrain_tools.head.tuned_tail import FineTuning
from retrain_tools.images.distort import Distortions

from .photos import write_photos
from .tail_graphs import CUT, opened, two_layers

ALWAYS = 1e-9  # minutes


class StoppedError(Exception):
    """What stops a training in these tests."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    root = tmp_path_factory.mktemp("checkpoints")
    write_photos(root / "photos", count=14)
    return root


@pytest.fixture(scope="module")
def frozen(home):
    return opened(home)


def settings_for(home: Path, name: str, **changes) -> RetrainSettings:
    given = {
        "image_dir": str(home / "photos"),
        "cache": CacheOptions(str(home / "bottlenecks")),
        "training": TrainingSettings(30, 0.1, 16, 16),
        "fine_tuning": FineTuning(CUT, 8, 0.01, fine_tune_batch_size=9),
        "checkpoint_minutes": 0.0,
    }
    return settings_in(str(home / name), **(given | changes))


def stop_after(monkeypatch, part: str, steps: int) -> None:
    """Let every step write a checkpoint, and an exception come after that of one step."""
    write = Checkpoints.write

    def stopping(self, checkpoint):
        write(self, checkpoint)
        if (checkpoint.part, checkpoint.steps) == (part, steps):
            raise StoppedError

    monkeypatch.setattr(Checkpoints, "write", stopping)


def files_of(settings: RetrainSettings) -> dict[str, object]:
    metrics = json.loads(Path(settings.metrics).read_text())
    for which in ("settings", "bottlenecks"):  # where and how often it was begun
        del metrics[which]
    splits = Path(settings.splits).read_text()
    return {"graph": Path(settings.output_graph).read_bytes(), "metrics": metrics, "splits": splits}


@pytest.fixture(scope="module")
def unbroken(home, frozen):
    settings = settings_for(home, "unbroken")
    retrain_on(frozen, settings)
    return files_of(settings)


@pytest.mark.parametrize(
    ("part", "steps"), [(HEAD, 1), (HEAD, 13), (HEAD, 30), (LAYERS, 1), (LAYERS, 5), (LAYERS, 8)]
)
def test_a_stopped_training_goes_on_to_the_same_bits(
    home, frozen, unbroken, monkeypatch, part, steps
):
    settings = settings_for(home, f"{part}_{steps}", checkpoint_minutes=ALWAYS)
    with monkeypatch.context() as patch:
        stop_after(patch, part, steps)
        with pytest.raises(StoppedError):
            retrain_on(frozen, settings)
    assert Path(settings.checkpoint).exists()
    assert not Path(settings.output_graph).exists()
    again = dataclasses.replace(settings, resume=True)
    retrain_on(frozen, again)
    assert files_of(again) == unbroken
    assert not Path(settings.checkpoint).exists()


def test_it_can_be_stopped_again_and_again(home, frozen, unbroken, monkeypatch):
    settings = settings_for(home, "again", checkpoint_minutes=ALWAYS)
    for part, steps in ((HEAD, 7), (HEAD, 20), (LAYERS, 2), (LAYERS, 3)):
        with monkeypatch.context() as patch:
            stop_after(patch, part, steps)
            with pytest.raises(StoppedError):
                retrain_on(frozen, settings)
        settings = dataclasses.replace(settings, resume=True)
    retrain_on(frozen, settings)
    assert files_of(settings) == unbroken


@pytest.mark.parametrize(
    "changes",
    [
        {"training": TrainingSettings(12, 0.1, -1, -1)},
        {"training": TrainingSettings(12, 0.1, 8), "distortions": Distortions(True, 10)},
        {"fine_tuning": FineTuning(CUT, 6, 0.01, "sgd", fine_tune_batch_size=5)},
        {"fine_tuning": None, "test_batch_size": 20},
    ],
    ids=["whole batches", "distorted images", "sgd", "drawn test"],
)
def test_other_ways_to_train_go_on_too(home, frozen, monkeypatch, changes, tmp_path):
    if "training" in changes:
        changes = {"fine_tuning": None, **changes}
    shared = {"cache": CacheOptions(str(home / "bottlenecks"))}
    whole = settings_for(tmp_path, "whole", image_dir=str(home / "photos"), **shared, **changes)
    retrain_on(frozen, whole)
    broken = settings_for(
        tmp_path, "broken", image_dir=str(home / "photos"), **shared, **changes,
    )  # fmt: skip
    broken = dataclasses.replace(broken, checkpoint_minutes=ALWAYS, resume=True)
    with monkeypatch.context() as patch:
        stop_after(patch, *((HEAD, 5) if broken.fine_tuning is None else (LAYERS, 4)))
        with pytest.raises(StoppedError):
            retrain_on(frozen, broken)
    retrain_on(frozen, broken)
    assert files_of(broken) == files_of(whole)


def test_a_killed_process_is_gone_on_from(home, tmp_path, run_script):
    (tmp_path / "graph.pb").write_bytes(two_layers().SerializeToString())
    flags = [
        "--graph=graph.pb", f"--image_dir={home / 'photos'}", "--fine_tune_from=first/relu",
        "--how_many_training_steps=50", "--fine_tune_steps=40", "--bottleneck_dir=cache",
    ]  # fmt: skip
    module = "retrain_tools.retrain"
    done = run_script(module, *flags, "--output_dir=whole", cwd=tmp_path)
    assert done.status == 0, done.err
    often = ["--output_dir=killed", "--checkpoint_minutes=1e-9", "--resume"]
    command = [sys.executable, "-m", module, *flags, *often]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("what enters these layers"):
                break
        checkpoint = tmp_path / "killed" / "checkpoint.npz"
        while process.poll() is None and b"tuned:" not in checkpoint.read_bytes():
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.stderr.read()
    assert process.returncode == -signal.SIGKILL
    done = run_script(module, *flags, *often, cwd=tmp_path)
    assert done.status == 0, done.err
    assert "fine-tuning goes on from killed/checkpoint.npz, after step " in done.err
    graphs = [(tmp_path / name / "output_graph.pb").read_bytes() for name in ("whole", "killed")]
    assert graphs[0] == graphs[1]
    assert not [path for path in (tmp_path / "killed").iterdir() if path.suffix in (".npz", ".tmp")]


@pytest.fixture
def stopped(home, frozen, monkeypatch, tmp_path):
    """Settings of a training that was stopped."""
    settings = settings_for(
        tmp_path, "out", image_dir=str(home / "photos"), fine_tuning=None,
        cache=CacheOptions(str(home / "bottlenecks")), checkpoint_minutes=ALWAYS,
    )  # fmt: skip
    with monkeypatch.context() as patch:
        stop_after(patch, HEAD, 3)
        with pytest.raises(StoppedError):
            retrain_on(frozen, settings)
    return dataclasses.replace(settings, resume=True)


OTHERS = [
    (
        {"training": TrainingSettings(30, 0.2, 16, 16)},
        "learning_rate was 0.1 and is 0.2",
    ),
    ({"fine_tuning": FineTuning(CUT)}, f"fine_tune_from was None and is {CUT}"),
    ({"testing_percentage": 30}, "the bottlenecks it was begun with were others"),
    ({"keep_folder_names": True}, "the bottlenecks it was begun with were others"),
]


@pytest.mark.parametrize(("changes", "difference"), OTHERS)
def test_the_checkpoint_of_another_training_is_refused(frozen, stopped, changes, difference):
    before = Path(stopped.checkpoint).read_bytes()
    with pytest.raises(InputError) as caught:
        retrain_on(frozen, dataclasses.replace(stopped, **changes))
    assert str(caught.value) == (
        f"{stopped.checkpoint} is of another training: {difference}. Go on with what it was begun "
        "with, or begin anew without resume."
    )
    assert Path(stopped.checkpoint).read_bytes() == before


@pytest.mark.parametrize("damage", ["cut", "text", "pickle", "stranger"])
def test_a_file_that_is_no_checkpoint_is_refused(frozen, stopped, damage):
    path = Path(stopped.checkpoint)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:300])
    elif damage == "text":
        path.write_text("no archive")
    elif damage == "pickle":
        np.savez(path, record=np.array([{"format": 1}], object))
    else:
        np.savez(path, weights=np.zeros(3))
    with pytest.raises(InputError) as caught:
        retrain_on(frozen, stopped)
    assert str(caught.value) == (
        f"{path} cannot be read as a checkpoint of a training; remove it, or begin anew without "
        "resume."
    )


def test_whether_there_was_one_is_said(frozen, stopped, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("retrain_tools"), "propagate", True)
    path = stopped.checkpoint
    with caplog.at_level(logging.INFO, logger="retrain_tools"):
        retrain_on(frozen, stopped)
        again = dataclasses.replace(stopped, saved_model_dir=stopped.saved_model_dir + "_2")
        retrain_on(frozen, again)
    lines = [record.getMessage() for record in caplog.records]
    assert f"training goes on from {path}, after step 2" in lines
    assert f"no checkpoint {path}: training begins with its first step" in lines


def test_one_that_is_not_asked_for_is_told_of(frozen, stopped, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("retrain_tools"), "propagate", True)
    with caplog.at_level(logging.WARNING, logger="retrain_tools"):
        retrain_on(frozen, dataclasses.replace(stopped, resume=False))
    assert (
        f"{stopped.checkpoint} is of a training that was stopped; this one begins anew (resume "
        "goes on)"
    ) in [record.getMessage() for record in caplog.records]
    assert not Path(stopped.checkpoint).exists()


@pytest.mark.parametrize("minutes", [0.0, 10.0])
def test_none_is_written_before_it_is_time(home, frozen, monkeypatch, tmp_path, minutes):
    written = []
    monkeypatch.setattr(Checkpoints, "write", lambda self, checkpoint: written.append(checkpoint))
    settings = settings_for(
        tmp_path, "out", image_dir=str(home / "photos"), checkpoint_minutes=minutes,
        cache=CacheOptions(str(home / "bottlenecks")), training=TrainingSettings(5),
    )  # fmt: skip
    retrain_on(frozen, settings)
    assert not written
