"""What makes two sides agree: a command with our flags, or where none does it, lines of Python."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from retrain_tools.explaining.explanation import Cause, Runnable
from retrain_tools.explaining.pipeline import SLOTS, Pipeline
from retrain_tools.explaining.runs import OwnSide
from retrain_tools.graphdef.next_commands import Given
from retrain_tools.graphdef.spec import NETWORK_INPUT, PILLOW_RESIZES, TF_BILINEAR

NO_FLAG = "No flag and no short code does that; explaining/pixels.py makes such pixels."

# --input_mean and --input_std.
_MEAN_AND_STD: dict[str, tuple[float, float]] = {
    "raw": (0, 1),
    "unit": (0, 255),
    "by_127.5": (127.5, 127.5),
    "by_128": (128, 128),
    "minus_127.5": (127.5, 1),
    "minus_128": (128, 1),
    "centred_unit": (127.5, 255),
    "doubled_unit": (0, 127.5),
}
_RESIZE = {
    "legacy_bilinear": "tf.compat.v1.image.resize_bilinear({x}[None], {size})[0]",
    "align_corners": "tf.compat.v1.image.resize_bilinear({x}[None], {size}, align_corners=True)[0]",
    "legacy_nearest": "tf.compat.v1.image.resize_nearest_neighbor({x}[None], {size})[0]",
    "half_pixel_bilinear": "tf.image.resize({x}, {size})",
    "antialias_bilinear": "tf.image.resize({x}, {size}, antialias=True)",
    "half_pixel_nearest": 'tf.image.resize({x}, {size}, "nearest")',
    "half_pixel_bicubic": 'tf.image.resize({x}, {size}, "bicubic")',
    "antialias_bicubic": 'tf.image.resize({x}, {size}, "bicubic", antialias=True)',
    "lanczos3": 'tf.image.resize({x}, {size}, "lanczos3")',
    "area": 'tf.image.resize({x}, {size}, "area")',
}
_FINISH = {
    "l2": "features /= np.linalg.norm(features, axis=1, keepdims=True)",
    "standardised": "features = (features - features.mean(0)) / features.std(0)",
    "standardised_sample": "features = (features - features.mean(0)) / features.std(0, ddof=1)",
    "centred": "features -= features.mean(0)",
    "float16": "features = features.astype(np.float16)",
    "bfloat16": "features = tf.cast(features, tf.bfloat16)",
}


def finishing_lines(causes: Sequence[Cause]) -> list[str]:
    """Return the lines of Python for what was done to features after the network."""
    lines = [_FINISH[cause.name] for cause in causes if cause.name in _FINISH]
    return lines + [f"features *= {cause.name}" for cause in causes if cause.slot == "factor"]


def way_to_agree(
    runnable: Runnable, own: OwnSide, end: Pipeline, images: Sequence[str], causes: Sequence[Cause]
) -> str | None:
    """Return what makes the side that was run agree with the other; None where nothing short does.

    Args:
        runnable: the side that was run.
        own: how its graph prepares images.
        end: the pipeline that makes them agree.
        images: the files.
        causes: all causes; those of the features become lines of Python after the command.
    """
    after = finishing_lines(causes)
    flags = _flags(runnable, own, end)
    if flags is None:
        lines = _python(runnable, own, end)
        return None if lines is None else "\n".join([*lines, *after])
    folder = os.path.commonpath([Path(image).parent for image in images]) if images else "PHOTOS"
    words = [
        "python -m retrain_tools.fetch_tensors",
        _given(runnable, flags).flags(),
        *flags,
        f"--image_dir={shlex.quote(folder)} --output=features.npz",
    ]
    return "\n".join([" ".join(words), *after])


def _given(runnable: Runnable, flags: Sequence[str]) -> Given:
    """Return the graph and what the user said of it, but for what the flags say otherwise."""
    frozen, names = runnable.frozen, " ".join(flags)
    said = {name: value for name, value in frozen.said.items() if f"--{name}=" not in names}
    return Given(frozen.path, said, is_known=True, has_size=True)


def _flags(runnable: Runnable, own: OwnSide, end: Pipeline) -> list[str] | None:
    """Return the flags of fetch_tensors for a pipeline, None where they do not say it."""
    spec, start = runnable.frozen.spec, own.pipeline
    changed = {slot for slot in SLOTS if getattr(start, slot) != getattr(end, slot)}
    fetched = [f"--tensors={end.tensor}"]
    if end.pooling in ("avg", "max", "flatten"):
        fetched.append(f"--pooling={end.pooling}")
    elif end.pooling != "none":
        return None
    changed -= {"tensor", "pooling"}
    if not changed:
        return fetched
    if own.entry == f"{NETWORK_INPUT}:0" and changed == {"scale"} and end.scale == "raw":
        return ["--preprocess=none", *fetched]
    if own.entry != spec.pixel_input:
        return None
    if (end.decoder, end.resize, end.scale) == ("accurate", "pillow_bilinear", "raw") and (
        changed <= {"decoder", "resize", "scale"}
    ):
        return ["--preprocess=none", *fetched]
    if not changed <= {"decoder", "resize", "scale", "size"} or start.crop != "none":
        return None
    said = [f"--input_layer={spec.pixel_input}"] if spec.encoded_input is not None else []
    height, width = end.sides
    resize = _resize_flag(end)
    if resize is None:
        return None
    said += resize
    if "size" in changed:
        said.append(f"--input_height={height} --input_width={width}")
    if "scale" in changed or spec.encoded_input is not None:
        mean_and_std = _mean_and_std(own, end)
        if mean_and_std is None:
            return None
        said.append("--input_mean={:g} --input_std={:g}".format(*mean_and_std))
    return [*said, *fetched]


def _resize_flag(end: Pipeline) -> list[str] | None:
    """Return --resize for a graph that takes pixels; nothing for what it does without."""
    library, _, name = end.resize.partition("_")
    if library == "pillow" and end.decoder == "accurate" and name in PILLOW_RESIZES:
        return [f"--resize={name}"]
    if end.decoder != "tensorflow":
        return None
    return {"legacy_bilinear": [], "half_pixel_bilinear": [f"--resize={TF_BILINEAR}"]}.get(
        end.resize
    )


def _mean_and_std(own: OwnSide, end: Pipeline) -> tuple[float, float] | None:
    """Return what pixels of 0 to 255 are shifted and divided by, the same for all colours."""
    if end.scale in _MEAN_AND_STD:
        return _MEAN_AND_STD[end.scale]
    factors, shifts = np.diag(own.scaling.matrix), own.scaling.shift
    if end.scale != "own" or np.ptp(factors) + np.ptp(shifts) > 1e-5 or not factors.all():
        return None
    return float(f"{-shifts[0] / factors[0]:.5g}"), float(f"{1 / factors[0]:.5g}")


def _python(runnable: Runnable, own: OwnSide, end: Pipeline) -> list[str] | None:
    """Return two lines of Python that prepare an image so and run the graph on it."""
    start = own.pipeline
    plain = ("stored", "quality", "crop", "first_size", "network", "precision")
    if any(getattr(start, slot) != getattr(end, slot) for slot in plain) or start.crop != "none":
        return None
    if end.pooling not in ("none", "avg", "max"):
        return None
    pixels = _scaled(_resized(end), own, end)
    if pixels is None:
        return None
    pooled = {"none": "", "avg": ".mean((1, 2))", "max": ".max((1, 2))"}[end.pooling]
    feeds = f'{{"{own.entry}": pixels[None]}}'
    graph = _given(runnable, ()).load()
    return [
        f"pixels = {pixels}",
        f'features = rt.run({graph}, "{end.tensor}", {feeds})["{end.tensor}"]{pooled}',
    ]


def _resized(end: Pipeline) -> str | None:
    """Return the expression for an image that is read and resized: [h, w, 3], 0 to 255."""
    height, width = end.sides
    library, _, name = end.resize.partition("_")
    by_pillow = end.decoder == "accurate" and library == "pillow"
    if end.orientation == "applied" or by_pillow:
        image = "Image.open(path)"
        image = f"ImageOps.exif_transpose({image})" if end.orientation == "applied" else image
        image = f'{image}.convert("RGB")'
        if end.decoder != "accurate":
            return None
    else:
        method = ', dct_method="INTEGER_ACCURATE"' if end.decoder.startswith("accurate") else ""
        fancy = ", fancy_upscaling=False" if end.decoder.endswith("plain_chroma") else ""
        image = f"tf.io.decode_jpeg(tf.io.read_file(path), 3{method}{fancy})"
    if library == "pillow":
        read = image if image.startswith("Image") else f"Image.fromarray({image}.numpy())"
        return f"np.array({read}.resize(({width}, {height}), Image.Resampling.{name.upper()}))"
    if end.resize not in _RESIZE:
        return None
    read = f"np.array({image})" if image.startswith("Image") else image
    resized = f"{_RESIZE[end.resize].format(x=read, size=(height, width))}.numpy()"
    return {"none": resized, "rounded": f"{resized}.round()"}.get(end.rounding)


def _scaled(pixels: str | None, own: OwnSide, end: Pipeline) -> str | None:
    if pixels is None or end.channels == "bgr_after":
        return None
    pixels += "[..., ::-1]" if end.channels == "bgr" else ""
    mean_and_std = _mean_and_std(own, end)
    if mean_and_std is None:
        return None
    mean, std = mean_and_std
    shifted = f"({pixels} - {mean:g})" if mean else pixels
    return f"{shifted} / {std:g}" if std != 1 else shifted
