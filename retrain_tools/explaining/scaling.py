"""What is made of pixels of 0 to 255 before they enter a network."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from retrain_tools.explaining.pixels import Pixels

Floats = npt.NDArray[np.float32]

# Keras's preprocess_input: the mean colour and the deviations of ImageNet, as RGB.
CAFFE_MEAN = (123.68, 116.779, 103.939)
TORCH_MEAN, TORCH_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# (subtracted, then divided by), for each colour or for all.
_LINEAR: dict[str, tuple[Any, Any]] = {
    "raw": (0.0, 1.0),
    "unit": (0.0, 255.0),
    "by_127.5": (127.5, 127.5),
    "by_128": (128.0, 128.0),
    "mean_subtracted": (CAFFE_MEAN, 1.0),
    "caffe": (CAFFE_MEAN, 1.0),
    "torch": ([255 * mean for mean in TORCH_MEAN], [255 * std for std in TORCH_STD]),
    "minus_127.5": (127.5, 1.0),
    "minus_128": (128.0, 1.0),
    "centred_unit": (127.5, 255.0),
    "doubled_unit": (0.0, 127.5),
}


class Affine(NamedTuple):
    """A graph's own scaling: pixels of 0 to 255 times `matrix`, plus `shift`; [3, 3] and [3]."""

    matrix: npt.NDArray[np.float64]
    shift: npt.NDArray[np.float64]

    def apply(self, pixels: Pixels) -> Floats:
        """Scale pixels, [..., 3]."""
        values = np.asarray(pixels, np.float32)
        if np.count_nonzero(self.matrix) == 3 and np.all(np.diag(self.matrix)):
            factors = np.diag(self.matrix).astype(np.float32)
            return values * factors + self.shift.astype(np.float32)
        return values @ self.matrix.astype(np.float32) + self.shift.astype(np.float32)

    def undo(self, scaled: Floats) -> Floats:
        """Return the pixels of 0 to 255 that were scaled."""
        pixels = (scaled - self.shift) @ np.linalg.inv(self.matrix)
        return np.asarray(pixels, np.float32)


def fit_affine(pixels: npt.NDArray[Any], scaled: npt.NDArray[Any]) -> tuple[Affine, float]:
    """Fit a scaling to pixels and what a graph made of them, both [N, 3].

    Returns:
        The scaling, and the mean absolute error of its results, in levels of 0 to 255.
    """
    levels = np.asarray(pixels, np.float64)
    with_one = np.concatenate([levels, np.ones((len(levels), 1))], 1)
    solution = np.linalg.lstsq(with_one, np.asarray(scaled, np.float64), rcond=None)[0]
    matrix, shift = solution[:3], solution[3]
    strongest = float(np.abs(matrix).max())
    matrix = np.where(np.abs(matrix) < 1e-4 * strongest, 0.0, matrix)
    if strongest == 0:
        return Affine(matrix, shift), np.inf
    # Once more without what is nothing, so that it does not take a part of the rest.
    for channel in range(3):
        used = [*np.flatnonzero(matrix[:, channel]).tolist(), 3]
        part = np.linalg.lstsq(with_one[:, used], scaled[:, channel], rcond=None)[0]
        matrix[used[:-1], channel], shift[channel] = part[:-1], part[-1]
    error = np.abs(levels @ matrix + shift - scaled).mean() / strongest
    return Affine(matrix, shift), float(error)


def scaled(pixels: Pixels, scale: str, channels: str, own: Affine) -> Floats:
    """Return what enters the network for resized pixels, float32 [h, w, 3], RGB, 0 to 255.

    `scale` and `channels` are words of `pipeline.WORDS`; `own` is the graph's scaling.
    """
    values = np.asarray(pixels, np.float32)
    if channels == "bgr":
        values = values[..., ::-1]
    result = _scaled(values, scale, own)
    return np.ascontiguousarray(result[..., ::-1] if channels == "bgr_after" else result)


def _scaled(pixels: Floats, scale: str, own: Affine) -> Floats:
    match scale:
        case "own":
            return own.apply(pixels)
        case "twice":
            return own.apply(own.apply(pixels))
        case "unit_then_own":
            return own.apply(pixels / np.float32(255))
        case "tf_then_own":
            return own.apply(_linear(pixels, "by_127.5"))
        case "own_then_unit":
            return own.apply(pixels) / np.float32(255)
        case "per_image":
            spread = max(float(pixels.std()), 1 / np.sqrt(pixels.size))
            return (pixels - pixels.mean()) / np.float32(spread)
        case "caffe":
            return _linear(pixels, scale)[..., ::-1]
        case _:
            return _linear(pixels, scale)


def _linear(pixels: Floats, scale: str) -> Floats:
    subtracted, divided = (np.asarray(value, np.float32) for value in _LINEAR[scale])
    return np.asarray((pixels - subtracted) / divided, np.float32)
