"""What the page knows about a graph: a GraphDef as lists and numbers, ready for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from retrain_tools.graphdef.attributes import attribute_texts
from retrain_tools.graphdef.constants import UnreadableConstantError, read_constant
from retrain_tools.graphdef.navigate import node_name
from retrain_tools.graphdef.tensors import Shape, shape_text
from retrain_tools.graphdef.training_ops import MEANINGS
from retrain_tools.graphdef.training_parts import training_parts
from retrain_tools.graphdef.walks import Successors, consumers, downstream
from retrain_tools.report.constants import summary
from retrain_tools.report.kernels import first_layer_constant, kernel_tiles
from retrain_tools.report.scopes import Scope, flow_order, scope_tree

NO_PART = -1
CONTROL = -1  # stands for the output number of a control input


class _Numbered(dict[str, int]):
    """Texts that occur many times, each kept once and known by its number."""

    def __missing__(self, text: str) -> int:
        self[text] = len(self)
        return self[text]


def graph_data(
    graph_def: Any,
    shapes: Mapping[str, Shape | None],
    dtypes: Mapping[str, str],
    path: Sequence[str],
    bottleneck: str | None,
) -> dict[str, Any]:
    """Return all that the page shows of a graph; texts are as in the file, not escaped.

    Lists under `nodes` have one item for each node, in file order: `name`; `op` (number in `ops`);
    `scope` (number in `scopes`); `at` (position in the flow of data); `live` (1 if computed from
    more than constants); `inputs` (a number of a node for its output 0, [node, output] for others
    with output -1 for control, and the text as it stands for an input without a producer);
    `outputs` ([output, dtype and shape] each, the latter a number in `texts`); `attributes` (key
    and value, numbers in `texts`, one after the other); `device` (number in `texts`); `part`
    (number in `parts`, -1 for a node of the network).

    `parts` has name and meaning of each part that only serves training (`training_parts`).
    `scopes` has [label, parent, prefix, 1 for a page] each, `constants` and `kernels` are by number
    of the node, `path` and `bottleneck` are numbers of nodes.

    The arguments are those of `graph_page`.
    """
    nodes = list(graph_def.node)
    numbers: dict[str, int] = {}
    for number, node in enumerate(nodes):
        numbers.setdefault(node.name, number)
    on_path = [numbers[n] for n in map(node_name, path) if n in numbers]
    ops, texts = _Numbered(), _Numbered()
    outputs = _outputs(numbers, shapes, dtypes, texts)
    users = consumers(graph_def)
    parts = training_parts(graph_def)
    shown = [part for part in MEANINGS if part in parts.values()]
    places, scopes = _places(nodes, numbers, on_path, users)
    columns = {
        "name": [node.name for node in nodes],
        "op": [ops[node.op] for node in nodes],
        **places,
        "inputs": [[_input(name, numbers) for name in node.input] for node in nodes],
        "outputs": [outputs.get(number, []) for number in range(len(nodes))],
        "attributes": [_attributes(node, texts) for node in nodes],
        "device": [texts[node.device] for node in nodes],
        "part": [shown.index(parts[n.name]) if n.name in parts else NO_PART for n in nodes],
    }
    return {
        "nodes": columns,
        "ops": list(ops),
        "texts": list(texts),
        "scopes": [[s.label, s.parent, s.prefix, int(s.is_page)] for s in scopes],
        "constants": _constants(nodes),
        "kernels": _kernels(nodes, numbers, path, users),
        "functions": _functions(graph_def),
        "parts": [[part, MEANINGS[part]] for part in shown],
        "path": on_path,
        "bottleneck": numbers.get(node_name(bottleneck)) if bottleneck is not None else None,
    }


def _places(
    nodes: Sequence[Any], numbers: Mapping[str, int], on_path: Iterable[int], users: Successors
) -> tuple[dict[str, list[int]], list[Scope]]:
    """Return the columns `scope`, `at` and `live`, and the scopes.

    Nodes on the image's path are live: the input of the graph of 2015 is a constant to be fed.
    """
    sources = [[numbers[n] for n in map(node_name, node.input) if n in numbers] for node in nodes]
    starts = [node.name for node in nodes if node.op != "Const" and not len(node.input)]
    computed = downstream(users, [*starts, *(nodes[number].name for number in on_path)])
    live = [node.name in computed for node in nodes]
    order = flow_order(sources, [not alive for alive in live])
    scopes, home = scope_tree([n.name for n in nodes], order, [n.op == "Const" for n in nodes])
    return {"scope": home, "at": order, "live": list(map(int, live))}, scopes


def _attributes(node: Any, texts: _Numbered) -> list[int]:
    """Return key and value of each attribute, without a constant's value, which has a place."""
    shown = [p for p in attribute_texts(node) if not (node.op == "Const" and p[0] == "value")]
    return [texts[text] for pair in shown for text in pair]


def _input(text: str, numbers: Mapping[str, int]) -> int | str | list[int]:
    name = text.removeprefix("^")
    name, _, output = name.partition(":")
    if name not in numbers or not (output or "0").isdecimal():
        return text
    if text.startswith("^"):
        return [numbers[name], CONTROL]
    return [numbers[name], int(output)] if int(output or "0") else numbers[name]


def _outputs(
    numbers: Mapping[str, int],
    shapes: Mapping[str, Shape | None],
    dtypes: Mapping[str, str],
    texts: _Numbered,
) -> dict[int, list[list[int]]]:
    """Return [output, number of `float32 [1, 8, 8, 2048]`] of tensors, by number of the node."""
    found: dict[int, list[list[int]]] = {}
    for tensor in {**dtypes, **shapes}:
        name, _, output = tensor.rpartition(":")
        if name in numbers and output.isdecimal():
            text = f"{dtypes.get(tensor, '?')} {shape_text(shapes.get(tensor))}"
            found.setdefault(numbers[name], []).append([int(output), texts[text]])
    return {number: sorted(pairs) for number, pairs in found.items()}


def _constants(nodes: Sequence[Any]) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for number, node in enumerate(nodes):
        if node.op == "Const":
            try:
                if "value" not in node.attr:
                    raise UnreadableConstantError("it has no value")
                found[number] = summary(read_constant(node.attr["value"].tensor))
            except UnreadableConstantError as error:
                found[number] = {"broken": str(error)}
    return found


def _kernels(
    nodes: Sequence[Any], numbers: Mapping[str, int], path: Sequence[str], users: Successors
) -> dict[int, dict[str, Any]]:
    by_name = {name: nodes[number] for name, number in numbers.items()}
    start = node_name(path[0]) if path else None
    name = first_layer_constant(by_name, users, start)
    if name is None or "value" not in by_name[name].attr:
        return {}
    tiles = kernel_tiles(by_name[name].attr["value"].tensor)
    return {} if tiles is None else {numbers[name]: tiles}


def _functions(graph_def: Any) -> list[dict[str, Any]]:
    return [
        {
            "name": function.signature.name,
            "nodes": len(function.node_def),
            "inputs": [argument.name for argument in function.signature.input_arg],
            "outputs": [argument.name for argument in function.signature.output_arg],
        }
        for function in graph_def.library.function
    ]
