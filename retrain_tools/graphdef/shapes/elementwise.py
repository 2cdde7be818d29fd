"""Shape rules of elementwise ops, reductions, matrix products and comparisons."""

from __future__ import annotations

import functools

from retrain_tools.graphdef.shapes.call import (
    Call,
    Dim,
    NoShapeError,
    Rule,
    Shape,
    axis_in,
    mapping,
    merge,
    merge_dims,
    with_range,
)


def same(call: Call) -> Shape | None:
    """The shape of the first input."""
    return call.any_shape(0)


def each_its_own(call: Call) -> list[Shape | None]:
    """Each output has the shape of its input (IdentityN)."""
    return list(call.inputs)


def both_ways(call: Call) -> list[Shape | None]:
    """Two outputs of the input's shape (Switch)."""
    return [call.any_shape(0)] * 2


def scalar(call: Call) -> Shape:  # noqa: ARG001  (the form of a rule)
    """A scalar, whatever the input."""
    return ()


def broadcast(one: Shape | None, other: Shape | None) -> Shape | None:
    """Return the shape that two operands are broadcast to, by NumPy's rules."""
    if one is None or other is None:
        return None
    rank = max(len(one), len(other))
    one = (1,) * (rank - len(one)) + one
    other = (1,) * (rank - len(other)) + other
    return tuple(map(_broadcast_dim, one, other))


def _broadcast_dim(one: Dim, other: Dim) -> Dim:
    if one == 1:
        return other
    if other == 1:
        return one
    if one is None or other is None:
        known = one if other is None else other
        return known or None  # an unknown dimension may be 1, or what the other one is
    return merge_dims(one, other)


def broadcasted(call: Call) -> Shape | None:
    """Two operands, broadcast to each other's shape."""
    return broadcast(call.any_shape(0), call.any_shape(1))


def comparison(call: Call) -> Shape | None:
    """Two operands; without `incompatible_shape_error` the result may also be a scalar."""
    return broadcasted(call) if call.flag("incompatible_shape_error", True) else None


def selection(call: Call) -> Shape | None:
    """A condition and two operands, all three broadcast (SelectV2)."""
    return broadcast(call.any_shape(0), broadcast(call.any_shape(1), call.any_shape(2)))


def bias_add(call: Call) -> Shape | None:
    """The first input, with as many channels as there are biases."""
    shape, (bias,) = call.any_shape(0), call.of_rank(1, 1)
    if shape is None:
        return None
    channel = 1 if call.text("data_format") == "NCHW" else len(shape) - 1
    if len(shape) < 2 or channel >= len(shape):
        raise NoShapeError
    return (*shape[:channel], merge_dims(shape[channel], bias), *shape[channel + 1 :])


def reduction(call: Call) -> Shape | None:
    """The input with its reduced dimensions removed, or of size 1 with `keep_dims`."""
    keep = call.flag("keep_dims")
    shape = call.shape(0)
    if not call.is_known(1):
        return (None,) * len(shape) if keep else None
    axes = call.value(1)
    wanted = {axis_in(len(shape), axis) for axis in (axes if isinstance(axes, tuple) else (axes,))}
    if keep:
        return tuple(1 if i in wanted else dim for i, dim in enumerate(shape))
    return tuple(dim for i, dim in enumerate(shape) if i not in wanted)


def arg_reduction(call: Call) -> Shape:
    """The input without the dimension of the axis (ArgMax)."""
    shape = call.shape(0)
    axis = axis_in(len(shape), call.number(1))
    return (*shape[:axis], *shape[axis + 1 :])


def matrix_product(call: Call) -> Shape:
    """Two matrices, each of which may be transposed."""
    left, right = call.of_rank(0, 2), call.of_rank(1, 2)
    left = left[::-1] if call.flag("transpose_a") else left
    right = right[::-1] if call.flag("transpose_b") else right
    merge_dims(left[1], right[0])
    return (left[0], right[1])


def batched_matrix_product(call: Call) -> Shape | None:
    """Matrices in the last two dimensions, the others broadcast (BatchMatMulV2)."""
    left, right = call.shape(0), call.shape(1)
    if min(len(left), len(right)) < 2:
        raise NoShapeError
    rows, inner = left[-2:][::-1] if call.flag("adj_x") else left[-2:]
    other, columns = right[-2:][::-1] if call.flag("adj_y") else right[-2:]
    merge_dims(inner, other)
    batch = broadcast(left[:-2], right[:-2])
    return None if batch is None else (*batch, rows, columns)


def summed(call: Call) -> Shape | None:
    """Operands of one shape (AddN)."""
    return functools.reduce(merge, call.inputs, None)


RULES: dict[str, Rule] = {
    **mapping(
        same,
        *("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cast", "Ceil"),
        *("Cumprod", "Cumsum"),
        *("CheckNumerics", "CheckNumericsV2", "ClipByValue", "Conj", "Cos", "Cosh"),
        *("DebugIdentity", "Dequantize", "Elu", "Erf", "Erfc", "Exp", "Expm1"),
        "FakeQuantWithMinMaxArgs",
        *("FakeQuantWithMinMaxVars", "Floor", "Identity", "Inv", "IsFinite", "IsInf", "IsNan"),
        *("LeakyRelu", "Lgamma", "Log", "Log1p", "LogSoftmax", "LogicalNot", "Neg", "OnesLike"),
        *("PreventGradient", "QuantizeAndDequantize", "QuantizeAndDequantizeV2"),
        *("QuantizeAndDequantizeV3", "Reciprocal", "Relu", "Relu6", "Rint", "Round", "Rsqrt"),
        *("Selu", "Sigmoid", "Sign", "Sin", "Sinh", "Snapshot", "Softmax", "Softplus"),
        *("Softsign", "Sqrt", "Square", "StopGradient", "Tan", "Tanh", "ZerosLike"),
    ),
    **mapping(
        broadcasted,
        *("Add", "AddV2", "Atan2", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "DivNoNan"),
        *("FloorDiv", "FloorMod", "Greater", "GreaterEqual", "Less", "LessEqual", "LogicalAnd"),
        *("LogicalOr", "Maximum", "Minimum", "Mod", "Mul", "MulNoNan", "Pow", "RealDiv"),
        *("SquaredDifference", "Sub", "TruncateDiv", "TruncateMod", "Xdivy", "Xlogy"),
    ),
    **mapping(comparison, "Equal", "NotEqual"),
    **mapping(reduction, "All", "Any", "EuclideanNorm", "Max", "Mean", "Min", "Prod", "Sum"),
    **mapping(arg_reduction, "ArgMax", "ArgMin"),
    **mapping(batched_matrix_product, "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"),
    **mapping(scalar, "L2Loss", "Rank", "Size", "ScalarSummary", "HistogramSummary"),
    "AddN": summed,
    "BiasAdd": bias_add,
    "BiasAddV1": bias_add,
    "IdentityN": each_its_own,
    "MatMul": matrix_product,
    "SelectV2": selection,
    "Switch": both_ways,
    "QuantizeV2": with_range(same),
}
