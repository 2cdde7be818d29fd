"""Networks of `keras.applications` by their names, as `keras:InceptionV3`."""

from __future__ import annotations

from pathlib import Path

from retrain_tools.errors import InputError, argument
from retrain_tools.sources.applications.application import PIXELS, Application
from retrain_tools.sources.applications.kept_application import frozen_application
from retrain_tools.sources.applications.names import (
    application_name,
    keras_version,
    preprocessing_mode,
)
from retrain_tools.sources.contents import Choices, Frozen, ImageSize
from retrain_tools.sources.kinds import Kind
from retrain_tools.sources.model import Model

_MODES = {
    "tf": "tf: RGB, scaled to -1 to 1",
    "caffe": "caffe: BGR, ImageNet's mean subtracted",
    "torch": "torch: RGB, ImageNet's mean subtracted, divided by its standard deviation",
    "none": "none: the network's own layers scale",
}


def open_application(graph: str, choices: Choices, model_dir: str | Path | None) -> Model:
    """Open a network of `keras.applications`. Keras is started only where it has to be built.

    Args:
        graph: `keras:NAME`, in any case of its letters.
        choices: its weights, and whether it has its classifier.
        model_dir: where it is kept once it is frozen; None for the user's cache folder.

    Raises:
        InputError: there is no such network, no file of its weights, or choices do not go together.
    """
    name = application_name(graph)
    weights = choices.weights or "imagenet"
    seed = choices.weights_seed
    if seed is not None and weights != "none":
        raise InputError(
            f"{argument('weights_seed')}={seed} is for {argument('weights')}=none; leave it out."
        )
    if seed is not None and seed < 0:
        raise InputError(f"{argument('weights_seed')}={seed} must be 0 or above.")
    top = bool(choices.include_top)
    application = Application(name, weights, seed or 0, top)
    file = application.weights_file
    if file is not None and not file.is_file():
        raise InputError(
            f"{argument('weights')}={weights} is no file; it takes imagenet, none, or a Keras file "
            "of weights (.h5)."
        )

    def freeze(size: ImageSize) -> Frozen:
        asked = Application(name, weights, seed or 0, top, _usual_size(size))
        return Frozen(frozen_application(asked, model_dir), {PIXELS: f"{PIXELS}:0"}, {})

    return Model(
        path=Path(application.where),
        kind=Kind.KERAS,
        description=application.described,
        application=name,
        details={
            "application": f"{name} of Keras {keras_version()}",
            "weights": str(file or weights),
            "classifier": "included" if top else "left out",
            "preprocessing": _MODES[preprocessing_mode(name)],
        },
        freezer=freeze,
    )


def _usual_size(size: ImageSize) -> ImageSize:
    """Return the size to build a network for: a square where one side was given."""
    height, width = size
    for name, side in (("input_height", height), ("input_width", width)):
        if side is not None and side < 1:
            raise InputError(f"{argument(name)}={side} must be above 0.")
    return (width if height is None else height), (height if width is None else width)
