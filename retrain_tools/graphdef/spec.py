"""FrozenGraph and GraphSpec: a graph, and all that it takes to run it on images."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retrain_tools.catalog_entry import CatalogEntry

NETWORK_INPUT = "network_input"
"""The node of a Keras application's graph between its `preprocess_input` and its first layer."""

PILLOW_RESIZES = ("nearest", "bilinear", "bicubic", "lanczos")
"""Pillow's, by which `keras.utils.load_img` and `ImageDataGenerator` resize."""

TF_BILINEAR = "tf_bilinear"
"""`tf.image.resize`, by which `image_dataset_from_directory` resizes: half-pixel centres, no
antialias."""

RESIZES = (*PILLOW_RESIZES, TF_BILINEAR)
"""The ways to resize that can be asked for."""


@dataclasses.dataclass(frozen=True)
class GraphSpec:
    """How to use a graph on images. Tensor names carry `:0`.

    Attributes:
        encoded_input: string tensor that takes one encoded image; None if the graph has none.
        decoded: uint8 [H, W, channels] tensor that decoding gives; None without `encoded_input`.
        resized: float32 [1, h, w, channels] tensor, 0 to 255, after resizing; None if there is
            none.
        pixel_input: float32 [N, h, w, channels] tensor, prepared pixels.
        image_size: (h, w) of `pixel_input`.
        mean, std: `pixel_input` is (x - mean) / std for pixels x of 0 to 255; the mean may be one
            for each colour. Only used where the graph itself has no image side.
        bottleneck: the tensor to cache.
        final: the graph's own result, if it has one.
        end_points: tensors by the names that slim gave them; empty for other graphs.
        resize: one of `RESIZES`, how images get the size of `pixel_input`; None for the
            graph's own way, or where it has none, that of retrain.py.
        channels: of `pixel_input`: 3 for RGB images, 1 for grey ones.
    """

    encoded_input: str | None
    decoded: str | None
    resized: str | None
    pixel_input: str
    image_size: tuple[int, int]
    mean: float | tuple[float, float, float]
    std: float
    bottleneck: str
    final: str | None
    end_points: Mapping[str, str] = dataclasses.field(default_factory=dict)
    resize: str | None = None
    channels: int = 3

    @property
    def is_resized_by_pillow(self) -> bool:
        """Whether Pillow decodes and resizes images, as no op of TensorFlow does it."""
        return self.resize in PILLOW_RESIZES

    def preprocessing(self) -> dict[str, Any]:
        """What changes the pixels, as recorded with a cache."""
        if self.encoded_input is not None:
            return {"by": "graph", "from": self.encoded_input, "to": self.pixel_input}
        by = "Pillow" if self.is_resized_by_pillow else "retrain_tools"
        said = {"by": by, "to": self.pixel_input, "image_size": list(self.image_size)}
        if (self.resize, self.mean, self.std) == ("bilinear", 0.0, 1.0):
            return said  # what caches of raw pixels have recorded from the first
        # As JSON gives it back, or a cache would seem to be made in another way.
        mean = list(self.mean) if isinstance(self.mean, tuple) else self.mean
        resize = {} if self.resize is None else {"resize": self.resize}
        return {**said, "mean": mean, "std": self.std, **resize}


@dataclasses.dataclass(frozen=True)
class SpecOverrides:
    """What the user said about a graph; None where nothing was said. An explicit 0 counts.

    `feeds` are values for placeholders beside the images, by tensor name: they become constants.
    `raw_pixels` feeds pixels of 0 to 255, decoded and resized by Pillow and not scaled, which is
    what some older feature tools did. `allow_unsafe_graph` runs the graph whatever it does beside
    computing, see `safety.running`.
    """

    input_layer: str | None = None
    feeds: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    output_layer: str | None = None
    bottleneck_tensor: str | None = None
    input_height: int | None = None
    input_width: int | None = None
    input_mean: float | None = None
    input_std: float | None = None
    resize: str | None = None
    raw_pixels: bool = False
    allow_unsafe_graph: bool = False


@dataclasses.dataclass(frozen=True)
class FrozenGraph:
    """A graph without variables and what it takes to use it on images.

    Attributes:
        graph_def: a `schema.GraphDef` without variables; not to be changed.
        spec: which tensors take the image, how pixels are prepared, where the bottleneck is.
        path: the file that it was read from.
        entry: the catalogue's knowledge of this network, if it is one of those.
        said: what the user said of it, by the names of `load`'s arguments.
        allow_unsafe_graph: whether it is run whatever it does beside computing.
    """

    graph_def: Any
    spec: GraphSpec
    path: Path
    entry: CatalogEntry | None = None
    said: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    allow_unsafe_graph: bool = False
