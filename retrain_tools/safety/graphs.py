"""The findings in a graph: its nodes, the functions of its library, graphs hidden in strings."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

from retrain_tools.graphdef import ops
from retrain_tools.graphdef.called_functions import strings_of
from retrain_tools.safety import nested, op_table
from retrain_tools.safety.findings import Finding, Severity, quoted
from retrain_tools.safety.node_rules import Nodes, rule_of_node
from retrain_tools.safety.op_table import Rule

Context = Callable[[Any, str, Rule, Nodes], Rule]
"""What a file says of a node that matters: given the node, its function (empty for the graph
itself), its rule and the nodes around it, the rule with the severity that it has in this file."""

_DEEPEST = 16  # graphs in strings of graphs in strings of …
_OWN_OPS = ("_Arg", "_Retval")  # of TensorFlow's own making, in no registry that can be asked
_TERMINAL = Rule(
    "terminal-escape",
    Severity.MEDIUM,
    "has control characters in its name, which may be commands for a terminal",
    "graphdef/node_def_util.cc: TensorFlow takes no such names",
)
_TOO_DEEP = Rule(
    "nested-too-deep",
    Severity.HIGH,
    f"has graphs within graphs within graphs, more than {_DEEPEST} deep; it was not looked into",
    "",
)


@dataclasses.dataclass(frozen=True)
class Where:
    """Where a graph is: the file, and the way into it, as `Finding` has them."""

    path: str
    within: str = ""
    depth: int = 0


def graph_findings(graph_def: Any, where: Where, context: Context | None = None) -> list[Finding]:
    """Return what a graph holds that does more than compute, in the order of the graph.

    Args:
        graph_def: a GraphDef, or a view of one; nothing of it is run.
        where: where it is.
        context: what the file around it says of its nodes; None for nothing.
    """
    functions = {function.signature.name for function in graph_def.library.function}
    found = list(_part_findings(graph_def.node, "", functions, where, context))
    for function in graph_def.library.function:
        name = function.signature.name
        if has_control(name):
            found.append(_finding(_TERMINAL, "function", where, "", name))
        found += _part_findings(function.node_def, name, functions, where, context)
        found += _nested_findings(function.attr, "function", name, where)
    return found


def _part_findings(
    nodes: Any, function: str, functions: set[str], where: Where, context: Context | None
) -> Iterator[Finding]:
    """Yield the findings in the nodes of the graph itself, or of one function."""
    known = ops.registry()
    by_name: dict[str, Any] = {}
    table = op_table.rules_by_op()
    for node in nodes:
        op = node.op
        rule: Rule | None = None
        if op in table:
            by_name = by_name or {other.name: other for other in nodes}
            rule = rule_of_node(node, by_name)
            if rule is not None and context is not None:
                rule = context(node, function, rule, by_name)
        elif op not in known and op not in functions and op not in _OWN_OPS:
            rule = op_table.UNKNOWN
        if rule is not None:
            yield _finding(rule, op, where, node.name, function)
        if has_control(node.name) or has_control(op):
            yield _finding(_TERMINAL, op, where, node.name, function)
        yield from _nested_findings(node.attr, node.name, function, where)


def _nested_findings(attributes: Any, name: str, function: str, where: Where) -> Iterator[Finding]:
    for key, text in strings_of(attributes):
        for graph in nested.graphs_in(text):
            outer = f" in {where.within}" if where.within else ""
            part = f" in function {quoted(function)}" if function else ""
            within = f"the graph in attribute {quoted(key)} of {quoted(name)}{part}{outer}"
            if where.depth == _DEEPEST:
                yield _finding(_TOO_DEEP, "graph", where, name, function)
                return
            yield from graph_findings(graph, Where(where.path, within, where.depth + 1))


def _finding(rule: Rule, name: str, where: Where, node: str, function: str) -> Finding:
    return Finding(rule.severity, rule.id, name, rule.why, where.path, node, function, where.within)


def has_control(text: str) -> bool:
    """Tell whether text holds a character that a terminal may take for a command."""
    if text.isascii():
        return not text.isprintable()
    return any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in text)
