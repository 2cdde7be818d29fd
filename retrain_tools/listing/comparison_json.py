"""A comparison of features as JSON: everything but the features themselves."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from retrain_tools.comparing.comparison import Comparison
from retrain_tools.comparing.differences import Differences


def comparison_json(comparison: Comparison) -> str:
    """Return a comparison as strict JSON: what is no number is null."""
    return json.dumps(_plain(as_dict(comparison)), indent=1, allow_nan=False) + "\n"


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as a dict; its keys stay as they are from version to version.

    `agrees`; `explanation` (verdict, causes, before, after, sentence, tried, command, notes); `a`
    and `b` (source, kind, images); `matching` (images, by, only_a, only_b, twice_a, twice_b);
    `tensors`, a list with the figures of each pair, in the order of the graph; `explained`, which
    of them the explanation is about; `layers`; `images`, a list with each image's name, path, label
    and figures of the pair that is explained; `channels`, the same for its channels; `notes`.
    """
    main = comparison.difference
    counts = (comparison.count_a, comparison.count_b)
    matching = comparison.matching
    return {
        "agrees": comparison.agrees,
        "explanation": dataclasses.asdict(comparison.explanation),
        **{
            side.name.lower(): {"source": side.source, "kind": side.kind, "images": count}
            for side, count in zip((comparison.a, comparison.b), counts, strict=True)
        },
        "matching": {
            "images": len(comparison.images),
            "by": dict(matching.how),
            "only_a": matching.only_a,
            "only_b": matching.only_b,
            "twice_a": matching.twice_a,
            "twice_b": matching.twice_b,
        },
        "tensors": [_pair(pair) for pair in comparison.pairs],
        "explained": comparison.main,
        "layers": [dataclasses.asdict(layer) for layer in comparison.layers],
        "images": [_image(comparison, row) for row in range(len(comparison.images))],
        "channels": {
            "mean": main.by_channel,
            "correlation": main.correlation_by_channel,
            "worst": main.worst_channels(20),
        },
        "notes": comparison.notes,
    }


_OF_ROWS = ("by_image", "largest_by_image", "cosine_by_image")
_OF_CHANNELS = ("by_channel", "correlation_by_channel")


def _pair(pair: Differences) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(pair)]
    found = {name: getattr(pair, name) for name in names if name not in _OF_ROWS + _OF_CHANNELS}
    found["probe"] = None if pair.probe is None else dataclasses.asdict(pair.probe)
    return {"agrees": pair.agrees, **found}


def _image(comparison: Comparison, row: int) -> dict[str, Any]:
    main = comparison.difference
    found: dict[str, Any] = {
        "image": comparison.images[row],
        "path": comparison.paths[row] or None,
        "label": comparison.labels[row] if comparison.labels else None,
    }
    for key, values in zip(("mean", "largest", "cosine"), _OF_ROWS, strict=True):
        array = getattr(main, values)
        found[key] = array[row] if len(array) else None
    return found


def _plain(value: Any) -> Any:
    """Return what JSON can hold: plain lists, and null for what is no finite number."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
