"""Features of images: the network alone, and from JPEG to the cache, against others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.peer_keras import NETWORKS as KERAS
from benchmarks.processes import measured
from benchmarks.records import LeftOut, Record
from benchmarks.setting import Setting
from benchmarks.subjects import large_photos, network, small_photos

ORIGINAL = "retrain.py's way"
OURS = "retrain_tools {}".format
OPENVINO = "OpenVINO {}".format
KERAS_PREDICT = "Keras predict float32"

_MORE = {"mobilenet_v1_0.25_128": 10}  # a network that is done with a photo in no time
_CONVERTED = {"openvino": "body.xml", "onnx": "body.onnx"}


def sections(setting: Setting) -> Iterator[list[Record]]:
    """Measure every network: alone, with small photos, with large ones."""
    for name in setting.networks:
        folder = network(setting, name)
        for peer in set(_CONVERTED).intersection(setting.against):
            _convert(setting, folder, peer)
        if "alone" in setting.inputs:
            ways = _alone(setting, folder)
            yield setting.compare("extraction", f"{name}, alone", "images/s", ways)
        if "small" in setting.inputs:
            photos = small_photos(setting, setting.images * _MORE.get(name, 1))
            ways = _to_cache(setting, name, folder, photos)
            yield setting.compare("extraction", f"{name}, small photos", "images/s", ways)
        if "large" in setting.inputs:
            ways = _to_cache(setting, name, folder, large_photos(setting))
            yield setting.compare("extraction", f"{name}, 12 MP photos", "images/s", ways)


def _alone(setting: Setting, folder: Path) -> dict[str, Callable[[], Any]]:
    common = {"folder": str(folder), "images": setting.images}
    ways = {
        OURS(precision): partial(
            measured, "ours.alone", setting.kept, precision=precision, **common
        )
        for precision in setting.precisions
    }
    if "openvino" in setting.against:
        for precision in setting.precisions:
            ways[OPENVINO(precision)] = partial(
                measured, "peer_openvino.alone", setting.kept, precision=precision, **common
            )
    if "onnx" in setting.against:
        ways["ONNX Runtime float32"] = partial(measured, "peer_onnx.alone", **common)
    if "xla" in setting.against:
        ways["XLA float32"] = partial(measured, "peer_xla.alone", **common)
    return ways


def _to_cache(
    setting: Setting, name: str, folder: Path, photos: Path
) -> dict[str, Callable[[], Any]]:
    common = {"folder": str(folder), "photos": str(photos)}
    ways: dict[str, Callable[[], Any]] = {}
    if "original" in setting.against:
        ways[ORIGINAL] = partial(measured, "ours.one_per_call", **common)
    for precision in setting.precisions:
        ways[OURS(precision)] = partial(
            measured, "ours.to_cache", setting.kept, precision=precision, **common
        )
        if "openvino" in setting.against:
            ways[OPENVINO(precision)] = partial(
                measured, "peer_openvino.to_cache", precision=precision, **common
            )
    if "keras" in setting.against and name in KERAS:
        ways[KERAS_PREDICT] = partial(measured, "peer_keras.predict", name=name, photos=str(photos))
    return ways


def _convert(setting: Setting, folder: Path, peer: str) -> None:
    """Convert the network for a peer; one that cannot be converted is left out when it is timed."""
    if not (folder / _CONVERTED[peer]).exists():
        try:
            measured(f"peer_{peer}.convert", setting.kept, folder=str(folder))
        except LeftOut as reason:
            print(f"extraction, {folder.name}: cannot be converted for {peer}: {reason}")
