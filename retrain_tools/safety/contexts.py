"""What surrounds an op in its file: a Saver that it belongs to, an asset that it reads, loading.

Checkpoint ops are ordinary in a Saver, which runs them when somebody saves or restores; the same op
behind the init op runs whenever the model is loaded. So an op is a Saver's only if everything that
depends on it is, too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from retrain_tools.graphdef.called_functions import functions_named
from retrain_tools.graphdef.navigate import node_name, reached
from retrain_tools.safety import op_table
from retrain_tools.safety.findings import Severity
from retrain_tools.safety.node_rules import Nodes
from retrain_tools.safety.op_table import Rule

# saved_model/constants.py and saver.py of TensorFlow: collections and a signature that name what
# runs on loading, and the collections of Savers and assets.
_INIT_COLLECTIONS = ("saved_model_main_op", "legacy_init_op", "init_op", "local_init_op")
_INIT_SIGNATURE = "__saved_model_init_op"
_SAVERS, _ASSETS = "savers", "asset_filepaths"
# What a Saver is made of (saver.py: BaseSaverBuilder); nothing else depends on its ops.
_SAVER_OPS = {
    *("Identity", "NoOp", "Assign", "AssignVariableOp", "Pack", "Reshape"),
    *("StringJoin", "ShardedFilename", "ShardedFilespec"),
    *("LookupTableImport", "LookupTableImportV2"),
    *op_table.CHECKPOINTS.ops.split(),
}
_OF_SAVER = "belongs to a Saver, which runs it when somebody saves or restores"
_MOST_SAVERS = 100  # in a graph; each takes a walk
_LOADING = "; it runs as soon as the model is loaded"


class GraphContext:
    """A GraphDef by itself: a Saver in it is told by its form, since nothing names it."""

    def __init__(self, graph_def: Any) -> None:
        self._nodes: Nodes = {node.name: node for node in graph_def.node}
        self._others: dict[str, set[str]] = {}

    def __call__(self, node: Any, function: str, rule: Rule, _: Nodes) -> Rule:
        """Return the rule with the severity that it has here; see `graphs.Context`."""
        if rule.id == op_table.CHECKPOINTS.id and not function and self._is_of_saver(node.name):
            return _low(rule, _OF_SAVER)
        return rule

    def _is_of_saver(self, name: str) -> bool:
        scope = name.rpartition("/")[0]
        if not scope or (scope not in self._others and len(self._others) == _MOST_SAVERS):
            return False
        if scope not in self._others:
            # What something depends on that is not of this Saver, is not, either.
            outside = [
                name
                for name, node in self._nodes.items()
                if not (name.startswith(f"{scope}/") and node.op in _SAVER_OPS)
            ]
            self._others[scope] = upstream_of(self._nodes, outside)
        return name not in self._others[scope]


class MetaGraphContext:
    """A MetaGraph: its Savers, what it runs on loading, its signatures and its assets."""

    def __init__(self, meta_graph: Any) -> None:
        graph_def = meta_graph.graph_def
        self._nodes: Nodes = {node.name: node for node in graph_def.node}
        init = set(map(node_name, _init_ops(meta_graph)))
        results = init | {
            node_name(tensor.name)
            for signature in meta_graph.signature_def.values()
            for tensor in signature.outputs.values()
        }
        owned = upstream_of(self._nodes, _saver_ends(meta_graph)) - results
        self._on_loading, self._used = (
            upstream_of(self._nodes, init),
            upstream_of(self._nodes, results),
        )
        # What something depends on that is no Saver's, is none's either.
        self._not_of_savers = upstream_of(self._nodes, self._nodes.keys() - owned)
        self._by_form = None if owned else GraphContext(graph_def)
        calls = _Calls(graph_def)
        offered = set(meta_graph.object_graph_def.concrete_functions)
        self._loaded_functions = calls.from_nodes(self._on_loading)
        others = calls.from_nodes(self._not_of_savers, offered)
        self._functions_of_savers = calls.from_nodes(owned) - others
        self._assets = {node_name(a.tensor_info.name) for a in meta_graph.asset_file_def}

    def __call__(self, node: Any, function: str, rule: Rule, nodes: Nodes) -> Rule:
        """Return the rule with the severity that it has here; see `graphs.Context`."""
        if rule.id == op_table.CHECKPOINTS.id and self._is_of_saver(node, function, rule):
            return _low(rule, _OF_SAVER)
        if rule.id == op_table.TABLES.id and self._reads_asset(node, function, nodes):
            return _low(rule, "fills a table from a file that is part of the model")
        of_pipeline = not function and node.name not in self._used
        if rule.id == op_table.READS_RECORDS.id and of_pipeline:
            return _low(rule, "reads the data of a training, which no result depends on")
        if function in self._loaded_functions or (not function and node.name in self._on_loading):
            return dataclasses.replace(rule, why=rule.why + _LOADING)
        return rule

    def _is_of_saver(self, node: Any, function: str, rule: Rule) -> bool:
        if function:
            return function in self._functions_of_savers
        if self._by_form is not None and node.name not in self._used:
            return self._by_form(node, "", rule, {}).severity is Severity.LOW
        return node.name not in self._not_of_savers

    def _reads_asset(self, node: Any, function: str, nodes: Nodes) -> bool:
        if len(node.input) < 2:
            return False
        source, passed = nodes.get(node_name(node.input[1])), set[str]()
        while source is not None and source.op == "Identity" and source.name not in passed:
            passed.add(source.name)
            source = nodes.get(node_name(source.input[0])) if source.input else None
        if source is None:  # an argument of the function, which the loader gives the asset to
            return bool(function) and bool(self._assets)
        return source.op == "Const" and source.name in self._assets


class _Calls:
    """Which functions of the library are called by which nodes and functions."""

    def __init__(self, graph_def: Any) -> None:
        library = {function.signature.name: function for function in graph_def.library.function}
        self._by_node = {
            node.name: {node.op, *functions_named(node.attr)} & library.keys()
            for node in (graph_def.node if library else ())
        }
        self._by_function = {
            name: {
                called
                for node in function.node_def
                for called in (node.op, *functions_named(node.attr))
                if called in library
            }
            for name, function in library.items()
        }

    def from_nodes(self, nodes: Iterable[str], functions: Iterable[str] = ()) -> set[str]:
        """Return the functions that these nodes, and these functions, come to call."""
        waiting = [*functions, *(f for node in nodes for f in self._by_node.get(node, ()))]
        found: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name not in found and name in self._by_function:
                found.add(name)
                waiting.extend(self._by_function[name])
        return found


def upstream_of(nodes: Nodes, ends: Iterable[str]) -> set[str]:
    """Return the names of all nodes that `ends` depend on, their own included, where they exist."""
    there = [end for end in map(node_name, ends) if end in nodes]
    return reached(there, lambda name: nodes[name].input if name in nodes else (), ())


def bad_assets(meta_graph: Any) -> list[str]:
    """Return the names of assets that lead out of the model's own folder."""
    names = [asset.filename for asset in meta_graph.asset_file_def]
    return [name for name in names if name.startswith(("/", "\\")) or ".." in name.split("/")]


def _saver_ends(meta_graph: Any) -> list[str]:
    saver_class = type(meta_graph.saver_def)
    savers = [meta_graph.saver_def]
    if _SAVERS in meta_graph.collection_def:
        for data in meta_graph.collection_def[_SAVERS].bytes_list.value:
            saver = saver_class()
            saver.MergeFromString(data)
            savers.append(saver)
    ends = [name for s in savers for name in (s.save_tensor_name, s.restore_op_name)]
    return [name for name in ends if name]


def _init_ops(meta_graph: Any) -> Iterable[str]:
    for key in _INIT_COLLECTIONS:
        if key in meta_graph.collection_def:
            yield from meta_graph.collection_def[key].node_list.value
    if _INIT_SIGNATURE in meta_graph.signature_def:
        for tensor in meta_graph.signature_def[_INIT_SIGNATURE].outputs.values():
            yield tensor.name


def _low(rule: Rule, why: str) -> Rule:
    return dataclasses.replace(rule, severity=Severity.LOW, why=why)
