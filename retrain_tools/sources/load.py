"""A --graph flag to an opened file, or to a frozen graph ready for use on images."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

from retrain_tools import catalog
from retrain_tools.catalog_entry import CatalogEntry
from retrain_tools.errors import InputError
from retrain_tools.graphdef.load import FrozenGraph, read_graph_def
from retrain_tools.graphdef.spec import SpecOverrides, make_spec
from retrain_tools.slim.checkpoint import holds_checkpoint
from retrain_tools.sources.checkpoints import Side, open_checkpoint_graph
from retrain_tools.sources.kinds import Kind, kind_of
from retrain_tools.sources.open import open_file
from retrain_tools.sources.opened import FrozenSource, Opened

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Choices:
    """What to take of a file that holds more than one network, and what to put before a network.

    Attributes:
        tags: of a SavedModel: which of its graphs.
        signature: of a SavedModel or MetaGraph: what to freeze.
        preprocess: of a slim checkpoint; see `freeze_checkpoint`.
    """

    tags: Sequence[str] | None = None
    signature: str | None = None
    preprocess: str | None = None


def load_graph(
    graph: str,
    model_dir: str | Path | None = None,
    overrides: SpecOverrides | None = None,
    choices: Choices | None = None,
) -> FrozenGraph:
    """Open a network of any kind of file, or a catalogued one by its name, and freeze it.

    Args:
        graph: a file or folder, a checkpoint's prefix, or a name or alias from the catalogue
            (fetched once).
        model_dir: where catalogued networks and frozen checkpoints are kept; None for the user's
            cache folder.
        overrides: what the user said about tensors, image size and scaling.
        choices: what to take of the file.

    Raises:
        InputError: there is no such graph, it cannot be read or frozen, or a tensor is not in it;
            or something is chosen that this kind of file does not have.
    """
    choices, overrides = choices or Choices(), overrides or SpecOverrides()
    path, entry = _find(graph, model_dir)
    if choices == Choices() and _is_graph_file(path):
        frozen = FrozenSource(read_graph_def(path), {}, {}, "")
    else:
        size = overrides.input_height, overrides.input_width
        frozen = _open(path, model_dir, choices, Side(choices.preprocess, *size)).freeze()
    if frozen.warning:
        log.warning("%s", frozen.warning)
    spec, entry = make_spec(frozen.graph_def, str(path), entry, overrides)
    if spec.final is None and len(frozen.outputs) == 1:
        spec = dataclasses.replace(spec, final=next(iter(frozen.outputs.values())))
    return FrozenGraph(frozen.graph_def, spec, path, entry)


def open_graph(
    graph: str, model_dir: str | Path | None = None, choices: Choices | None = None
) -> tuple[Opened, CatalogEntry | None]:
    """Open what `load_graph` takes, to be looked at.

    Returns:
        The opened file, and its catalogue entry if it was asked for by name.

    Raises:
        InputError: there is no such graph, or it cannot be read.
    """
    path, entry = _find(graph, model_dir)
    choices = choices or Choices()
    return _open(path, model_dir, choices, Side(choices.preprocess)), entry


def _find(graph: str, model_dir: str | Path | None) -> tuple[Path, CatalogEntry | None]:
    path = Path(graph)
    is_inside_archive = not path.exists() and any(parent.is_file() for parent in path.parents)
    if is_inside_archive or holds_checkpoint(graph):
        return path, None
    return catalog.find_graph(graph, model_dir)


def _is_graph_file(path: Path) -> bool:
    return path.is_file() and not holds_checkpoint(str(path)) and kind_of(path) is Kind.GRAPH_DEF


def _open(path: Path, model_dir: str | Path | None, choices: Choices, side: Side) -> Opened:
    if choices.preprocess not in (None, "resize", "slim"):
        raise InputError(f"--preprocess={choices.preprocess} must be resize or slim.")
    is_checkpoint = holds_checkpoint(str(path))
    if choices.preprocess is not None and not is_checkpoint:
        raise InputError(
            f"--preprocess={choices.preprocess} is for slim checkpoints; {path} is a graph, "
            "which has its own way of preparing images."
        )
    # An archived SavedModel holds a checkpoint too; what is chosen says what it is taken for.
    if not is_checkpoint or (choices.tags, choices.signature) != (None, None):
        opened = open_file(path, choices.tags, choices.signature)
        if choices.signature is not None and not opened.signatures:
            raise InputError(f"{path} is a {opened.kind}, which has no signatures; leave them out.")
        return opened
    known = None if side.height or side.width else catalog.find_checkpoint(path.name)
    if known is not None:  # the size it was trained for, which its variables do not tell
        side = side._replace(height=known.image_size)
    try:
        graph_def = open_checkpoint_graph(str(path), model_dir, side)
    except InputError as error:
        return _open_other_checkpoint(path, choices, error)
    try:
        opened = open_file(path)
    except InputError:  # an archive with more than the checkpoint in it
        opened = Opened(path, "")

    def freeze() -> FrozenSource:
        return FrozenSource(graph_def, {}, {}, "")

    kind = "checkpoint of a slim network, frozen"
    return dataclasses.replace(opened, kind=kind, freezer=freeze, why_not="")


def _open_other_checkpoint(path: Path, choices: Choices, error: InputError) -> Opened:
    """Open a checkpoint that is of no slim network, by its MetaGraph or for its variables."""
    if choices.preprocess is not None:
        raise error
    try:
        opened = open_file(path)
    except InputError:
        raise error from None
    if "network" in opened.details:  # slim's, but it cannot be built as it was asked for
        raise error
    return opened if opened.can_freeze else dataclasses.replace(opened, why_not=str(error))
