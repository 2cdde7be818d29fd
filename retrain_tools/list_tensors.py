"""List the tensors of a TensorFlow graph file: name, dtype, shape and op. Nothing is run.

  python -m retrain_tools.list_tensors --graph=classify_image_graph_def.pb --pattern=pool
  python -m retrain_tools.list_tensors --graph=inception_v3 --bottlenecks

Results go to stdout, one closing line with their number to stderr. --pattern and --op_type narrow
down what the other flags choose; --inputs and --outputs together give both.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

from absl import flags

from retrain_tools import command_line
from retrain_tools.catalog_entry import CatalogEntry
from retrain_tools.errors import InputError, did_you_mean
from retrain_tools.graphdef.spec import find_bottlenecks
from retrain_tools.graphdef.tensors import Tensor, graph_inputs, graph_outputs, list_tensors
from retrain_tools.sources.load import open_graph

Row = tuple[Tensor, dict[str, Any]]
"""A tensor to print, and what is to be said of it besides."""

_GRAPH = flags.DEFINE_string(
    "graph", None, "Frozen GraphDef file, or the name of a catalogued graph."
)
_MODEL_DIR = flags.DEFINE_string(
    "model_dir", None, "Where catalogued graphs are kept. Default: the user's cache folder."
)
_PATTERN = flags.DEFINE_string(
    "pattern", None, "Only tensors in whose name this regular expression is found."
)
_OP_TYPE = flags.DEFINE_list("op_type", None, "Only tensors that these ops make, as Conv2D,MatMul.")
_INPUTS = flags.DEFINE_boolean("inputs", False, "Only what a caller may feed.")
_OUTPUTS = flags.DEFINE_boolean("outputs", False, "Only results: what no other node takes.")
_BOTTLENECKS = flags.DEFINE_boolean(
    "bottlenecks", False, "Only tensors worth caching, best first, with depth and reason."
)
_INPUT_LAYER = flags.DEFINE_string(
    "input_layer", None, "With --bottlenecks: tensor that takes the picture, if it is not found."
)
_FORMAT = flags.DEFINE_enum(
    "format", "table", ["table", "names", "json", "csv"], "How to print the list."
)


def main(arguments: list[str]) -> None:
    """Run the script."""
    if arguments:
        raise InputError(
            f"Unexpected argument {arguments[0]!r}; name the graph with --graph={arguments[0]}"
        )
    command_line.require(_GRAPH)
    if _BOTTLENECKS.value and (_INPUTS.value or _OUTPUTS.value):
        raise InputError("--bottlenecks cannot be combined with --inputs or --outputs.")
    pattern = _compiled_pattern()
    graph_def, path, entry = open_graph(_GRAPH.value, _MODEL_DIR.value)
    tensors = list_tensors(graph_def)
    ops = _wanted_ops(tensors, path)
    rows = [
        (tensor, extra)
        for tensor, extra in _chosen(graph_def, tensors, path, entry)
        if pattern.search(tensor.name) and tensor.op in ops
    ]
    print(_as_text(rows), end="")
    sys.stdout.flush()
    print(f"{len(rows)} of {len(tensors)} tensors", file=sys.stderr)


def _compiled_pattern() -> re.Pattern[str]:
    try:
        return re.compile(_PATTERN.value or "")
    except re.error as error:
        raise InputError(
            f"--pattern={_PATTERN.value} is not a regular expression: {error}"
        ) from error


def _wanted_ops(tensors: list[Tensor], path: Path) -> set[str]:
    known = sorted({tensor.op for tensor in tensors})
    wanted = {op.strip() for op in _OP_TYPE.value or known}
    for op in sorted(wanted.difference(known)):
        raise InputError(
            f"No tensor of {path} is made by op {op!r}.{did_you_mean(op, known)} "
            f"Ops there: {', '.join(known)}."
        )
    return wanted


def _chosen(
    graph_def: Any, tensors: list[Tensor], path: Path, entry: CatalogEntry | None
) -> list[Row]:
    if _BOTTLENECKS.value:
        by_name = {tensor.name: tensor for tensor in tensors}
        found = find_bottlenecks(graph_def, str(path), entry, _INPUT_LAYER.value)
        return [(by_name[c.tensor], {"depth": c.depth, "why": c.why}) for c in found]
    if _INPUTS.value or _OUTPUTS.value:
        inputs = graph_inputs(graph_def, tensors) if _INPUTS.value else []
        outputs = graph_outputs(graph_def, tensors) if _OUTPUTS.value else []
        tensors = inputs + [tensor for tensor in outputs if tensor not in inputs]
    return [(tensor, {}) for tensor in tensors]


def _as_text(rows: list[Row]) -> str:
    if _FORMAT.value == "names":
        return "".join(f"{tensor.name}\n" for tensor, _ in rows)
    if _FORMAT.value == "json":
        objects = [json.dumps(dataclasses.asdict(tensor) | extra) for tensor, extra in rows]
        return "[" + ",".join(f"\n  {item}" for item in objects) + "\n]\n"
    header = ["name", "dtype", "shape", "op"] + ["depth", "why"] * _BOTTLENECKS.value
    cells = [header]
    for t, extra in rows:
        cells.append([t.name, t.dtype, t.shape_text, t.op, *map(_cell, extra.values())])
    if _FORMAT.value == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(cells)
        return text.getvalue()
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(map(str.ljust, line, widths)) for line in cells]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _cell(value: object) -> str:
    return "?" if value is None else str(value)


def script() -> None:
    """Run as a console script."""
    command_line.run(main)


if __name__ == "__main__":
    script()
