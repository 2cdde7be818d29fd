"""Ways to resize images, by the names that Keras has for them: as ops in a graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrain_tools.graphdef.build import new_constant, new_node
from retrain_tools.graphdef.dtypes import FLOAT32, FLOAT64, INT32
from retrain_tools.graphdef.spec import PILLOW_RESIZES, TF_BILINEAR

# Of ScaleAndTranslate, which antialiases as Pillow does; keyscubic is Pillow's bicubic, a = -0.5.
_KERNELS = {"bilinear": "triangle", "bicubic": "keyscubic", "lanczos": "lanczos3"}


def decoding_of(resize: str | None) -> dict[str, Any]:
    """Return the attributes of the DecodeJpeg before it: Pillow's are the accurate ones."""
    return {"dct_method": "INTEGER_ACCURATE"} if resize in PILLOW_RESIZES else {}


def resizing_nodes(scope: str, image: str, resize: str | None, size: tuple[int, int]) -> list[Any]:
    """Return the nodes that resize an image; the last of them, named `scope`, gives the result.

    `nearest` gives Pillow's bits, `tf_bilinear` those of `tf.image.resize`. The others come near
    Pillow, which rounds to whole levels after each axis and computes with integers: a few pixels
    in ten thousand differ by one level. None is TensorFlow 1's bilinear, with its defaults, as
    retrain.py has it.

    Args:
        scope: the name of the last node, and the scope of the others.
        image: the node that gives the image, float32 [1, H, W, channels], 0 to 255.
        resize: one of RESIZES, or None.
        size: (height, width) in pixels.

    Returns:
        Nodes to float32 [1, height, width, channels], 0 to 255.
    """
    if resize == "nearest":
        return _nearest(scope, image, size)
    if resize in _KERNELS:
        return _antialiased(scope, image, _KERNELS[resize], size)
    centres = {"half_pixel_centers": True} if resize == TF_BILINEAR else {}
    return [
        new_constant(f"{scope}/size", np.array(size, np.int32)),
        new_node(scope, "ResizeBilinear", [image, f"{scope}/size"], T=FLOAT32, **centres),
    ]


def _sides(scope: str, image: str) -> list[Any]:
    """Return the nodes to an image's height and width, each as int32 [1]: `height`, `width`."""
    one = f"{scope}/one"
    nodes = [
        new_node(f"{scope}/shape", "Shape", [image], T=FLOAT32),
        new_constant(one, np.array([1], np.int32)),
    ]
    for axis, side in enumerate(("height", "width"), 1):
        name = f"{scope}/{side}"
        nodes.append(new_constant(f"{name}/begin", np.array([axis], np.int32)))
        inputs = [f"{scope}/shape", f"{name}/begin", one]
        nodes.append(new_node(name, "Slice", inputs, T=INT32, Index=INT32))
    return nodes


def _nearest(scope: str, image: str, size: tuple[int, int]) -> list[Any]:
    """Return the nodes to the rows and columns that Pillow takes.

    Pillow adds up steps in float64, from half a step on (ImagingScaleAffine), and rounds down.
    ResizeNearestNeighbor multiplies in float32, and often takes another pixel where that should
    be whole.
    """
    nodes = _sides(scope, image)
    for axis, (side, length) in enumerate(zip(("height", "width"), size, strict=True), 1):
        name = f"{scope}/{side}"
        shares = np.ones(length)
        shares[0] = 0.5
        taken = scope if side == "width" else f"{name}/taken"
        nodes += [
            new_node(f"{name}/Cast", "Cast", [name], SrcT=INT32, DstT=FLOAT64),
            new_constant(f"{name}/length", np.float64(length)),
            # TensorFlow makes a product of a RealDiv by a constant, which gives other bits.
            new_node(f"{name}/step", "DivNoNan", [f"{name}/Cast", f"{name}/length"], T=FLOAT64),
            new_constant(f"{name}/shares", shares),
            new_node(f"{name}/steps", "Mul", [f"{name}/shares", f"{name}/step"], T=FLOAT64),
            new_constant(f"{name}/dim", np.int32(0)),
            new_node(f"{name}/sums", "Cumsum", [f"{name}/steps", f"{name}/dim"], T=FLOAT64),
            new_node(f"{name}/places", "Cast", [f"{name}/sums"], SrcT=FLOAT64, DstT=INT32),
            new_constant(f"{name}/axis", np.int32(axis)),
            new_node(
                taken,
                "GatherV2",
                [image, f"{name}/places", f"{name}/axis"],
                Tparams=FLOAT32,
                Tindices=INT32,
                Taxis=INT32,
            ),
        ]
        image = taken
    return nodes


def _antialiased(scope: str, image: str, kernel: str, size: tuple[int, int]) -> list[Any]:
    """Return the nodes of Pillow's two passes, each rounded to whole levels.

    Pillow 13 shrinks the height first where that loses more than twice as many rows as columns
    (ImagingResampleInner); else, as Pillow before it always does, the width.
    """
    nodes = [*_sides(scope, image), *_order(scope, size)]
    for side, length in zip(("height", "width"), size, strict=True):
        name = f"{scope}/{side}"
        nodes += [
            new_node(f"{name}/old", "Cast", [name], SrcT=INT32, DstT=FLOAT32),
            new_constant(f"{name}/new", np.array([length], np.float32)),
            new_node(f"{name}/share", "RealDiv", [f"{name}/new", f"{name}/old"], T=FLOAT32),
        ]
    nodes += [
        new_constant(f"{scope}/dim", np.int32(0)),
        new_constant(f"{scope}/same", np.ones(1, np.float32)),
        new_constant(f"{scope}/still", np.zeros(2, np.float32)),
        new_constant(f"{scope}/half", np.float32(0.5)),
        new_constant(f"{scope}/black", np.float32(0)),
        new_constant(f"{scope}/white", np.float32(255)),
    ]
    same, first, then = f"{scope}/same", f"{scope}/first", f"{scope}/then"
    high, wide = f"{scope}/height", f"{scope}/width"
    nodes += [
        *_chosen(f"{first}/size", (f"{high}/length", wide), (high, f"{wide}/length"), INT32),
        *_chosen(f"{first}/scale", (f"{high}/share", same), (same, f"{wide}/share"), FLOAT32),
        *_pass(first, image, kernel, f"{first}/down"),
        new_constant(f"{then}/size", np.array(size, np.int32)),
        *_chosen(f"{then}/scale", (same, f"{wide}/share"), (f"{high}/share", same), FLOAT32),
        *_pass(then, f"{first}/down", kernel, scope),
    ]
    return nodes


def _order(scope: str, size: tuple[int, int]) -> list[Any]:
    """Return the nodes that say, as bool [1], whether the height comes first: `SCOPE/is_high`."""
    nodes = []
    for side, length in zip(("height", "width"), size, strict=True):
        name = f"{scope}/{side}"
        nodes.append(new_constant(f"{name}/length", np.array([length], np.int32)))
        nodes.append(new_node(f"{name}/lost", "Sub", [name, f"{name}/length"], T=INT32))
    high, wide = f"{scope}/height/lost", f"{scope}/width/lost"
    return [
        *nodes,
        new_constant(f"{scope}/none", np.int32(0)),
        new_node(f"{scope}/twice", "Add", [wide, wide], T=INT32),
        new_node(f"{scope}/most", "Maximum", [f"{scope}/twice", f"{scope}/none"], T=INT32),
        new_node(f"{scope}/is_high", "Greater", [high, f"{scope}/most"], T=INT32),
    ]


def _chosen(name: str, if_high: tuple[str, str], if_not: tuple[str, str], dtype: int) -> list[Any]:
    """Return the nodes to two numbers, for height and width, by which of the two comes first."""
    scope = name.rsplit("/", 2)[0]
    nodes = []
    for side, pair in zip(("high", "wide"), zip(if_high, if_not, strict=True), strict=True):
        nodes.append(new_node(f"{name}/{side}", "Select", [f"{scope}/is_high", *pair], T=dtype))
    inputs = [f"{name}/high", f"{name}/wide", f"{scope}/dim"]
    return [*nodes, new_node(name, "ConcatV2", inputs, N=2, T=dtype)]


def _pass(name: str, image: str, kernel: str, result: str) -> list[Any]:
    """Return the nodes of one pass, to the one called `result`."""
    scope = name.rpartition("/")[0]
    inputs = [image, f"{name}/size", f"{name}/scale", f"{scope}/still"]
    return [
        new_node(f"{name}/resized", "ScaleAndTranslate", inputs, T=FLOAT32, kernel_type=kernel),
        new_node(f"{name}/add", "Add", [f"{name}/resized", f"{scope}/half"], T=FLOAT32),
        new_node(f"{name}/round", "Floor", [f"{name}/add"], T=FLOAT32),
        new_node(f"{name}/up", "Maximum", [f"{name}/round", f"{scope}/black"], T=FLOAT32),
        new_node(result, "Minimum", [f"{name}/up", f"{scope}/white"], T=FLOAT32),
    ]
