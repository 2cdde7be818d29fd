"""What is asked of an export, and what comes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from retrain_tools.engine.settings import DEFAULTS as AS_USUAL, RunSettings
from retrain_tools.errors import InputError, argument
from retrain_tools.text_tables import Style, aligned

QUANTIZATIONS = {
    "none": "none: float32",
    "float16": "weights are float16, computed in float32",
    "dynamic": "weights are int8, activations float32 (dynamic range)",
}
"""What the weights of a TensorFlow Lite file can become, and how that is told."""


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """What can be said of an export.

    Attributes:
        outputs: what it gives, by the names of tensors or nodes; empty for the graph's result, or
            where it has none, its bottleneck.
        labels: the names of the classes, in the order of the scores; empty for none.
        images: files that export and source are compared on; empty for drawn photos.
        quantize: one of `QUANTIZATIONS`, for TensorFlow Lite.
        on_error: `skip` images that cannot be used, or `fail`.
        running: the largest image to accept.
    """

    outputs: Sequence[str] = ()
    labels: Sequence[str] = ()
    images: Sequence[str | Path] = ()
    quantize: str = "none"
    on_error: str = "skip"
    running: RunSettings = AS_USUAL

    def __post_init__(self) -> None:
        if self.quantize not in QUANTIZATIONS:
            known = ", ".join(QUANTIZATIONS)
            raise InputError(f"{argument('quantize')}={self.quantize} must be one of {known}.")


DEFAULTS = ExportOptions()


@dataclasses.dataclass(frozen=True)
class Exported:
    """An export that was written, run again, and compared with its source.

    Attributes:
        path: the file or folder.
        told: what is worth knowing of it, label and text: size, op set, inputs, what was changed.
        differences: the largest absolute difference from the source of each output, by its name
            and the way it was run.
        largest: the largest absolute value of each, for comparison.
        images: what both were run on, in words.
    """

    path: str
    told: Mapping[str, str]
    differences: Mapping[str, float]
    largest: Mapping[str, float]
    images: str

    @property
    def difference(self) -> float:
        """The largest difference of all."""
        return max(self.differences.values(), default=0.0)

    def summary(self) -> str:
        """Return all of it as text, a line for each thing."""
        lines = [("File", self.path), *self.told.items()]
        lines += [
            ("Compared", f"{name}: differs by {apart:.3g} at most (values to "
             f"{self.largest[name]:.3g}), on {self.images}")
            for name, apart in self.differences.items()
        ]  # fmt: skip
        return aligned(lines, Style(), heading=False).rstrip("\n")


def size_text(path: str) -> str:
    """Return the size of a file, or of all files in a folder, in bytes."""
    place = Path(path)
    files = place.rglob("*") if place.is_dir() else [place]
    return f"{sum(file.stat().st_size for file in files if file.is_file()):,} bytes"
