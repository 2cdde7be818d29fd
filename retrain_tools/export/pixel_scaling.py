"""How pixels of 0 to 255 become what a graph's pixel input takes: for who prepares them himself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retrain_tools.features.image_side import ImagePreparation
from retrain_tools.graphdef.spec import FrozenGraph

_HALF, _WHOLE = 127.0, 254.0  # pixels, to see whether what is done is (x - mean) / std


def scaling_text(frozen: FrozenGraph) -> str:
    """Return the scaling in words, as `(pixels - 128) / 128`; of a graph's own, by running it."""
    found = _of_the_graph(frozen) if frozen.spec.resized else None
    spec = frozen.spec
    if found is None and spec.encoded_input is not None:
        return "scaled as the graph does it"
    mean, std = found or (np.reshape(np.array(spec.mean, np.float64), -1), float(spec.std))
    if not mean.any() and std == 1:
        return "pixels of 0 to 255"
    shown = ", ".join(f"{value:.6g}" for value in mean)
    return f"(pixels - {shown if len(mean) == 1 else f'[{shown}]'}) / {std:.6g}"


def _of_the_graph(frozen: FrozenGraph) -> tuple[npt.NDArray[np.float64], float] | None:
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
    mean = -at_zero[0, 0] / step[0]
    return mean[:1] if np.allclose(mean, mean[0]) else mean, float(1 / step[0])
