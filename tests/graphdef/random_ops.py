"""Random nodes of the ops that `graphdef.shapes` has rules for, sound or not, for hypothesis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from retrain_tools.quiet_tensorflow import tf

from .tiny_graphs import add, add_constant, empty_graph

Draw = Callable[..., Any]
DIM = st.none() | st.integers(0, 7)
UNARY = ("Relu", "Identity", "Softmax", "LogSoftmax", "Neg", "Elu", "ZerosLike", "StopGradient")
BINARY = ("Add", "AddV2", "Sub", "Mul", "RealDiv", "Maximum", "SquaredDifference", "Greater")
REDUCTIONS = ("Mean", "Max", "Sum", "Min", "Prod")


class Maker:
    """Adds nodes to a graph, each with inputs that were drawn."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.graph_def = empty_graph(draw(st.sampled_from((21, 24, 1000))))

    def one_of(self, *values: Any) -> Any:
        return self.draw(st.sampled_from(values))

    def input(self, *dims: Any, dtype: Any = None) -> str:
        """A placeholder: each dim a strategy; now and then of unknown rank."""
        shape = [self.draw(dim) if isinstance(dim, st.SearchStrategy) else dim for dim in dims]
        unknown = self.draw(st.integers(0, 9)) == 0
        name = f"x{len(self.graph_def.node)}"
        dtype = tf.float32 if dtype is None else dtype
        tensor_shape = tf.TensorShape(None if unknown else shape)
        add(self.graph_def, name, "Placeholder", dtype=dtype, shape=tensor_shape)
        return name

    def of_any_rank(self, least: int = 0, most: int = 4) -> str:
        return self.input(*[DIM] * self.draw(st.integers(least, most)))

    def constant(self, value: Any) -> str:
        """A constant, or now and then a placeholder for it, or an Identity behind it."""
        name = f"c{len(self.graph_def.node)}"
        value = np.array(value, np.int32)
        how = self.draw(st.integers(0, 9))
        if how == 0:
            shape = tf.TensorShape(value.shape)
            add(self.graph_def, name, "Placeholder", dtype=tf.int32, shape=shape)
        else:
            add_constant(self.graph_def, name, value)
            if how == 1:
                add(self.graph_def, f"{name}/same", "Identity", [name], T=tf.int32)
                return f"{name}/same"
        return name

    def op(self, op: str, *inputs: str, **attributes: Any) -> str:
        add(self.graph_def, f"op{len(self.graph_def.node)}", op, list(inputs), **attributes)
        return str(self.graph_def.node[-1].name)

    def numbers(self, low: int, high: int, least: int = 0, most: int = 4) -> list[int]:
        return list(self.draw(st.lists(st.integers(low, high), min_size=least, max_size=most)))


def unary(m: Maker) -> None:
    m.op(m.one_of(*UNARY), m.of_any_rank(), T=tf.float32)


def binary(m: Maker) -> None:
    dims = st.none() | st.integers(0, 3)
    one, other = (m.input(*[dims] * m.draw(st.integers(0, 4))) for _ in range(2))
    m.op(m.one_of(*BINARY), one, other, T=tf.float32)


def bias_add(m: Maker) -> None:
    data_format = m.one_of("NHWC", "NCHW")
    dims = st.none() | st.just(3)
    source = m.input(*[dims] * m.draw(st.integers(1, 5)))
    m.op("BiasAdd", source, m.input(dims), T=tf.float32, data_format=data_format)


def _windowed(m: Maker) -> dict[str, Any]:
    data_format = m.one_of("NHWC", "NCHW")
    height, width = m.draw(st.integers(1, 3)), m.draw(st.integers(1, 3))
    strides = [1, height, width, 1] if data_format == "NHWC" else [1, 1, height, width]
    return {"data_format": data_format, "strides": strides, "padding": m.one_of("SAME", "VALID")}


def _image(m: Maker, data_format: str, channels: Any) -> str:
    size = st.none() | st.integers(1, 12)
    dims = (DIM, size, size, channels) if data_format == "NHWC" else (DIM, channels, size, size)
    return m.input(*dims)


def _explicit(m: Maker, attributes: dict[str, Any]) -> None:
    if m.one_of(True, False):
        around = m.numbers(0, 3, 4, 4)
        is_last = attributes["data_format"] == "NHWC"
        attributes["padding"] = "EXPLICIT"
        attributes["explicit_paddings"] = (
            [0, 0, *around, 0, 0] if is_last else [0, 0, 0, 0, *around]
        )


def convolution(m: Maker) -> None:
    op = m.one_of("Conv2D", "DepthwiseConv2dNative")
    attributes = _windowed(m)
    _explicit(m, attributes)
    if m.one_of(True, False):
        rows, columns = m.numbers(1, 3, 2, 2)
        is_last = attributes["data_format"] == "NHWC"
        attributes["dilations"] = [1, rows, columns, 1] if is_last else [1, 1, rows, columns]
    source = _image(m, attributes["data_format"], st.sampled_from((None, 2, 4)))
    side = st.none() | st.integers(1, 4)
    kernel = m.input(side, side, st.sampled_from((None, 1, 2, 4)), st.sampled_from((None, 6)))
    m.op(op, source, kernel, T=tf.float32, **attributes)


def pooling(m: Maker) -> None:
    op = m.one_of("MaxPool", "AvgPool", "MaxPoolWithArgmax")
    attributes = _windowed(m)
    if op == "MaxPool":
        _explicit(m, attributes)
    rows, columns = m.numbers(1, 4, 2, 2)
    is_last = attributes["data_format"] == "NHWC" or op == "MaxPoolWithArgmax"
    attributes["ksize"] = [1, rows, columns, 1] if is_last else [1, 1, rows, columns]
    if op == "MaxPoolWithArgmax":
        attributes.pop("data_format")
        attributes["strides"] = [1, 2, 1, 1]
        source = _image(m, "NHWC", DIM)
    else:
        source = _image(m, attributes["data_format"], DIM)
    m.op(op, source, T=tf.float32, **attributes)


def batch_norm(m: Maker) -> None:
    channels = st.none() | st.just(3)
    op = m.one_of("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", "LRN", "Old")
    if op == "LRN":
        m.op("LRN", m.of_any_rank(3, 5), T=tf.float32)
        return
    if op == "Old":
        m.graph_def.versions.producer = 8
        inputs = [_image(m, "NHWC", channels), *(m.input(channels) for _ in range(4))]
        fixed = {"variance_epsilon": 0.1, "scale_after_normalization": True}
        m.op("BatchNormWithGlobalNormalization", *inputs, T=tf.float32, **fixed)
        return
    data_format = m.one_of("NHWC", "NCHW")
    inputs = [_image(m, data_format, channels), *(m.input(channels) for _ in range(4))]
    types = {"T": tf.float32} if op == "FusedBatchNorm" else {"T": tf.float32, "U": tf.float32}
    m.op(op, *inputs, data_format=data_format, is_training=m.one_of(True, False), **types)


def matrix_product(m: Maker) -> None:
    dims = st.sampled_from((None, 2, 3))
    if m.one_of(True, False):
        flags = {key: m.one_of(True, False) for key in ("transpose_a", "transpose_b")}
        m.op("MatMul", m.input(dims, dims), m.input(dims, dims), T=tf.float32, **flags)
    else:
        flags = {key: m.one_of(True, False) for key in ("adj_x", "adj_y")}
        one, other = (
            m.input(*[st.sampled_from((None, 1, 2))] * m.draw(st.integers(2, 4))) for _ in range(2)
        )
        m.op("BatchMatMulV2", one, other, T=tf.float32, **flags)


def joining(m: Maker) -> None:
    rank, count = m.draw(st.integers(1, 4)), m.draw(st.integers(2, 3))
    dims = st.none() | st.integers(2, 3)
    parts = [m.input(*[dims] * rank) for _ in range(count)]
    op = m.one_of("Concat", "ConcatV2", "Pack", "AddN")
    if op == "Pack":
        m.op(op, *parts, T=tf.float32, N=count, axis=m.draw(st.integers(-rank - 1, rank)))
    elif op == "AddN":
        m.op(op, *parts, T=tf.float32, N=count)
    else:
        axis = m.constant(m.draw(st.integers(-rank, rank - 1)))
        inputs = [axis, *parts] if op == "Concat" else [*parts, axis]
        m.op(op, *inputs, T=tf.float32, N=count, **({} if op == "Concat" else {"Tidx": tf.int32}))


def splitting(m: Maker) -> None:
    rank = m.draw(st.integers(1, 3))
    source = m.input(*[st.sampled_from((None, 4, 6))] * rank)
    axis = m.constant(m.draw(st.integers(-rank, rank - 1)))
    op = m.one_of("Split", "SplitV", "Unpack")
    if op == "Split":
        m.op(op, axis, source, T=tf.float32, num_split=m.one_of(1, 2, 3))
    elif op == "SplitV":
        sizes = m.one_of([2, 2], [1, -1], [4, 2], [-1, 3])
        m.op(op, source, m.constant(sizes), axis, T=tf.float32, Tlen=tf.int32, num_split=2)
    else:
        m.op(op, source, T=tf.float32, num=4, axis=m.draw(st.integers(-rank, rank - 1)))


def reshaping(m: Maker) -> None:
    op = m.one_of("Reshape", "Squeeze", "ExpandDims", "Transpose", "Shape", "Fill", "BroadcastTo")
    rank = m.draw(st.integers(0, 4))
    source = m.input(*[st.sampled_from((None, 1, 2, 4))] * rank)
    if op == "Reshape":
        shape = m.draw(st.lists(st.sampled_from((-1, 0, 1, 2, 4, 8)), max_size=4))
        m.op(op, source, m.constant(shape), T=tf.float32, Tshape=tf.int32)
    elif op == "Squeeze":
        m.op(op, source, T=tf.float32, squeeze_dims=m.numbers(-4, 4, 0, 2))
    elif op == "ExpandDims":
        axis = m.draw(st.integers(-5, 5))
        m.op(op, source, m.constant(axis), T=tf.float32, Tdim=tf.int32)
    elif op == "Transpose":
        order = m.draw(st.permutations(range(rank)))
        m.op(op, source, m.constant(order), T=tf.float32, Tperm=tf.int32)
    elif op == "Shape":
        m.op(op, source, T=tf.float32, out_type=tf.int32)
    elif op == "Fill":
        value = m.input()
        m.op(op, m.constant(m.numbers(-1, 4)), value, T=tf.float32, index_type=tf.int32)
    else:
        m.op(op, source, m.constant(m.numbers(1, 4)), T=tf.float32, Tidx=tf.int32)


def reducing(m: Maker) -> None:
    source = m.of_any_rank()
    if m.one_of(True, True, False):
        axes = m.one_of(m.numbers(-4, 3, 0, 3), m.draw(st.integers(-4, 3)))
        keep = m.one_of(True, False)
        attributes = {"T": tf.float32, "Tidx": tf.int32, "keep_dims": keep}
        m.op(m.one_of(*REDUCTIONS), source, m.constant(axes), **attributes)
    else:
        axis = m.constant(m.draw(st.integers(-4, 3)))
        m.op("ArgMax", source, axis, T=tf.float32, Tidx=tf.int32, output_type=tf.int64)


def padding(m: Maker) -> None:
    rank = m.draw(st.integers(0, 4))
    source = m.input(*[DIM] * rank)
    pairs = np.array(m.numbers(0, 3, 2 * rank, 2 * rank), np.int32).reshape(rank, 2)
    op = m.one_of("Pad", "MirrorPad", "Tile", "SpaceToBatchND", "BatchToSpaceND")
    if op == "Pad":
        m.op(op, source, m.constant(pairs), T=tf.float32, Tpaddings=tf.int32)
    elif op == "MirrorPad":
        m.op(op, source, m.constant(pairs), T=tf.float32, Tpaddings=tf.int32, mode="REFLECT")
    elif op == "Tile":
        factors = m.numbers(0, 3, rank, rank)
        m.op(op, source, m.constant(factors), T=tf.float32, Tmultiples=tf.int32)
    else:
        block = m.constant(m.numbers(1, 2, 2, 2))
        edges = m.constant(np.array(m.numbers(0, 1, 4, 4)).reshape(2, 2))
        types = {"T": tf.float32, "Tblock_shape": tf.int32}
        types["Tpaddings" if op == "SpaceToBatchND" else "Tcrops"] = tf.int32
        m.op(op, source, block, edges, **types)


def cutting(m: Maker) -> None:
    rank = m.draw(st.integers(1, 4))
    source = m.input(*[st.none() | st.integers(0, 6)] * rank)
    if m.one_of(True, False):
        begin, size = m.numbers(0, 2, rank, rank), m.numbers(-1, 3, rank, rank)
        m.op("Slice", source, m.constant(begin), m.constant(size), T=tf.float32, Index=tf.int32)
        return
    length = m.draw(st.integers(0, rank))
    bounds = [m.constant(m.numbers(-4, 6, length, length)) for _ in range(2)]
    steps = m.draw(st.lists(st.sampled_from((1, 1, 2, -1, -2)), min_size=length, max_size=length))
    masks = {f"{key}_mask": m.draw(st.integers(0, 15)) for key in ("begin", "end", "shrink_axis")}
    masks["ellipsis_mask"] = m.one_of(0, 0, 0, 1, 2)
    masks["new_axis_mask"] = m.one_of(0, 0, 0, 1, 2)
    types = {"T": tf.float32, "Index": tf.int32}
    m.op("StridedSlice", source, *bounds, m.constant(steps), **types, **masks)


def choosing(m: Maker) -> None:
    source = m.of_any_rank()
    op = m.one_of("GatherV2", "OneHot", "TopKV2", "Range", "SelectV2")
    if op == "GatherV2":
        places = m.input(*[DIM] * m.draw(st.integers(0, 2)), dtype=tf.int32)
        axis = m.constant(m.draw(st.integers(-2, 2)))
        types = {"Tparams": tf.float32, "Tindices": tf.int32, "Taxis": tf.int32}
        m.op(op, source, places, axis, **types)
    elif op == "OneHot":
        places = m.input(*[DIM] * m.draw(st.integers(0, 2)), dtype=tf.int32)
        depth, on, off = m.constant(m.draw(st.integers(0, 5))), m.input(), m.input()
        m.op(op, places, depth, on, off, T=tf.float32, TI=tf.int32, axis=m.one_of(-1, 0, 1))
    elif op == "TopKV2":
        m.op(op, source, m.constant(m.draw(st.integers(0, 4))), T=tf.float32)
    elif op == "Range":
        numbers = [m.constant(n) for n in m.numbers(-5, 5, 3, 3)]
        m.op(op, *numbers, Tidx=tf.int32)
    else:
        condition = m.input(*[st.sampled_from((None, 1, 2))] * 2, dtype=tf.bool)
        m.op(op, condition, source, m.of_any_rank(0, 2), T=tf.float32)


def images(m: Maker) -> None:
    op = m.one_of("DecodeJpeg", "DecodePng", "DecodeGif", "DecodeBmp", "DecodeImage", "Resize")
    if op == "Resize":
        op = m.one_of("ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic", "ResizeArea")
        size = m.constant(m.numbers(1, 5, 2, 2))
        m.op(op, m.of_any_rank(3, 4), size, T=tf.float32)
        return
    channels = {} if op == "DecodeGif" else {"channels": m.one_of(0, 1, 3)}
    if op == "DecodeImage":
        channels = {**channels, "dtype": tf.uint8, "expand_animations": m.one_of(True, False)}
    elif op == "DecodePng":
        channels = {**channels, "dtype": tf.uint8}
    m.op(op, m.input(dtype=tf.string), **channels)


def by_its_own_shape(m: Maker) -> None:
    """`tf.reshape(x, [tf.shape(x)[0], …])`, as Keras writes it."""
    source = m.input(DIM, st.integers(1, 4), DIM)
    shape = m.op("Shape", source, T=tf.float32, out_type=tf.int32)
    begin, end, step = m.constant([m.draw(st.integers(0, 2))]), m.constant([9]), m.constant([1])
    masks = {"shrink_axis_mask": 1, "end_mask": 1}
    masks = m.one_of(masks, {"shrink_axis_mask": 1}, {"end_mask": 1})
    cut = m.op("StridedSlice", shape, begin, end, step, T=tf.int32, Index=tf.int32, **masks)
    if "shrink_axis_mask" in masks:
        number = m.constant(m.draw(st.integers(-1, 4)))
        factor = m.op(m.one_of("Mul", "Add", "Sub"), cut, m.constant(2), T=tf.int32)
        wanted = m.op("Pack", m.one_of(cut, factor), number, T=tf.int32, N=2)
    else:
        axis = m.constant(0)
        rest = m.constant(m.numbers(-1, 3, 1, 2))
        wanted = m.op("ConcatV2", cut, rest, axis, T=tf.int32, N=2, Tidx=tf.int32)
    m.op("Reshape", source, wanted, T=tf.float32, Tshape=tf.int32)


def quantized(m: Maker) -> None:
    low, high = m.input(), m.input()
    kind = {"T": tf.quint8}
    source = m.input(DIM, DIM, DIM, DIM, dtype=tf.quint8)
    op = m.one_of("QuantizeV2", "Dequantize", "QuantizedRelu6", "QuantizedMaxPool", "Conv", "Mat")
    if op == "QuantizeV2":
        m.op(op, m.of_any_rank(), low, high, **kind)
    elif op == "Dequantize":
        m.op(op, source, low, high, **kind)
    elif op == "QuantizedRelu6":
        m.op(op, source, low, high, Tinput=tf.quint8, out_type=tf.quint8)
    elif op == "QuantizedMaxPool":
        window = {"ksize": [1, 2, 2, 1], "strides": [1, 2, 1, 1], "padding": "SAME"}
        m.op(op, source, low, high, **kind, **window)
    else:
        types = {"out_type": tf.qint32}
        if op == "Conv":
            kernel = m.input(2, 3, DIM, DIM, dtype=tf.quint8)
            window = {"strides": [1, 2, 2, 1], "padding": m.one_of("SAME", "VALID")}
            types |= {"Tinput": tf.quint8, "Tfilter": tf.quint8}
            m.op("QuantizedConv2D", source, kernel, low, high, low, high, **types, **window)
        else:
            one, other = m.input(DIM, DIM, dtype=tf.quint8), m.input(DIM, DIM, dtype=tf.quint8)
            types = {"T1": tf.quint8, "T2": tf.quint8, "Toutput": tf.qint32}
            m.op("QuantizedMatMul", one, other, low, high, low, high, **types)


FAMILIES = (
    *(unary, binary, bias_add, convolution, pooling, batch_norm, matrix_product, joining),
    *(splitting, reshaping, reducing, padding, cutting, choosing, images, by_its_own_shape),
    quantized,
)


@st.composite
def graphs(draw: Draw, family: Callable[[Maker], None]) -> Any:
    """A graph with a node of the family."""
    maker = Maker(draw)
    family(maker)
    return maker.graph_def
