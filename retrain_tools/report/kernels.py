"""The kernels of the first layer as one small image of tiles."""

from __future__ import annotations

import base64
import io
import math
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from retrain_tools.graphdef.constants import UnreadableConstantError, read_constant
from retrain_tools.graphdef.navigate import constant_node
from retrain_tools.graphdef.op_sets import PLACEHOLDERS
from retrain_tools.graphdef.walks import Successors

_MOST_TILES = 256
_LARGEST_SIDE = 64
_FLOATS = ("float32", "float64", "float16", "bfloat16")


def first_layer_constant(
    nodes: Mapping[str, Any], consumers: Successors, start: str | None
) -> str | None:
    """Return the constant with the kernels of the first Conv2D that the image reaches, or None.

    Args:
        nodes: the graph's nodes by name.
        consumers: the graph's `walks.consumers`.
        start: the node that takes the image; None for all placeholders.
    """
    known = start in nodes
    waiting = deque([start] if known else [n for n in nodes if nodes[n].op in PLACEHOLDERS])
    seen = set(waiting)
    while waiting:
        for name in consumers.get(str(waiting.popleft()), ()):
            node = nodes[name]
            if node.op == "Conv2D":
                kernel = constant_node(nodes, node.input[1]) if len(node.input) > 1 else None
                return None if kernel is None else str(kernel.name)
            if name not in seen:
                seen.add(name)
                waiting.append(name)
    return None


def kernel_tiles(proto: Any) -> dict[str, Any] | None:
    """Return the tiles of a kernel tensor for the page; None if it is not for images.

    Args:
        proto: TensorProto of float kernels [h, w, 3 or 1, out].

    Returns:
        `png`: base64 of the image; `width`, `height` of it in pixels; `shown` of `out` kernels.
    """
    try:
        constant = read_constant(proto)
        shape = constant.shape
        if len(shape) != 4 or shape[2] not in (1, 3) or constant.dtype not in _FLOATS:
            return None
        if not all(shape) or max(shape[:2]) > _LARGEST_SIDE:
            return None
        kernels = constant.array()[..., :_MOST_TILES].astype(np.float64)
    except UnreadableConstantError:
        return None
    image = tile_image(kernels)
    file = io.BytesIO()
    Image.fromarray(image, "RGBA").save(file, "PNG", optimize=True)
    return {
        "png": base64.b64encode(file.getvalue()).decode("ascii"),
        "width": image.shape[1],
        "height": image.shape[0],
        "shown": kernels.shape[3],
        "out": shape[3],
    }


def tile_image(kernels: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Return kernels [h, w, 3 or 1, n] side by side as uint8 [H, W, 4] with a clear gap of 1 pixel.

    Each kernel is stretched to 0…255 by its own smallest and largest value; one that is constant
    is grey, and what is not finite counts as 0.
    """
    height, width, _, count = kernels.shape
    columns = math.ceil(math.sqrt(1.6 * count))  # about as wide as the page's panel
    rows = math.ceil(count / columns)
    columns = math.ceil(count / rows)
    image = np.zeros((rows * (height + 1) - 1, columns * (width + 1) - 1, 4), np.uint8)
    for number in range(count):
        kernel = np.nan_to_num(kernels[..., number], posinf=0, neginf=0)
        kernel = kernel / (np.abs(kernel).max() or 1)  # so that no difference overflows
        low, high = kernel.min(), kernel.max()
        stretched = (kernel - low) / (high - low) if high > low else np.full_like(kernel, 0.5)
        top, left = (number // columns) * (height + 1), (number % columns) * (width + 1)
        tile = image[top : top + height, left : left + width]
        tile[..., :3] = np.rint(255 * stretched)
        tile[..., 3] = 255
    return image
