"""What a file of Keras weights holds, of any Keras from 0.x to 3, read without Keras."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from retrain_tools.errors import InputError
from retrain_tools.sources.contents import Array, ReadValue
from retrain_tools.sources.kinds import Kind, Place, foreign_kind, kind_of
from retrain_tools.sources.readers.hdf5 import list_arrays, opened, read_attributes, text_of
from retrain_tools.sources.readers.keras_fit import Fit, Layer, find_fits
from retrain_tools.sources.readers.keras_zip import unzipped

Shape = tuple[int, ...]

_HINTS = re.compile(r"th_dim_ordering|t[fh]_kernels")
_GROUPS_OF_LAYERS = ("layers", "_layer_checkpoint_dependencies")  # of Keras 3, and of 2.12 to 2.15
_NOT_WEIGHTS = {"seed_generator", "optimizer", "metrics", "compile_metrics"}  # that Keras 3 saves

# ResNet50 as Keras 1 and 2 named its layers before 2.2.5: stage, block and branch.
_OLD_RESNET = re.compile(r"(res|bn)(\d)([a-z])_branch(1|2[abc])")
_OLD_RESNET_ENDS = {"conv1": "conv1_conv", "bn_conv1": "conv1_bn", "fc1000": "predictions"}
_BRANCHES = {"1": "0", "2a": "1", "2b": "2", "2c": "3"}


class LayerWeights(NamedTuple):
    """A layer of a weights file that holds something.

    Attributes:
        name: what the file calls it; `layer_3` where it has no names (`nb_layers`).
        arrays: the paths of its arrays in the file, and their shapes as they are stored.
    """

    name: str
    arrays: tuple[tuple[str, Shape], ...]

    def __str__(self) -> str:
        return f"{self.name} {shapes_text([shape for _, shape in self.arrays])}"


def shapes_text(shapes: Sequence[Shape]) -> str:
    """Return shapes as text, equal ones that follow each other counted.

    Example:
        >>> shapes_text([(3, 3, 3, 64), (64,)]), shapes_text([(8,), (8,), (8,), (8,)])
        ('[3, 3, 3, 64] + [64]', '4 of [8]')
    """
    runs = [(list(shape), len(list(run))) for shape, run in itertools.groupby(shapes)]
    return " + ".join(f"{count} of {shape}" if count > 1 else f"{shape}" for shape, count in runs)


@dataclasses.dataclass(frozen=True)
class WeightsFile:
    """The weights in a file, and what can be told of them without knowing the model.

    Attributes:
        place: the file.
        writer: `params` (Keras 0.x: `nb_layers`), `names` (`layer_names`: Keras 1 and 2, and 3 in
            its old format) or `vars` (Keras 3's own: the order of the layers is lost).
        keras_version: None where the file does not say; Keras says it since 1.2.
        backend: `tensorflow`, `theano` or `cntk`; None where the file does not say.
        layer_names: all layers, those without weights too; empty where the file does not say.
        nb_layers: how many layers the file says it has, in the oldest format; else None.
        layers: those that hold something, in the file's order.
    """

    place: Place
    writer: str
    keras_version: str | None
    backend: str | None
    layer_names: tuple[str, ...]
    nb_layers: int | None
    layers: tuple[LayerWeights, ...]

    @property
    def is_of_keras_1(self) -> bool:
        """Whether Keras 0.x or 1 wrote it: those had kernels in the order of the images."""
        return self.writer != "vars" and (self.keras_version or "1").startswith(("0", "1"))

    @functools.cached_property
    def has_channels_first_kernels(self) -> bool:
        """Whether kernels are stored as (out, in, height, width), as Keras 1 did for Theano.

        By the shapes: kernels are smaller than they are deep, and a bias is as long as there are
        kernels. Keras 2 and 3 store them as (height, width, in, out) always.
        """
        if not self.is_of_keras_1:
            return False
        votes = [
            _vote(shape, layer.arrays[1:])
            for layer in self.layers
            for _, shape in layer.arrays[:1]
            if len(shape) == 4
        ]
        return sum(votes) > 0

    @functools.cached_property
    def has_channels_first(self) -> bool:
        """Whether images were (channels, height, width), so that layers are flattened that way.

        Weights of Keras 2 and 3 do not tell; there the file's name counts (`th_dim_ordering`).
        """
        return self.has_channels_first_kernels or "th_dim_ordering" in self._hints

    @functools.cached_property
    def has_turned_kernels(self) -> bool:
        """Whether kernels are those of Theano's true convolution, turned by 180 degrees.

        By `backend`; where the file does not say, kernels with channels first are Theano's, unless
        the file's name says otherwise (`tf_kernels`, `th_kernels`).
        """
        if self.backend is not None:
            return self.backend == "theano"
        if {"tf_kernels", "th_kernels"} & self._hints:
            return "th_kernels" in self._hints
        return self.has_channels_first_kernels

    @property
    def ordering(self) -> str:
        """`th` where anything is ordered as Theano had it, and has to be converted; else `tf`."""
        return "th" if self.has_channels_first or self.has_turned_kernels else "tf"

    def shapes_of(self, layer: LayerWeights, is_transposed: bool = False) -> Layer:
        """Return the shapes of a layer's arrays, kernels as this Keras has them.

        Args:
            layer: one of `layers`.
            is_transposed: whether its kernel is one of (height, width, out, in).
        """
        if not self.has_channels_first_kernels:
            return tuple(shape for _, shape in layer.arrays)
        order = (2, 3, 0, 1) if is_transposed else (2, 3, 1, 0)
        return tuple(
            tuple(shape[axis] for axis in order) if len(shape) == 4 else shape
            for _, shape in layer.arrays
        )

    @functools.cached_property
    def shapes(self) -> Sequence[Layer]:
        """The shapes of each layer's arrays, kernels as (height, width, in, out)."""
        return [self.shapes_of(layer) for layer in self.layers]

    @functools.cached_property
    def fits(self) -> Sequence[Fit]:
        """The networks of keras.applications that they are of; mostly one or none."""
        return find_fits(self.shapes)

    @property
    def has_top(self) -> bool | None:
        """Whether the classifier is there; None where it is no network that is known."""
        return self.fits[0].top == "whole" if self.fits else None

    @property
    def _hints(self) -> frozenset[str]:
        return name_hints(self.place.named)


def name_hints(path: Path) -> frozenset[str]:
    """Return what a file's name says of its ordering, in the words that Keras's own files have.

    Example:
        >>> sorted(name_hints(Path("vgg16_weights_th_dim_ordering_th_kernels_notop.h5")))
        ['th_dim_ordering', 'th_kernels']
    """
    return frozenset(_HINTS.findall(path.name.lower()))


def read_weights(place: str | Path | Place) -> WeightsFile:
    """Read what a file of Keras weights holds: any of Keras 0.x to 3, whole models too.

    Raises:
        InputError: there is no such file, it is damaged, or it has no weights of Keras.

    Example:
        >>> weights = read_weights("vgg16_weights_th_dim_ordering_th_kernels.h5")
        >>> weights.ordering, weights.fits[0].name, weights.has_top, len(weights.layers)
        ('th', 'VGG16', True, 16)
    """
    place = Place.of(place)
    with _hdf5_of(place) as (path, version):
        return _read(place, path, version)


@contextlib.contextmanager
def reading(weights: WeightsFile) -> Iterator[ReadValue]:
    """Yield what reads an array of numbers by its path in the file.

    Raises:
        InputError: the file is damaged, or an array is none of numbers.
    """
    with _hdf5_of(weights.place) as (path, _), opened(path, str(weights.place)) as file:

        def read(name: str) -> Array:
            array = np.asarray(file[name][()])
            if array.dtype.kind not in "fiu":
                raise InputError(f"{weights.place} does not fit: {name!r} holds no numbers.")
            return array

        yield read


def todays_name(name: str) -> str:
    """Return the name that a layer of ResNet50 has today.

    Example:
        >>> todays_name("res4f_branch2c"), todays_name("bn2a_branch1")
        ('conv4_block6_3_conv', 'conv2_block1_0_bn')
    """
    match = _OLD_RESNET.fullmatch(name)
    if match is None:
        return _OLD_RESNET_ENDS.get(name, name)
    kind, stage, block, branch = match.groups()
    ending = "conv" if kind == "res" else "bn"
    return f"conv{stage}_block{ord(block) - ord('a') + 1}_{_BRANCHES[branch]}_{ending}"


def old_resnet_names(layers: Sequence[LayerWeights]) -> bool:
    """Tell whether layers have the names that ResNet50's had."""
    return any(_OLD_RESNET.fullmatch(layer.name) for layer in layers)


@contextlib.contextmanager
def _hdf5_of(place: Place) -> Iterator[tuple[Path, str | None]]:
    """Yield the HDF5 file that holds the weights, and the version of Keras if it is told beside."""
    if not place.path.is_file():
        raise InputError(f"No such file: {place}")
    with place.path.open("rb") as file:
        start = file.read(4096)
    reason = foreign_kind(start)
    kind = None if reason or start[:4] not in (b"\x89HDF", b"PK\x03\x04") else kind_of(place)
    if kind is Kind.HDF5:
        yield place.path, None
    elif kind is Kind.KERAS:
        with unzipped(place) as (_, metadata, files):
            if not files:
                raise InputError(f"{place} is damaged: it has no weights.")
            yield files[0], str(metadata["keras_version"])
    else:
        raise InputError(
            f"{place} {reason or 'is no HDF5 file'}: weights of Keras are a .h5, .weights.h5 or "
            ".keras file."
        )


def _read(place: Place, path: Path, version: str | None) -> WeightsFile:
    arrays = {array.name: array.shape for array in list_arrays(path, str(place))[0]}
    groups = read_attributes(path, str(place))
    root = "model_weights" if "layer_names" in groups.get("model_weights", {}) else ""
    said = {**groups[""], **groups[root]}
    names: Sequence[str] = said.get("layer_names", ())
    count = None
    if "layer_names" in said:
        writer = "names"
        layers = [_named(place, f"{root}/{n}".strip("/"), n, groups, arrays) for n in names]
    elif "nb_layers" in said:
        writer, count = "params", _number(place, said["nb_layers"])
        layers = [_numbered(f"layer_{n}", arrays) for n in range(min(count, len(groups)))]
    elif any("vars" in name.split("/") for name in arrays):
        writer, layers = "vars", _by_vars(groups, arrays)
    else:
        raise InputError(f"{place} is an HDF5 file, but not one that Keras wrote.")
    if version is None and "keras_version" in said:
        version = text_of(said["keras_version"])
    backend = text_of(said["backend"]) if "backend" in said else None
    held = tuple(layer for layer in layers if layer.arrays)
    return WeightsFile(place, writer, version, backend, tuple(names), count, held)


def _number(place: Place, value: Any) -> int:
    try:
        return int(np.ravel(value)[0])
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise InputError(
            f"{place} is damaged: its attribute nb_layers is no number; download it again."
        ) from error


def _named(
    place: Place,
    path: str,
    name: str,
    groups: Mapping[str, Mapping[str, Any]],
    arrays: Mapping[str, Any],
) -> LayerWeights:
    found = []
    for weight in groups.get(path, {}).get("weight_names", ()):
        full = f"{path}/{weight}"
        if full not in arrays:
            raise InputError(f"{place} is damaged: {full!r} is not in it; download it again.")
        found.append((full, arrays[full]))
    return LayerWeights(name, tuple(found))


def _numbered(name: str, arrays: Mapping[str, Any]) -> LayerWeights:
    found = [path for path in arrays if path.startswith(f"{name}/param_")]
    found.sort(key=_natural)
    return LayerWeights(name, tuple((path, arrays[path]) for path in found))


def _by_vars(
    groups: Mapping[str, Mapping[str, Any]], arrays: Mapping[str, Any]
) -> list[LayerWeights]:
    """Return the layers of a file of Keras 3, by class and number: the model's order is lost."""
    layers: dict[str, list[str]] = {}
    for path in sorted(arrays, key=_natural):
        parts = path.split("/")
        if "vars" in parts and not _NOT_WEIGHTS.intersection(parts):
            depth = 2 if parts[0] in _GROUPS_OF_LAYERS else 1
            layers.setdefault("/".join(parts[:depth]), []).append(path)
    return [
        LayerWeights(
            text_of(groups.get(f"{layer}/vars", {}).get("name", layer.rpartition("/")[2])),
            tuple((path, arrays[path]) for path in paths),
        )
        for layer, paths in layers.items()
    ]


def _natural(path: str) -> list[Any]:
    """Sort numbers in names as numbers: `vars/10` after `vars/9`."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path)]


def _vote(shape: Shape, others: Sequence[tuple[str, Shape]]) -> int:
    """Return 1 for a kernel of (out, in, height, width), -1 for one of today's, 0 for neither."""
    if len(others) == 1 and len(others[0][1]) == 1 and shape[0] != shape[3]:
        length = others[0][1][0]  # of the bias
        return (length == shape[0]) - (length == shape[3])
    first, last = shape[0] * shape[1], shape[2] * shape[3]
    return (last < first) - (first < last)
