"""What is known of a network's pixels from where it comes from, attached to its frozen graph."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from retrain_tools.graphdef.build import new_constant, new_node
from retrain_tools.graphdef.dtypes import FLOAT32, INT32
from retrain_tools.graphdef.navigate import full_name, node_name, nodes_by_name, upstream
from retrain_tools.graphdef.note import Note, write_note
from retrain_tools.graphdef.op_sets import FLOAT_LAYERS
from retrain_tools.graphdef.pixel_range import shown_scaling
from retrain_tools.sources.contents import Frozen, Signature

log = logging.getLogger(__name__)

Mean = float | tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class _Scaling:
    """How pixels x of 0 to 255 are prepared: (x - mean) / std, and then what `after` says."""

    mean: Mean
    std: float
    after: str = ""  # "reverse" (RGB to BGR) or "divide" (by a number for each colour)
    by: str = "what Keras's preprocess_input gives this network"


# keras/src/applications/imagenet_utils.py: the modes of preprocess_input, and each network's.
_TF = _Scaling(127.5, 127.5)
_CAFFE = _Scaling((123.68, 116.779, 103.939), 1.0, "reverse")
_TORCH = _Scaling((0.485 * 255, 0.456 * 255, 0.406 * 255), 255.0, "divide")
_TORCH_STDS = (0.229, 0.224, 0.225)
_INSIDE = _Scaling(0.0, 1.0, by="a layer in it scales them")
_SHOWN = "its own arithmetic before the first layer shows it"
_HUB = "Hub's convention for images"
_APPLICATIONS = {  # by the name that the constructor gives the model, which is the nodes' scope
    r"inception_v3|inception_resnet_v2|xception|nasnet|resnet(50|101|152)v2": _TF,
    r"mobilenet(v2)?_\d\.\d+_\d+": _TF,
    r"vgg16|vgg19|resnet(50|101|152)": _CAFFE,
    r"densenet(121|169|201)": _TORCH,
}
# Layers that scale pixels themselves; batch_normalization does not count.
_SCALING_LAYER = re.compile(r"(rescaling|normalization)(_\d+)*")


def attach_hub_note(
    frozen: Frozen,
    signature: Signature,
    source: str,
    classifies: bool,
    image_size: tuple[int, int] | None = None,
) -> None:
    """Attach what Hub's common signature for images says: pixels of 0 to 1, RGB.

    Args:
        frozen: the frozen module; its graph is changed.
        signature: the signature that was frozen.
        source: what was frozen, for people.
        classifies: the module's result is of classes, not features.
        image_size: the (height, width) that something else than the input's shape says.
    """
    pixels = _pixel_input(frozen, signature)
    if pixels is None:
        return
    result = frozen.outputs.get("default") or next(iter(frozen.outputs.values()))
    note = Note(
        source=source,
        preprocess="resize",
        mean=0.0,
        std=255.0,
        bottleneck=None if classifies else result,
        final=result if classifies else None,
        end_points=frozen.outputs if len(frozen.outputs) > 1 else {},
        scaled_by=_HUB,
        image_size=image_size,
    )
    write_note(frozen.graph_def, pixels, note)


def attach_keras_note(
    frozen: Frozen, signature: Signature, source: str, scales_itself: bool = False
) -> None:
    """Attach the scaling that a network's arithmetic shows, or that of Keras's own networks.

    Those are known by the scope of their nodes. Where that is more than one mean and one divisor,
    the rest becomes part of the graph: a placeholder for RGB pixels is put before the old input,
    which can still be fed.

    Args:
        frozen: the frozen network; its graph is changed.
        signature: the signature that was frozen.
        source: what was frozen, for people.
        scales_itself: it is known to have a layer that scales pixels.
    """
    pixels = _pixel_input(frozen, signature)
    if pixels is None:
        return
    scaling = _shown(frozen.graph_def, pixels)
    scaling = scaling or (_INSIDE if scales_itself else _scaling_by_scopes(frozen.graph_def))
    if scaling is None:
        return
    outputs = list(frozen.outputs.values())
    if scaling.after:
        before, pixels = pixels, _put_before(frozen.graph_def, pixels, scaling.after)
        takes = f"{pixels} takes RGB pixels minus {scaling.mean}, divided by {scaling.std:g}"
        log.warning("%s; %s is what Keras's preprocess_input gives", takes, before)
    note = Note(
        source=source,
        preprocess="resize",
        mean=scaling.mean,
        std=scaling.std,
        bottleneck=None,
        final=outputs[0] if len(outputs) == 1 else None,
        end_points={},
        scaled_by=scaling.by,
    )
    write_note(frozen.graph_def, pixels, note)


def _shown(graph_def: Any, pixels: str) -> _Scaling | None:
    """Return the scaling that the network does itself, as far as its nodes show it."""
    shown = shown_scaling(graph_def, nodes_by_name(graph_def), pixels)
    return None if shown is None else _Scaling(*shown, by=_SHOWN)


def _pixel_input(frozen: Frozen, signature: Signature) -> str | None:
    """Return the input that takes colour images, if there is just one."""
    found = [
        full_name(frozen.inputs[key])
        for key, info in signature.inputs.items()
        if key in frozen.inputs
        and info.dtype == "float32"
        and info.shape is not None
        and len(info.shape) == 4
        and info.shape[3] == 3
    ]
    return found[0] if len(found) == 1 else None


def _scaling_by_scopes(graph_def: Any) -> _Scaling | None:
    nodes = nodes_by_name(graph_def)
    first = next((node.name for node in graph_def.node if node.op in FLOAT_LAYERS), None)
    before = set() if first is None else upstream(nodes, [first])
    if any(map(_SCALING_LAYER.fullmatch, _scopes(before))):
        return _INSIDE
    scopes = _scopes(nodes)
    for names, scaling in _APPLICATIONS.items():
        if any(re.fullmatch(rf"({names})(_\d+)?", scope) for scope in scopes):
            return scaling
    return None


def _scopes(names: Iterable[str]) -> set[str]:
    return {part.lower() for name in names for part in name.split("/")[:-1]}


def _put_before(graph_def: Any, pixels: str, after: str) -> str:
    """Put a placeholder before an input, and make the input what is computed from it."""
    node = nodes_by_name(graph_def)[node_name(pixels)]
    name, shape = node.name, node.attr["shape"]
    rgb = new_node(f"{name}/rgb", "Placeholder", dtype=FLOAT32, shape=shape)
    node.Clear()
    if after == "reverse":
        with_axis = new_constant(f"{name}/axis", np.array([3], np.int32))
        made = new_node(name, "ReverseV2", [rgb.name, with_axis.name], T=FLOAT32, Tidx=INT32)
    else:
        with_axis = new_constant(f"{name}/std", np.array(_TORCH_STDS, np.float32))
        made = new_node(name, "RealDiv", [rgb.name, with_axis.name], T=FLOAT32)
    node.CopyFrom(made)
    graph_def.node.extend([rgb, with_axis])
    return f"{rgb.name}:0"
