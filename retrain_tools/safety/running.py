"""The one decision whether a graph may run. `engine.importing.import_light` asks for it.

What is judged is what is about to run, after cutting: a WriteFile that nothing fetched depends on
is named by `scan`, but keeps nobody from using the rest of its graph. Here no Saver and no asset
excuses anything: whatever reads or writes a file in a part that runs does so.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import Any

from retrain_tools.errors import InputError, argument
from retrain_tools.graphdef import schema
from retrain_tools.graphdef.called_functions import called_functions
from retrain_tools.graphdef.navigate import copy_nodes, upstream
from retrain_tools.safety.findings import Finding, Severity, plain, quoted
from retrain_tools.safety.graphs import Where, graph_findings

log = logging.getLogger(__name__)

_NAMED = 3  # findings in a message


class UnsafeGraphError(InputError):
    """A graph does more than compute, and nobody has allowed it to run.

    Attributes:
        findings: what it does, of high severity.
    """

    def __init__(self, where: str, findings: tuple[Finding, ...]) -> None:
        self.findings = findings
        super().__init__(
            f"{where} is not run: {told(findings)}. See all of it with scan; if you trust "
            f"whoever made it, pass {argument('allow_unsafe_graph')}."
        )


def refuse_unsafe(graph_def: Any, allow_unsafe_graph: bool, where: str = "The graph") -> None:
    """Refuse a graph that is about to run, if any of its nodes has a finding of high severity.

    Args:
        graph_def: what is about to run, all of its nodes; of its functions only those count that
            they call.
        allow_unsafe_graph: run it all the same.
        where: what messages call it.

    Raises:
        UnsafeGraphError: there is one, and it is not allowed.

    Example:
        >>> from retrain_tools.graphdef import schema
    from retrain_tools.graphdef.called_functions import called_functions
        >>> graph = schema.GraphDef(node=[schema.NodeDef(name="leak", op="ReadFile")])
        >>> refuse_unsafe(graph, allow_unsafe_graph=False)
        Traceback (most recent call last):
        retrain_tools.safety.running.UnsafeGraphError: The graph is not run: 'leak' (ReadFile) \
reads a file of the graph's choice. See all of it with scan; if you trust whoever made it, pass \
allow_unsafe_graph.
    """
    if not allow_unsafe_graph and (found := unsafe_parts(graph_def)):
        raise UnsafeGraphError(where, found)


def safe_part(graph_def: Any, fetches: Sequence[str], stop: Collection[str] = ()) -> Any:
    """Return a graph, or of one that does more than compute the part that fetches depend on.

    Args:
        graph_def: the graph; it is not changed.
        fetches: tensor or node names; none for all of the graph.
        stop: names of nodes in whose place something else is put, so that they do not run.

    Raises:
        UnsafeGraphError: that part does more than compute as well.
    """
    if not unsafe_parts(graph_def):
        return graph_def
    wanted = {node.name for node in graph_def.node}
    if fetches:
        wanted = upstream({node.name: node for node in graph_def.node}, fetches, stop)
    part = copy_nodes(graph_def, lambda node: node.name in wanted and node.name not in stop)
    refuse_unsafe(part, allow_unsafe_graph=False)
    return copy_nodes(graph_def, lambda node: node.name in wanted)


def tell_of_unsafe_parts(graph_def: Any, allow_unsafe_graph: bool, where: str) -> None:
    """Say in a log line what a whole graph does beside computing; nothing where it only computes.

    Where it is open and not refused, that is in parts that do not run, or it is allowed.
    """
    found = unsafe_parts(graph_def)
    if found and allow_unsafe_graph:
        log.warning("%s may run although %s", where, told(found))
    elif found:
        log.warning(
            "%s has parts that are not run, nothing wanted needs them: %s", where, told(found)
        )


def unsafe_parts(graph_def: Any) -> tuple[Finding, ...]:
    """Return the findings of high severity in a graph's nodes and the functions that they call."""
    part = schema.GraphDef()
    part.library.function.extend(called_functions(graph_def))
    view = _Part(graph_def.node, part.library)
    found = graph_findings(view, Where(""))
    return tuple(finding for finding in found if finding.severity is Severity.HIGH)


def unsafe_nodes(graph_def: Any) -> set[str]:
    """Return the names of the nodes with such findings, in themselves or in what they call."""
    if not unsafe_parts(graph_def):
        return set()
    parts = (_Part([node], graph_def.library) for node in graph_def.node)
    return {part.node[0].name for part in parts if unsafe_parts(part)}


class _Part:
    """A graph with another library: its nodes, which may be large, are not copied."""

    def __init__(self, node: Any, library: Any) -> None:
        self.node, self.library = node, library


def told(findings: tuple[Finding, ...]) -> str:
    """Return what findings say, in one clause: `'leak' (ReadFile) reads a file … and 2 more`."""
    parts = []
    for finding in findings[:_NAMED]:
        place = f" in function {quoted(finding.function)}" if finding.function else ""
        within = f" in {finding.within}" if finding.within else ""
        name = plain(finding.name)
        parts.append(f"{quoted(finding.node)} ({name}){place}{within} {plain(finding.why)}")
    more = f" and {len(findings) - _NAMED} more" if len(findings) > _NAMED else ""
    return "; ".join(parts) + more
