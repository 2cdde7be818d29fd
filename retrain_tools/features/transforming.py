"""Changes a model's graph by transforms, compares it with the graph before, and writes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from retrain_tools.errors import InputError
from retrain_tools.features.verification import (
    Changed,
    Verified,
    verify_on_images,
    verify_on_random_values,
)
from retrain_tools.graphdef.save import write_graph
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.graphdef.transforms.apply import Step, apply_transforms
from retrain_tools.graphdef.transforms.parse import Call
from retrain_tools.images.decode import ImageLike
from retrain_tools.sources.ends import graph_ends
from retrain_tools.sources.model import Model


@dataclasses.dataclass(frozen=True)
class Verification:
    """On what a graph is compared with what it was.

    Attributes:
        images: images by their names; a graph that takes none, or none here: random values.
        seed: of random values.
    """

    images: Mapping[str, ImageLike] = dataclasses.field(default_factory=dict)
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class TransformResult:
    """A graph that was changed and written.

    Attributes:
        path: the file.
        inputs, outputs: full names of the tensors that it is run by.
        nodes_before: how many nodes the graph had.
        steps: what each transform did.
        verified: how far its results are from those before; None where they were not compared.
    """

    path: Path
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes_before: int
    steps: tuple[Step, ...]
    verified: Verified | None


def transform_model(
    model: Model,
    path: str | Path,
    calls: Sequence[Call],
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    verification: Verification | None = None,
) -> TransformResult:
    """Write a model's graph, changed by transforms.

    Args:
        model: what `load` opened.
        path: the file to write, in one step, once all else was done.
        calls: the transforms, see `parse_transforms`.
        inputs: what is fed; None to find it, see `graph_ends`.
        outputs: what is fetched; None to find it.
        verification: what to compare the graph with itself before on; None for nothing.

    Raises:
        InputError: see `graph_ends`, `apply_transforms` and `verify_on_images`; or the graph cannot
            be run, or is too large for a file.
    """
    if verification is not None and not model.can_freeze:
        raise InputError(
            f"{model.path} cannot be run to compare it with what becomes of it: "
            f"{model.why_not_frozen}"
        )
    ends = graph_ends(model, inputs, outputs)
    made = apply_transforms(ends.graph_def, calls, ends.inputs, ends.outputs)
    verified = None
    if verification is not None:
        inputs_both = list(zip(ends.inputs, made.inputs, strict=True))
        outputs_both = list(zip(ends.outputs, made.outputs, strict=True))
        where = str(model.path)
        changed = Changed(ends.graph_def, made.graph_def, inputs_both, outputs_both, where)
        frozen = _for_images(model) if verification.images else None
        if frozen is None:
            verified = verify_on_random_values(changed, verification.seed)
        else:
            verified = verify_on_images(changed, frozen, verification.images, verification.seed)
    write_graph(str(path), made.graph_def)
    before = len(ends.graph_def.node)
    return TransformResult(Path(path), made.inputs, made.outputs, before, made.steps, verified)


def _for_images(model: Model) -> FrozenGraph | None:
    """Return how the model takes images; None where it takes none."""
    summary = model.summary()
    return model.frozen() if summary.bottlenecks or summary.image_size else None
