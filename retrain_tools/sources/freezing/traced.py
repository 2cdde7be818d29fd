"""What a Keras model computes, traced into a graph."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from retrain_tools.graphdef.dtypes import dtype_number
from retrain_tools.graphdef.navigate import node_name
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.sources.contents import Frozen, Signature, TensorInfo
from retrain_tools.sources.freezing.freeze import freeze_signature, valid_name


@dataclasses.dataclass(frozen=True)
class Traced:
    """A graph with variables.

    Attributes:
        graph_def: a `schema.GraphDef`.
        signature: its inputs and outputs.
        values: of its variables, by their names.
        handles: the numbers of their dtypes, by their names.
    """

    graph_def: Any
    signature: Signature
    values: Mapping[str, npt.NDArray[Any]]
    handles: Mapping[str, int]

    def freeze(self, where: str) -> Frozen:
        """Return it with constants for variables.

        Raises:
            InputError: see `freeze_signature`.
        """
        values, handles = self.values.__getitem__, self.handles
        return freeze_signature(self.graph_def, self.signature, values, where, handles)


def traced_model(model: Any, where: str) -> Traced:
    """Trace a model of either generation of Keras for inference.

    Args:
        model: the model.
        where: its file, for messages.

    Raises:
        InputError: it needs what no frozen graph can hold.
    """
    many = len(model.inputs) > 1

    def infer(*tensors: Any) -> Any:
        return model(list(tensors) if many else tensors[0], training=False)

    specs = [tf.TensorSpec(t.shape, t.dtype, name=node_name(t.name)) for t in model.inputs]
    keys = _distinct(list(getattr(model, "output_names", None) or []))
    return traced(infer, specs, keys, model.variables, where)


def traced(
    call: Callable[..., Any],
    specs: Sequence[Any],
    keys: Sequence[str],
    variables: Sequence[Any],
    where: str,
) -> Traced:
    """Trace what is computed from tensors.

    Variables, which the graph captured as placeholders, get the names that Keras has for them.

    Args:
        call: what computes it.
        specs: of what it takes, with the names of the placeholders.
        keys: of the outputs, in their order; they are numbered where there are not as many.
        variables: all that may be used, of either generation of Keras.
        where: what messages call it.

    Raises:
        InputError: it needs what no frozen graph can hold.
    """
    function = tf.function(call, autograph=False).get_concrete_function(*specs)
    graph_def = schema.GraphDef.FromString(function.graph.as_graph_def().SerializeToString())
    named = dict(map(_handle_and_name, variables))
    names: dict[str, str] = {}
    values: dict[str, npt.NDArray[Any]] = {}
    handles: dict[str, int] = {}
    taken = {node.name for node in graph_def.node}
    held = {id(v.handle): v for v in function.graph.variables}
    for outside, inside in function.graph.captures:
        variable = held.get(id(outside))
        if variable is None and outside.dtype == tf.resource:
            raise InputError(
                f"{where} cannot be frozen: it needs a lookup table ({inside.op.name}), which a "
                "frozen graph cannot hold; save the part of the model after it, and pass that."
            )
        path = valid_name(named.get(id(outside), inside.op.name))
        name = path if path not in taken else inside.op.name
        names[inside.op.name] = name
        taken.add(name)
        values[name] = np.asarray((outside if variable is None else variable).numpy())
        handles[name] = dtype_number(values[name].dtype.name) or 0
    for node in graph_def.node:
        node.name = names.get(node.name, node.name)
        for index, source in enumerate(node.input):
            producer, colon, output = source.partition(":")
            node.input[index] = f"{names.get(producer, producer)}{colon}{output}"
    results = tf.nest.flatten(function.structured_outputs)
    if len(keys) != len(results):
        keys = [f"output_{number}" for number in range(len(results))]
    fed = function.inputs[: len(specs)]
    signature = Signature(
        {node_name(t.name): _info(t) for t in fed},
        {key: _info(t) for key, t in zip(keys, results, strict=True)},
    )
    return Traced(graph_def, signature, values, handles)


def _handle_and_name(variable: Any) -> tuple[int, str]:
    """Return what tells a variable of either generation of Keras apart, and Keras's name for it."""
    if hasattr(variable, "path"):
        return id(variable.value.handle), variable.path
    return id(variable.handle), node_name(variable.name)


def _distinct(names: Sequence[str]) -> list[str]:
    """Return names with numbers where Keras 3 has one for several outputs of a layer."""
    made: dict[str, None] = {}
    for name in names:
        numbered = (f"{name}_{number}" for number in itertools.count(1))
        made[next(n for n in itertools.chain([name], numbered) if n not in made)] = None
    return list(made)


def _info(tensor: Any) -> TensorInfo:
    shape = None if tensor.shape.rank is None else tuple(tensor.shape.as_list())
    return TensorInfo(tensor.name, tensor.dtype.name, shape)
