"""Checkpoints: of a slim network, of a graph in a `.meta` file beside, or of anything else."""

from __future__ import annotations

import functools
import re
from pathlib import Path

from retrain_tools import catalog
from retrain_tools.errors import InputError
from retrain_tools.slim.recognise import recognise
from retrain_tools.sources.checkpoints.checkpoint import Checkpoint
from retrain_tools.sources.contents import Choices, ImageSize, TensorInfo
from retrain_tools.sources.kept_slim import frozen_network
from retrain_tools.sources.kinds import Kind, Place
from retrain_tools.sources.model import Model
from retrain_tools.sources.readers.meta_graph import open_meta_graph

_OBJECT_KEY = re.compile(r"(.*)/\.ATTRIBUTES/.*")  # keys of checkpoints of TensorFlow 2
_WHY_NOT = (
    "A checkpoint has variables but no graph; pass the .meta file or the SavedModel that it "
    "belongs to, or a checkpoint of a slim network."
)


def open_checkpoint(place: Place, choices: Choices, model_dir: str | Path | None) -> Model:
    """Open a checkpoint, whatever network it is of.

    One of a slim network is recognised by its variables, and is frozen from slim's own description
    of the network. Any other can be frozen with the `.meta` file of the same name beside it.

    Args:
        place: see `checkpoint_prefix`.
        choices: how to freeze a slim network.
        model_dir: where frozen slim networks are kept; None for the user's cache folder.

    Raises:
        InputError: there is no checkpoint, more than one, or a damaged one; or `choices` ask for a
            slim network and it is none.
    """
    checkpoint = Checkpoint(place)
    dtypes, shapes = checkpoint.dtypes, checkpoint.shapes
    model = functools.partial(
        Model,
        path=place.named,
        kind=Kind.CHECKPOINT,
        variables=[TensorInfo(key, dtypes[key], shape) for key, shape in shapes.items()],
        reader=checkpoint.read,
    )
    details = {"variables": str(len(shapes))}
    try:
        network = recognise(shapes)
    except InputError as error:
        if choices.is_for_slim:
            raise
        reason = str(error)
    else:
        return model(
            description=f"checkpoint of slim's {network.name}",
            slim_network=network.name,
            details=details,
            freezer=lambda size: frozen_network(
                checkpoint, _usual_size(place, size), choices, model_dir
            ),
        )
    meta = checkpoint.prefix.with_name(f"{checkpoint.prefix.path.name}.meta")
    objects = any(_OBJECT_KEY.fullmatch(name) for name in shapes)
    description = f"checkpoint of {'TensorFlow 2 objects' if objects else 'variables'}"
    if not meta.path.is_file():
        why_not = f"{reason} {_WHY_NOT}"
        return model(description=description, details=details, why_not_frozen=why_not)
    graph = open_meta_graph(meta, Choices(signature=choices.signature, outputs=choices.outputs))
    return model(
        signatures=graph.signatures,
        description=description,
        details=details | {"graph": meta.path.name},
        freezer=graph.freezer,
        light_freezer=graph.light_freezer,
        why_not_frozen=graph.why_not_frozen,
    )


def _usual_size(place: Place, size: ImageSize) -> ImageSize:
    """Return the image size to build a network for: a square where one side was given.

    Without any, it is the size that a published checkpoint was trained for, which its variables do
    not tell, or the network's own.
    """
    height, width = size
    if height is None and width is None:
        names = [path.name for path in (place.named, *place.named.parents)]
        known = next((entry for name in names if (entry := catalog.find_checkpoint(name))), None)
        height = known.image_size if known else None
    return (width if height is None else height), (height if width is None else width)
