"""The functions in a graph's library, as TensorFlow 2 writes them, to plain graphs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from retrain_tools.errors import InputError, did_you_mean
from retrain_tools.graphdef import ops, schema
from retrain_tools.graphdef.view import GraphView


def function_graph(graph_def: Any, name: str) -> Any:
    """Return the body of a library function as a graph that can be listed and walked through.

    Arguments become placeholders of their types and, where the function says them, shapes. Nodes
    keep their names, and may call functions, which are in the library of the result too. Of an op
    that is not known here, `node:output:1` becomes `node:1`.

    Args:
        graph_def: the graph; it is not changed.
        name: the function.

    Returns:
        A GraphDef.

    Raises:
        InputError: there is no such function, or something in it has an input without a producer.
    """
    graph_def = graph_def.proto if isinstance(graph_def, GraphView) else graph_def
    library = {f.signature.name: f for f in graph_def.library.function}
    if name not in library:
        raise InputError(
            f"No function {name!r} in the graph ({len(library)} functions)."
            f"{did_you_mean(name, library)} List them: list_tensors --functions"
        )
    function = library[name]
    result = schema.GraphDef()
    result.versions.CopyFrom(graph_def.versions)
    result.library.CopyFrom(graph_def.library)
    for place, argument in enumerate(function.signature.input_arg):
        add_argument(result, argument.name, function, place)
    arguments = {argument.name for argument in function.signature.input_arg}
    body = {node.name: node for node in function.node_def}
    signatures, where = ops.functions(graph_def), f"The function {name!r}"
    for node in function.node_def:
        added = result.node.add()
        added.CopyFrom(node)
        for place, source in enumerate(node.input):
            if source.startswith("^"):
                if source[1:] not in body and source[1:] not in arguments:
                    raise InputError(f"{_damaged(where, source)}, which nothing makes.")
                continue
            producer, number = body_tensor(source, arguments, body, signatures, where)
            if number is None:
                number = int(source.rpartition(":")[2])
            added.input[place] = f"{producer}:{number}" if number else producer
    return result


def add_argument(graph_def: Any, name: str, function: Any, place: int) -> Any:
    """Add a placeholder to a graph, and return it, for one of a function's arguments.

    Its shape is unknown where the function does not say one.
    """
    node = graph_def.node.add(name=name, op="Placeholder")
    argument = function.signature.input_arg[place]
    dtype = argument.type
    if argument.type_attr in function.attr:
        dtype = function.attr[argument.type_attr].type
    node.attr["dtype"].type = dtype
    attributes = function.arg_attr[place].attr if place in function.arg_attr else {}
    said = attributes.get("_output_shapes")
    shape = node.attr["shape"].shape
    if said is not None and len(said.list.shape) == 1:
        shape.CopyFrom(said.list.shape[0])
    elif said is not None and said.HasField("shape"):
        shape.CopyFrom(said.shape)
    else:
        shape.unknown_rank = True
    return node


def body_tensor(
    source: str,
    arguments: Collection[str],
    body: Mapping[str, Any],
    signatures: Mapping[str, Any],
    where: str,
) -> tuple[str, int | None]:
    """Say which tensor is meant by `argument`, `node:output:1` or, as in plain graphs, `node:3`.

    Args:
        source: the input of a node in a function's body, or one of its results.
        arguments: the names of the function's arguments.
        body: the function's nodes by name.
        signatures: the OpDefs of the library's functions by name.
        where: what holds the function, for error messages.

    Returns:
        The argument or node that it is an output of, and the number of that output, None where the
        node's op is not known.

    Raises:
        InputError: it has no producer.
    """
    producer, _, rest = source.partition(":")
    output, _, number = rest.partition(":")
    if producer not in body and (producer not in arguments or number):
        raise InputError(f"{_damaged(where, source)}, which nothing makes.")
    if not (number or output or "0").isdecimal():
        raise InputError(f"{_damaged(where, source)}.")
    if not number:
        return producer, int(output or 0)
    op = body[producer].op
    definition = signatures[op] if op in signatures else ops.registry().get(op)
    offset = None if definition is None else ops.output_offset(definition, body[producer], output)
    return producer, None if offset is None else offset + int(number)


def _damaged(where: str, source: str) -> str:
    return f"{where} is damaged: it uses {source!r}"
