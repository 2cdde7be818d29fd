"""What happens to an image on its way to features, step by step, and each step in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from retrain_tools.explaining.explanation import Cause


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """The steps from an encoded image to what a network gives, each with a word for how it is done.

    A step's value is absolute: `resize="half_pixel_bilinear"` says how it is resized, and not what
    would have to change. So it does not matter which of two sides did it right. The words are the
    keys of the tables in `pixels`, `scaling` and `network`; `own` is what the graph itself does.

    Attributes:
        decoder: what makes pixels of a JPEG.
        orientation: whether the EXIF orientation is `ignored` or `applied`.
        stored: whether images were resized before, and kept on disk: `original`, `resaved`, or
            SIZE_FILTER as `299_pillow_bilinear`.
        quality: how those files were written: a JPEG quality, or `png`.
        crop: what is cut out, or padded.
        first_size: a square size that images are resized to before the last resize; `none`.
        resize: the method of the resizing.
        rounding: whether resized pixels are rounded: `none`, `rounded`, `cut`.
        size: of the network's images, HEIGHTxWIDTH.
        scale: what is made of pixels of 0 to 255.
        channels: `rgb`; `bgr` before the scaling, or `bgr_after` it.
        network: `own`, or a change to its batch norms.
        precision: what the network computes in.
        tensor: the full name of the tensor that is fetched.
        pooling: `none`, or how a feature map becomes a vector.
    """

    decoder: str = "tensorflow"
    orientation: str = "ignored"
    stored: str = "original"
    quality: str = "90"
    crop: str = "none"
    first_size: str = "none"
    resize: str = "legacy_bilinear"
    rounding: str = "none"
    size: str = "299x299"
    scale: str = "own"
    channels: str = "rgb"
    network: str = "own"
    precision: str = "float32"
    tensor: str = ""
    pooling: str = "none"

    def with_value(self, slot: str, value: str) -> Pipeline:
        """Return the pipeline with one step done otherwise."""
        changes = {slot: value}
        return dataclasses.replace(self, **changes)

    @property
    def sides(self) -> tuple[int, int]:
        """The (height, width) of the network's images."""
        height, _, width = self.size.partition("x")
        return int(height), int(width)


SLOTS = tuple(field.name for field in dataclasses.fields(Pipeline))
# A step's words only say something together with another one's.
_SAID_WITH = {"quality": "stored"}

FILTERS = {
    "legacy_bilinear": "TensorFlow 1's bilinear resizing",
    "half_pixel_bilinear": "half-pixel bilinear resizing",
    "antialias_bilinear": "bilinear resizing with antialias",
    "pillow_bilinear": "Pillow's bilinear resizing",
    "pillow_nearest": "Pillow's nearest resizing",
    "pillow_bicubic": "Pillow's bicubic resizing",
    "pillow_lanczos": "Pillow's Lanczos resizing",
    "half_pixel_nearest": "half-pixel nearest resizing",
    "legacy_nearest": "TensorFlow 1's nearest resizing",
    "area": "area resizing",
    "half_pixel_bicubic": "bicubic resizing",
    "antialias_bicubic": "bicubic resizing with antialias",
    "legacy_bicubic": "TensorFlow 1's bicubic resizing",
    "lanczos3": "Lanczos resizing",
    "align_corners": "bilinear resizing with aligned corners",
    "pillow_box": "Pillow's box resizing",
    "pillow_hamming": "Pillow's Hamming resizing",
}

WORDS: Mapping[str, Mapping[str, str]] = {
    "decoder": {
        "tensorflow": "TensorFlow's default JPEG decoding",
        "accurate": "JPEGs decoded as by Pillow (TensorFlow's INTEGER_ACCURATE)",
        "plain_chroma": "JPEGs decoded without fancy upscaling",
        "accurate_plain_chroma": "JPEGs decoded by INTEGER_ACCURATE without fancy upscaling",
        "own": "the graph's own JPEG decoding",
    },
    "orientation": {
        "ignored": "the EXIF orientation ignored",
        "applied": "the EXIF orientation applied",
    },
    "crop": {
        "none": "whole images",
        "central_875": "the middle 87.5 % of each side",
        "square": "the middle square cut out",
        "short_side": "the shorter side resized to fit and the middle cut out",
        "vgg": "the shorter side resized to 8/7 of the size and the middle cut out",
        "resize_pad": "resizing with the aspect kept, then black padding (resize_with_pad)",
        "pillow_pad": "resizing with the aspect kept, then black padding (Pillow's ImageOps.pad)",
        "pad_square": "black padding to a square before resizing",
    },
    "resize": {**FILTERS, "own": "the graph's own resizing"},
    "rounding": {
        "none": "pixels not rounded after resizing",
        "rounded": "pixels rounded to whole levels after resizing",
        "cut": "pixels cut to whole levels after resizing (astype uint8)",
    },
    "scale": {
        "own": "the graph's own scaling",
        "raw": "pixels of 0 to 255",
        "unit": "pixels of 0 to 1",
        "by_127.5": "pixels scaled by (x - 127.5) / 127.5",
        "by_128": "pixels scaled by (x - 128) / 128",
        "caffe": "Keras's caffe scaling (BGR, mean subtracted)",
        "mean_subtracted": "ImageNet's mean colour subtracted",
        "torch": "torch's scaling (mean and deviation of each colour)",
        "twice": "the scaling applied twice",
        "unit_then_own": "pixels divided by 255 before the graph's own scaling",
        "tf_then_own": "pixels scaled to -1 to 1 before the graph's own scaling",
        "own_then_unit": "the scaled pixels divided by 255",
        "minus_127.5": "127.5 subtracted, not divided",
        "minus_128": "128 subtracted, not divided",
        "centred_unit": "pixels scaled by x / 255 - 0.5",
        "doubled_unit": "pixels divided by 127.5, not centred",
        "per_image": "each image standardised (per_image_standardization)",
    },
    "channels": {
        "rgb": "colours as RGB",
        "bgr": "colours as BGR",
        "bgr_after": "colours turned to BGR after scaling",
    },
    "precision": {
        "float32": "float32",
        "bfloat16": "bfloat16 computing",
        "float16": "float16 computing",
        "bfloat16_weights": "weights rounded to bfloat16",
        "float16_weights": "weights rounded to float16",
    },
    "pooling": {
        "none": "no pooling",
        "avg": "average pooling",
        "max": "max pooling",
        "flatten": "the feature map flattened (rows, columns, channels)",
        "flatten_chw": "the feature map flattened with channels first",
        "transposed": "the feature map with channels first",
    },
}


def causes_between(start: Pipeline, end: Pipeline) -> tuple[Cause, ...]:
    """Return the steps that `end` does otherwise than `start`, in the order of the pipeline."""
    causes = []
    for slot in SLOTS:
        value = getattr(end, slot)
        if value == getattr(start, slot) or slot in _SAID_WITH:
            continue
        name = f"{value}_{end.quality}" if slot == "stored" and value != "original" else value
        causes.append(Cause(slot, name, words_for(end, slot)))
    said = {cause.slot for cause in causes}
    for slot, with_slot in _SAID_WITH.items():
        if getattr(end, slot) != getattr(start, slot) and with_slot not in said:
            causes.append(Cause(slot, getattr(end, slot), words_for(end, slot)))
    return tuple(causes)


def words_for(pipeline: Pipeline, slot: str) -> str:
    """Return in words how a pipeline does one step."""
    value = getattr(pipeline, slot)
    match slot:
        case "stored":
            return _stored_words(value, pipeline.quality)
        case "quality":
            return "PNG files" if value == "png" else f"JPEG quality {value}"
        case "first_size":
            square = f"{value} × {value}"
            return "one resizing" if value == "none" else f"images resized to {square} first"
        case "size":
            return f"images of {value.replace('x', ' × ')}"
        case "tensor":
            return f"the tensor {value}"
        case "network":
            return _network_words(value)
        case _:
            return WORDS[slot][value]


def _stored_words(value: str, quality: str) -> str:
    if value == "original":
        return "the original files"
    kind = "PNG" if quality == "png" else f"JPEG of quality {quality}"
    if value == "resaved":
        return f"images saved again as {kind}"
    size, _, method = value.partition("_")
    return f"images kept on disk at {size} × {size} ({FILTERS[method]}) as {kind}"


def _network_words(value: str) -> str:
    kind, _, number = value.partition("_")
    match kind:
        case "epsilon":
            return f"a batch norm epsilon of {number}"
        case "training":
            count = "each image alone" if number == "1" else f"batches of {number}"
            return f"batch norms in training mode ({count})"
        case _:
            return "the graph's own batch norms"
