"""Model: a file of any kind, opened lazily; looking at it runs nothing of it."""

from __future__ import annotations

import dataclasses
import functools
import html
import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from retrain_tools.catalog_entry import CatalogEntry
from retrain_tools.errors import InputError, did_you_mean
from retrain_tools.graphdef.navigate import tensor_name
from retrain_tools.graphdef.spec import FrozenGraph, SpecOverrides
from retrain_tools.graphdef.summary import Summary
from retrain_tools.graphdef.tensors import Tensor, list_tensors
from retrain_tools.graphdef.view import GraphView, view_of
from retrain_tools.sources.contents import (
    Array,
    Choices,
    Frozen,
    ImageSize,
    Layer,
    OwnGraph,
    ReadValue,
    Signature,
    TensorInfo,
    said,
)
from retrain_tools.sources.inside.part import Part
from retrain_tools.sources.kinds import Kind
from retrain_tools.text_tables import Style, aligned, counted

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Model:
    """An opened file of any kind. Nothing of it has been run, and no variable has been read.

    Attributes:
        path: what was opened, as the user named it.
        kind: what kind of file it is; inside an archive, that of the file in it.
        description: the same in words: `SavedModel of TensorFlow 1.15.0, tags serve`.
        stored: the graph as the file has it, with variables and functions; None without a graph.
        variables: what the file stores.
        signatures: what it offers, by name.
        own_graph: a graph that is no GraphDef (TensorFlow Lite).
        slim_network: the name of the slim network that a checkpoint is of; None for anything else.
        application: the name of the Keras application that it is; None for a file.
        details: what else is worth knowing: label and text.
        why_not_frozen: why it cannot be frozen, and what to do: completes "… cannot be frozen: ".
        choices: what the user chose of it.
        entry: its catalogue entry, if it was asked for by name.
        overrides: what the user said of its tensors and images, for all later uses.
        reader: reads the value of a variable; None where there are no values.
        describe: the layers that the file describes, the outermost models; None where it has none.
        freezer: makes the frozen graph for an image size; None where that cannot be.
        light_freezer: makes it for the usual one without the values of large variables, which are
            not looked at; None where that is no faster.
        keeps: what has to live as long as the model: the folder that an archive was unpacked to.
    """

    path: Path
    kind: Kind
    description: str
    stored: GraphView | None = None
    variables: Sequence[TensorInfo] = ()
    signatures: Mapping[str, Signature] = dataclasses.field(default_factory=dict)
    own_graph: OwnGraph | None = None
    slim_network: str | None = None
    application: str | None = None
    details: Mapping[str, str] = dataclasses.field(default_factory=dict)
    why_not_frozen: str = ""
    choices: Choices = dataclasses.field(default_factory=Choices)
    entry: CatalogEntry | None = None
    overrides: SpecOverrides = dataclasses.field(default_factory=SpecOverrides)
    reader: ReadValue | None = None
    describe: Callable[[], Sequence[Part]] | None = None
    freezer: Callable[[ImageSize], Frozen] | None = None
    light_freezer: Callable[[], Frozen] | None = None
    keeps: Any = None

    @property
    def stored_graph(self) -> Any | None:
        """The GraphDef as the file has it, with variables and functions; None without a graph."""
        return None if self.stored is None else self.stored.proto

    @property
    def own_tensors(self) -> Sequence[Tensor]:
        """The tensors of a graph that is no GraphDef, by the names that the file has for them."""
        return () if self.own_graph is None else self.own_graph.tensors

    @property
    def can_freeze(self) -> bool:
        """Whether freezing is worth trying: nothing that is already known speaks against it."""
        return self.freezer is not None

    def freeze(
        self, image_size: ImageSize = (None, None), feeds: Mapping[str, Any] | None = None
    ) -> Frozen:
        """Return the graph of the chosen signature with constants for variables.

        Args:
            image_size: for a network that can be built for more than one, as slim's.
            feeds: values for placeholders by their names; they become constants.

        Raises:
            InputError: it cannot be frozen; the message says why, and what to do.
        """
        if self.freezer is None:
            raise InputError(f"{self.path} cannot be frozen: {self.why_not_frozen}")
        return self._fed(self.freezer(image_size), feeds)

    def _fed(self, made: Frozen, feeds: Mapping[str, Any] | None) -> Frozen:
        if not feeds:
            return made
        from retrain_tools.graphdef.feeds import fold_feeds

        graph_def = fold_feeds(made.graph_def, feeds, str(self.path))
        folded = set(map(tensor_name, feeds))
        inputs = {key: name for key, name in made.inputs.items() if name not in folded}
        return Frozen(graph_def, inputs, made.outputs)

    @functools.cached_property
    def usual(self) -> Frozen:
        """The frozen graph by what the user said of the model, made once.

        Reading it raises what `freeze` raises.
        """
        return self.freeze(_size(self.overrides), self.overrides.feeds)

    @property
    def _frozen(self) -> Frozen | None:
        """The frozen graph that is looked at; None where the model cannot be frozen.

        It may lack the values of large variables.
        """
        return self._tried[0]

    @functools.cached_property
    def _tried(self) -> tuple[Frozen | None, str]:
        """The same, and why it cannot be frozen."""
        if self.freezer is None and self.stored is None:
            return None, self.why_not_frozen
        try:
            if self.light_freezer is None:
                return self.usual, ""
            return self._fed(self.light_freezer(), self.overrides.feeds), ""
        except InputError as error:
            # What the user chose is not there; or nothing is, without a file.
            if self.choices != Choices() or self.application is not None:
                raise
            if self.stored is not None:
                log.warning("%s What follows is the graph as it is stored.", error)
            return None, str(error)

    @functools.cached_property
    def view(self) -> GraphView | None:
        """`graph`, read once for all that only looks at it, and not at the values of variables."""
        if self._is_frozen_already or self._frozen is None:
            return self.stored
        return view_of(self._frozen.graph_def)

    @property
    def graph(self) -> Any | None:
        """The frozen GraphDef; where it cannot be frozen, as it is stored; None without a graph.

        Raises:
            InputError: the values of its variables are damaged or missing.
        """
        if self._is_frozen_already or self._frozen is None:
            return self.stored_graph
        return self.usual.graph_def

    @property
    def _is_frozen_already(self) -> bool:
        return self.kind is Kind.GRAPH_DEF and self.can_freeze and not self.overrides.feeds

    def frozen(self, overrides: SpecOverrides | None = None) -> FrozenGraph:
        """Return the frozen graph with all that it takes to run it on images.

        Args:
            overrides: what the user says of tensors, image size and scaling; None for
                `self.overrides`.

        Raises:
            InputError: it cannot be frozen, a named tensor does not exist, or no image input or
                image size can be found.
        """
        from retrain_tools.graphdef.make_spec import make_spec  # with the catalogue, which is slow

        overrides = overrides or self.overrides
        size, feeds = _size(overrides), overrides.feeds
        is_usual = (size, feeds) == (_size(self.overrides), self.overrides.feeds)
        made = self.usual if is_usual else self.freeze(size, feeds)
        spec, entry = make_spec(made.graph_def, str(self.path), self.entry, overrides)
        if spec.final is None and len(made.outputs) == 1:
            spec = dataclasses.replace(spec, final=next(iter(made.outputs.values())))
        how = said(self.choices, overrides)
        allowed = overrides.allow_unsafe_graph
        return FrozenGraph(made.graph_def, spec, self.path, entry, how, allowed)

    def value(self, name: str) -> Array:
        """Read the value of one variable: an array of its dtype and shape.

        Raises:
            InputError: there is no such variable, or its value is missing or damaged.
        """
        known = [variable.name for variable in self.variables]
        if name not in known:
            holder = self.path if known else f"{self.path}: it is a {self.description}"
            raise InputError(f"No variable {name!r} in {holder}.{did_you_mean(name, known)}")
        if self.reader is None:
            raise InputError(f"{self.path} has no values of variables: {self.why_not_frozen}")
        import numpy as np

        return np.asarray(self.reader(name))

    @functools.cached_property
    def all_tensors(self) -> list[Tensor]:
        """Every tensor of `graph`; without a graph, the file's own tensors or its variables."""
        if self.view is not None:
            return list_tensors(self.view)
        return list(self.own_tensors) or [Tensor(*v, "variable") for v in self.variables]

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

    def layers(self) -> list[Layer]:
        """Return the layers that the file describes, models before the layers in them.

        What each one gives, and its shape, is told where the model can be frozen.

        Raises:
            InputError: the file describes no layers.

        Example:
            >>> import retrain_tools as rt
            >>> [layer.name for layer in rt.load("model.keras").layers() if layer.kind == "Conv2D"]
            ['model/conv1', 'model/conv2']
        """
        from retrain_tools.sources.inside.placed import list_layers

        parts = () if self.describe is None else self.describe()
        if not parts:
            raise InputError(
                f"{self.path} describes no layers: it is a {self.description}. "
                "list_tensors --tree folds the scopes of a graph."
            )
        if self._frozen is None:
            return list_layers(parts, None, None, ())
        return list_layers(parts, self._frozen, self.view, self.all_tensors)

    def summary(self) -> Summary:
        """Return what the network is, in short; it prints as text, and a notebook shows a table.

        Raises:
            InputError: the file has no graph, only variables or a listing.
        """
        from retrain_tools.graphdef.summarize import summarize  # with the catalogue

        if self.view is None:
            why = self.why_not_frozen
            raise InputError(f"{self.path} ({self.description}) has no graph to sum up: {why}")
        is_keras = self.kind in (Kind.KERAS, Kind.HDF5)
        outputs = self._frozen.outputs if self._frozen and (is_keras or self.signatures) else {}
        is_function = all(signature.is_function for signature in self.signatures.values())
        known_by = "the function" if is_function else "the signature"
        return summarize(
            self.view,
            self.path,
            self.entry,
            self.all_tensors,
            self.overrides.input_layer,
            self.description,
            outputs,
            "the model" if is_keras else known_by,
            said(self.choices, self.overrides),
        )

    def application_details(self) -> list[tuple[str, str]]:
        """Return what a Keras application was asked to be: labels and texts; empty for a file.

        Raises:
            InputError: it cannot be built, see `frozen`.
        """
        if self.application is None:
            return []
        spec = self.frozen().spec
        height, width = spec.image_size
        size = {"size": f"{height} × {width} pixels", "resize": spec.resize or "as retrain.py did"}
        return list({**self.details, **size}.items())

    def held_beside_the_graph(self) -> list[tuple[str, str]]:
        """Return what the file holds beside its graph, and the flag that lists it."""
        lines = []
        if self.variables:
            tensors = [Tensor(*variable, "") for variable in self.variables]
            values = sum(math.prod(d or 0 for d in t.shape) for t in tensors if t.shape is not None)
            size = sum(tensor.bytes or 0 for tensor in tensors)
            count = counted(len(self.variables), "variable")
            lines.append(("Variables", f"{count}, {values:,} values, {size:,} bytes: --variables"))
        if self.signatures:
            lines.append(("Signatures", f"{', '.join(self.signatures)}: --signatures"))
        return lines

    def about(self) -> str:
        """Return as text what is known of a file without a graph."""
        held = self.held_beside_the_graph()
        told = {label.lower() for label, _ in held}  # and in more words
        details = {k: text for k, text in self.details.items() if k not in told}
        lines = [("File", str(self.path)), ("Kind", self.description)]
        lines += [(f"{k[:1].upper()}{k[1:]}", text) for k, text in details.items()]
        if self.own_graph is not None:
            sides = {"Input": self.own_graph.inputs, "Output": self.own_graph.outputs}
            by_name = {tensor.name: tensor for tensor in self.own_graph.tensors}
            for side, names in sides.items():
                ends = [by_name[name] for name in names]
                lines += [(side, f"{t.name}  {t.dtype}  {t.shape_text}") for t in ends]
        lines += held
        if self._tried[1]:
            lines.append(("Frozen", f"cannot be: {self._tried[1]}"))
        return aligned(lines, Style(), heading=False)

    def __repr__(self) -> str:
        return f"<Model {self.path}: {self.description}>"

    def _repr_html_(self) -> str:
        if self.view is not None:
            return self.summary()._repr_html_()
        return f"<pre>{html.escape(self.about())}</pre>"


def _size(overrides: SpecOverrides) -> ImageSize:
    return overrides.input_height, overrides.input_width
