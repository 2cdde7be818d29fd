"""The one decision whether a graph may run. `engine.importing.import_light` asks for it.

What is judged is what is about to run, after cutting: a WriteFile that nothing fetched depends on
is named by `scan`, but keeps nobody from using the rest of its graph. Here no Saver and no asset
excuses anything: whatever reads or writes a file in a part that runs does so.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from retrain_tools.errors import InputError, argument
from retrain_tools.graphdef import schema
from retrain_tools.safety.findings import Finding, Severity, plain, quoted
from retrain_tools.safety.graphs import Where, graph_findings
from retrain_tools.safety.nested import functions_named, strings_of

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
        allow_unsafe_graph: run it all the same; a warning names the findings.
        where: what messages call it.

    Raises:
        UnsafeGraphError: there is one, and it is not allowed.

    Example:
        >>> from retrain_tools.graphdef import schema
        >>> graph = schema.GraphDef(node=[schema.NodeDef(name="leak", op="ReadFile")])
        >>> refuse_unsafe(graph, allow_unsafe_graph=False)
        Traceback (most recent call last):
        retrain_tools.safety.running.UnsafeGraphError: The graph is not run: 'leak' (ReadFile) \
reads a file of the graph's choice. See all of it with scan; if you trust whoever made it, pass \
allow_unsafe_graph.
    """
    found = unsafe_parts(graph_def)
    if not found:
        return
    if not allow_unsafe_graph:
        raise UnsafeGraphError(where, found)
    log.warning("%s is run although %s", where, told(found))


def unsafe_parts(graph_def: Any) -> tuple[Finding, ...]:
    """Return the findings of high severity in a graph's nodes and the functions that they call."""
    part = schema.GraphDef()
    part.library.function.extend(_called(graph_def))
    view = _Part(graph_def.node, part.library)
    found = graph_findings(view, Where(""))
    return tuple(finding for finding in found if finding.severity is Severity.HIGH)


class _Part:
    """A graph with another library: its nodes, which may be large, are not copied."""

    def __init__(self, node: Any, library: Any) -> None:
        self.node, self.library = node, library


def _called(graph_def: Any) -> list[Any]:
    """Return the functions that a graph's nodes call, directly or through others."""
    library = {function.signature.name: function for function in graph_def.library.function}
    if not library:
        return []
    called: dict[str, Any] = {}
    waiting = list(_names_in(graph_def.node))
    while waiting:
        name = waiting.pop()
        if name in library and name not in called:
            called[name] = library[name]
            waiting.extend(_names_in(library[name].node_def))
    return list(called.values())


def _names_in(nodes: Iterable[Any]) -> Iterable[str]:
    """Yield whatever may name a function: ops, attributes, and strings that are such a name."""
    for node in nodes:
        yield node.op
        yield from functions_named(node.attr)
        yield from (text.decode("utf-8", "replace") for _, text in strings_of(node.attr))


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
