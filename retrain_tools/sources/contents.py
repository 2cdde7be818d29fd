"""What files hold beside a graph (signatures, variables), and what can be chosen of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from retrain_tools.graphdef.dtypes import dtype_name
from retrain_tools.graphdef.navigate import attribute
from retrain_tools.graphdef.op_sets import VARIABLES
from retrain_tools.graphdef.shapes.call import Shape, shape_in

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]
else:  # a plain graph is listed in the time that NumPy takes to be imported
    Array = Any

ImageSize = tuple[int | None, int | None]
"""(height, width) in pixels that the user asked for; None for the network's own."""


@dataclasses.dataclass(frozen=True)
class Choices:
    """What to take of a file that holds more than one network, and how to freeze a checkpoint.

    Attributes:
        tags: of a SavedModel or Hub module: which of its graphs, by all of its tags.
        signature: of a SavedModel, Hub module or MetaGraph: what to freeze.
        preprocess: of a slim checkpoint: `resize` or `slim`, see `slim.freezing`.
        architecture: of a slim checkpoint: the network's name, to have it checked.
        moving_averages: of a slim checkpoint: take the moving averages where there are any.
        keeps_frozen: of a slim checkpoint: keep the frozen graph in the model folder.
        must_be_slim: refuse anything but a slim checkpoint.
    """

    tags: Sequence[str] | None = None
    signature: str | None = None
    preprocess: str | None = None
    architecture: str | None = None
    moving_averages: bool = True
    keeps_frozen: bool = True
    must_be_slim: bool = False

    @property
    def is_for_slim(self) -> bool:
        """Whether something was chosen that only a slim checkpoint has."""
        return self.must_be_slim or (self.preprocess, self.architecture) != (None, None)


class TensorInfo(NamedTuple):
    """An input or output of a signature.

    Attributes:
        name: full tensor name in the stored graph; `?` where there is no graph to name it in.
        dtype: TensorFlow's name of the type.
        shape: the dimensions, None for an unknown one; None where even the rank is unknown.
    """

    name: str
    dtype: str
    shape: Shape | None


@dataclasses.dataclass(frozen=True)
class Signature:
    """The inputs and outputs, by their keys, of one thing that a model can be asked for."""

    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]


class StoredVariable(NamedTuple):
    """A variable of a graph, or an array of a checkpoint or a file of weights.

    Attributes:
        name: as the file has it; the node's name for a variable of a graph.
        dtype: TensorFlow's name of the type.
        shape: its dimensions; None where the file does not tell.
    """

    name: str
    dtype: str
    shape: Shape | None


ReadValue = Callable[[str], Array]
"""Reads the value of a variable, by its name."""


class Frozen(NamedTuple):
    """A GraphDef without variables, and the full names of its tensors by their signature keys."""

    graph_def: Any
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


def graph_variables(graph_def: Any) -> tuple[StoredVariable, ...]:
    """Return the variables of a graph, in file order, with the types and shapes it gives them."""
    found = []
    for node in graph_def.node:
        if node.op in VARIABLES:
            dims = shape_in(node.attr["shape"].shape) if "shape" in node.attr else None
            dtype = dtype_name(attribute(node, "dtype").type)
            found.append(StoredVariable(node.name, dtype, dims))
    return tuple(found)
