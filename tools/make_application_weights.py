"""Make the table that weights files are recognised by, from the Keras installed here.

    .venv/bin/python tools/make_application_weights.py

writes retrain_tools/sources/readers/data/applications.json.gz: for every network of
`keras.applications`, at the widths that Keras has weights for, the shapes of what its layers hold,
in the layers' order, with and without the top. No weights are made, so it takes a minute. Run it
after raising Keras; `tests/sources/test_keras_fit.py` compares the table with the Keras that runs
the tests.
"""

from __future__ import annotations

import argparse
import gzip
import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retrain_tools.quiet_tensorflow import tf

TABLE = (
    Path(__file__).resolve().parents[1] / "retrain_tools/sources/readers/data/applications.json.gz"
)
# The widths and kinds that Keras has ImageNet weights for, by each network's own module.
VARIANTS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "MobileNet": [{"alpha": alpha} for alpha in (0.25, 0.5, 0.75, 1.0)],
    "MobileNetV2": [{"alpha": alpha} for alpha in (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)],
    "MobileNetV3Small": [{"alpha": 0.75}, {"alpha": 1.0}, {"minimalistic": True}],
    "MobileNetV3Large": [{"alpha": 0.75}, {"alpha": 1.0}, {"minimalistic": True}],
}

Layer = tuple[tuple[int, ...], ...]


def applications() -> list[str]:
    """Return the names of the networks, in alphabetical order."""
    return sorted(name for name, _ in inspect.getmembers(_keras().applications, inspect.isfunction))


def layers_of(name: str, arguments: Mapping[str, Any], include_top: bool) -> list[Layer]:
    """Return the shapes of every layer that holds something, in the order of HDF5 files."""
    keras = _keras()
    build = getattr(keras.applications, name)
    with keras.StatelessScope(initialize_variables=False):
        model = build(weights=None, include_top=include_top, **arguments)
    return [
        tuple(tuple(v.shape) for v in layer.trainable_weights + layer.non_trainable_weights)
        for layer in model.layers
        if layer.weights
    ]


def table() -> dict[str, Any]:
    """Return the table: the distinct layers, and each network as numbers of them.

    `without_top` is how many of the layers a network has without its top, or, where it is built in
    another way then, all of them.
    """
    numbers: dict[Layer, int] = {}
    networks = []
    for name in applications():
        for arguments in VARIANTS.get(name, [{}]):
            full, notop = (
                [numbers.setdefault(layer, len(numbers)) for layer in layers_of(name, arguments, t)]
                for t in (True, False)
            )
            is_first = full[: len(notop)] == notop
            networks.append(
                {
                    "name": name,
                    "arguments": {k: v for k, v in arguments.items() if v != 1.0 or v is True},
                    "layers": full,
                    "without_top": len(notop) if is_first else notop,
                }
            )
    return {"keras": _keras().__version__, "layers": list(numbers), "networks": networks}


def _keras() -> Any:
    tf.__version__  # noqa: B018  imports TensorFlow quietly; Keras imports it as well
    import keras

    return keras


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=TABLE, help="default: %(default)s")
    path = parser.parse_args().output
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(table(), separators=(",", ":"))
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
