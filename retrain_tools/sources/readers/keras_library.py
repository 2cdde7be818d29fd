"""The Keras that a file is opened with: that of its own generation, and never the other.

The generations differ in what the same words mean: `hard_sigmoid`, the gate of old recurrent
layers, is clip(0.2 x + 0.5, 0, 1) in Keras 2 and relu6(x + 3) / 6 in Keras 3.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from retrain_tools.errors import InputError
from retrain_tools.leftovers import scratch_folder
from retrain_tools.quiet_tensorflow import import_tensorflow, stderr_held_back, tf
from retrain_tools.sources.kinds import Place
from retrain_tools.sources.readers.keras_config import objects

# Arguments that the layers of Keras 1 had, and no later Keras writes (but Embedding's output_dim).
_KERAS_1 = {"border_mode", "dim_ordering", "inner_init", "nb_filter", "output_dim", "subsample"}
# Where Keras's messages go over to what the message was made from, which may be pages long.
_DETAILS = re.compile(r"\n(?:Call a|A)rguments received by|\s(?:Full object|Full) config:")
_CLAUSE = " when allow_pickle=False"
# Keras's advice to whoever calls it, which nobody does here.
_ADVICE = re.compile(
    r"custom_object|safe_mode|register_keras_serializable|If you trust|"
    r"Please ensure|Make sure|If they are already decorated|#registering_the_custom_object|"
    r"https?://|unsafe_deserialization|`compile=",
    re.IGNORECASE,
)


def generation_of(version: str | None, config: Mapping[str, Any], where: str) -> int:
    """Return the generation of Keras, 1 to 3, that wrote a whole model.

    Keras has written its version since 1.2, so a file without one is older than Keras 3: its layers
    tell whether it is of Keras 1 or 2.

    Args:
        version: `keras_version` of the file, such as `2.2.4-tf`; None where it has none.
        config: the description of the model.
        where: the file, for messages.
    """
    number = re.match(r"\d+", version or "")
    if number is not None:
        return min(max(int(number[0]), 1), 3)
    for item in objects(config, where):
        inner = item.get("config")
        words = _KERAS_1.intersection(inner) if isinstance(inner, dict) else set()
        if words - ({"output_dim"} if item["class_name"] == "Embedding" else set()):
            return 1
    return 2


def load_model(place: Place, suffix: str, generation: int, version: str) -> Any:
    """Build a whole model with the Keras of its generation, on TensorFlow.

    Nothing of the file may be code: see `keras_safety`.

    Args:
        place: the file.
        suffix: what Keras calls its kind of file: `.keras` or `.h5`.
        generation: 2 or 3.
        version: what wrote the file, for messages.

    Raises:
        InputError: that Keras is not installed, or cannot open it.
    """
    library = _tf_keras(place, version) if generation == 2 else keras_3(str(place))
    with scratch_folder() as folder:
        path = place.path
        if path.suffix != suffix:  # Keras goes by the ending
            path = folder / f"model{suffix}"
            shutil.copyfile(place.path, path)
        with keras_errors(f"{library.__name__} {library.__version__} cannot open {place}"):
            return library.saving.load_model(str(path), compile=False, safe_mode=True)


def keras_3(where: str) -> Any:
    """Import Keras 3.

    Raises:
        InputError: it is not on TensorFlow; `where` is what is to be opened with it.
    """
    import_tensorflow()
    keras = importlib.import_module("keras")
    if keras.backend.backend() != "tensorflow":
        raise InputError(f"{where} is opened with Keras on TensorFlow; unset KERAS_BACKEND.")
    return keras


def _tf_keras(place: Place, version: str) -> Any:
    """Import Keras 2, whose releases each go with one of TensorFlow."""
    release = ".".join(tf.version.VERSION.split(".")[:2])
    reason: Exception | None = None
    try:
        with stderr_held_back(), _quiet_log():
            tf_keras = importlib.import_module("tf_keras")
        if tf_keras.__version__.startswith(f"{release}."):
            return tf_keras
        found = f"tf_keras {tf_keras.__version__} is here, for another TensorFlow"
    except ImportError as error:
        reason, found = error, "it is not installed"
    raise InputError(
        f"{place} is of Keras {version}, which is opened with tf_keras {release}, and {found}: "
        f"pip install 'tf_keras=={release}.*'"
    ) from reason


@contextlib.contextmanager
def keras_errors(what: str) -> Iterator[None]:
    """Keep Keras quiet, and turn whatever its layers raise into one line.

    Args:
        what: what failed, as the line begins.

    Raises:
        InputError: the block raised anything else.
    """
    try:
        with warnings.catch_warnings(), _quiet_log():
            warnings.simplefilter("ignore")  # advice to whoever wrote the model
            yield
    except InputError:
        raise
    except Exception as error:  # Keras raises whatever its layers happen to
        raise InputError(
            f"{what}: {reason_of(error)}. Export it as a SavedModel (model.export, or "
            "tf.saved_model.save) with the Keras that made it, and pass that."
        ) from error


@contextlib.contextmanager
def _quiet_log() -> Iterator[None]:
    """Hold back TensorFlow's log lines about names that its own Keras still uses."""
    log = tf.get_logger()
    level = log.level
    log.setLevel("ERROR")
    try:
        yield
    finally:
        log.setLevel(level)


def reason_of(error: Exception) -> str:
    """Return what an exception of Keras says, as one line without its advice and its details.

    Example:
        >>> reason_of(ValueError("Unknown layer: 'Mine'. Please ensure you are using a scope."))
        "Unknown layer: 'Mine'"
    """
    if isinstance(error, KeyError):
        return f"its description lacks {error}, which this Keras looks for"
    _, _, cause = str(error).replace(_CLAUSE, "").rpartition("Exception encountered: ")
    text = " ".join(_DETAILS.split(cause, maxsplit=1)[0].split())
    sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z`'\"])", text)
    told = " ".join(s for s in sentences if not _ADVICE.search(s)).strip().rstrip(".:")
    return told or type(error).__name__
