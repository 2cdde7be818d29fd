"""What a file holds beside its tensors: variables, signatures, functions; and values' figures."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from retrain_tools.graphdef.dtypes import dtype_name
from retrain_tools.graphdef.tensors import Tensor
from retrain_tools.listing.tables import Lines
from retrain_tools.sources.contents import (
    Array,
    Layer,
    OwnGraph,
    ReadValue,
    Signature,
    TensorInfo,
)
from retrain_tools.sources.model import Model

STATISTICS = ("min", "max", "mean", "zeros", "nans")
"""The columns of `statistics`."""

_NO_FIGURES = (None,) * len(STATISTICS)


def statistics(values: Array) -> tuple[Any, ...]:
    """Return the least, the largest and the mean number, how many are 0, and how many are NaN.

    NaNs count for nothing but their number. What is not numbers has none of these.
    """
    import numpy as np

    if values.dtype.kind not in "biuf" and values.dtype.name != "bfloat16":
        return _NO_FIGURES
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
    model: Model, graph: Any, tensors: Sequence[Tensor]
) -> dict[str, dict[str, Any]]:
    """Return the figures of those tensors that are constants or variables, by name and column."""
    from retrain_tools.graphdef.constants import array

    nodes = () if isinstance(graph, OwnGraph) else graph.node
    constants = {f"{node.name}:0": node for node in nodes if node.op == "Const"}
    found = {}
    for tensor in tensors:
        figures = _NO_FIGURES
        if tensor.op == "variable":
            figures = statistics(model.value(tensor.name))
        elif tensor.name in constants:
            with contextlib.suppress(ValueError):  # damaged, or of a type that NumPy does not have
                figures = statistics(array(constants[tensor.name].attr["value"].tensor))
        found[tensor.name] = dict(zip(STATISTICS, figures, strict=True))
    return found


def variable_lines(variables: Sequence[TensorInfo], value: ReadValue, stats: bool = False) -> Lines:
    """Return variables: name, type, shape, and with `stats` the figures of what `value` reads."""
    cells = [
        (v.name, v.dtype, v.shape, *(statistics(value(v.name)) if stats else ())) for v in variables
    ]
    return Lines(("name", "dtype", "shape", *(STATISTICS if stats else ())), cells)


def signature_lines(signatures: Mapping[str, Signature]) -> Lines:
    """Return the inputs and outputs of signatures, a line for each."""
    cells = [
        (name, side, key, end.name, end.dtype, end.shape)
        for name, signature in signatures.items()
        for side, ends in (("input", signature.inputs), ("output", signature.outputs))
        for key, end in ends.items()
    ]
    return Lines(("signature", "side", "key", "tensor", "dtype", "shape"), cells)


def layer_lines(layers: Sequence[Layer]) -> Lines:
    """Return the layers of a model: path, class, shape of the result, parameters, tensor."""
    return Lines(("layer", "class", "shape", "parameters", "tensor"), layers)


def function_lines(graph_def: Any) -> Lines:
    """Return the functions of a graph's library, if there is a graph: name, nodes, both ends."""

    def ends(arguments: Any) -> str:
        return ", ".join(
            f"{a.name} {dtype_name(a.type)}" if a.type else str(a.name) for a in arguments
        )

    cells = []
    for function in graph_def.library.function if graph_def is not None else ():
        signature = function.signature
        sides = ends(signature.input_arg), ends(signature.output_arg)
        cells.append((signature.name, len(function.node_def), *sides))
    return Lines(("function", "nodes", "arguments", "results"), cells)
