"""A graph that reads variables to one that reads constants, node by node; nothing is run.

`tf.compat.v1.graph_util.convert_variables_to_constants` needs a session with every variable loaded,
and its successor of TensorFlow 2 a loaded SavedModel, whose functions run while it is loaded.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from retrain_tools.errors import InputError, did_you_mean
from retrain_tools.graphdef import schema
from retrain_tools.graphdef.build import new_constant
from retrain_tools.graphdef.dtypes import INT32, RESOURCE, dtype_name
from retrain_tools.graphdef.navigate import copy_nodes, node_name, nodes_by_name, upstream
from retrain_tools.graphdef.op_sets import VARIABLES
from retrain_tools.graphdef.ops import registry
from retrain_tools.graphdef.walks import downstream, successors

_PLAIN = {  # ops that pass on a reference to a variable, and what passes on its value
    "RefIdentity": "Identity",
    "RefSwitch": "Switch",
    "RefMerge": "Merge",
    "RefEnter": "Enter",
    "RefExit": "Exit",
    "RefNextIteration": "NextIteration",
}
_PASSING = (*_PLAIN.values(), "StopGradient", "PlaceholderWithDefault")
_READING = {  # ops that read a variable: the same for a value, and the attribute with its type
    "ReadVariableOp": ("Identity", "T"),
    "VariableShape": ("Shape", "T"),
    "ResourceGatherNd": ("GatherNd", "Tparams"),
}
_WRITING = ("Assign", "ResourceApply", "ResourceSparse", "ResourceScatter", "Restore", "Save")
_LOOPS = ("While", "StatelessWhile")
_CALLING = {  # ops that call functions: their list of argument types, and inputs before those
    **dict.fromkeys(("If", "StatelessIf", "Case", "StatelessCase"), ("Tin", 1)),
    **dict.fromkeys(_LOOPS, ("T", 0)),
    **dict.fromkeys(("PartitionedCall", "StatefulPartitionedCall"), ("Tin", 0)),
}
# Of private attributes; others are of colocation, …
_KEPT = (
    "_lower_using_switch_merge",
    "_retrain_tools",
    "_retrain_tools_labels",
)
# What a frozen graph cannot hold, since its contents come from outside or from an earlier run.
_UNFREEZABLE = {
    **dict.fromkeys(("HashTable", "HashTableV2", "MutableHashTableV2"), "a lookup table"),
    **dict.fromkeys(
        ("PyFunc", "EagerPyFunc", "PyFuncStateless"),
        "a Python function of the program that made it",
    ),
    **dict.fromkeys(("IteratorV2", "Iterator", "OneShotIterator"), "a data set"),
    **dict.fromkeys(
        ("FIFOQueueV2", "RandomShuffleQueueV2", "PaddingFIFOQueueV2", "QueueDequeueManyV2"),
        "a queue",
    ),
}


def variables_to_constants(
    graph_def: Any, outputs: Collection[str], where: str, handles: Mapping[str, int] | None = None
) -> tuple[Any, set[str]]:
    """Leave what `outputs` are computed from, with an empty constant for each variable.

    Savers, initializers, gradients and assignments go, with the control edges that lead to them.

    Args:
        graph_def: a `schema.GraphDef` without calls (see `inline_calls`); it is changed.
        outputs: full tensor names.
        where: its file, for messages.
        handles: the type (a number of types.proto) of further variables, by the node that stands
            for each, as a placeholder does for what a function captured.

    Returns:
        The graph, and the names of the constants that still have to be filled: the variables' own.

    Raises:
        InputError: an output does not exist, changes a variable, or needs what no frozen graph has.
    """
    nodes = nodes_by_name(graph_def)
    for output in outputs:
        if node_name(output) not in nodes:
            raise InputError(
                f"No tensor {output!r} in {where}.{did_you_mean(node_name(output), nodes)}"
            )
    _drop_control_edges(graph_def, nodes)
    kept = upstream(nodes, outputs)
    result = copy_nodes(graph_def, lambda node: node.name in kept)
    variables = dict(handles or {})
    for node in result.node:
        if node.op in VARIABLES:
            variables[node.name] = node.attr["dtype"].type
        elif node.op in _UNFREEZABLE:
            raise InputError(
                f"{where} cannot be frozen: node {node.name!r} ({node.op}) is "
                f"{_UNFREEZABLE[node.op]}, which a frozen graph cannot hold; freeze a signature "
                "that does not need it."
            )
    variables = {name: dtype for name, dtype in variables.items() if name in kept}
    functions = _Functions(graph_def.library, where)
    functions.rewrite(result.node, variables)
    empty = [node for node in result.node if node.name in variables]
    for node in empty:
        name = node.name
        node.Clear()
        node.name, node.op = name, "Const"
        node.attr["dtype"].type = variables[name]
    result.library.Clear()
    result.library.function.extend(functions.made.values())
    return result, {node.name for node in empty}


def _drop_control_edges(graph_def: Any, nodes: Mapping[str, Any]) -> None:
    """Cut the control edges to whatever changes variables: they order a training step."""
    first = [node.name for node in graph_def.node if changes_state(node)]
    changing = downstream(successors(graph_def), first)
    for node in graph_def.node:
        left = [
            source
            for source in node.input
            if not source.startswith("^") or (source[1:] in nodes and source[1:] not in changing)
        ]
        if len(left) != len(node.input):
            node.input[:] = left


def comes_from_outside(node: Any) -> bool:
    """Tell whether a node has what no frozen graph can hold, as a queue or a table."""
    return node.op in _UNFREEZABLE


def changes_state(node: Any) -> bool:
    """Tell whether a node changes a variable, or reads or writes a checkpoint."""
    if node.op in _PLAIN:
        return False
    return node.op.startswith(_WRITING) or any(a.is_ref for a in _arguments(node))


def _arguments(node: Any) -> Any:
    """Return what the op's definition says of its inputs; nothing for an unknown op."""
    definition = registry().get(node.op)
    return () if definition is None else definition.input_arg


class _Functions:
    """Rewrites nodes, and the functions that they call with variables, each as often as needed.

    Attributes:
        made: the functions that the rewritten nodes call, by old name and types of the arguments.
    """

    def __init__(self, library: Any, where: str) -> None:
        self._originals = {f.signature.name: f for f in library.function}
        self._where = where
        self.made: dict[tuple[str, tuple[int, ...]], Any] = {}

    def rewrite(self, nodes: Any, variables: Mapping[str, int], plain: bool = True) -> None:
        """Give the nodes of a graph or a function's body values where they had variables as inputs.

        Args:
            nodes: a repeated field of NodeDefs; it may grow.
            variables: the type of each variable, under the node or argument that stands for it.
            plain: tensors are named as in graphs, not as in functions.
        """
        carried = _carried(nodes, variables)
        read = {node.name for node in nodes if node.op == "ReadVariableOp"}
        added = []
        for node in nodes:
            for index, source in enumerate(node.input):
                producer, _, output = source.partition(":")
                if producer in read and output.startswith("value"):  # as functions name it
                    node.input[index] = f"{producer}:output{output.removeprefix('value')}"
            if node.name not in variables:
                added += self._rewrite_node(node, carried, plain)
            node.device = ""
            _drop(node, *(key for key in node.attr if key.startswith("_") and key not in _KEPT))
        nodes.extend(added)

    def _rewrite_node(self, node: Any, carried: Mapping[str, int], plain: bool) -> list[Any]:
        sources = [node_name(source) for source in node.input if not source.startswith("^")]
        if node.op in _CALLING:
            self._rewrite_call(node, [carried.get(source) for source in sources])
            return []
        self._keep_functions(node)
        dtypes = [carried[source] for source in sources if source in carried]
        if not dtypes:
            return []
        if node.op in _PLAIN:
            node.op = _PLAIN[node.op]
        elif node.op in _PASSING:
            node.attr["T"].type = dtypes[0]
        elif node.op in _READING:
            node.op, key = _READING[node.op]
            node.attr[key].type = dtypes[0]
            _drop(node, "dtype")
        elif node.op == "ResourceGather" and len(sources) == 2:
            return [_as_gather(node, plain)]
        elif changes_state(node) or any(a.type == RESOURCE for a in _arguments(node)):
            raise InputError(
                f"{self._where} cannot be frozen: node {node.name!r} ({node.op}) does more with a "
                f"variable than read it ({dtype_name(dtypes[0])}); freeze a signature that does "
                "not need it."
            )
        return []

    def _rewrite_call(self, node: Any, dtypes: list[int | None]) -> None:
        key, before = _CALLING[node.op]
        types = node.attr[key].list.type
        for index, dtype in enumerate(dtypes[before:]):
            if dtype is not None and index < len(types):
                types[index] = dtype
        if node.op in _LOOPS and "output_shapes" in node.attr:
            for shape, dtype in zip(node.attr["output_shapes"].list.shape, dtypes, strict=False):
                if dtype is not None:  # it is the shape of the handle
                    shape.Clear()
                    shape.unknown_rank = True
        for function in _called(node):
            function.name = self._specialised(function.name, tuple(types))

    def _keep_functions(self, node: Any) -> None:
        """Keep what a node of another kind calls, as it is."""
        for function in _called(node):
            if function.name in self._originals:
                signature = self._originals[function.name].signature
                types = tuple(argument.type for argument in signature.input_arg)
                function.name = self._specialised(function.name, types)

    def _specialised(self, name: str, types: tuple[int, ...]) -> str:
        """Return the name of the function for arguments of these types; made when first asked."""
        if (name, types) in self.made:
            return str(self.made[name, types].signature.name)
        if name not in self._originals:
            raise InputError(
                f"{self._where} is damaged: it calls {name!r}, which it does not hold."
            )
        function = schema.FunctionDef()
        function.CopyFrom(self._originals[name])
        if any(made == name for made, _ in self.made):
            function.signature.name = f"{name}_{len(self.made)}"
        self.made[name, types] = function
        variables = {}
        for argument, dtype in zip(function.signature.input_arg, types, strict=False):
            if argument.type == RESOURCE != dtype:
                variables[argument.name] = argument.type = dtype
                del argument.handle_data[:]
        function.arg_attr.clear()
        _drop(function, "_input_shapes")
        self.rewrite(function.node_def, variables, plain=False)
        carried = _carried(function.node_def, variables)
        for result in function.signature.output_arg:  # a loop hands its variables on
            producer = node_name(function.ret[result.name])
            if result.type == RESOURCE and producer in carried:
                result.type = carried[producer]
                del result.handle_data[:]
        return str(function.signature.name)


def _carried(nodes: Any, variables: Mapping[str, int]) -> dict[str, int]:
    """Return the type of the variable that each node passes on or is."""
    carried = dict(variables)
    passing = [node for node in nodes if node.op in (*_PASSING, *_PLAIN) and node.input]
    while True:
        found = [n for n in passing if n.name not in carried and node_name(n.input[0]) in carried]
        found = [n for n in found if n.op in _PLAIN or n.attr["T"].type == RESOURCE]
        if not found:
            return carried
        for node in found:
            carried[node.name] = carried[node_name(node.input[0])]


def _called(node: Any) -> list[Any]:
    """Return the NameAttrLists of the functions that a node's attributes name."""
    attributes = node.attr.values()
    found = [attribute.func for attribute in attributes if attribute.HasField("func")]
    return found + [function for attribute in attributes for function in attribute.list.func]


def _drop(holder: Any, *keys: str) -> None:
    for key in keys:
        if key in holder.attr:
            del holder.attr[key]


def _as_gather(node: Any, plain: bool) -> Any:
    """Make a `ResourceGather` a `GatherV2`, and return the constant for its axis."""
    axis = new_constant(f"{node.name}/axis", np.int32(node.attr["batch_dims"].i))
    node.op = "GatherV2"
    node.attr["Tparams"].type = node.attr["dtype"].type
    node.attr["Taxis"].type = INT32
    _drop(node, "dtype", "validate_indices")
    if not node.attr["batch_dims"].i:  # older versions do not know it
        _drop(node, "batch_dims")
    if plain:  # inside a loop, the axis must be in the same frame as the indices
        axis.input.append(f"^{node_name(node.input[1])}")
    node.input.insert(2, axis.name if plain else f"{axis.name}:output:0")
    return axis
