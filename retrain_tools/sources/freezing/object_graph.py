"""Functions of a TensorFlow 2 SavedModel that have no signature, as `__call__` of Hub's models.

The file describes the Python objects that were saved: a tree of children, functions and variables
among them. A function names what it captured, and the checkpoint repeats the tree with its keys.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from retrain_tools.graphdef.dtypes import dtype_name
from retrain_tools.graphdef.functions import add_argument
from retrain_tools.graphdef.shapes.call import shape_in
from retrain_tools.sources.checkpoints.checkpoint import Checkpoint
from retrain_tools.sources.contents import Signature, TensorInfo
from retrain_tools.sources.freezing.freeze import valid_name
from retrain_tools.sources.freezing.variable_places import VariablePlace

_OBJECT_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"  # checkpoints of TensorFlow 2 hold it


@dataclasses.dataclass(frozen=True)
class CalledFunction:
    """A graph that calls a function.

    Attributes:
        graph_def: a placeholder for each argument, what was captured, one call, and the library.
        signature: the arguments and results.
        objects: the number in the tree of objects of each variable, by its node's name.
    """

    graph_def: Any
    signature: Signature
    objects: Mapping[str, int]


def function_names(meta_graph: Any) -> list[str]:
    """Return the names of the functions of the saved object itself, in alphabetical order."""
    tree = meta_graph.object_graph_def
    if not tree.nodes:
        return []
    return sorted(
        child.local_name
        for child in tree.nodes[0].children
        if 0 <= child.node_id < len(tree.nodes)
        and tree.nodes[child.node_id].WhichOneof("kind") == "function"
        and tree.nodes[child.node_id].function.concrete_functions
    )


def is_reusable(meta_graph: Any) -> bool:
    """Tell whether the saved object offers what TF2 Hub asks of a model that can be built upon.

    That is `__call__` and a list of regularization losses; Keras models have both as well, and say
    that they are Keras models.
    """
    tree = meta_graph.object_graph_def
    if not tree.nodes:
        return False
    names = {child.local_name for child in tree.nodes[0].children}
    return {"__call__", "regularization_losses"} <= names and "keras_api" not in names


def call_function(meta_graph: Any, name: str, where: str) -> CalledFunction:
    """Make a graph that only calls one of `function_names`.

    Of the traces of the function, one for inference is taken: no argument is True.

    Raises:
        InputError: the file is damaged, or the function needs a table or a file.
    """
    tree = meta_graph.object_graph_def
    number = next(c.node_id for c in tree.nodes[0].children if c.local_name == name)
    traced = tree.nodes[number].function.concrete_functions
    functions = {f.signature.name: f for f in meta_graph.graph_def.library.function}
    known = [trace for trace in traced if trace in tree.concrete_functions and trace in functions]
    if not known:
        raise InputError(f"{where} is damaged: the function {name!r} is not in it.")
    traced_with = {
        trace: tree.concrete_functions[trace].canonicalized_input_signature for trace in known
    }
    chosen = min(known, key=lambda trace: _trues(traced_with[trace]))
    function, bound = functions[chosen], tree.concrete_functions[chosen].bound_inputs
    graph_def = schema.GraphDef(
        versions=meta_graph.graph_def.versions, library=meta_graph.graph_def.library
    )
    constants = {node.name: node for node in meta_graph.graph_def.node if node.op == "Const"}
    taken = set(constants)
    inputs = _add_arguments(function, len(bound), graph_def, taken)
    captured: dict[int, str] = {}  # the node that stands for each object
    for place in bound:
        held = tree.nodes[place] if 0 <= place < len(tree.nodes) else None
        constant = None if held is None else constants.get(held.constant.operation)
        if constant is None and place not in captured:
            captured[place] = _add_variable(held, graph_def, taken, where)
        elif constant is not None:
            if constant.name not in captured.values():
                graph_def.node.append(constant)
            captured[place] = constant.name
    call = graph_def.node.add(name=_unique(f"{name}_call", taken), op="StatefulPartitionedCall")
    call.attr["f"].func.name = chosen
    call.input.extend(info.name.removesuffix(":0") for info in inputs.values())
    call.input.extend(captured[place] for place in bound)
    results = list(function.signature.output_arg)
    keys = list(_tensor_keys(tree.concrete_functions[chosen].output_signature, ""))
    if len(keys) != len(results):  # of a kind that is not looked into
        keys = [result.name for result in results]
    outputs = {
        key: TensorInfo(f"{call.name}:{index}", dtype_name(result.type), None)
        for index, (key, result) in enumerate(zip(keys, results, strict=True))
    }
    objects = {name: place for place, name in captured.items() if name not in constants}
    return CalledFunction(graph_def, Signature(inputs, outputs, is_function=True), objects)


def _add_arguments(
    function: Any, bound: int, graph_def: Any, taken: set[str]
) -> dict[str, TensorInfo]:
    """Add a placeholder for each argument but the last `bound` ones, which were captured."""
    inputs = {}
    arguments = list(function.signature.input_arg)
    for index, argument in enumerate(arguments[: len(arguments) - bound]):
        node = add_argument(graph_def, _unique(argument.name, taken), function, index)
        known = function.arg_attr[index].attr if index in function.arg_attr else {}
        shape = shape_in(node.attr["shape"].shape)
        said = "_user_specified_name" in known and known["_user_specified_name"].s
        key = said.decode("utf-8", "replace") if said else argument.name
        inputs[key] = TensorInfo(f"{node.name}:0", dtype_name(argument.type), shape)
    return inputs


def _trues(value: Any) -> int:
    """Count the arguments that are True: `training`, in the functions of Keras and Hub."""
    match value.WhichOneof("kind"):
        case "bool_value":
            return int(value.bool_value)
        case "tuple_value" | "list_value" as kind:
            return sum(map(_trues, getattr(value, kind).values))
        case "dict_value":
            return sum(map(_trues, value.dict_value.fields.values()))
    return 0


def _tensor_keys(value: Any, path: str) -> Iterator[str]:
    """Yield a key for each tensor of a structure, in the order in which functions return them."""
    match value.WhichOneof("kind"):
        case "dict_value":
            for key, item in sorted(value.dict_value.fields.items()):
                yield from _tensor_keys(item, f"{path}/{key}" if path else key)
        case "tuple_value" | "list_value" as kind:
            for index, item in enumerate(getattr(value, kind).values):
                yield from _tensor_keys(item, f"{path}/{index}" if path else f"output_{index}")
        case _:
            yield path or "output_0"


def _add_variable(held: Any, graph_def: Any, taken: set[str], where: str) -> str:
    """Add a node that stands for a captured variable, and return its name."""
    kind = None if held is None else held.WhichOneof("kind")
    if kind != "variable":
        raise InputError(
            f"{where} cannot be frozen: its function needs {kind or 'an object'} besides variables "
            "and constants, as a lookup table or a file; name one of its signatures if it has any."
        )
    node = graph_def.node.add(name=_unique(held.variable.name, taken), op="VarHandleOp")
    node.attr["dtype"].type = held.variable.dtype
    node.attr["shape"].shape.CopyFrom(held.variable.shape)
    return str(node.name)


def _unique(text: str, taken: set[str]) -> str:
    base = valid_name(text)
    numbered = (f"{base}_{number}" for number in itertools.count(1))
    name = next(name for name in itertools.chain([base], numbered) if name not in taken)
    taken.add(name)
    return name


def object_places(
    meta_graph: Any, objects: Mapping[str, int], checkpoint: Checkpoint
) -> dict[str, VariablePlace]:
    """Return where the checkpoint keeps each variable, by the node that stands for it.

    Args:
        meta_graph: a `schema.MetaGraphDef`.
        objects: see `CalledFunction`.
        checkpoint: the SavedModel's.
    """
    if _OBJECT_GRAPH_KEY not in checkpoint.shapes:
        return {}
    tree = meta_graph.object_graph_def.nodes
    saved = checkpoint.read(_OBJECT_GRAPH_KEY).item()
    kept = schema.TrackableObjectGraph.FromString(saved).nodes
    keys: dict[int, str] = {}
    seen = set()
    waiting = [(0, 0)]
    while waiting:  # down both trees at once, by the names of children
        mine, its = pair = waiting.pop()
        if pair in seen or not (0 <= mine < len(tree) and 0 <= its < len(kept)):
            continue
        seen.add(pair)
        for attribute in kept[its].attributes:
            if attribute.name == "VARIABLE_VALUE":
                keys[mine] = attribute.checkpoint_key
        children = {child.local_name: child.node_id for child in kept[its].children}
        waiting.extend(
            (child.node_id, children[child.local_name])
            for child in tree[mine].children
            if child.local_name in children
        )
    return {node: VariablePlace(keys[number]) for node, number in objects.items() if number in keys}
