"""A network in a file of any kind, opened to be looked at and to be used: `retrain_tools.load`."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrain_tools.errors import InputError
from retrain_tools.graphdef.file_kind import foreign_kind
from retrain_tools.graphdef.load import read_graph_view
from retrain_tools.graphdef.tensors import Tensor, list_tensors
from retrain_tools.graphdef.view import view_of

if TYPE_CHECKING:  # a plain graph is listed in the time that NumPy takes to be imported
    import numpy.typing as npt

    from retrain_tools.catalog_entry import CatalogEntry
    from retrain_tools.features.in_memory import Features
    from retrain_tools.graphdef.load import FrozenGraph
    from retrain_tools.graphdef.spec import SpecOverrides
    from retrain_tools.listing.shown import ShownSummary
    from retrain_tools.sources.load import Choices
    from retrain_tools.sources.opened import Opened, Signature, StoredVariable

log = logging.getLogger(__name__)

_GRAPH_FILE = "frozen GraphDef"


class Network:
    """An opened network. Looking at it runs nothing of it.

    Attributes:
        path: what was opened, as the user named it.
        kind: what kind of file it is, in words.
        entry: its catalogue entry, if it was asked for by name.
        opened: all that the file holds; None for a plain frozen graph, which holds only that.
    """

    def __init__(
        self,
        graph: str | Path,
        model_dir: str | Path | None = None,
        choices: Choices | None = None,
        overrides: SpecOverrides | None = None,
    ) -> None:
        """Open a file; see `load_graph` for the arguments.

        Raises:
            InputError: there is no such file, or it cannot be read.
        """
        self.path, self.kind = Path(graph), _GRAPH_FILE
        self.entry: CatalogEntry | None = None
        self.opened: Opened | None = None
        self._graph, self._model_dir = str(graph), model_dir
        self._choices, self._overrides = choices, overrides
        self._outputs: Mapping[str, str] = {}  # of the signature that was frozen
        plain = _plain_graph(self.path) if choices is None else None
        if plain is not None:
            self.view, self._stored = plain, plain.proto
        else:
            from retrain_tools.sources.load import open_graph

            self.opened, self.entry = open_graph(self._graph, model_dir, choices)
            self.path, self.kind = self.opened.path, self.opened.kind
            self._stored = self.opened.graph_def

    @property
    def stored_graph(self) -> Any | None:
        """The GraphDef as the file has it, maybe with variables and functions, or None."""
        return self._stored

    @functools.cached_property
    def graph_def(self) -> Any | None:
        """The graph that can be used: frozen, or as it is stored if it cannot be; or None."""
        if self.opened is None or self.kind.startswith(_GRAPH_FILE):  # in an archive, maybe
            return self._stored
        try:
            frozen = self.opened.freeze()
        except InputError as error:
            if self._choices is not None:  # what the user chose is not there
                raise
            if self._stored is not None:
                log.warning("%s What follows is the graph as it is stored.", error)
            return self._stored
        self._outputs = frozen.outputs
        return frozen.graph_def

    @functools.cached_property
    def view(self) -> Any:
        """`graph_def` for what only looks at it, read once."""
        return view_of(self.graph_def)

    @property
    def variables(self) -> Sequence[StoredVariable]:
        """The variables that the file stores."""
        return self.opened.variables if self.opened else ()

    def value(self, variable: str) -> npt.NDArray[Any]:
        """Read the value of a variable.

        Raises:
            InputError: there is no such variable, or its value is missing or damaged.
        """
        if self.opened is None:
            raise InputError(f"No variable {variable!r} in {self.path}: it is a {self.kind}.")
        return self.opened.value(variable)

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """What a SavedModel or MetaGraph offers, by name."""
        return self.opened.signatures if self.opened else {}

    @functools.cached_property
    def all_tensors(self) -> list[Tensor]:
        """Every tensor of `graph_def`; where there is none, the file's own tensors or variables."""
        if self.graph_def is not None:
            return list_tensors(self.view)
        assert self.opened is not None  # noqa: S101  (a plain graph has a graph)
        if self.opened.tensors:
            return list(self.opened.tensors)
        return [Tensor(v.name, v.dtype, v.shape, "variable") for v in self.opened.variables]

    def tensors(self, pattern: str | None = None) -> list[Tensor]:
        """Return the tensors in whose name a regular expression is found; all without one.

        Raises:
            InputError: it is not a regular expression.
        """
        try:
            found = re.compile(pattern or "").search
        except re.error as error:
            raise InputError(f"{pattern!r} is not a regular expression: {error}") from error
        return [tensor for tensor in self.all_tensors if found(tensor.name)]

    def summary(self) -> ShownSummary:
        """Return what the network is, in short; a notebook shows it as a table.

        Raises:
            InputError: the file has no graph, only variables or a listing.
        """
        from retrain_tools.graphdef.summary import summarize
        from retrain_tools.listing.shown import ShownSummary

        if self.graph_def is None:
            why = self.opened.why_not if self.opened else ""
            raise InputError(f"{self.path} ({self.kind}) has no graph to sum up: {why}")
        layer = self._overrides.input_layer if self._overrides else None
        tensors = self.all_tensors
        found = summarize(
            self.view, self.path, self.entry, tensors, layer, self.kind, self._outputs
        )
        return ShownSummary(**vars(found))

    @functools.cached_property
    def frozen(self) -> FrozenGraph:
        """The frozen graph and how to use it on images; this imports TensorFlow.

        Raises:
            InputError: see `load_graph`.
        """
        from retrain_tools.sources.load import load_graph

        return load_graph(self._graph, self._model_dir, self._overrides, self._choices)

    def fetch(
        self,
        names: str | Sequence[str],
        images: str | Path | Sequence[str | Path],
        pooling: str | None = None,
    ) -> Features:
        """Fetch tensors for images, in memory; `fetch_tensors` does it for more than fit there.

        Args:
            names: tensors, nodes, or slim's names of end points.
            images: an image file, a folder that is searched at any depth, or several of them.
            pooling: `avg`, `max` or `flatten` to make vectors of feature maps.

        Raises:
            InputError: a tensor is not there or not computed from images, or there is no image.
        """
        from retrain_tools.features.in_memory import fetch_in_memory
        from retrain_tools.images.folders import find_images

        places = [images] if isinstance(images, (str, Path)) else images
        paths: list[str] = []
        for place in map(str, places):
            paths += [i.path for i in find_images(place)] if Path(place).is_dir() else [place]
        wanted = [names] if isinstance(names, str) else list(names)
        return fetch_in_memory(self.frozen, wanted, paths, pooling)

    def __repr__(self) -> str:
        return f"<Network {self.path}: {self.kind}>"

    def _repr_html_(self) -> str:
        if self.graph_def is not None:
            return self.summary()._repr_html_()
        import html

        from retrain_tools.listing.about import about_text

        return f"<pre>{html.escape(about_text(self))}</pre>"


def _plain_graph(path: Path) -> Any | None:
    """Read a frozen GraphDef without TensorFlow; None for anything else, or a damaged one."""
    if not path.is_file() or foreign_kind(path) is not None:
        return None
    try:
        return read_graph_view(path)
    except InputError:
        return None
