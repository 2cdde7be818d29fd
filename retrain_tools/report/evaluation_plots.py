"""The picture of an evaluation: how far samples are from the nearest reference image."""

from __future__ import annotations

import numpy as np

from retrain_tools.metrics.moments import Floats
from retrain_tools.report.comparison_plots import figure_with_axes, png_of

_REFERENCE, _SAMPLES = "#8a94a3", "#2f6fb5"
_BINS = 60


def distances_plot(of_samples: Floats, within_reference: Floats) -> bytes:
    """Return a PNG of the distribution of distances to the nearest reference image.

    Args:
        of_samples: float64 [samples].
        within_reference: float64 [reference], of reference images to the nearest other one.
    """
    figure, axes = figure_with_axes(9.0, 3.4)
    most = float(max(of_samples.max(), within_reference.max())) or 1.0
    edges = np.linspace(0, most, _BINS + 1)
    for values, name, color in (
        (within_reference, "reference to another of it", _REFERENCE),
        (of_samples, "samples to the reference", _SAMPLES),
    ):
        shares = np.histogram(values, edges)[0] / len(values)
        axes.stairs(shares, edges, fill=True, alpha=0.55, color=color, label=name)
    axes.set_xlim(0, most)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("distance to the nearest reference image, in features")
    axes.set_ylabel("share of images")
    axes.legend(frameon=False, fontsize=8)
    return png_of(figure)
