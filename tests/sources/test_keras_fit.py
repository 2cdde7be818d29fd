"""Which network weights fit: the shipped table, and what is told of weights that fit none."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import pytest

from retrain_tools.sources.readers.keras_fit import _networks, find_fits, find_nearest

VGG16 = next(n for n in _networks() if n.name == "VGG16")
VGG19 = next(n for n in _networks() if n.name == "VGG19")
CHEAP = ("VGG16", "MobileNet", "MobileNetV3Small", "EfficientNetB0")


def tool() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "tools/make_application_weights.py"
    spec = importlib.util.spec_from_file_location("make_application_weights", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_has_every_network_of_this_keras() -> None:
    known = {name for name, _ in inspect.getmembers(keras.applications, inspect.isfunction)}
    assert {network.name for network in _networks()} == known


def test_the_table_is_what_this_keras_builds() -> None:
    """A few networks here; `tools/make_application_weights.py` makes all of it anew."""
    made = tool()
    for network in _networks():
        if network.name in CHEAP and network.arguments.get("alpha") in (None, 0.25):
            for include_top, part in ((True, network.layers), (False, network.without_top)):
                built = made.layers_of(network.name, network.arguments, include_top)
                assert built == list(part), network.name


def test_no_two_networks_have_the_same_layers() -> None:
    for network in _networks():
        for part, top in ((network.layers, "whole"), (network.without_top, "none")):
            fits = find_fits(part)
            assert [(f.application, f.arguments, f.top) for f in fits] == [
                (network.name, network.arguments, top)
            ]


def test_the_order_of_layers_and_arrays_does_not_matter() -> None:
    turned = [tuple(reversed(layer)) for layer in reversed(VGG16.layers)]
    assert [str(fit) for fit in find_fits(turned)] == ["VGG16"]


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (VGG16.without_top, "VGG16 without its top"),
        ([*VGG16.layers[:-1], ((4096, 17), (17,))], "VGG16 for 17 classes"),
        ([*VGG16.without_top, ((8192, 64), (64,)), ((64, 1), (1,))], "VGG16 with a top of its own"),
        ([*VGG19.without_top, ((512, 5), (5,))], "VGG19 with a top of its own"),
    ],
)
def test_tops(layers: Any, said: str) -> None:
    assert [str(fit) for fit in find_fits(layers)] == [said]


def test_a_width_is_part_of_the_name() -> None:
    network = next(n for n in _networks() if n.arguments == {"alpha": 0.25})
    assert [fit.name for fit in find_fits(network.layers)] == ["MobileNet alpha=0.25"]


def test_the_nearest_network_and_what_differs() -> None:
    grey = ((3, 3, 1, 64), (64,))
    nearest = find_nearest([grey, *VGG16.without_top[1:]])
    assert nearest is not None
    assert nearest.name == "VGG16 without its top"
    assert (list(nearest.lacking), list(nearest.extra)) == ([((3, 3, 3, 64), (64,))], [0])
    assert find_nearest([((3, 4), (4,))]) is None
    assert find_nearest([]) is None
