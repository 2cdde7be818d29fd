"""Keras applications, frozen: made when first asked for, and kept; a second time without Keras."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from retrain_tools import files
from retrain_tools.graphdef import note
from retrain_tools.sources.applications.application import Application
from retrain_tools.sources.applications.names import keras_version
from retrain_tools.sources.kept import kept_folder, kept_graph, key_of
from retrain_tools.sources.readers.keras_weights_file import name_hints

_CODE = Path(__file__).parent


def frozen_application(application: Application, model_dir: str | Path | None) -> Any:
    """Return the frozen graph of a Keras application.

    It is kept in `frozen/` of the model folder, under the SHA-256 of all that was asked for, of the
    file of its weights, of Keras's version, and of the code that builds and freezes it. Which file
    ImageNet's weights are in, Keras says when it builds the network, and a file beside remembers.

    Raises:
        InputError: see `build` and `freeze_application`.
    """
    built: Any = None

    def make() -> Any:
        from retrain_tools.sources.applications.building import build
        from retrain_tools.sources.applications.freezing import freeze_application

        return freeze_application(built or build(application), application)

    said, weights = _said(application), application.weights_file
    if application.weights == "imagenet":
        beside = kept_folder(model_dir) / f"{key_of(said, _code())}.weights.txt"
        weights = _remembered(beside)
        if weights is None:
            from retrain_tools.sources.applications.building import build

            built = build(application)
            weights = built.weights_file
            _remember(beside, weights)
    key = key_of(said, _code(), [weights] if weights else [])
    return kept_graph(model_dir, key, application.where, make)


def _said(application: Application) -> tuple[Any, ...]:
    """Return all that a graph depends on, but for its weights' file and the code."""
    named = application.weights_file
    weights = f"file {sorted(name_hints(named))}" if named else application.weights
    seed = application.seed if weights == "none" else None
    keras_home = os.environ.get("KERAS_HOME") or str(Path.home())
    top = application.include_top
    return (application.name, weights, seed, top, application.size, keras_version(), keras_home)


def _code() -> list[Path]:
    sources = _CODE.parent
    reading = [*sources.glob("readers/keras_[fw]*.py"), sources / "readers" / "theano.py"]
    folders = [*sorted(_CODE.glob("*.py")), *sorted(sources.glob("freezing/*.py"))]
    return [*folders, *sorted(reading), Path(str(note.__file__))]


def _remembered(beside: Path) -> Path | None:
    try:
        path = Path(beside.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError):
        return None
    return path if path.is_file() else None


def _remember(beside: Path, weights: Path | None) -> None:
    try:
        beside.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(beside, f"{weights}\n")
    except OSError:
        pass  # Keras is asked again
