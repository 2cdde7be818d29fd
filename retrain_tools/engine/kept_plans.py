"""Plans that are kept on disk, so that a graph that was run once starts at once.

A plan is two files in `plans/` of the model folder. KEY.npz holds the light graph and its weights;
the key is of the nodes, of how they are used, and of the code and TensorFlow that made it. What was
found by running it is beside it in KEY.MACHINE.json. The zip's checksums are looked at when a plan
is read; one that is damaged is made again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from google.protobuf.message import DecodeError

from retrain_tools import __version__, catalog, files
from retrain_tools.engine import onednn, plan as planning
from retrain_tools.engine.cpu import cpu_name, usable_cores
from retrain_tools.engine.settings import RunSettings
from retrain_tools.graphdef import schema, transforms
from retrain_tools.graphdef.dtypes import BFLOAT16
from retrain_tools.graphdef.fingerprint import fingerprint
from retrain_tools.graphdef.navigate import node_name, nodes_by_name
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.graphdef.weights import Weights, size_of_constants
from retrain_tools.numpy_files import read_arrays

log = logging.getLogger(__name__)

_WORTH_KEEPING = 1 << 20  # bytes of weights; smaller plans are made in milliseconds
_MOST_KEPT = 4 << 30  # bytes; of more, those that were not used for longest go
_GRAPH = "graph"
_DAMAGE = (OSError, ValueError, KeyError, TypeError, DecodeError)


@dataclasses.dataclass(frozen=True)
class Known:
    """What was found by running a plan on this machine.

    Attributes:
        shapes: of each fetch's values for one image.
        sizes: of batches that give the same bits for an image, in ascending order.
        by_onednn: whether it runs with oneDNN's nodes.
        fastest: the size that was found to be fastest; None where that was not measured.
        tried: the largest size that was looked at for that; 0 where none was.
        checked: how far the values of one image are from those of the untouched graph, relative to
            the largest of them; None where that was not looked at.
        differences: of features from those of the exact way, where this one is not; by their names,
            as JSON.
    """

    shapes: tuple[tuple[int, ...], ...]
    sizes: tuple[int, ...]
    by_onednn: bool
    fastest: int | None = None
    tried: int = 0
    checked: float | None = None
    differences: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Plan:
    """A plan, ready to be opened by an engine.

    Attributes:
        light: the light graph from the pixel input to the fetches.
        weights: its weights.
        known: what is known from running it; None for one that is new.
        file: where the latter is kept; None where the plan is not kept.
    """

    light: Any
    weights: Weights
    known: Known | None = None
    file: Path | None = None

    def keep(self, known: Known) -> None:
        """Keep what was found by running it; where that cannot be, it is found again next time."""
        if self.file is not None:
            with contextlib.suppress(OSError):
                files.write_text(self.file, json.dumps(dataclasses.asdict(known)) + "\n")


def open_plan(
    frozen: FrozenGraph, fetches: Sequence[str], precision: str, model_dir: str | None
) -> Plan:
    """Return the plan for fetching tensors from a graph, kept from the last time or made anew.

    Raises:
        InputError: see `plan_body`.
    """

    def make() -> tuple[Any, Weights]:
        return planning.plan_body(frozen.graph_def, frozen.spec, fetches, precision)

    if size_of_constants(frozen.graph_def) < _WORTH_KEEPING:
        return Plan(*make())
    folder = catalog.model_folder(model_dir) / "plans"
    key = _key(frozen, fetches, precision)
    file = folder / f"{key}.npz"
    light, weights = _read_or_make(file, make)
    beside = folder / f"{key}.{_machine()}.json"
    return Plan(light, weights, _read_known(beside), beside)


def is_known(frozen: FrozenGraph, fetches: Sequence[str], running: RunSettings) -> bool:
    """Tell whether a plan needs but be read, and no check be made; also where none is ever kept."""
    if size_of_constants(frozen.graph_def) < _WORTH_KEEPING:
        return True
    key = _key(frozen, fetches, running.computed_in)
    folder = catalog.model_folder(running.model_dir) / "plans"
    known = _read_known(folder / f"{key}.{_machine()}.json")
    is_checked = not (running.self_check and running.is_exact)
    return known is not None and (is_checked or known.checked is not None)


def _read_or_make(file: Path, make: Callable[[], tuple[Any, Weights]]) -> tuple[Any, Weights]:
    try:
        plan = _read(file)
        file.touch()  # it was used
    except FileNotFoundError:
        pass
    except _DAMAGE as error:
        log.info("%s is damaged (%s); it is made again", file, error)
    else:
        return plan
    light, weights = make()
    try:
        _write(file, light, weights)
        _make_room(file)
    except OSError as error:
        log.debug("the plan is not kept: %s", error)
    return light, weights


def _read(file: Path) -> tuple[Any, Weights]:
    held = read_arrays(file)
    light = schema.GraphDef.FromString(held.pop(_GRAPH).tobytes())
    weights = {}
    nodes = nodes_by_name(light)
    for name, array in held.items():
        node = nodes[name.removeprefix("/")]
        is_low = node.attr["dtype"].type == BFLOAT16
        weights[node.name] = array.view(ml_dtypes.bfloat16) if is_low else array
    return light, weights


def _write(file: Path, light: Any, weights: Weights) -> None:
    graph = np.frombuffer(light.SerializeToString(), np.uint8)
    # np.savez writes bfloat16 as raw bytes of no type; a name may be one of its own arguments.
    plain = {
        f"/{name}": array.view(np.uint16) if array.dtype == ml_dtypes.bfloat16 else array
        for name, array in weights.items()
    }
    with files.replacing(file) as opened:
        np.savez(opened, **{_GRAPH: graph, **plain})  # type: ignore[arg-type]


def _make_room(newest: Path) -> None:
    kept = sorted(newest.parent.glob("*.npz"), key=lambda path: path.stat().st_mtime, reverse=True)
    total = 0
    for path in kept:
        total += path.stat().st_size
        if total > _MOST_KEPT and path != newest:
            for file in path.parent.glob(f"{path.stem}.*"):  # with what is known of it
                file.unlink(missing_ok=True)


def _read_known(file: Path) -> Known | None:
    try:
        held = files.json_of(file.read_bytes())
        shapes = tuple(tuple(int(size) for size in shape) for shape in held.pop("shapes"))
        sizes = tuple(int(size) for size in held.pop("sizes"))
        known = Known(shapes, sizes, **held)
        numbers = (known.fastest, known.tried, known.checked)
        is_sound = all(isinstance(one, (int, float, type(None))) for one in numbers)
        return known if is_sound and isinstance(known.differences, dict) else None
    except (*_DAMAGE, AttributeError, OverflowError):
        return None


def _key(frozen: FrozenGraph, fetches: Sequence[str], precision: str) -> str:
    spec = frozen.spec
    nodes = fingerprint(frozen.graph_def, fetches, stop=[node_name(spec.pixel_input)])
    said = (spec.pixel_input, spec.image_size, spec.channels, tuple(fetches), precision)
    return hashlib.sha256(repr((nodes, said, _code())).encode()).hexdigest()[:32]


@functools.cache
def _code() -> str:
    """Return what stands for the code that makes plans, TensorFlow included."""
    rooms = [Path(planning.__file__), Path(onednn.__file__)]
    digest = hashlib.sha256()
    for path in (*rooms, *sorted(Path(transforms.__file__).parent.glob("*.py"))):
        digest.update(path.read_bytes())
    return f"{__version__} {importlib.metadata.version('tensorflow')} {digest.hexdigest()}"


@functools.cache
def _machine() -> str:
    """Return what stands for the CPU and cores: on others, other sizes may give the same bits."""
    return hashlib.sha256(f"{cpu_name()} {usable_cores()}".encode()).hexdigest()[:8]
