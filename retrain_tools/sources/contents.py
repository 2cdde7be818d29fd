"""What files hold beside a graph (signatures, variables), and what can be chosen of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from retrain_tools.graphdef.dtypes import dtype_name
from retrain_tools.graphdef.navigate import attribute
from retrain_tools.graphdef.op_sets import VARIABLES
from retrain_tools.graphdef.shapes.call import Shape, shape_in
from retrain_tools.graphdef.spec import SpecOverrides
from retrain_tools.graphdef.tensors import Tensor

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]
else:  # a plain graph is listed in the time that NumPy takes to be imported
    Array = Any

ImageSize = tuple[int | None, int | None]
"""(height, width) in pixels that the user asked for; None for the network's own."""


@dataclasses.dataclass(frozen=True)
class Choices:
    """What to take of a file that holds more than one network, and how to freeze what has no graph.

    Attributes:
        tags: of a SavedModel or Hub module: which of its graphs, by all of its tags.
        signature: of a SavedModel, Hub module or MetaGraph: what to freeze.
        preprocess: of a slim checkpoint: `resize` or `slim`, see `slim.freezing`.
        architecture: of a slim checkpoint: the network's name, to have it checked.
        moving_averages: of a slim checkpoint: take the moving averages where there are any.
        keeps_frozen: of a slim checkpoint: keep the frozen graph in the model folder.
        must_be_slim: refuse anything but a slim checkpoint.
        outputs: of a MetaGraph: the names of its results; None for those that it shows.
        weights: of a Keras application: `imagenet` (None as well), `none`, or a file.
        weights_seed: of a Keras application without weights: of its random ones; None for 0.
        include_top: of a Keras application: with its classifier.
    """

    tags: Sequence[str] | None = None
    signature: str | None = None
    preprocess: str | None = None
    architecture: str | None = None
    moving_averages: bool = True
    keeps_frozen: bool = True
    must_be_slim: bool = False
    outputs: Sequence[str] | None = None
    weights: str | None = None
    weights_seed: int | None = None
    include_top: bool = False

    @property
    def is_for_slim(self) -> bool:
        """Whether something was chosen that only a slim checkpoint has."""
        return self.must_be_slim or (self.preprocess, self.architecture) != (None, None)


def said(choices: Choices, overrides: SpecOverrides) -> dict[str, Any]:
    """Return what a user said of a file, by the names of `load`'s arguments."""
    names = ("input_layer", "input_height", "input_width", "input_mean", "input_std", "resize")
    found: dict[str, Any] = {
        "tags": choices.tags,
        "signature": choices.signature,
        "weights": choices.weights,
        "weights_seed": choices.weights_seed,
        "include_top": choices.include_top or None,
        "preprocess": "none" if overrides.raw_pixels else choices.preprocess,
        **{name: getattr(overrides, name) for name in names},
        "feed": overrides.feeds or None,
        "allow_unsafe_graph": overrides.allow_unsafe_graph or None,
    }
    return {name: value for name, value in found.items() if value is not None}


class TensorInfo(NamedTuple):
    """An input or output of a signature, a variable of a graph, or a stored array of weights.

    Attributes:
        name: of an input or output the full tensor name in the stored graph, `?` without a graph;
            of a variable its node's name; of a stored array the name that the file has.
        dtype: TensorFlow's name of the type.
        shape: the dimensions, None for an unknown one; None where even the rank is unknown.
    """

    name: str
    dtype: str
    shape: Shape | None


class Layer(NamedTuple):
    """A layer of a model, or a model in it.

    Attributes:
        name: its path: the names of the models that it is in, and its own.
        kind: its class, as `Conv2D`; None where the file does not say.
        shape: of what it gives; None where that is not known.
        parameters: how many values its variables hold, those of the layers in it included.
        tensor: what it gives in the frozen graph, by its full name; None where that cannot be told.
    """

    name: str
    kind: str | None
    shape: Shape | None
    parameters: int
    tensor: str | None


@dataclasses.dataclass(frozen=True)
class Signature:
    """The inputs and outputs, by their keys, of one thing that a model can be asked for.

    `is_function` says that it is a function of a saved object, and no signature of the file's.
    """

    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    is_function: bool = False


class Operator(NamedTuple):
    """An operator of a graph that is no GraphDef.

    Attributes:
        op: what it does.
        inputs, outputs: the names of the tensors that it takes and makes, each once.
    """

    op: str
    inputs: Sequence[str]
    outputs: Sequence[str]


@dataclasses.dataclass(frozen=True)
class OwnGraph:
    """A graph that is no GraphDef, as TensorFlow Lite has them.

    Attributes:
        tensors: all of them; each has a name of its own, which may be any text.
        operators: what makes them of each other, in the order in which they run.
        inputs, outputs: the names of what is fed and what comes out.
    """

    tensors: Sequence[Tensor]
    operators: Sequence[Operator]
    inputs: Sequence[str]
    outputs: Sequence[str]


ReadValue = Callable[[str], Array]
"""Reads the value of a variable, by its name."""


class Frozen(NamedTuple):
    """A GraphDef without variables, and the full names of its tensors by their signature keys."""

    graph_def: Any
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


def graph_variables(graph_def: Any) -> tuple[TensorInfo, ...]:
    """Return the variables of a graph, in file order, with the types and shapes it gives them."""
    return tuple(
        TensorInfo(
            node.name,
            dtype_name(attribute(node, "dtype").type),
            shape_in(node.attr["shape"].shape) if "shape" in node.attr else None,
        )
        for node in graph_def.node
        if node.op in VARIABLES
    )
