"""modernize: old ops and their new forms give the same values in TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from retrain_tools.graphdef.build import new_node
from retrain_tools.graphdef.dtypes import dtype_number
from retrain_tools.graphdef.navigate import nodes_by_name
from retrain_tools.graphdef.ops import deprecation, registry
from retrain_tools.graphdef.transforms.modern_forms import FORMS
from retrain_tools.graphdef.transforms.modernize import modernize
from retrain_tools.graphdef.versions import NEWEST_VERSION
from retrain_tools.quiet_tensorflow import tf

from ..tiny_graphs import (
    MOBILENET,
    NEAR_REAL,
    add,
    add_constant,
    empty_graph,
    inception_like,
    jpeg,
    own,
    pixels_graph,
    real,
    run,
)
from .running import apart, assert_not_changed, op_names, run_light

RNG = np.random.default_rng(8)
SQUARES = RNG.normal(0, 1, (3, 4, 4)).astype(np.float32)
SYMMETRIC = SQUARES + SQUARES.transpose(0, 2, 1)
POSITIVE = SQUARES @ SQUARES.transpose(0, 2, 1) + np.eye(4, dtype=np.float32)
IMAGES = RNG.uniform(0, 255, (2, 5, 6, 3)).astype(np.float32)
CUBES = RNG.normal(0, 1, (1, 4, 4, 4, 2)).astype(np.float32)
CUBE_KERNEL = RNG.normal(0, 1, (2, 2, 2, 2, 3)).astype(np.float32)
CUBE_RESULT = RNG.normal(0, 1, (1, 4, 4, 4, 3)).astype(np.float32)
WAVES = (SQUARES + 1j * SYMMETRIC).astype(np.complex64)
VECTORS = [RNG.uniform(0.5, 2, 3).astype(np.float32) for _ in range(4)]
FLOAT = dtype_number("float32")
T = {"T": FLOAT}
LIMIT = np.float32(0.5)
IN_3D = {**T, "strides": [1] * 5, "padding": "SAME"}

CASES: dict[str, tuple[str, list[Any], dict[str, Any]]] = {
    "Add": ("Add", [SQUARES, SYMMETRIC], T),
    "AdjustContrast": (
        "AdjustContrast", [IMAGES, np.float32(1.7), np.float32(20), np.float32(200)], T,
    ),
    "AdjustContrast of bytes": (
        "AdjustContrast",
        [IMAGES.astype(np.uint8), np.float32(1.7), np.float32(20), np.float32(200)],
        {"T": dtype_number("uint8")},
    ),
    "AudioSummary": (
        "AudioSummary", [np.array(b"tag"), np.sin(np.arange(64, dtype=np.float32))[None]],
        {"sample_rate": 8000.0},
    ),
    "BatchCholesky": ("BatchCholesky", [POSITIVE], T),
    "BatchMatrixDeterminant": ("BatchMatrixDeterminant", [SQUARES], T),
    "BatchMatrixInverse": ("BatchMatrixInverse", [POSITIVE], T),
    "BatchMatrixSolve": ("BatchMatrixSolve", [POSITIVE, SQUARES], T),
    "BatchMatrixSolveLs": ("BatchMatrixSolveLs", [POSITIVE, SQUARES, np.float64(0)], T),
    "BatchMatrixTriangularSolve": ("BatchMatrixTriangularSolve", [POSITIVE, SQUARES], T),
    "BatchSelfAdjointEigV2": ("BatchSelfAdjointEigV2", [SYMMETRIC], T),
    "BatchSvd": ("BatchSvd", [SQUARES], T),
    "BatchMatrixBandPart": ("BatchMatrixBandPart", [SQUARES, np.int64(1), np.int64(0)], T),
    "BatchMatrixDiag": ("BatchMatrixDiag", [SQUARES[0]], T),
    "BatchMatrixDiagPart": ("BatchMatrixDiagPart", [SQUARES], T),
    "BatchMatrixSetDiag": ("BatchMatrixSetDiag", [SQUARES, SQUARES[:, 0]], T),
    **{f"Batch{n}": (f"Batch{n}", [WAVES], {}) for n in ("FFT", "IFFT", "FFT2D", "IFFT2D")},
    **{f"Batch{n}": (f"Batch{n}", [WAVES], {}) for n in ("FFT3D", "IFFT3D")},
    "BatchMatMul": ("BatchMatMul", [SQUARES, SYMMETRIC], {**T, "adj_y": True}),
    "Concat": ("Concat", [np.int32(2), SQUARES, SYMMETRIC], {**T, "N": 2}),
    "Conv3DBackpropFilter": ("Conv3DBackpropFilter", [CUBES, CUBE_KERNEL, CUBE_RESULT], IN_3D),
    "Conv3DBackpropInput": ("Conv3DBackpropInput", [CUBES, CUBE_KERNEL, CUBE_RESULT], IN_3D),
    "Div": ("Div", [SQUARES, POSITIVE], T),
    **{
        name: (
            name, [IMAGES, *VECTORS],
            {**T, "is_training": False, **({"U": FLOAT} if name[-2:] == "V2" else {})},
        )
        for name in ("FusedBatchNorm", "FusedBatchNormV2")
    },
    "Gather": (
        "Gather", [SQUARES, np.array([2, 0, 2], np.int32)],
        {"Tparams": FLOAT, "Tindices": dtype_number("int32")},
    ),
    "Inv": ("Inv", [POSITIVE], T),
    "QuantizeAndDequantize": (
        "QuantizeAndDequantize", [SQUARES],
        {**T, "range_given": True, "input_min": -1.0, "input_max": 1.0},
    ),
    "SelfAdjointEig": ("SelfAdjointEig", [SYMMETRIC[0]], T),
    "BatchSelfAdjointEig": ("BatchSelfAdjointEig", [SYMMETRIC], T),
    "TopK": ("TopK", [SQUARES, ], {**T, "k": 2}),
    **{
        f"BatchNormWithGlobalNormalization {scaled}": (
            "BatchNormWithGlobalNormalization", [IMAGES, *VECTORS],
            {**T, "variance_epsilon": 0.001, "scale_after_normalization": scaled},
        )
        for scaled in (True, False)
    },
}  # fmt: skip


def graph_of(op: str, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    graph_def = empty_graph(1)
    names = [f"in{place}" for place in range(len(inputs))]
    for name, value in zip(names, inputs, strict=True):
        add_constant(graph_def, name, value)
    graph_def.node.append(new_node("y", op, names, **attributes))
    return graph_def


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_new_forms_give_the_old_values(case: tuple[str, list[Any], dict[str, Any]]) -> None:
    op, inputs, attributes = case
    graph_def = graph_of(op, inputs, attributes)
    outputs = 1 if op.startswith("Fused") else len(registry()[op].output_arg)
    fetches = [f"y:{place}" for place in range(outputs)]
    light, weights = modernize(*apart(graph_def), ["y"])
    assert light.versions.producer == NEWEST_VERSION
    assert op not in op_names(light)
    assert nodes_by_name(light)["y"].op != op
    try:
        expected = run(graph_def, fetches, {})
    except (tf.errors.InvalidArgumentError, tf.errors.NotFoundError) as error:
        assert any(why in str(error) for why in ("No OpKernel", "has constraint on attr"))
        run_light(light, weights, fetches, {})
        pytest.skip(f"this TensorFlow has lost the kernel of {op}, and the new form runs")
    for found, value in zip(run_light(light, weights, fetches, {}), expected, strict=True):
        if op == "AudioSummary":
            assert found == value
        else:
            np.testing.assert_allclose(found, value, rtol=2e-5, atol=2e-5)


def test_random_numbers_are_drawn_in_the_new_form() -> None:
    inputs = [np.array([5], np.int32), np.float32(100)]
    said = {"S": dtype_number("int32"), "dtype": FLOAT, "seed": 3, "seed2": 4}
    light, weights = modernize(*apart(graph_of("RandomPoisson", inputs, said)), ["y"])
    assert nodes_by_name(light)["y"].op == "RandomPoissonV2"
    found = run_light(light, weights, "y:0", {})
    assert found.shape == (5,)
    assert 50 < found.mean() < 150


def test_every_form_is_tried_and_is_of_an_op_that_is_not_dropped() -> None:
    tried = {op for op, _, _ in CASES.values()} | {"RandomPoisson", "PlaceholderV2"}
    assert FORMS.keys() - tried == {"BatchCholeskyGrad"}
    assert deprecation("CholeskyGrad") is None


def test_placeholders_are_those_of_today() -> None:
    graph_def = empty_graph(8)
    scalar, unknown = tf.TensorShape([]), tf.TensorShape(None)
    add(graph_def, "a", "Placeholder", dtype=tf.string, shape=scalar)
    add(graph_def, "b", "PlaceholderV2", dtype=tf.float32, shape=tf.TensorShape([2]))
    add(graph_def, "c", "Placeholder", dtype=tf.float32, shape=unknown)
    add(graph_def, "d", "Placeholder", dtype=tf.float32)
    light, _ = modernize(*apart(graph_def), ["a", "b"])
    assert {node.op for node in light.node} == {"Placeholder"}
    assert [node.attr["shape"].shape.unknown_rank for node in light.node] == [
        True, False, True, False,
    ]  # fmt: skip
    graph_def.versions.producer = 22
    light, _ = modernize(*apart(graph_def), ["a", "b"])
    assert not light.node[0].attr["shape"].shape.unknown_rank


@pytest.mark.parametrize(
    ("op", "dtype", "value"),
    [("Add", tf.string, b"a"), ("Div", tf.int32, 7)],
)
def test_what_the_new_form_does_otherwise_stays(op: str, dtype: Any, value: Any) -> None:
    graph_def = empty_graph(8)
    add_constant(graph_def, "x", value)
    add(graph_def, "y", op, ["x", "x"], T=dtype)
    light, weights = modernize(*apart(graph_def), ["y"])
    assert nodes_by_name(light)["y"].op == op
    assert run_light(light, weights, "y:0", {}) == run(graph_def, "y:0", {})


def test_device_control_inputs_and_what_is_kept_stay() -> None:
    graph_def = graph_of("TopK", [SQUARES], {**T, "k": 2})
    [node] = [node for node in graph_def.node if node.name == "y"]
    node.device = "/cpu:0"
    node.input.append("^in0")
    node.attr["_note"].s = b"kept"
    light, weights = modernize(*apart(graph_def), ["y"])
    made = nodes_by_name(light)["y"]
    assert (made.device, list(made.input)[-1], made.attr["_note"].s) == ("/cpu:0", "^in0", b"kept")
    assert "k" not in made.attr
    values, places = run_light(light, weights, ["y:0", "y:1"], {})
    np.testing.assert_array_equal(values, -np.sort(-SQUARES)[..., :2])
    np.testing.assert_array_equal(places, np.argsort(-SQUARES)[..., :2])


def test_the_graph_of_2015_in_little_loads_as_one_of_today() -> None:
    graph_def, feeds = inception_like(), {"DecodeJpeg/contents:0": jpeg()}
    light, weights = modernize(*apart(graph_def), ["softmax"])
    assert not [op for op in op_names(light) if deprecation(op)]
    expected = run(graph_def, "softmax:0", feeds)
    found = run_light(light, weights, "softmax:0", feeds)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert "c/batchnorm/gamma" not in weights


def test_a_graph_of_today_stays() -> None:
    graph_def = pixels_graph()
    graph_def.versions.producer = NEWEST_VERSION
    assert_not_changed(modernize, graph_def, ["probabilities"])


def function_with(op: str) -> Any:
    graph_def = empty_graph(8)
    function = graph_def.library.function.add()
    function.signature.name = "inner"
    function.node_def.add(name="n", op=op)
    return graph_def


def test_what_has_no_new_form_is_named() -> None:
    graph_def = empty_graph(8)
    add_constant(graph_def, "x", SQUARES)
    add(graph_def, "y", "MatrixExponential", ["x"], T=tf.float32)
    with pytest.raises(InputError) as error:
        modernize(*apart(graph_def), ["y"])
    assert str(error.value) == (
        "The node 'y' is a MatrixExponential, which TensorFlow does not load in graphs since "
        "version 27 (Use Python implementation tf.linalg.matrix_exponential instead), and there "
        "is no op that does the same for it here. If the outputs do not need it, "
        "strip_unused_nodes removes it."
    )
    with pytest.raises(InputError, match="The node 'n' of the function 'inner' is a SelfAdj"):
        modernize(*apart(function_with("SelfAdjointEig")), [])


def test_the_newest_version_is_that_of_the_newest_tensorflow() -> None:
    if tuple(map(int, tf.__version__.split(".")[:2])) < (2, 21):
        pytest.skip("this TensorFlow is not the newest one that is supported")
    assert tf.version.GRAPH_DEF_VERSION == NEWEST_VERSION


@pytest.mark.parametrize(
    ("file", "start", "end", "shape"),
    [
        (NEAR_REAL, "Mul:0", "pool_3:0", (1, 299, 299, 3)),
        (MOBILENET, "input:0", "MobilenetV1/Predictions/Reshape_1:0", (1, 128, 128, 3)),
    ],
)
def test_real_graphs(file: str, start: str, end: str, shape: tuple[int, ...]) -> None:
    graph_def = schema.GraphDef.FromString(real(file).read_bytes())
    images = RNG.uniform(-1, 1, shape).astype(np.float32)
    expected = run(graph_def, end, {start: images})
    light, weights = modernize(*apart(graph_def), [end.split(":")[0]])
    found = run_light(light, weights, end, {start: images})
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert not [op for op in op_names(light) if deprecation(op)]


def test_a_modern_graph_goes_into_a_function_of_tensorflow_2() -> None:
    light, weights = modernize(*apart(inception_like()), ["softmax"])

    def wrapped() -> Any:
        from retrain_tools.engine.importing import import_light

        held = {name: tf.constant(value) for name, value in weights.items()}
        import_light(light, held)

    function: Callable[..., Any] = tf.compat.v1.wrap_function(wrapped, [])
    pruned = function.prune("DecodeJpeg/contents:0", "softmax:0")  # type: ignore[attr-defined]
    feeds = {"DecodeJpeg/contents:0": jpeg()}
    expected = run(inception_like(), "softmax:0", feeds)
    np.testing.assert_allclose(pruned(tf.constant(jpeg())), expected, rtol=0, atol=1e-5)
    assert own(pruned.graph.as_graph_def()).node
