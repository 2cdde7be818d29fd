"""What is compared: features that are stored, or a graph to be run on images."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from retrain_tools.engine.settings import DEFAULTS, RunSettings
from retrain_tools.errors import InputError, argument, did_you_mean
from retrain_tools.features.fetch import named_tensor
from retrain_tools.features.in_memory import fetch_in_memory
from retrain_tools.features.outcome import OnError
from retrain_tools.features.read_features import (
    BOTTLENECK,
    FEATURES,
    StoredFeatures,
    is_features_file,
    read_features,
)
from retrain_tools.graphdef.navigate import full_name, node_name
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.graphdef.view import view_of
from retrain_tools.sources.kinds import Kind, kind_of

log = logging.getLogger(__name__)

Array = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class Side:
    """One side of a comparison.

    Attributes:
        name: `A` or `B`.
        source: what it was named by, for people.
        stored: its features, where they are stored.
        frozen: its graph, where it is one.
        pooling: how feature maps of a graph become vectors; None to keep their shape.
    """

    name: str
    source: str
    stored: StoredFeatures | None = None
    frozen: FrozenGraph | None = None
    pooling: str | None = None

    @property
    def kind(self) -> str:
        """`bottlenecks`, `file` or `graph`."""
        if self.stored is None:
            return "graph"
        return "bottlenecks" if self.stored.path.is_dir() else "file"

    @property
    def columns(self) -> list[str]:
        """The tensors that are stored; none for a graph."""
        return [] if self.stored is None else list(self.stored.values)

    def with_rows(self, rows: npt.NDArray[np.bool_]) -> Side:
        """Return the stored side with some of its rows."""
        if self.stored is None:
            return self
        stored = self.stored
        kept = dataclasses.replace(
            stored,
            values={name: array[rows] for name, array in stored.values.items()},
            images=list(itertools.compress(stored.images, rows)),
            labels=list(itertools.compress(stored.labels, rows)),
        )
        return dataclasses.replace(self, stored=kept)


def is_stored(path: str | Path) -> bool:
    """Tell whether what a side is named by is a file of features or a folder of bottlenecks.

    Anything else is a graph: a Keras file is one though it ends in .h5, and so is a SavedModel.

    Raises:
        InputError: it is a folder of neither bottlenecks nor a model, with images in it.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        if kind_of_folder(path) is not None:
            return False
        return not any(path.glob("*.pb"))
    if path.suffix.lower() in (".h5", ".hdf5", ".hdf") and path.is_file():
        return not _is_of_keras(path)
    return is_features_file(path)


def kind_of_folder(path: Path) -> Kind | None:
    """Return what kind of model a folder is; None where it is none."""
    with contextlib.suppress(InputError):
        kind = kind_of(path)
        return None if kind is Kind.FOLDER else kind
    return None


def _is_of_keras(path: Path) -> bool:
    from retrain_tools.sources.readers.hdf5 import list_arrays

    with contextlib.suppress(InputError):
        return bool(list_arrays(path, str(path))[1])
    return False


def stored_side(
    name: str, features: StoredFeatures | str | Path, pooling: str | None = None
) -> Side:
    """Return a side of features that are stored, without rows that are not finite numbers.

    Raises:
        InputError: see `read_features`; or there is no row of finite numbers.
    """
    stored = features if isinstance(features, StoredFeatures) else read_features(features)
    side = Side(name, str(stored.path), stored, pooling=pooling)
    is_finite = np.ones(len(next(iter(stored.values.values()))), np.bool_)
    for array in stored.values.values():
        is_finite &= np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    if is_finite.all():
        return side
    lost = np.flatnonzero(~is_finite)
    if not is_finite.any():
        raise InputError(f"{side.source} has no row of finite numbers.")
    first = stored.images[lost[0]] if stored.images else f"row {lost[0]}"
    log.warning("%s: not finite numbers, and left out: %d of %d rows, the first is %s",
                side.source, len(lost), len(is_finite), first)  # fmt: skip
    if not stored.images:  # a row less would move all others
        raise InputError(
            f"{side.source} has no names of images, and its row {lost[0]} is not of finite "
            "numbers: leave such rows out, and name the images of the others."
        )
    return side.with_rows(is_finite)


def pair_columns(
    a: Side, b: Side, tensors: Sequence[str], tensor_a: str | None, tensor_b: str | None
) -> list[tuple[str, str]]:
    """Return which tensor of A is compared with which of B, in the order of the graph.

    Those that are named; else those of the same name on both sides; else the only one of each. Of
    a graph it is the tensor that a stored column is called by, else its bottleneck.

    Raises:
        InputError: there is no such tensor, or nothing tells which belong together.
    """
    if tensor_a or tensor_b:
        names = [tensor_a or _only(a, "tensor_a"), tensor_b or _only(b, "tensor_b")]
        return [(_checked(a, names[0]), _checked(b, names[1]))]
    if tensors:
        return [
            (_checked(a, name, may_be_only=True), _checked(b, name, may_be_only=True))
            for name in tensors
        ]
    if a.frozen and b.frozen:
        return [(a.frozen.spec.bottleneck, b.frozen.spec.bottleneck)]
    if a.frozen or b.frozen:
        return _stored_and_graph(a, b)
    same = [name for name in a.columns if name in b.columns]
    if same:
        return [(name, name) for name in same]
    if len(a.columns) == len(b.columns) == 1:
        return [(a.columns[0], b.columns[0])]
    raise InputError(
        f"No tensor is on both sides: {a.source} has {', '.join(a.columns)} and {b.source} "
        f"{', '.join(b.columns)}. Name two with {argument('tensor_a')} and {argument('tensor_b')}."
    )


def _stored_and_graph(a: Side, b: Side) -> list[tuple[str, str]]:
    stored, graph = (b, a) if a.frozen else (a, b)
    frozen = graph.frozen
    assert frozen is not None  # noqa: S101  (for mypy)
    pairs = []
    for column in stored.columns:
        with contextlib.suppress(InputError):
            if column not in (FEATURES, BOTTLENECK):
                pairs.append((column, named_tensor(frozen, column)))
    if not pairs:
        if len(stored.columns) > 1:
            raise InputError(
                f"{graph.source} has none of the tensors of {stored.source}, which are "
                f"{', '.join(stored.columns)}. Name two with {argument('tensor_a')} and "
                f"{argument('tensor_b')}."
            )
        pairs = [(stored.columns[0], frozen.spec.bottleneck)]
    order = {node.name: place for place, node in enumerate(view_of(frozen.graph_def).node)}
    pairs.sort(key=lambda pair: order.get(node_name(pair[1]), 0))
    return [(second, first) if a.frozen else (first, second) for first, second in pairs]


def _only(side: Side, name: str) -> str:
    if side.frozen:
        return side.frozen.spec.bottleneck
    if len(side.columns) > 1:
        raise InputError(
            f"{side.source} has several tensors, {', '.join(side.columns)}: name one with "
            f"{argument(name)}."
        )
    return side.columns[0]


def _checked(side: Side, name: str, may_be_only: bool = False) -> str:
    if side.frozen:
        return named_tensor(side.frozen, name)
    known = side.columns
    for one in (name, full_name(name), name.removesuffix(":0")):
        if one in known:
            return one
    if may_be_only and len(known) == 1:
        return known[0]
    hint = did_you_mean(name, known) or f" It has {', '.join(known)}."
    raise InputError(f"No tensor {name!r} in {side.source}.{hint}")


class Running(NamedTuple):
    """How graphs are run on images, and what to do about a bad one."""

    settings: RunSettings = DEFAULTS
    on_error: OnError = "skip"


def run_side(
    side: Side, tensors: Sequence[str], paths: Sequence[str], running: Running
) -> tuple[dict[str, Array], list[str]]:
    """Run a graph on images.

    Returns:
        float32 [N, ...] by tensor, and the paths of the N images that could be used.

    Raises:
        InputError: see `fetch_in_memory`; or an image cannot be used, and none may be left out.
    """
    assert side.frozen is not None  # noqa: S101  (for mypy)
    found = fetch_in_memory(side.frozen, list(tensors), list(paths), side.pooling, running.settings)
    for image, reason in found.failed.items():
        if running.on_error == "fail":
            raise InputError(f"{image} {reason}.")
        log.warning("%s %s", image, reason)
    return found.values, [str(image) for image in found.images]
