"""The networks of `keras.applications`, read from Keras's own files: Keras is not started."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import re
from pathlib import Path

from retrain_tools.errors import InputError, did_you_mean

PREFIX = "keras:"

_IMPORTED = re.compile(
    r"^from (keras\.src\.applications\.\w+) import \(?\s*([A-Z]\w+)", re.MULTILINE
)
_MODE = re.compile(r"\ndef preprocess_input\(.*?(?=\n@|\ndef |\Z)", re.DOTALL)


def keras_version() -> str:
    """Return the version of the installed Keras."""
    return importlib.metadata.version("keras")


@functools.cache
def application_modules() -> dict[str, str]:
    """Return the module of each network, by the networks' names.

    Raises:
        InputError: Keras is not installed, or not as any Keras 3 is.
    """
    for place in ("applications", "api/applications"):  # of today's Keras 3, and of its first ones
        file = _folder() / place / "__init__.py"
        if file.is_file() and (found := _IMPORTED.findall(file.read_text(encoding="utf-8"))):
            return {name: module for module, name in found}
    raise InputError(
        f"Keras {keras_version()} in {_folder()} has no applications; install Keras 3: pip install "
        "'keras>=3.5'"
    )


def _folder() -> Path:
    spec = importlib.util.find_spec("keras")
    if spec is None or spec.origin is None:
        raise InputError("Networks of Keras need Keras: pip install 'keras>=3.5'")
    return Path(spec.origin).parent


def application_name(text: str) -> str:
    """Return Keras's name of the network that `keras:NAME` names in any case of its letters.

    Raises:
        InputError: there is none; the message lists all.

    Example:
        >>> application_name("keras:inceptionv3")
        'InceptionV3'
    """
    name = text.removeprefix(PREFIX)
    known = {one.lower(): one for one in application_modules()}
    if name.lower() in known:
        return known[name.lower()]
    near = did_you_mean(name.lower(), known)
    for lower, one in known.items():
        near = near.replace(f"'{lower}'", f"'{PREFIX}{one}'")
    said = f"{text!r} names no network" if name else f"{text} takes a name"
    raise InputError(
        f"{said} of keras.applications.{near} Known names: {', '.join(known.values())}."
    )


def preprocessing_mode(name: str) -> str:
    """Return how a network's `preprocess_input` prepares pixels: `tf`, `caffe`, `torch` or `none`.

    `none` leaves them as they are: the network has a layer for it. The modes are those of
    `keras.applications.imagenet_utils.preprocess_input`, which the others call.
    """
    path = _folder().parent.joinpath(*application_modules()[name].split("."))
    function = _MODE.search(path.with_suffix(".py").read_text(encoding="utf-8"))
    mode = re.search(r'mode="(\w+)"', function[0]) if function else None
    return mode[1] if mode else "none"
