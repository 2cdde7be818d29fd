"""What a Keras model's own description says, checked before Keras builds anything from it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from retrain_tools.errors import InputError

# Where Keras keeps what a description may name. Other modules hold functions that load and save
# files: names of those have been used to run code in spite of `safe_mode`.
_ROOMS = {
    "activations",
    "constraints",
    "dtype_policies",
    "initializers",
    "layers",
    "models",
    "ops",
    "quantizers",
    "random",
    "regularizers",
}
_WAY_OUT = "Export it as a SavedModel (model.export) with the program that made it, and pass that."
_DEEPEST = 200


def parse_config(text: str | bytes, where: str) -> Mapping[str, Any]:
    """Parse a model's description, as `config.json` or the attribute `model_config` hold it.

    Raises:
        InputError: it is not JSON, or not of a model.
    """
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is damaged: its description of the model is no JSON.") from error
    if not isinstance(config, dict) or "class_name" not in config:
        raise InputError(f"{where} is damaged: its description is not that of a Keras model.")
    return config


def refuse_foreign_code(config: Mapping[str, Any], where: str) -> None:
    """Refuse a description that makes Keras run code that is not Keras's.

    Raises:
        InputError: there is a Lambda layer, or a layer or function of the user's own.
    """
    for item in _objects(config, where):
        kind, module = item.get("class_name"), item.get("module")
        name = _name(item)
        if kind in ("Lambda", "__lambda__"):
            raise InputError(
                f"{where} has a Lambda layer{name}: a program stored in the file, which could do "
                f"anything on this computer and is not run. {_WAY_OUT}"
            )
        # Keras writes `package>name` for what a program has registered as its own.
        known_as = next((n for n in (item.get("registered_name"), kind) if ">" in str(n)), None)
        if known_as is not None or (module is not None and not _is_keras(module)):
            raise InputError(
                f"{where} needs {known_as or kind!r}{name} of {module or 'its own program'}, "
                f"which is not part of Keras and not in the file. {_WAY_OUT}"
            )


def model_details(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the class and name of the outermost model, and its layers, as text."""
    inner = config.get("config")
    name = inner.get("name") if isinstance(inner, dict) else None
    listed = inner.get("layers", []) if isinstance(inner, dict) else inner
    layers = [
        _name(layer).strip(" '") + f" ({layer.get('class_name')})"
        for layer in (listed if isinstance(listed, list) else [])
        if isinstance(layer, dict)
    ]
    return {
        "model": f"{config['class_name']} {name or ''}".strip(),
        "layers": f"{len(layers)}: {', '.join(layers)}" if layers else "0",
    }


def has_scaling_layer(config: Mapping[str, Any], where: str) -> bool:
    """Tell whether the model has a layer, at any depth, that scales pixels itself."""
    return any(
        item.get("class_name") in ("Rescaling", "Normalization") for item in _objects(config, where)
    )


def _objects(config: Any, where: str) -> Iterator[Mapping[str, Any]]:
    """Yield everything in the description that Keras would build an object from."""
    waiting = [(config, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > _DEEPEST:
            raise InputError(f"{where} is damaged: its description is nested too deeply.")
        if isinstance(value, dict):
            if "class_name" in value:
                yield value
            waiting.extend((v, depth + 1) for k, v in value.items() if k != "compile_config")
        elif isinstance(value, list):
            waiting.extend((v, depth + 1) for v in value)


def _name(item: Mapping[str, Any]) -> str:
    inner = item.get("config")
    name = inner.get("name") if isinstance(inner, dict) else None
    return f" {name or item.get('name')!r}" if name or item.get("name") else ""


def _is_keras(module: object) -> bool:
    parts = str(module).split(".")
    if parts[:2] == ["keras", "src"]:
        parts = ["keras", *parts[2:]]
    return parts[0] == "keras" and (len(parts) == 1 or parts[1] in _ROOMS)
