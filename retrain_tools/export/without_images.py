"""Exports of graphs that take no images: from what they are fed to what they give, as arrays.

1. Inputs and outputs are those of the signature, else the placeholders that outputs are computed
   from, and what the summary of `list_tensors` calls outputs. Outputs can be named.
2. In a SavedModel, TensorFlow Lite or ONNX file they have the names of their nodes, with `_` for
   all but letters and digits. Dimensions that are not known stay open.
3. What was written is run on `random_values`, as the untouched graph is, and compared.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from retrain_tools.engine.session import EngineError
from retrain_tools.engine.untouched_graph import UntouchedGraph
from retrain_tools.errors import InputError
from retrain_tools.export.body import body_between, keys_of
from retrain_tools.export.exported import Exported, ExportOptions, size_text
from retrain_tools.features.random_values import RandomValues
from retrain_tools.features.verification import difference, largest_value
from retrain_tools.graphdef.dtypes import dtype_number
from retrain_tools.graphdef.feeds import unfed
from retrain_tools.graphdef.navigate import copy_nodes, node_name, nodes_by_name, upstream
from retrain_tools.graphdef.save import write_graph
from retrain_tools.graphdef.tensors import Tensor, list_tensors
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.sources.ends import graph_ends
from retrain_tools.sources.kinds import Place
from retrain_tools.sources.model import Model
from retrain_tools.sources.readers.graph_def import read_graph_def
from retrain_tools.text_tables import counted

_DRAWS, _SEED = 4, 0  # of random values


def export_on_arrays(
    model: Model, path: str, to: str, module: str, said: ExportOptions
) -> Exported:
    """Write a graph that takes no images in another form, run that, and compare it.

    Args:
        model: what `load` opened.
        path: the file or folder to write.
        to: what it is to become.
        module: the module of `retrain_tools.export` that writes that.
        said: what else was said.

    Raises:
        InputError: it cannot become that, or cannot be frozen or run.
    """
    where = str(model.path)
    graph_def = model.usual.graph_def
    ends = graph_ends(model, _own_inputs(model, said.outputs), said.outputs or None)
    inputs, outputs = keys_of(ends.inputs), keys_of(ends.outputs)
    allowed = model.overrides.allow_unsafe_graph
    feeds = _draws(graph_def, ends.inputs, where)
    expected = _run(graph_def, ends.outputs, feeds, where, allowed)
    by_name = {tensor.name: tensor for tensor in list_tensors(graph_def)}
    takes = {key: by_name[name] for key, name in inputs.items()}
    if to == "graphdef":
        told = _write_graph(path, graph_def, ends.outputs if said.outputs else None)
        again = read_graph_def(Place.of(path).path).proto
        found = _run(again, ends.outputs, feeds, path, allowed)
    else:
        target = importlib.import_module(f"retrain_tools.export.{module}")
        body = body_between(graph_def, inputs, outputs, allowed)
        given: list[Any] = [[_spec(*taken) for taken in takes.items()]] if to != "onnx" else []
        given += [said.quantize] if to == "tflite" else []
        told = target.write_body(path, body, *given, where)
        named = [{key: fed[name] for key, name in inputs.items()} for fed in feeds]
        results = [target.run_on_arrays(path, fed, list(outputs)) for fed in named]
        found = [{name: result[key] for key, name in outputs.items()} for result in results]
    told |= {"Inputs": _text(takes), "Outputs": _text({k: by_name[n] for k, n in outputs.items()})}
    pairs = list(zip(expected, found, strict=True))
    differences = {n: max(difference(one[n], two[n]) for one, two in pairs) for n in ends.outputs}
    largest = {name: max(largest_value(one[name]) for one in expected) for name in ends.outputs}
    values = counted(_DRAWS, "set") + " of random values"
    return Exported(path, {"Size": size_text(path), **told}, differences, largest, values)


def _own_inputs(model: Model, outputs: Sequence[str]) -> list[str] | None:
    """Return the inputs of the signature, where the outputs need no more; None where they do.

    That of a session bundle takes what is parsed of a record, and not the record.
    """
    made = model.usual
    inputs, fetched = list(made.inputs.values()), outputs or list(made.outputs.values())
    nodes = nodes_by_name(made.graph_def)
    is_whole = inputs and fetched and not unfed(nodes, fetched, set(map(node_name, inputs)))
    return inputs if is_whole else None


def _draws(graph_def: Any, inputs: Sequence[str], where: str) -> list[dict[str, Any]]:
    drawn = RandomValues(graph_def, inputs, _SEED, where)
    return [drawn.next() for _ in range(_DRAWS)]


def _run(
    graph_def: Any,
    outputs: Sequence[str],
    feeds: Sequence[Mapping[str, Any]],
    where: str,
    allow_unsafe_graph: bool,
) -> list[dict[str, Any]]:
    """Run a graph as it is on some values, one after the other."""
    wanted = upstream(nodes_by_name(graph_def), outputs)
    part = copy_nodes(graph_def, lambda node: node.name in wanted)
    names = list(dict.fromkeys([*feeds[0], *outputs]))
    try:
        with UntouchedGraph(part, names, where, allow_unsafe_graph) as graph:
            return [graph.run(outputs, fed) for fed in feeds]
    except EngineError as error:
        raise InputError(f"{where} cannot be run on random values: {error}") from error


def _write_graph(path: str, graph_def: Any, outputs: Sequence[str] | None) -> dict[str, str]:
    """Write a graph as it is, or what `outputs` are computed from."""
    nodes = nodes_by_name(graph_def)
    wanted = set(nodes) if outputs is None else upstream(nodes, outputs)
    part = copy_nodes(graph_def, lambda node: node.name in wanted)
    write_graph(path, part)
    return {"GraphDef": f"{len(part.node):,} nodes, version {part.versions.producer}"}


def _spec(key: str, tensor: Tensor) -> Any:
    return tf.TensorSpec(tensor.shape, tf.as_dtype(dtype_number(tensor.dtype)), key)


def _text(tensors: Mapping[str, Tensor]) -> str:
    return "; ".join(f"{k} ({t.name}), {t.dtype} {t.shape_text}" for k, t in tensors.items())
