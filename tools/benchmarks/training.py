"""Training the head: against retrain.py's way, and against scikit-learn; loading a cache."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.processes import measured
from benchmarks.records import Record
from benchmarks.setting import Setting
from benchmarks.stopwatch import per_second

ORIGINAL = "retrain.py's way, 100 text files a step"
OURS, OURS_LOADED = "retrain_tools", "retrain_tools, with loading of the cache"
OURS_ALONE = "retrain_tools, without curves"
# Seconds: files that changed a moment ago are not believed to be the same later.
_SETTLING = 3
COLD, PACKED = "retrain_tools, first time", "retrain_tools, again"
LOADED_DEPTH = 1001
_DEPTH, _CLASSES = 2048, 10
_SPLIT = (10, 10, "path")


def sections(setting: Setting) -> Iterator[list[Record]]:
    """Measure steps, other ways to train the layer, and loading."""
    cache = str(cache_of(setting, _DEPTH, _CLASSES))
    ways: dict[str, Callable[[], Any]] = {
        ORIGINAL: partial(measured, "peer_retrain.original", cache=cache),
        OURS: partial(measured, "training.ours", setting.kept, cache=cache, steps=setting.steps),
        OURS_LOADED: partial(
            measured, "training.ours", setting.kept, cache=cache, steps=setting.steps, load=True
        ),
        OURS_ALONE: partial(
            measured, "training.ours", setting.kept, cache=cache, steps=setting.steps, curves=False
        ),
    }
    subject = f"{setting.vectors:,} × {_DEPTH}, {setting.steps:,} steps of 100"
    yield setting.compare("training", subject, "steps/s", ways)
    ways = {
        OURS: partial(measured, "training.ours_whole", cache=cache, steps=setting.steps),
        "scikit-learn LogisticRegression": partial(
            measured, "training.scikit_learn", cache=cache, estimator="LogisticRegression"
        ),
        "scikit-learn SGDClassifier": partial(
            measured, "training.scikit_learn", cache=cache, estimator="SGDClassifier"
        ),
    }
    yield setting.compare("training", f"{setting.vectors:,} × {_DEPTH}, whole head", "s", ways)
    yield _loading(setting)


def _loading(setting: Setting) -> list[Record]:
    """Load text bottlenecks for the first time and again: the first makes what is kept."""
    made = cache_of(setting, LOADED_DEPTH, _CLASSES)
    texts = setting.work_dir / "loaded"

    def first_time() -> Any:
        shutil.rmtree(texts, ignore_errors=True)
        shutil.copytree(made, texts)
        time.sleep(_SETTLING)
        return measured("training.load", setting.kept, cache=str(texts))

    ways = {
        "split and float(), as retrain.py": partial(measured, "training.load_old", cache=str(made)),
        COLD: first_time,
        PACKED: lambda: measured("training.load", setting.kept, cache=str(texts)),
    }
    subject = f"loading {setting.vectors:,} × {LOADED_DEPTH}"
    return setting.compare("training", subject, "s", ways)


def cache_of(setting: Setting, depth: int, classes: int) -> Path:
    """Return a folder of text bottlenecks that can be told apart, made once."""
    folder = setting.work_dir / f"bottlenecks_{setting.vectors}_{depth}_{classes}"
    if not folder.exists():
        measured(
            "training.write_cache",
            folder=str(folder), count=setting.vectors, depth=depth, classes=classes,
        )  # fmt: skip
    return folder


def write_cache(folder: str, count: int, depth: int, classes: int) -> bool:
    """Write text bottlenecks of overlapping classes, as none is below 0 after a ReLU."""
    from retrain_tools.features.cache import format_bottleneck

    random = np.random.default_rng(0)
    means = random.gamma(0.5, 0.6, (classes, depth))
    being_made = Path(f"{folder}.part")
    for number in range(count):
        label = number % classes
        vector = np.maximum(means[label] + random.normal(0, 2, depth), 0).astype(np.float32)
        to = being_made / f"class_{label}" / f"{number:06}.jpg.txt"
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(format_bottleneck(vector))
    being_made.rename(folder)
    return True


def ours(cache: str, steps: int, load: bool = False, curves: bool = True) -> dict[str, float]:
    """Train, with summaries and curves or without; with `load`, from the cache on.

    TensorFlow's import, for the files of the curves, is a matter of the start: it is not counted.
    """
    import retrain_tools.head.event_file as event_file

    event_file.tf.io.TFRecordWriter  # noqa: B018 - loads it
    data = None if load else _dataset(cache)
    return per_second(steps, lambda: _train(data or _dataset(cache), steps, curves))


def ours_whole(cache: str, steps: int) -> dict[str, float]:
    """Train on a dataset that is loaded; also the accuracy of the test."""
    data = _dataset(cache)
    heads: list[Any] = []
    seconds = _seconds(lambda: heads.append(_train(data, steps)))
    vectors, classes = _of(data, "testing")
    accuracy = float((heads[0].logits(vectors).argmax(axis=1) == classes).mean())
    return {**seconds, "accuracy": accuracy}


def scikit_learn(cache: str, estimator: str) -> dict[str, float]:
    """Fit one of scikit-learn's linear classifiers to the same training rows."""
    from sklearn import linear_model

    data = _dataset(cache)
    arguments = {"loss": "log_loss"} if estimator == "SGDClassifier" else {}
    model = getattr(linear_model, estimator)(**arguments)
    seconds = _seconds(lambda: model.fit(*_of(data, "training")))
    return {**seconds, "accuracy": float(model.score(*_of(data, "testing")))}


def load(cache: str) -> dict[str, float]:
    """Load a folder of text bottlenecks into the training matrix."""
    import retrain_tools.head.bottlenecks_alone  # noqa: F401 - not counted

    return _seconds(lambda: _dataset(cache))


def load_old(cache: str) -> dict[str, float]:
    """Load it in the way of retrain.py."""

    def job() -> Any:
        texts = (path.read_text() for path in sorted(Path(cache).glob("*/*.txt")))
        return np.array([[float(value) for value in text.split(",")] for text in texts], np.float32)

    return _seconds(job)


def _dataset(cache: str) -> Any:
    from retrain_tools.features.fill import CacheOptions
    from retrain_tools.features.read_cache import find_bottlenecks
    from retrain_tools.head.bottlenecks_alone import read_dataset

    found = find_bottlenecks(Path(cache))
    return read_dataset(None, found, CacheOptions(cache), _SPLIT)[0]


def _of(data: Any, split: str) -> Any:
    return data.batch(np.concatenate(data.rows[split]))


def _train(data: Any, steps: int, curves: bool = True) -> Any:
    from retrain_tools.head.following import follow
    from retrain_tools.head.summaries import STEPS_IN_DETAIL, SummaryWriter
    from retrain_tools.head.training import TrainingSettings, initial_head, train

    rng = np.random.default_rng(0)
    settings = TrainingSettings(how_many_training_steps=steps)
    tell = follow(settings, {"steps": {"accuracy": [], "cross_entropy": []}, "evaluations": []})
    start = initial_head(rng, data.vectors.shape[1], len(data.labels))
    batches = [data.batches(rng, split, 100) for split in ("training", "validation")]

    def trained(on_step: Callable[[Any], None]) -> Any:
        return train(start, settings, *batches, on_step)

    if not curves:
        return trained(lambda _: None)
    with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as summaries:

        def on_step(step: Any) -> None:
            summaries.add(step, settings.is_one_of(STEPS_IN_DETAIL, step.number))
            tell(step)

        return trained(on_step)


def _seconds(job: Callable[[], Any]) -> dict[str, float]:
    start, start_cpu = time.monotonic(), time.process_time()
    job()
    return {"value": time.monotonic() - start, "cpu": time.process_time() - start_cpu}
