"""What any opened file is: its kind, graph, variables and signatures, and how to freeze it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError, did_you_mean
from retrain_tools.graphdef.note import Note
from retrain_tools.graphdef.shapes.call import Shape
from retrain_tools.graphdef.tensors import Tensor


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """One end of a signature.

    Attributes:
        name: full tensor name in `Opened.graph_def`; `?` where there is no graph to name it in.
        dtype: TensorFlow's name of the type.
        shape: the dimensions, None for an unknown one; None where even the rank is unknown.
    """

    name: str
    dtype: str
    shape: Shape | None


@dataclasses.dataclass(frozen=True)
class Signature:
    """What can be asked of a model under one name.

    Attributes:
        inputs, outputs: tensors by their keys.
    """

    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]


@dataclasses.dataclass(frozen=True)
class StoredVariable:
    """A variable of a graph, or an array of a checkpoint or a file of weights.

    Attributes:
        name: as the file has it; the node's name for a variable of a graph.
        dtype: TensorFlow's name of the type.
        shape: its dimensions; None where the file does not tell.
    """

    name: str
    dtype: str
    shape: Shape | None


@dataclasses.dataclass(frozen=True)
class FrozenSource:
    """A network without variables.

    Attributes:
        graph_def: TensorFlow's GraphDef.
        inputs, outputs: full tensor names by the keys of the signature that was frozen.
        source: what was frozen, for people.
        note: the scaling of pixels and the rest, as it is attached to the graph; None where it is
            not known.
        warning: what to know before feeding it, for people; None where there is nothing.
    """

    graph_def: Any
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    source: str
    note: Note | None = None
    warning: str | None = None


@dataclasses.dataclass(frozen=True)
class Opened:
    """An opened file. Nothing that it holds has been run, and no value has been read.

    Attributes:
        path: what was opened, as the user named it.
        kind: what it is, in words: `SavedModel of TensorFlow 1, tags serve`.
        graph_def: its graph as it is stored, with variables and functions (a `schema.GraphDef`);
            None for a file without a graph.
        variables: what it stores.
        signatures: what it offers, by name.
        tensors: the tensors of a graph that is no GraphDef (TensorFlow Lite), without `:0`.
        details: what else is worth knowing: label and text.
        reader: gives the value of a variable; None where there are no values. Ask `value`.
        freezer: makes the frozen graph; None where that cannot be. Ask `freeze`.
        why_not: why it cannot be frozen, and what to do; completes "… cannot be frozen: ".
        keeps: what has to live as long as this: the folder that an archive was unpacked to.
    """

    path: Path
    kind: str
    graph_def: Any | None = None
    variables: Sequence[StoredVariable] = ()
    signatures: Mapping[str, Signature] = dataclasses.field(default_factory=dict)
    tensors: Sequence[Tensor] = ()
    details: Mapping[str, str] = dataclasses.field(default_factory=dict)
    reader: Callable[[str], npt.NDArray[Any]] | None = dataclasses.field(default=None, repr=False)
    freezer: Callable[[], FrozenSource] | None = dataclasses.field(default=None, repr=False)
    why_not: str = ""
    keeps: Any = dataclasses.field(default=None, repr=False)

    @property
    def can_freeze(self) -> bool:
        """Whether `freeze` is worth trying: nothing that is already known speaks against it."""
        return self.freezer is not None

    def freeze(self) -> FrozenSource:
        """Return the network of the chosen signature as a graph without variables.

        Raises:
            InputError: it cannot be frozen; the message says why, and what to do.
        """
        if self.freezer is None:
            raise InputError(f"{self.path} cannot be frozen: {self.why_not}")
        return self.freezer()

    def value(self, name: str) -> npt.NDArray[Any]:
        """Read the value of one variable.

        Raises:
            InputError: there is no such variable, or its value is missing or damaged.
        """
        known = [variable.name for variable in self.variables]
        if name not in known:
            raise InputError(f"No variable {name!r} in {self.path}.{did_you_mean(name, known)}")
        if self.reader is None:
            raise InputError(f"{self.path} has no values of variables: {self.why_not}")
        return np.asarray(self.reader(name))
