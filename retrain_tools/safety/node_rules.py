"""What a node's own attributes and inputs say of an op that matters only sometimes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from retrain_tools.graphdef.navigate import attribute, constant_value
from retrain_tools.safety import op_table
from retrain_tools.safety.findings import Severity
from retrain_tools.safety.op_table import Rule, rules_by_op

Nodes = Mapping[str, Any]
"""The nodes of the graph, or of the function's body, by name."""

_HARMLESS_DEBUGGERS = "memcbk://"  # a callback of the process itself, debug_io_utils.cc
_HARMLESS_DESCRIPTORS = ("local://", "bytes://")  # descriptors.cc: linked in, or in the attribute


def rule_of_node(node: Any, nodes: Nodes) -> Rule | None:
    """Return why a node matters, with the severity that it has here; None where it only computes.

    Args:
        node: a NodeDef, or a view of one.
        nodes: the nodes around it.
    """
    rule = rules_by_op().get(node.op)
    if rule is None:
        return None
    look = _LOOKS.get(node.op) or _LOOKS_BY_RULE.get(rule.id)
    return rule if look is None else look(node, nodes, rule)


def _text(node: Any, key: str) -> str:
    return attribute(node, key).s.decode("utf-8", "replace") if key in node.attr else ""


def _debugger(node: Any, _: Nodes, rule: Rule) -> Rule | None:
    urls = [url.decode("utf-8", "replace") for url in attribute(node, "debug_urls").list.s]
    if all(url.startswith(_HARMLESS_DEBUGGERS) for url in urls):
        return dataclasses.replace(
            rule, severity=Severity.LOW, why="is of a debugger, without an address to write to"
        )
    what = "to other computers" if urls[0].startswith("grpc") else "into files"
    return dataclasses.replace(rule, why=f"writes tensors {what}: debug_urls={urls[0]}")


def _console(node: Any, _: Nodes, rule: Rule) -> Rule | None:
    stream = _text(node, "output_stream")
    if not stream.startswith("file:"):
        return rule
    return dataclasses.replace(op_table.WRITES, why=f"writes a file: output_stream={stream}")


def _attribute_names_file(key: str) -> Callable[[Any, Nodes, Rule], Rule | None]:
    def look(node: Any, _: Nodes, rule: Rule) -> Rule | None:
        said = _text(node, key)
        if not said or (key == "descriptor_source" and said.startswith(_HARMLESS_DESCRIPTORS)):
            return None
        return dataclasses.replace(rule, why=f"reads a file of this computer: {key}={said}")

    return look


def _cache(node: Any, nodes: Nodes, rule: Rule) -> Rule | None:
    place = constant_value(nodes, node.input[1]) if len(node.input) > 1 else None
    if place is None:
        why = "may keep its data in a file, whose name is made while running"
        return dataclasses.replace(rule, severity=Severity.MEDIUM, why=why)
    name = place.reshape(-1)[0] if place.size else b""
    name = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
    why = f"keeps its data in files: {name}"
    return dataclasses.replace(op_table.WRITES, why=why) if name else None


_LOOKS: Mapping[str, Callable[[Any, Nodes, Rule], Rule | None]] = {
    "PrintV2": _console,
    "FixedUnigramCandidateSampler": _attribute_names_file("vocab_file"),
    "Skipgram": _attribute_names_file("filename"),
    "DecodeProtoV2": _attribute_names_file("descriptor_source"),
    "EncodeProto": _attribute_names_file("descriptor_source"),
    "CacheDataset": _cache,
    "CacheDatasetV2": _cache,
}
_LOOKS_BY_RULE = {op_table.DEBUGS.id: _debugger}
