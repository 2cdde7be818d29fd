"""The pictures of a comparison as PNG: scatter, heat map, one image's features on both sides."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.extras import import_extra

Array = npt.NDArray[np.float32]
Grid = npt.NDArray[np.floating]

_INK, _SOFT, _A, _B, _BAD = "#1d2430", "#8a94a3", "#2f6fb5", "#c7741a", "#b3261e"
_MOST_POINTS = 20_000
_MOST_CELLS = (240, 320)  # of the heat map: images and channels; more are averaged
MOST_BARS = 256
"""Of the strips of an image; where there are more channels, a bar is the mean of several."""
_DOTS = 144  # per inch: twice that of a screen


def scatter_plot(a: Array, b: Array) -> bytes:
    """Return a PNG of A's values against B's, and the line on which they would be equal.

    Args:
        a: float32 [N, ...].
        b: float32 of the same shape.
    """
    left, right = a.ravel(), b.ravel()
    if len(left) > _MOST_POINTS:
        kept = np.random.default_rng(0).choice(len(left), _MOST_POINTS, replace=False)
        left, right = left[kept], right[kept]
    figure, axes = figure_with_axes(5.2, 4.6)
    low, high = (float(f(np.array([f(left), f(right)]))) for f in (np.min, np.max))
    margin = 0.03 * (high - low or 1)
    axes.plot([low, high], [low, high], color=_SOFT, linewidth=1, zorder=1)
    axes.scatter(left, right, s=4, color=_A, alpha=0.25, linewidths=0, zorder=2)
    axes.set_xlim(low - margin, high + margin)
    axes.set_ylim(low - margin, high + margin)
    axes.set_xlabel("value in A")
    axes.set_ylabel("value in B")
    return png_of(figure)


def heat_map(errors: Grid) -> bytes:
    """Return a PNG of the absolute difference of every image and channel.

    Args:
        errors: [images, channels], 0 or more.
    """
    images, channels = errors.shape
    figure, axes = figure_with_axes(5.2, 4.6)
    cells = _averaged(_averaged(errors, _MOST_CELLS[0], 0), _MOST_CELLS[1], 1)
    shown = axes.imshow(
        cells, aspect="auto", cmap="magma_r", vmin=0, interpolation="nearest",
        extent=(0, channels, images, 0),
    )  # fmt: skip
    axes.set_xlabel("channel")
    axes.set_ylabel("image")
    bar = figure.colorbar(shown, ax=axes, fraction=0.05, pad=0.03)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=_INK, labelsize=8)
    return png_of(figure)


def strips(a: Array, b: Array) -> bytes:
    """Return a PNG of one image's features on both sides, and of B - A below, on one scale.

    Args:
        a: float32 [channels].
        b: float32 [channels].
    """
    left, right = (_averaged(one[np.newaxis], MOST_BARS, 1)[0] for one in (a, b))
    figure = _new_figure(8.2, 2.1)
    rows = figure.subplots(3, 1, sharex=True)
    both = np.concatenate([left, right, [0]])
    low, high = float(np.min(both)), float(np.max(both))
    room = 0.05 * (high - low or 1)
    places = np.linspace(0, len(a), len(left), endpoint=False)
    for axes, values, color, name in zip(
        rows, (left, right, right - left), (_A, _B, _BAD), ("A", "B", "B − A"), strict=True
    ):
        axes.bar(places, values, width=len(a) / len(left), align="edge", color=color)
        _plain(axes)
        axes.set_xlim(0, len(a))
        axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
        axes.tick_params(labelsize=7)
        axes.locator_params(axis="y", nbins=3)
        if name in ("A", "B"):
            axes.set_ylim(low - room, high + room)
            axes.tick_params(bottom=False)
    return png_of(figure)


def _averaged(values: Grid, most: int, axis: int) -> Grid:
    """Return values with no more than `most` along an axis, each the mean of its neighbours."""
    count = values.shape[axis]
    if count <= most:
        return values
    starts = np.linspace(0, count, most, endpoint=False).astype(int)
    widths = np.diff([*starts, count])
    return np.add.reduceat(values, starts, axis) / (widths[:, None] if axis == 0 else widths)


def _new_figure(width: float, height: float) -> Any:
    figure = import_extra("matplotlib.figure", "A page of plots")
    return figure.Figure(figsize=(width, height), dpi=_DOTS, layout="constrained")


def figure_with_axes(width: float, height: float) -> tuple[Any, Any]:
    """Return a figure of a size in inches, and its axes, in the style of our pages."""
    figure = _new_figure(width, height)
    axes = figure.subplots()
    _plain(axes)
    return figure, axes


def _plain(axes: Any) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_SOFT)
    axes.tick_params(colors=_INK, labelsize=8, color=_SOFT)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)


def png_of(figure: Any) -> bytes:
    """Draw a figure."""
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})  # the same bytes every time
    return file.getvalue()
