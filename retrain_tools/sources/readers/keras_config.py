"""What a Keras model's own description says, read without Keras."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from retrain_tools.errors import InputError
from retrain_tools.files import json_of

_DEEPEST = 200


def parse_config(text: str | bytes, where: str) -> Mapping[str, Any]:
    """Parse a model's description, as `config.json` or the attribute `model_config` hold it.

    Raises:
        InputError: it is not JSON, or not of a model.
    """
    try:
        config = json_of(text)
    except ValueError as error:
        raise InputError(f"{where} is damaged: its description of the model is no JSON.") from error
    if not isinstance(config, dict) or "class_name" not in config:
        raise InputError(f"{where} is damaged: its description is not that of a Keras model.")
    return config


def model_details(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the class and name of the outermost model, and its layers, as text."""
    inner = config.get("config")
    name = inner.get("name") if isinstance(inner, dict) else None
    listed = inner.get("layers", []) if isinstance(inner, dict) else inner
    layers = [
        name_of(layer).strip(" '") + f" ({layer.get('class_name')})"
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
        item.get("class_name") in ("Rescaling", "Normalization") for item in objects(config, where)
    )


def objects(config: Mapping[str, Any], where: str) -> Iterator[Mapping[str, Any]]:
    """Yield everything in the description that Keras would build an object from.

    How the model itself was trained is left out, since Keras is told not to look at it; it does
    look at what inner models say of their training.

    Raises:
        InputError: the description is nested too deeply.
    """
    waiting = [(value, 0) for key, value in config.items() if key != "compile_config"]
    if "class_name" in config:
        yield config
    while waiting:
        value, depth = waiting.pop()
        if depth > _DEEPEST:
            raise InputError(f"{where} is damaged: its description is nested too deeply.")
        if isinstance(value, dict):
            if "class_name" in value:
                yield value
            waiting.extend((item, depth + 1) for item in value.values())
        elif isinstance(value, list):
            waiting.extend((item, depth + 1) for item in value)


def name_of(item: Mapping[str, Any]) -> str:
    """Return what the description calls a layer, quoted and after a space; empty without a name."""
    inner = item.get("config")
    name = inner.get("name") if isinstance(inner, dict) else None
    return f" {name or item.get('name')!r}" if name or item.get("name") else ""
