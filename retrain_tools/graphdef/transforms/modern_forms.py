"""For each old op, how today's TensorFlow writes it; what `modernize` does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from retrain_tools.graphdef.dtypes import FLOAT32, INT32, STRING, dtype_of, numpy_dtype
from retrain_tools.graphdef.navigate import attribute
from retrain_tools.graphdef.transforms.rewriting import Rewriting, data_inputs

Form = Callable[[Rewriting, Any], None]

# array_ops.cc, linalg_ops.cc, spectral_ops.cc: the same op under a shorter name, since 2016.
_RENAMED = {
    **{f"Batch{n}": n for n in ("Cholesky", "CholeskyGrad", "SelfAdjointEigV2", "Svd")},
    **{
        f"BatchMatrix{n}": f"Matrix{n}"
        for n in ("Determinant", "Inverse", "Solve", "SolveLs", "TriangularSolve")
    },
    **{f"BatchMatrix{n}": f"Matrix{n}" for n in ("BandPart", "Diag", "DiagPart", "SetDiag")},
    **{f"Batch{n}": n for n in ("FFT", "FFT2D", "FFT3D", "IFFT", "IFFT2D", "IFFT3D")},
    "PlaceholderV2": "Placeholder",
    "Inv": "Reciprocal",
    "BatchMatMul": "BatchMatMulV2",
}
_FLOATS = ("float16", "bfloat16", "float32", "float64", "complex64", "complex128")


def _renamed(op: str) -> Form:
    return lambda graph, node: graph.replace(node, op, data_inputs(node))


def _add(graph: Rewriting, node: Any) -> None:
    if attribute(node, "T").type != STRING:  # AddV2 joins no strings
        graph.replace(node, "AddV2", data_inputs(node))


def _div(graph: Rewriting, node: Any) -> None:
    dtype = dtype_of(attribute(node, "T").type)
    if dtype is not None and dtype.name in _FLOATS:  # of integers, it rounds towards zero
        graph.replace(node, "RealDiv", data_inputs(node))


def _concat(graph: Rewriting, node: Any) -> None:
    axis, *values = data_inputs(node)
    graph.replace(node, "ConcatV2", [*values, axis])


def _gather(graph: Rewriting, node: Any) -> None:
    axis = graph.constant(f"{node.name}/axis", np.int32(0))
    graph.replace(node, "GatherV2", [*data_inputs(node), axis], Taxis=INT32)


def _fused_batch_norm(graph: Rewriting, node: Any) -> None:
    said = {} if "U" in node.attr else {"U": attribute(node, "T").type}
    graph.replace(node, "FusedBatchNormV3", data_inputs(node), **said)


def _old_batch_norm(graph: Rewriting, node: Any) -> None:
    """As nn_ops.cc says it: mean, variance, beta, gamma; gamma only where it is to scale."""
    if attribute(node, "T").type != FLOAT32:
        return
    values, mean, variance, beta, gamma = data_inputs(node)
    epsilon = attribute(node, "variance_epsilon").f
    if not attribute(node, "scale_after_normalization").b:
        gamma = graph.add(f"{node.name}/ones", "OnesLike", [beta], T=FLOAT32)
    graph.replace(
        node, "FusedBatchNormV3", [values, gamma, beta, mean, variance],
        U=FLOAT32, is_training=False, epsilon=epsilon,
    )  # fmt: skip


def _top_k(graph: Rewriting, node: Any) -> None:
    k = graph.constant(f"{node.name}/k", np.int32(attribute(node, "k").i))
    graph.replace(node, "TopKV2", [*data_inputs(node), k])


def _adjust_contrast(graph: Rewriting, node: Any) -> None:
    """In floats, and cut to a range, in the order of adjust_contrast_op.cc."""
    images, factor, low, high = data_inputs(node)
    kind = attribute(node, "T").type
    if kind != FLOAT32:
        images = graph.add(f"{node.name}/floats", "Cast", [images], SrcT=kind, DstT=FLOAT32)
    said = {"T": FLOAT32}
    adjusted = graph.add(f"{node.name}/adjusted", "AdjustContrastv2", [images, factor], **said)
    below = graph.add(f"{node.name}/below", "Minimum", [adjusted, high], **said)
    graph.replace(node, "Maximum", [below, low], **said)


def _audio_summary(graph: Rewriting, node: Any) -> None:
    rate = graph.constant(f"{node.name}/rate", np.float32(attribute(node, "sample_rate").f))
    graph.replace(node, "AudioSummaryV2", [*data_inputs(node), rate])


def _random_poisson(graph: Rewriting, node: Any) -> None:
    graph.replace(node, "RandomPoissonV2", data_inputs(node), R=attribute(node, "dtype").type)


def _quantize(graph: Rewriting, node: Any) -> None:
    dtype = dtype_of(attribute(node, "T").type)
    kind = None if dtype is None else numpy_dtype(dtype)
    ends = [
        graph.constant(f"{node.name}/{key}", np.array(attribute(node, key).f, kind))
        for key in ("input_min", "input_max")
    ]
    graph.replace(node, "QuantizeAndDequantizeV2", [*data_inputs(node), *ends])


def _self_adjoint_eig(graph: Rewriting, node: Any) -> None:
    """One matrix: the eigenvalues in a row, and the eigenvectors below."""
    said = {"T": attribute(node, "T")}
    both = graph.add(f"{node.name}/both", "SelfAdjointEigV2", data_inputs(node), **said)
    axis = graph.constant(f"{node.name}/axis", np.int32(-2))
    row = graph.add(f"{node.name}/row", "ExpandDims", [both, axis], **said)
    graph.replace(node, "ConcatV2", [row, f"{both}:1", axis], N=2)


def _conv_3d_backprop(op: str, place: int) -> Form:
    def form(graph: Rewriting, node: Any) -> None:
        inputs = data_inputs(node)
        said = {"T": attribute(node, "T")}
        inputs[place] = graph.add(f"{node.name}/sizes", "Shape", [inputs[place]], **said)
        graph.replace(node, op, inputs)

    return form


FORMS: dict[str, Form] = {
    **{old: _renamed(new) for old, new in _RENAMED.items()},
    "Add": _add,
    "AdjustContrast": _adjust_contrast,
    "AudioSummary": _audio_summary,
    "BatchNormWithGlobalNormalization": _old_batch_norm,
    "BatchSelfAdjointEig": _self_adjoint_eig,
    "Concat": _concat,
    "Conv3DBackpropFilter": _conv_3d_backprop("Conv3DBackpropFilterV2", 1),
    "Conv3DBackpropInput": _conv_3d_backprop("Conv3DBackpropInputV2", 0),
    "Div": _div,
    "FusedBatchNorm": _fused_batch_norm,
    "FusedBatchNormV2": _fused_batch_norm,
    "Gather": _gather,
    "QuantizeAndDequantize": _quantize,
    "RandomPoisson": _random_poisson,
    "SelfAdjointEig": _self_adjoint_eig,
    "TopK": _top_k,
}
"""What is done to a node of each old op. One that cannot be written anew stays as it is."""
