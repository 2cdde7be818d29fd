"""Refuses Keras files that hold or name code, before any Keras sees them.

Keras's own `safe_mode` is not enough: that of Keras 2 does not look at HDF5 files, and functions
that Keras and TensorFlow have for loading and saving files have been used to run code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.message import DecodeError

from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from retrain_tools.sources.readers.keras_config import name_of, objects
from retrain_tools.sources.readers.keras_names import (
    KERAS_2,
    KERAS_2_FUNCTIONS,
    TENSORFLOW_OPS,
    only_computes,
)

# Where Keras 3 keeps what a description may name; `function` is looked up in two of them only.
_ROOMS = {
    "constraints",
    "dtype_policies",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "quantizers",
    "random",
    "regularizers",
    "activations",
    "ops",
}
_FUNCTION_ROOMS = {"activations", "ops"}
_NOT_FUNCTIONS = {"deserialize", "get", "serialize"}
# Layers of Keras 3 that load programs of other libraries.
_PROGRAMS = {"FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper"}
_PROGRAM_OF = {
    "TFOpLambda": "function",
    "SlicingOpLambda": "function",
    "TensorFlowOpLayer": "node_def",
}
_WAY_OUT = "Export it as a SavedModel (model.export) with the program that made it, and pass that."


def refuse_foreign_code(config: Mapping[str, Any], where: str, generation: int) -> None:
    """Refuse a description that makes Keras run code that is not Keras's.

    Args:
        config: the description of a whole model.
        where: its file, for messages.
        generation: 2 or 3: the Keras that will build it.

    Raises:
        InputError: there is a Lambda layer, a layer or function of the user's own, a layer that
            calls what does more than compute, or one that reads other files.
    """
    for item in objects(config, where):
        kinds = [item.get("class_name"), item.get("registered_name")]
        name = name_of(item)
        if not all(isinstance(kind, str | None) for kind in (*kinds, item.get("module"))):
            raise InputError(f"{where} is damaged: the class of its layer{name} is no name.")
        if {"Lambda", "__lambda__"}.intersection(kinds):
            raise InputError(
                f"{where} has a Lambda layer{name}: a program stored in the file, which could do "
                f"anything on this computer and is not run. {_WAY_OUT}"
            )
        foreign = foreign_name(item, generation)
        if foreign is not None:
            module = item.get("module") or "its own program"
            raise InputError(
                f"{where} needs {foreign!r}{name} of {module}, which is not part of Keras "
                f"and not in the file. {_WAY_OUT}"
            )
        refuse_programs(item, where, name)


def foreign_name(item: Mapping[str, Any], generation: int) -> str | None:
    """Return the name in an item that is not Keras's own; None where all are.

    Args:
        item: a part of a description that Keras would build an object from.
        generation: 2 or 3: the Keras that would do so.
    """
    return _foreign_2(item) if generation == 2 else _foreign_3(item)


def _foreign_2(item: Mapping[str, Any]) -> str | None:
    """Return the name in an item of Keras 2 that is not Keras's own; None where all are."""
    # tf_keras registers some of its own classes as if they were a user's.
    names = [item.get("class_name"), item.get("registered_name")]
    for name in filter(None, names):
        known = KERAS_2_FUNCTIONS if item["class_name"] == "function" else KERAS_2
        if name != "function" and name.removeprefix("Custom>") not in known:
            return str(name)
    if item["class_name"] == "function" and item.get("config") not in KERAS_2_FUNCTIONS:
        return str(item.get("config"))
    root = str(item.get("module") or "keras").partition(".")[0]
    return None if root in ("keras", "tf_keras", "builtins") else str(item["class_name"])


def _foreign_3(item: Mapping[str, Any]) -> str | None:
    """Return the name in an item of Keras 3 that is not Keras's own; None where all are."""
    kind, module = str(item["class_name"]), item.get("module")
    # Keras writes `package>name` for what a program has registered as its own.
    named = next((n for n in (item.get("registered_name"), kind) if ">" in str(n)), None)
    if named is not None:
        return str(named)
    if module is None:  # in HDF5 files; classes are looked up among Keras's own
        return None if kind in KERAS_2 or kind.startswith("__") or kind[:1].isupper() else kind
    parts = str(module).split(".")
    if parts[:2] in (["keras", "src"], ["keras", "_legacy"]):
        parts = ["keras", *parts[2:]]
    room = parts[1] if len(parts) > 1 else ""
    if kind == "function":
        function = str(item.get("config"))
        known = room in _FUNCTION_ROOMS and function not in _NOT_FUNCTIONS
        is_known = (parts[0] == "keras" and known) or (
            module == "builtins" and function in KERAS_2_FUNCTIONS
        )
        return None if is_known else function
    return None if parts[0] == "keras" and room in {"", *_ROOMS} else kind


def refuse_programs(item: Mapping[str, Any], where: str, name: str) -> None:
    """Refuse layers that call a function that the file names, or that read other files.

    Raises:
        InputError: it is one; `name` is what messages call it, quoted and after a space.
    """
    kind, inner = item["class_name"], item.get("config")
    inner = inner if isinstance(inner, dict) else {}
    if isinstance(inner.get("vocabulary"), str):
        raise InputError(
            f"{where} reads the words of its layer{name} from {inner['vocabulary']!r}, a file of "
            "this computer, which a model has no business to read."
        )
    if kind in _PROGRAMS:
        raise InputError(
            f"{where} has a {kind}{name}, which runs a program of another library. {_WAY_OUT}"
        )
    if kind not in _PROGRAM_OF:
        return
    called = inner.get(_PROGRAM_OF[kind])
    if kind == "TensorFlowOpLayer":
        called = _op_of(called)
        is_harmless = called in TENSORFLOW_OPS
    else:
        is_harmless = isinstance(called, str) and only_computes(called)
    if not is_harmless:
        raise InputError(
            f"{where} has a {kind}{name} that calls {called!r} of TensorFlow, which is not among "
            f"the functions that are known to do nothing but compute. {_WAY_OUT}"
        )


def _op_of(node_def: object) -> str | None:
    """Return the op of a node, as a dictionary or as bytes that were stored as text."""
    if isinstance(node_def, dict):
        return str(node_def.get("op"))
    try:
        return str(schema.NodeDef.FromString(str(node_def).encode()).op)
    except DecodeError:
        return None
