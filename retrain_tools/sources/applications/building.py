"""Builds a Keras application with Keras, and finds the file of its ImageNet weights.

Keras says neither how large a network's images are by default nor where its weights lie, but asks
functions of its own for both, which are watched here while it builds: there is no table of either.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
import os
import socket
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from retrain_tools.errors import InputError, argument
from retrain_tools.sources.applications.application import Application
from retrain_tools.sources.applications.seeded import seed_weights
from retrain_tools.sources.readers.keras_library import keras_3, reason_of
from retrain_tools.sources.readers.keras_weights import load_weights, network_arguments

_UNSAID_SIZE = 224  # MobileNetV3 takes any and asks nobody; its weights are for this one
_SECONDS = 30  # without an answer from where Keras keeps weights


@dataclasses.dataclass(frozen=True)
class Built:
    """A network, with its weights.

    Attributes:
        model: the Keras model, of a fixed image size.
        preprocess: the application's own `preprocess_input`.
        weights_file: where Keras found its ImageNet weights; None for other weights.
    """

    model: Any
    preprocess: Callable[[Any], Any]
    weights_file: Path | None


def build(application: Application) -> Built:
    """Build a network with Keras, and load its weights.

    Raises:
        InputError: Keras cannot build it in this size, or there are no such weights.
    """
    file = application.weights_file
    arguments: Mapping[str, Any] = {}
    if file is not None:
        arguments = network_arguments(file, application.name, application.include_top)
    keras = keras_3(application.where)
    construct = getattr(keras.applications, application.name)
    height, width = application.size
    shape = None if height is None or width is None else (height, width, 3)
    found: list[Path] = []

    def fetch(name: str, origin: str, **options: Any) -> str:
        found.append(_fetched(keras, application, name, origin, options))
        return str(found[0])

    with _keras_as_by_default(keras), _watched(fetch), _told(application):
        model = _constructed(construct, application, shape, arguments)
        if None in model.input_shape[1:]:
            unsaid = (_UNSAID_SIZE, _UNSAID_SIZE, 3)
            model = _constructed(construct, application, unsaid, arguments)
    if application.weights == "none":
        seed_weights(model, application.seed)
    elif file is not None:
        load_weights(model, file)
    module = importlib.import_module(construct.__module__)
    return Built(model, module.preprocess_input, found[0] if found else None)


def _constructed(
    construct: Any, application: Application, shape: Any, arguments: Mapping[str, Any]
) -> Any:
    weights = "imagenet" if application.weights == "imagenet" else None
    top = application.include_top
    return construct(include_top=top, weights=weights, input_shape=shape, **arguments)


@contextlib.contextmanager
def _told(application: Application) -> Iterator[None]:
    """Turn what Keras raises while it builds a network into one line."""
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")  # weights of 224 × 224 for a network of another size
            yield
    except InputError:
        raise
    except Exception as error:  # Keras raises whatever its layers happen to
        advice = ""
        if application.size != (None, None):
            size = f"{argument('input_height')} and {argument('input_width')}"
            advice = f" Leave out {size}, or give others."
        raise InputError(
            f"{application.where} cannot be built: {reason_of(error)}.{advice}"
        ) from error


@contextlib.contextmanager
def _keras_as_by_default(keras: Any) -> Iterator[None]:
    """Let Keras build as it does in a new process without `keras.json`: names, types and order."""
    state = importlib.import_module("keras.src.backend.common.global_state")
    config = keras.config
    counts = state.get_global_attribute("object_name_uids")
    before = config.image_data_format(), config.floatx(), config.dtype_policy()
    state.set_global_attribute("object_name_uids", None)
    config.set_image_data_format("channels_last")
    config.set_floatx("float32")
    config.set_dtype_policy("float32")
    try:
        yield
    finally:
        state.set_global_attribute("object_name_uids", counts)
        config.set_image_data_format(before[0])
        config.set_floatx(before[1])
        config.set_dtype_policy(before[2])


@contextlib.contextmanager
def _watched(fetch: Callable[..., str]) -> Iterator[None]:
    """Let `fetch` find files for Keras, and give networks their default size as a fixed one."""
    utils: Any = importlib.import_module("keras.src.applications.imagenet_utils")
    files: Any = importlib.import_module("keras.src.utils.file_utils")
    obtain, get_file = utils.obtain_input_shape, files.get_file

    def obtain_fixed(shape: Any, default_size: int, *args: Any, **options: Any) -> Any:
        return obtain(shape or (default_size, default_size, 3), default_size, *args, **options)

    utils.obtain_input_shape, files.get_file = obtain_fixed, fetch
    try:
        yield
    finally:
        utils.obtain_input_shape, files.get_file = obtain, get_file


def _fetched(
    keras: Any, application: Application, name: str, origin: str, options: dict[str, Any]
) -> Path:
    """Return the file of weights in Keras's folder; let Keras fetch it if it is not there.

    One that is not what Keras published stays as it is: Keras would put another in its place.
    """
    path = _keras_folder() / options["cache_subdir"] / name
    published = options.get("file_hash")
    ways = f"name another with {argument('weights')}=FILE, or take {argument('weights')}=none."
    if path.is_file():
        if published and not _is_published(path, published):
            raise InputError(
                f"{path} is not the file that Keras published, or is cut off: remove it to have it "
                f"fetched, {argument('weights')}={path} takes it as it is."
            )
        return path
    waits = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SECONDS)
    try:
        with contextlib.redirect_stdout(_OnceItArrives()):
            return Path(keras.utils.get_file(name, origin, **options))
    except Exception as error:  # Keras raises a bare Exception where it cannot fetch
        raise InputError(
            f"The ImageNet weights of {application.where}, {name}, are not in {path.parent}, and "
            f"cannot be fetched ({_cause(error)}): put the file there, {ways}"
        ) from error
    finally:
        socket.setdefaulttimeout(waits)


class _OnceItArrives(io.StringIO):
    """Passes on to stderr what Keras says of a download, once there is more to say than its start.

    What cannot be fetched is told in one line, by the error.
    """

    def write(self, text: str) -> int:
        if text.strip() and not text.startswith("Downloading"):
            sys.stderr.write(self.getvalue() + text)
            self.seek(0)
            self.truncate()
            return len(text)
        return super().write(text)


def _keras_folder() -> Path:
    """Return Keras's folder, as `keras.utils.get_file` chooses it."""
    folder = Path(importlib.import_module("keras.src.backend.config").keras_home()).expanduser()
    if os.access(folder, os.W_OK):
        return folder
    base = Path("/tmp")  # noqa: S108  (Keras's choice)
    return (base if base.is_dir() else Path(tempfile.gettempdir())) / ".keras"


def _is_published(path: Path, published: str) -> bool:
    files = importlib.import_module("keras.src.utils.file_utils")
    return bool(files.validate_file(str(path), published))


def _cause(error: Exception) -> str:
    """Return why a file could not be fetched, without its address, which the message need not."""
    return str(error).rpartition(" -- ")[2].strip() or type(error).__name__
