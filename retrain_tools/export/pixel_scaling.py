"""How pixels of 0 to 255 become what a graph's pixel input takes: for who prepares them himself."""

from __future__ import annotations

import numpy as np

from retrain_tools.features.image_side import ImagePreparation
from retrain_tools.graphdef.spec import FrozenGraph

_HALF, _WHOLE = 127.0, 254.0  # pixels, to see whether what is done is (x - mean) / std


Mean = float | tuple[float, float, float]


def scaling_of(frozen: FrozenGraph) -> tuple[Mean, float] | None:
    """Return (mean, std) where the pixel input takes (x - mean) / std of pixels x of 0 to 255.

    Of a graph with an image side of its own, that is run to see it. None where it does something
    else.
    """
    spec = frozen.spec
    if spec.encoded_input is None:
        return spec.mean, spec.std
    return _of_the_graph(frozen) if spec.resized else None


def scaling_text(frozen: FrozenGraph) -> str:
    """Return the scaling in words, as `(pixels - 128) / 128`."""
    found = scaling_of(frozen)
    if found is None:
        return "scaled as the graph does it"
    mean, std = found
    if mean == 0 and std == 1:
        return "pixels of 0 to 255"
    each = mean if isinstance(mean, tuple) else (mean,)
    shown = ", ".join(f"{value:.6g}" for value in each)
    return f"(pixels - {shown if len(each) == 1 else f'[{shown}]'}) / {std:.6g}"


def _of_the_graph(frozen: FrozenGraph) -> tuple[Mean, float] | None:
    """Return mean and std of a graph's image side; None if it does something else."""
    shape = (*frozen.spec.image_size, frozen.spec.channels)
    with ImagePreparation(frozen) as side:
        at_zero, at_half, at_whole = (
            side.scale(np.full(shape, value, np.float32)).astype(np.float64)
            for value in (0.0, _HALF, _WHOLE)
        )
    step = (at_whole - at_zero)[0, 0] / _WHOLE
    is_linear = np.allclose(at_zero + at_whole, 2 * at_half, atol=1e-5 * np.abs(at_whole).max())
    is_alike = all(np.ptp(values, axis=(0, 1)).max() == 0 for values in (at_zero, at_whole))
    if not (is_linear and is_alike and np.allclose(step, step[0]) and step[0]):
        return None
    # The arithmetic is float32: what is left of 128.00001 is 128.
    mean = [float(f"{value:.7g}") for value in -at_zero[0, 0] / step[0]]
    std = float(f"{1 / step[0]:.7g}")
    if len(mean) == 3 and len(set(mean)) > 1:
        return (mean[0], mean[1], mean[2]), std
    return mean[0], std
