"""Features as somebody else would make them: plain Pillow and TensorFlow, not our own code."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.quiet_tensorflow import tf

MEAN = np.array([123.68, 116.779, 103.939], np.float32)


def photo_with_orientation(path: str, copy: Path, orientation: int) -> str:
    """Write a copy of a JPEG whose EXIF data have an orientation, pixels untouched."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = Path(path).read_bytes()
    segment = exif.tobytes()
    marker = b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment
    copy.write_bytes(data[:2] + marker + data[2:])
    return str(copy)


def decoded(path: str, how: str, exif: bool) -> np.ndarray:
    """Read a photo: uint8 [H, W, 3]."""
    data = Path(path).read_bytes()
    if how == "pil":
        pixels = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
    else:
        pixels = tf.io.decode_jpeg(data, 3, fancy_upscaling=how != "plain").numpy()
    if exif and Image.open(path).getexif().get(0x0112) == 6:
        pixels = np.rot90(pixels, -1)
    return np.ascontiguousarray(pixels)


def resized(pixels: np.ndarray, how: str, height: int, width: int) -> np.ndarray:
    """Resize [H, W, 3] as the API of that name does it."""
    library, _, name = how.partition("_")
    if library == "pil":
        image = Image.fromarray(np.clip(np.round(pixels), 0, 255).astype(np.uint8))
        return np.array(image.resize((width, height), getattr(Image, name)))
    images = tf.cast(pixels[np.newaxis], tf.float32)
    v1 = tf.compat.v1.image
    size = (height, width)
    made = {
        "v1_bilinear": lambda: v1.resize_bilinear(images, size),
        "v1_align_corners": lambda: v1.resize_bilinear(images, size, align_corners=True),
        "v1_nearest": lambda: v1.resize_nearest_neighbor(images, size),
        "tf_bilinear": lambda: tf.image.resize(images, size),
        "tf_antialias": lambda: tf.image.resize(images, size, antialias=True),
        "tf_nearest": lambda: tf.image.resize(images, size, "nearest"),
        "tf_area": lambda: tf.image.resize(images, size, "area"),
        "tf_bicubic": lambda: tf.image.resize(images, size, "bicubic"),
        "tf_lanczos3": lambda: tf.image.resize(images, size, "lanczos3"),
        "v1_bicubic": lambda: v1.resize_bicubic(images, size),
    }[how]()
    return made.numpy()[0]


def prepared(path: str, recipe: Mapping[str, Any], side: int) -> np.ndarray:
    """Read and resize a photo by a recipe: [side, side, 3], 0 to 255."""
    pixels = decoded(path, recipe.get("decode", "tf"), recipe.get("exif", False))
    how = recipe.get("resize", "v1_bilinear")
    if "kept" in recipe:
        kept_side, name, quality = recipe["kept"]
        image = Image.fromarray(pixels)
        if kept_side is not None:
            image = image.resize([kept_side or side] * 2, getattr(Image, name))
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        pixels = tf.io.decode_jpeg(file.getvalue(), 3).numpy()
    height, width = pixels.shape[:2]
    crop = recipe.get("crop")
    if crop == "central":
        pixels = tf.image.central_crop(pixels, 0.875).numpy()
    elif crop == "square":
        short = min(height, width)
        pixels = tf.image.resize_with_crop_or_pad(pixels, short, short).numpy()
    elif crop == "pad":
        pixels = tf.image.resize_with_crop_or_pad(pixels, *[max(height, width)] * 2).numpy()
    elif crop == "vgg":
        short = round(side * 256 / 224)
        ratio = short / min(height, width)
        pixels = resized(pixels, how, round(height * ratio), round(width * ratio))
        return tf.image.resize_with_crop_or_pad(pixels, side, side).numpy()
    elif crop == "short":
        ratio = side / min(height, width)
        pixels = resized(pixels, how, round(height * ratio), round(width * ratio))
        return tf.image.resize_with_crop_or_pad(pixels, side, side).numpy()
    elif crop == "tf_pad":
        return tf.image.resize_with_pad(tf.cast(pixels, tf.float32), side, side).numpy()
    elif crop == "pil_pad":
        return np.array(ImageOps.pad(Image.fromarray(pixels), (side, side)))
    if "first" in recipe:
        pixels = resized(pixels, how, recipe["first"], recipe["first"])
    pixels = resized(pixels, how, side, side)
    return np.round(pixels) if recipe.get("round") else pixels


def fed(pixels: np.ndarray, recipe: Mapping[str, Any]) -> np.ndarray:
    """Scale pixels for inception-2015-12-05, whose own scaling is (x - 128) / 128."""
    x = pixels.astype(np.float32)
    if recipe.get("bgr"):
        x = x[:, :, ::-1]
    match recipe.get("scale", "own"):
        case "own":
            return (x - 128) / 128
        case "raw":
            return x
        case "unit":
            return x / 255
        case "tf":
            return x / 127.5 - 1
        case "mean":
            return x - MEAN
        case "caffe":
            return x[:, :, ::-1] - MEAN[::-1]
        case "torch":
            return ((x / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).astype(np.float32)
        case "twice":
            return ((x - 128) / 128 - 128) / 128
        case "unit_own":
            return (x / 255 - 128) / 128
        case "tf_own":
            return (x / 127.5 - 1 - 128) / 128
        case "minus_128":
            return x - 128
        case "centred_unit":
            return x / 255 - np.float32(0.5)
        case "doubled_unit":
            return x / 127.5
        case "per_image":
            return tf.image.per_image_standardization(x).numpy()
    raise ValueError(recipe["scale"])


class Maker(contextlib.AbstractContextManager["Maker"]):
    """A graph in plain sessions, one for each set of weights, fed one photo at a time."""

    def __init__(self, frozen: FrozenGraph, seed: int) -> None:
        """Take the graph; `seed` is of other weights."""
        self.frozen, self._seed = frozen, seed
        self._sessions: dict[str, Any] = {}
        self._kept: dict[Any, np.ndarray] = {}

    def __exit__(self, *_: object) -> None:
        for session in self._sessions.values():
            session.close()

    def features(
        self, paths: Sequence[str], recipe: Mapping[str, Any], tensor: str, pooling: str | None
    ) -> np.ndarray:
        """Return features of photos read by a recipe, float32 [N, ...]."""
        key = (tuple(paths), repr(sorted(recipe.items())), tensor)
        if key not in self._kept:
            session = self._session(recipe.get("weights", "own"))
            spec = self.frozen.spec
            rows = []
            for path in paths:
                side = recipe.get("side", spec.image_size[0])
                pixels = fed(prepared(path, recipe, side), recipe)
                rows.append(session.run(tensor, {"fed:0": pixels[np.newaxis]})[0])
            self._kept = {key: np.stack(rows), **dict(list(self._kept.items())[:3])}
        values = self._kept[key]
        match pooling:
            case "avg":
                return values.mean((1, 2))
            case "max":
                return values.max((1, 2))
            case "flatten":
                return values.reshape(len(values), -1)
            case "chw":
                return np.moveaxis(values, 3, 1).reshape(len(values), -1)
        return values

    def _session(self, weights: str) -> Any:
        if weights not in self._sessions:
            data = self.frozen.graph_def.SerializeToString()
            graph_def = tf.compat.v1.GraphDef.FromString(data)
            if weights != "own":
                self._change(graph_def, weights)
            with tf.Graph().as_default() as graph:
                fed_here = tf.compat.v1.placeholder(tf.float32, [1, None, None, 3], "fed")
                tf.import_graph_def(graph_def, {self.frozen.spec.pixel_input: fed_here}, name="")
            self._sessions[weights] = tf.compat.v1.Session(graph=graph)
        return self._sessions[weights]

    def _change(self, graph_def: Any, weights: str) -> None:
        """Shuffle kernels, everywhere or in some blocks; or shake all by a tenth, or round them.

        Or change what batch norms do: another epsilon, or the statistics of what goes through.
        """
        rng = np.random.default_rng(self._seed + 1)
        if weights == "training" or weights.startswith("epsilon_"):
            _change_norms(graph_def, weights)
            return
        for node in graph_def.node:
            if node.op != "Const" or node.attr["dtype"].type != tf.float32.as_datatype_enum:
                continue
            values = tf.make_ndarray(node.attr["value"].tensor)
            if weights.endswith("float16"):
                values = tf.cast(tf.cast(values, weights), tf.float32).numpy()
                node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(values))
                continue
            block, _, _ = node.name.partition("/")
            is_kernel = node.name.endswith("conv2d_params")
            if not is_kernel or (
                weights not in ("all", "shaken") and block not in weights.split(",")
            ):
                continue
            if weights == "shaken":
                values = values * (1 + 0.1 * rng.standard_normal(values.shape))
            else:
                values = rng.permuted(values.reshape(-1, values.shape[-1])).reshape(values.shape)
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(values.astype(np.float32)))


def _change_norms(graph_def: Any, how: str) -> None:
    """Change the batch norms of a graph of 2015: `training`, or `epsilon_` and the number."""
    norms = [n for n in graph_def.node if n.op == "BatchNormWithGlobalNormalization"]
    for node in norms:
        if how != "training":
            node.attr["variance_epsilon"].f = float(how.removeprefix("epsilon_"))
            continue
        tensor, _, variance, beta, gamma = node.input
        ones, empty = f"{node.name}/ones", f"{node.name}/empty"
        constants = {n.name: n for n in graph_def.node}
        depth = tf.make_ndarray(constants[variance].attr["value"].tensor).size
        for name, values in ((ones, np.ones(depth)), (empty, np.ones(0))):
            made = graph_def.node.add(name=name, op="Const")
            made.attr["dtype"].type = tf.float32.as_datatype_enum
            made.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(values.astype(np.float32)))
        scaled = node.attr["scale_after_normalization"].b
        name, epsilon = node.name, node.attr["variance_epsilon"].f
        node.Clear()
        node.name, node.op = name, "FusedBatchNormV3"
        node.input.extend([tensor, gamma if scaled else ones, beta, empty, empty])
        node.attr["T"].type = node.attr["U"].type = tf.float32.as_datatype_enum
        node.attr["epsilon"].f, node.attr["is_training"].b = epsilon, True
