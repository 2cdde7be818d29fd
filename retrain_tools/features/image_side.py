"""Images to prepared pixels, one at a time, with the graph's own image side."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.engine.importing import import_light
from retrain_tools.engine.session import EngineError, naming, run, session_on
from retrain_tools.engine.settings import DEFAULTS, RunSettings
from retrain_tools.errors import InputError
from retrain_tools.features.decoding_memory import DecodingMemory
from retrain_tools.graphdef.dtypes import UINT8
from retrain_tools.graphdef.image_side import image_side
from retrain_tools.graphdef.navigate import attribute, node_name
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.graphdef.transforms.casts_before_resizing import remove_casts_before_resizing
from retrain_tools.images.decode import (
    Admit,
    Decoder,
    EncodedImage,
    ImageError,
    ImageLike,
    decode_with_pillow,
    grey,
    read_image,
    resize_with_pillow,
    undecodable,
)
from retrain_tools.quiet_tensorflow import tf

Prepared = npt.NDArray[np.float32]
"""Pixels as the network takes them: float32 [h, w, channels]."""

_BYTES_OF_FLOATS = 2 * 3 * 4  # a pixel in float32, and what is computed or cut out of that


class ImagePreparation(contextlib.AbstractContextManager["ImagePreparation"]):
    """A graph's image side, open. Safe to use from several threads; close it after use."""

    def __init__(self, frozen: FrozenGraph, running: RunSettings = DEFAULTS) -> None:
        """Open the image side; the graph is not kept.

        Raises:
            InputError: TensorFlow does not accept the graph.
        """
        self._size = frozen.spec.image_size
        self._spec, self._max_pixels = frozen.spec, running.max_image_pixels
        side = image_side(frozen.graph_def, frozen.spec)
        self._channels, self._decoded_channels = frozen.spec.channels, side.channels
        names = [side.encoded, side.decoded, side.pixels]
        names += [side.resized] if side.resized else []
        light, _ = remove_casts_before_resizing(side.graph_def, {}, list(map(node_name, names)))
        is_cast = [
            node.op == "Cast" and attribute(node, "SrcT").type == UINT8 for node in light.node
        ]
        self._memory = DecodingMemory(_BYTES_OF_FLOATS if any(is_cast) else 0)
        graph = tf.Graph()
        with graph.as_default(), naming(str(frozen.path)):
            tensors = import_light(light, {}, names, allow_unsafe_graph=frozen.allow_unsafe_graph)
            # Of formats that the graph's own decoder was not made for.
            contents = tf.compat.v1.placeholder(tf.string, [], "retrain_tools/contents")
            self._other_decoded = {
                channels: tf.raw_ops.DecodeImage(
                    contents=contents, channels=channels, expand_animations=False
                )
                for channels in {3, side.channels}
            }
            whole = tf.compat.v1.placeholder(tf.uint8, [1, None, None, None])
            size = tf.compat.v1.placeholder(tf.int32, [2])
            self._resize = tf.raw_ops.ResizeBilinear(images=whole, size=size), whole, size
        self._encoded, self._decoded, self._pixels, *resized = tensors
        self._resized = resized[0] if resized else None
        self._other_encoded = contents
        self._closing = contextlib.ExitStack()
        self._session = self._closing.enter_context(session_on(graph))

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def prepare(self, image: ImageLike) -> Prepared:
        """Read an image and prepare its pixels: float32 [h, w, channels].

        JPEG goes through the graph's own decoder; other formats enter behind it. Where Pillow
        resizes, it decodes as well.

        Raises:
            ImageError: the image cannot be used.
        """
        with self._memory.share() as take:
            return self._prepare(image, take)

    def _prepare(self, image: ImageLike, take: Admit) -> Prepared:
        """Prepare an image; what that took is freed before the memory counts as free."""
        if self._spec.is_resized_by_pillow:
            return self._by_pillow(read_image(image, self._max_pixels, self._channels, take))
        read = read_image(image, self._max_pixels, self._decoded_channels, take)
        if isinstance(read, EncodedImage) and read.form.decoder is Decoder.GRAPH:
            return self._prepared({self._encoded: read.data})
        return self._prepared({self._decoded: self._pixels_of(read)})

    def _by_pillow(self, read: EncodedImage | npt.NDArray[np.uint8]) -> Prepared:
        if isinstance(read, EncodedImage):
            read = decode_with_pillow(read.data, self._channels)
        pixels = resize_with_pillow(read, self._size, str(self._spec.resize)).astype(np.float32)
        is_scaled = (self._spec.mean, self._spec.std) != (0.0, 1.0)
        return self.scale(pixels) if is_scaled else pixels

    def decode(self, image: ImageLike) -> npt.NDArray[np.uint8]:
        """Read and decode an image as `prepare` does; uint8 [H, W, channels].

        Raises:
            ImageError: the image cannot be used.
        """
        with self._memory.share() as take:
            read = read_image(image, self._max_pixels, self._decoded_channels, take)
            return self._pixels_of(read)

    def resize(self, pixels: npt.NDArray[np.uint8], size: tuple[int, int]) -> Prepared:
        """Resize uint8 [H, W, channels] to (height, width) `size` as TensorFlow 1 does."""
        resized, whole, wanted = self._resize
        return self._run(resized, {whole: pixels[np.newaxis], wanted: size})[0]

    def scale(self, resized: npt.NDArray[np.float32]) -> Prepared:
        """Prepare a distorted image: float32 [h, w, channels], 0 to 255, of the graph's size.

        Raises:
            InputError: the graph's image side has no place for it.
        """
        if self._resized is None:
            raise InputError("Distortions need a graph whose image side has one resize node.")
        return self._prepared({self._resized: resized[np.newaxis]})

    def _pixels_of(self, read: EncodedImage | npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        if not isinstance(read, EncodedImage):
            return read
        match read.form.decoder:
            case Decoder.PILLOW:
                return decode_with_pillow(read.data, self._decoded_channels)
            case Decoder.GRAPH:
                return self._run(self._decoded, {self._encoded: read.data})
            case Decoder.TENSORFLOW:
                wanted = self._decoded_channels if read.form.decodes_grey else 3
                pixels = self._run(self._other_decoded[wanted], {self._other_encoded: read.data})
                return pixels if wanted == self._decoded_channels else grey(pixels)

    def _prepared(self, feeds: dict[Any, Any]) -> Prepared:
        pixels = np.asarray(self._run(self._pixels, feeds), np.float32)
        wanted = (*self._size, self._channels)
        if pixels.size != math.prod(wanted):
            raise ImageError(
                f"comes out of the graph's image side as {list(pixels.shape)} "
                f"instead of {[1, *wanted]}"
            )
        return pixels.reshape(wanted)

    def _run(self, fetch: Any, feeds: dict[Any, Any]) -> Any:
        try:
            return run(self._session, fetch, feeds)
        # Also where the graph's decoder gives another number of channels than was decoded.
        except EngineError as error:
            raise undecodable(error) from error
