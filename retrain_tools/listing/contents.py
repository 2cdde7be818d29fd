"""What a file holds beside its tensors: variables, signatures, functions; and values' figures."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from retrain_tools.graphdef.dtypes import dtype_name
from retrain_tools.graphdef.tensors import Tensor, shape_text
from retrain_tools.sources.contents import Array, ReadValue, Signature, TensorInfo
from retrain_tools.sources.model import Model
from retrain_tools.text_tables import Style, aligned

STATISTICS = ("min", "max", "mean", "zeros", "nans")
"""The columns of `statistics`."""


class Lines(NamedTuple):
    """A list to be printed: the names of its columns, and its cells."""

    columns: Sequence[str]
    cells: Sequence[Sequence[Any]]


def statistics(values: Array) -> tuple[Any, ...]:
    """Return the least, the largest and the mean number, how many are 0, and how many are NaN.

    NaNs count for nothing but their number. What is not numbers has none of these.
    """
    import numpy as np

    if values.dtype.kind not in "biuf" and values.dtype.name != "bfloat16":
        return (None,) * len(STATISTICS)
    times = 1
    if values.size and not any(values.strides):  # one value for all, in any shape a file claims
        times, values = values.size, values.flat[:1]
    numbers = np.asarray(values, np.float64)
    nans = times * int(np.isnan(numbers).sum())
    zeros = times * int(np.sum(numbers == 0))
    rest = numbers[~np.isnan(numbers)]
    if not rest.size:
        return None, None, None, zeros, nans
    with np.errstate(all="ignore"):  # the mean of infinities
        mean = float(rest.mean())
    if values.dtype.kind in "biu":  # large whole numbers are no floats
        return int(values.min()), int(values.max()), mean, zeros, nans
    return float(rest.min()), float(rest.max()), mean, zeros, nans


def tensor_statistics(
    model: Model, graph_def: Any, tensors: Sequence[Tensor]
) -> dict[str, dict[str, Any]]:
    """Return the figures of those tensors that are constants or variables, by name and column."""
    from retrain_tools.graphdef.constants import array

    constants = {f"{node.name}:0": node for node in graph_def.node if node.op == "Const"}
    found = {}
    for tensor in tensors:
        if tensor.op == "variable":
            figures = statistics(model.value(tensor.name))
        elif tensor.name in constants:
            try:
                figures = statistics(array(constants[tensor.name].attr["value"].tensor))
            except ValueError:  # damaged, or of a type that NumPy does not have
                figures = (None,) * len(STATISTICS)
        else:
            figures = (None,) * len(STATISTICS)
        found[tensor.name] = dict(zip(STATISTICS, figures, strict=True))
    return found


def variable_lines(
    variables: Sequence[TensorInfo],
    value: ReadValue,
    stats: bool = False,
) -> Lines:
    """Return variables: name, type, shape, and with `stats` the figures of what `value` reads."""
    columns = ("name", "dtype", "shape", *(STATISTICS if stats else ()))
    return Lines(
        columns,
        [
            (v.name, v.dtype, v.shape, *(statistics(value(v.name)) if stats else ()))
            for v in variables
        ],
    )


def signature_lines(signatures: Mapping[str, Signature]) -> Lines:
    """Return the inputs and outputs of signatures, a line for each."""
    cells = [
        (name, side, key, end.name, end.dtype, end.shape)
        for name, signature in signatures.items()
        for side, ends in (("input", signature.inputs), ("output", signature.outputs))
        for key, end in ends.items()
    ]
    return Lines(("signature", "side", "key", "tensor", "dtype", "shape"), cells)


def function_lines(graph_def: Any) -> Lines:
    """Return the functions of a graph's library, if there is a graph: name, nodes, both ends."""

    def ends(arguments: Any) -> str:
        return ", ".join(
            f"{a.name} {dtype_name(a.type)}" if a.type else str(a.name) for a in arguments
        )

    library = graph_def.library.function if graph_def is not None else ()
    cells = [
        (
            f.signature.name,
            len(f.node_def),
            ends(f.signature.input_arg),
            ends(f.signature.output_arg),
        )
        for f in library
    ]
    return Lines(("function", "nodes", "arguments", "results"), cells)


def lines_text(lines: Lines, form: str, style: Style) -> str:
    """Return lines as `table`, `names` (the first column, each once), `json` or `csv`."""
    if form == "names":
        return "".join(f"{name}\n" for name in dict.fromkeys(line[0] for line in lines.cells))
    if form == "json":
        objects = (json.dumps(dict(zip(lines.columns, row, strict=True))) for row in lines.cells)
        return "[" + ",".join(f"\n  {item}" for item in objects) + "\n]\n"
    cells = [
        [_cell(column, value) for column, value in zip(lines.columns, line, strict=True)]
        for line in lines.cells
    ]
    if form == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([lines.columns, *cells])
        return text.getvalue()
    return aligned([lines.columns, *cells], style)


def _cell(column: str, value: Any) -> str:
    if column == "shape":
        return shape_text(value)
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
