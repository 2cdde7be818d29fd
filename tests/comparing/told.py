"""Comparisons to be told, with an explanation of every part, for the tests of what tells them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from retrain_tools.comparing.comparison import Comparison, compare
from retrain_tools.comparing.layers import Layer
from retrain_tools.explaining.explanation import Cause, Explanation, Tried

A = np.array([[0, 1, 2], [4, 5, 7], [8, 8, 8], [1, 0, 1], [3, 2, 1]], np.float32)
B = A + np.array([[0, 0, 0.5]] * 4 + [[0, 0, 3]], np.float32)
RESIZE = Cause("resize", "half_pixel_bilinear", "half-pixel bilinear resizing")
SCALE = Cause("scale", "unit", "pixels of 0 to 1")
EXPLANATION = Explanation(
    "partial",
    (RESIZE, SCALE),
    0.333,
    0.1,
    "B is in part A with half-pixel bilinear resizing and pixels of 0 to 1",
    (Tried((RESIZE, SCALE), 0.1, 0.7, 5), Tried((), float("nan"), 0.0, 0)),
    "retrain_tools fetch_tensors --graph=g.pb\nsecond line",
    ("a note of the explanation",),
)
LAYERS = [
    Layer("conv:0", (4, 4, 8), 0.0, 1.5, True),
    Layer("pool:0", (3,), 0.25, 0.5, False),
]


def comparison(folder: Path, names: list[str] | None = None, **changes: object) -> Comparison:
    """Compare A and B, of five images of two classes, under the names that are given."""
    names = names or [f"photos/{'xxxyy'[n]}/{n}.jpg" for n in range(5)]
    np.savez(folder / "a.npz", pool=A, images=[*names, "photos/x/extra.jpg"][:5])
    more = np.concatenate([B, B[:1], B[:1]])
    np.savez(folder / "b.npz", pool=more, images=[*names, names[0], "photos/x/extra.jpg"])
    found = compare(folder / "a.npz", folder / "b.npz")
    told = {"explanation": EXPLANATION, "layers": LAYERS, "notes": ["a note"]}
    return dataclasses.replace(found, **(told | changes))  # type: ignore[arg-type]
