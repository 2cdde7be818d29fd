"""legacy: older ops give the same values, and hold to the table of ops by version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.graphdef.build import new_node
from retrain_tools.graphdef.op_history import op_history, version_place, versions
from retrain_tools.graphdef.ops import registry
from retrain_tools.graphdef.schema import DATA
from retrain_tools.graphdef.transforms.legacy import legacy
from retrain_tools.graphdef.transforms.old_forms import FORMS
from retrain_tools.quiet_tensorflow import tf

from ..tiny_graphs import add, empty_graph, inception_like, own, run
from .running import apart, assert_not_changed, op_names, run_light

RNG = np.random.default_rng(12)
RAW = tf.raw_ops
X = RNG.normal(0, 1, (2, 6, 6, 3)).astype(np.float32)
KERNEL = RNG.normal(0, 0.5, (3, 3, 3, 2)).astype(np.float32)
VECTORS = [RNG.uniform(0.5, 2, 3).astype(np.float32) for _ in range(4)]
ROWS = np.array([1, 0, 1], np.int32)


def graph_of(make: Callable[[Any], Any]) -> Any:
    """y, made of the placeholder x [2, 6, 6, 3]."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [2, 6, 6, 3], "x")
        tf.identity(make(x), name="y")
    return own(graph.as_graph_def())


def convolved(op: str = "Conv2D", **more: Any) -> Callable[[Any], Any]:
    def make(x: Any) -> Any:
        said = {"strides": [1] * 4, "padding": "SAME", "filter": tf.constant(KERNEL), **more}
        return getattr(RAW, op)(input=x, **said)

    return make


PADDED = {"padding": "EXPLICIT", "explicit_paddings": [0, 0, 2, 1, 0, 3, 0, 0]}
CASES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "AddV2": ("1.4", lambda x: RAW.AddV2(x=x, y=x)),
    "BatchMatMulV2": ("1.4", lambda x: RAW.BatchMatMulV2(x=x, y=x, adj_y=True)),
    "BatchMatMulV3": ("1.4", lambda x: RAW.BatchMatMulV3(x=x, y=x, Tout=tf.float32, adj_y=True)),
    "BroadcastTo": ("1.4", lambda x: RAW.BroadcastTo(input=x, shape=tf.constant([2, 2, 6, 6, 3]))),
    "CheckNumericsV2": ("1.4", lambda x: RAW.CheckNumericsV2(tensor=x, message="odd")),
    "ClipByValue": (
        "1.4",
        lambda x: RAW.ClipByValue(t=x, clip_value_min=-0.2, clip_value_max=0.5),
    ),
    "EnsureShape": ("1.4", lambda x: RAW.EnsureShape(input=x, shape=[2, 6, None, 3])),
    **{
        name: (
            version,
            lambda x, name=name: getattr(RAW, name)(
                x=x, scale=VECTORS[0], offset=VECTORS[1], mean=VECTORS[2], variance=VECTORS[3],
                is_training=False,
            ).y,
        )
        for name, version in (("FusedBatchNormV2", "1.3"), ("FusedBatchNormV3", "1.4"))
    },
    "FusedBatchNormV3 of halves": (
        "1.4",
        lambda x: RAW.FusedBatchNormV3(
            x=tf.cast(x, tf.float16), scale=VECTORS[0], offset=VECTORS[1], mean=VECTORS[2],
            variance=VECTORS[3], is_training=False,
        ).y,
    ),
    "GatherV2": ("1.2", lambda x: RAW.GatherV2(params=x, indices=ROWS, axis=0)),
    "LeakyRelu": ("1.4", lambda x: RAW.LeakyRelu(features=x, alpha=0.3)),
    "LeakyRelu that rises": ("1.4", lambda x: RAW.LeakyRelu(features=x, alpha=1.5)),
    "PadV2": (
        "1.2",
        lambda x: RAW.PadV2(input=x, paddings=[[0, 0], [1, 2]] * 2, constant_values=0.0),
    ),
    "SelectV2": ("1.4", lambda x: RAW.SelectV2(condition=x > 0, t=x, e=-2 * x)),
    "Snapshot": ("1.4", lambda x: RAW.Snapshot(input=x)),
    "dilations": ("1.4", convolved(dilations=[1, 2, 2, 1])),
    "dilations of a large kernel": (
        "1.4", convolved(filter=np.tile(KERNEL, (1, 1, 1, 8)), dilations=[1, 1, 3, 1]),
    ),
    "dilations channel by channel": (
        "1.4", convolved("DepthwiseConv2dNative", dilations=[1, 2, 2, 1]),
    ),
    "explicit paddings": ("1.4", convolved(**PADDED)),
    "explicit paddings and dilations": ("1.4", convolved(**PADDED, dilations=[1, 2, 1, 1])),
    "explicit paddings, strides": ("1.4", convolved(**PADDED, strides=[1, 2, 2, 1])),
    "attributes of later versions": ("1.4", lambda x: RAW.MaxPool(
        input=x, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="SAME"
    )),
}  # fmt: skip


def assert_fits(graph_def: Any, tf_version: str) -> None:
    """No op, attribute or type that the version lacks, by the table itself."""
    table = (DATA / "op_history.tsv").read_text(encoding="utf-8").splitlines()
    names = list(versions())
    later = set(names[names.index(tf_version) + 1 :])
    rows = {row.split("\t")[0]: row.split("\t")[1:] for row in table if row[0] != "#"}
    for node in graph_def.node:
        since, *parts = rows[node.op]
        assert since not in later, node.op
        young = {part.partition("=")[0] for part in parts if part.partition("=")[2] in later}
        used = {key for key in node.attr if not key.startswith("_")}
        used |= {f"{key}:{tf.as_dtype(node.attr[key].type).name}"
                 for key in used if node.attr[key].type}  # fmt: skip
        assert not used & young, node.name
        assert used <= {attr.name for attr in registry()[node.op].attr} | {
            part for part in used if ":" in part
        }
    assert graph_def.versions.producer <= versions()[tf_version]
    assert graph_def.versions.min_consumer <= 12


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_older_ops_give_the_same_values(case: tuple[str, Callable[[Any], Any]]) -> None:
    version, make = case
    graph_def = graph_of(make)
    light, weights = legacy(*apart(graph_def), ["y"], tf=version)
    assert_fits(light, version)
    expected = run(graph_def, "y:0", {"x:0": X})
    found = run_light(light, weights, "y:0", {"x:0": X})
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_every_form_is_tried_and_came_up_later() -> None:
    assert {name.split()[0] for name in CASES} >= FORMS.keys()
    assert all(op_history()[op].since > 0 for op in FORMS)


def test_an_old_graph_stays() -> None:
    assert_not_changed(legacy, inception_like(), ["softmax"])
    assert_not_changed(legacy, inception_like(), ["softmax"], tf="1.2.1")


def test_the_newest_version_needs_no_change_of_nodes() -> None:
    graph_def = graph_of(convolved(dilations=[1, 2, 2, 1]))
    assert_not_changed(legacy, graph_def, ["y"], tf="2.21")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda x: RAW.Einsum(inputs=[x, x], equation="abcd,abcd->ad"),
         "'Einsum' is a Einsum, which TensorFlow 1.15 has first"),
        (lambda x: tf.compat.v1.image.resize_bilinear(x, [3, 3], half_pixel_centers=True),
         "ResizeBilinear, whose half_pixel_centers TensorFlow 1.14 has first"),
        (lambda x: RAW.SelectV2(condition=x > 0, t=x, e=tf.constant(0.0)),
         r"SelectV2, which TensorFlow 1.14 has first \(its inputs are not known to be of one"),
        (lambda x: RAW.BatchMatMulV2(x=x, y=tf.ones([3, 2])),
         r"BatchMatMulV2, .* \(its two batches are not known to be of one shape\)"),
        (lambda x: RAW.BroadcastTo(input=x > 0, shape=[1, 2, 6, 6, 3]),
         r"BroadcastTo, which TensorFlow 1.9 has first \(it spreads no numbers\)"),
        (lambda x: convolved(filter=x[0, :3, :3] + KERNEL[..., :1], dilations=[1, 2, 2, 1])(x),
         r"Conv2D, whose dilations .* \(only a constant kernel, channels last, gets its holes\)"),
        (lambda x: RAW.FusedBatchNormV3(x=x, scale=VECTORS[0], offset=VECTORS[1], mean=VECTORS[2],
                                        variance=VECTORS[3], is_training=True).reserve_space_3,
         r"FusedBatchNormV3, which TensorFlow 1.14 has first \(.*:5 is used\)"),
        (lambda x: tf.nn.max_pool2d(x, 2, 1, [[0, 0], [1, 1], [1, 1], [0, 0]]),
         r"MaxPool, whose explicit_paddings .* \(only paddings of convolutions are written as"),
        (lambda x: RAW.Relu(features=tf.cast(x, tf.bfloat16)),
         "'Relu' is a Relu, which takes bfloat16 since TensorFlow 1.5"),
        (lambda x: tf.function(lambda v: v * 2)(x),
         "which calls a function: freezing the graph writes these out"),
    ],
)  # fmt: skip
def test_what_an_old_tensorflow_lacks_is_said(make: Any, reason: str) -> None:
    with pytest.raises(InputError, match=f"TensorFlow 1.4 cannot load this graph: .*{reason}"):
        legacy(*apart(graph_of(make)), ["y"])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda x: RAW.GatherV2(params=x, indices=ROWS, axis=1), "its axis is not the first"),
        (
            lambda x: RAW.PadV2(input=x, paddings=[[1, 0]] * 4, constant_values=1.0),
            "it pads with other values than 0",
        ),
    ],
)
def test_what_only_tensorflow_1_2_lacks_is_said(make: Any, reason: str) -> None:
    graph_def = graph_of(make)
    assert_fits(legacy(*apart(graph_def), ["y"])[0], "1.4")
    with pytest.raises(InputError, match=rf"which TensorFlow 1.3 has first \({reason}\)"):
        legacy(*apart(graph_def), ["y"], tf="1.2")


def test_an_op_of_nobody_and_many_problems_are_said() -> None:
    graph_def = empty_graph(21)
    for number in range(7):
        graph_def.node.add(name=f"odd{number}", op="OddOp")
    with pytest.raises(InputError) as error:
        legacy(*apart(graph_def), ["odd0"], tf="1.4.1")
    assert str(error.value) == (
        "TensorFlow 1.4.1 cannot load this graph: 'odd0' is a OddOp, which no TensorFlow has; "
        "'odd1' is a OddOp, which no TensorFlow has; 'odd2' is a OddOp, which no TensorFlow has; "
        "'odd3' is a OddOp, which no TensorFlow has; 'odd4' is a OddOp, which no TensorFlow has … "
        "and 2 more. What the outputs do not need is removed by strip_unused_nodes; a later "
        "version may do."
    )


def test_functions_that_nothing_calls_go_and_versions_are_lowered() -> None:
    graph_def = graph_of(lambda x: x + x)
    graph_def.library.function.add().signature.name = "inner"
    graph_def.versions.min_consumer = 12
    light, _ = legacy(*apart(graph_def), ["y"])
    assert not light.library.function
    assert (light.versions.producer, light.versions.min_consumer) == (24, 12)
    graph_def.versions.producer = 8
    assert legacy(*apart(graph_def), ["y"])[0].versions.producer == 8


def test_an_attribute_that_nobody_knows_goes() -> None:
    graph_def = empty_graph(30)
    graph_def.node.append(new_node("x", "Placeholder", dtype=1))
    add(graph_def, "y", "Relu", ["x"], T=tf.float32, strange=3)
    light, _ = legacy(*apart(graph_def), ["y"])
    assert set(light.node[1].attr) == {"T"}


@pytest.mark.parametrize(
    ("text", "place"),
    [("1.2", 0), ("1.4.1", 2), (" 1.15 ", 13), ("2.0", 13), ("2.5", 14), ("3.0", 17)],
)
def test_versions_are_read_as_people_write_them(text: str, place: int) -> None:
    assert version_place(text) == place


@pytest.mark.parametrize("text", ["", "1", "new", "1.x"])
def test_a_version_that_is_none_is_said(text: str) -> None:
    with pytest.raises(InputError, match=f"tf={text} is no version of TensorFlow; write it as 1.4"):
        legacy(*apart(inception_like()), [], tf=text)


def test_a_version_that_is_too_old_is_said() -> None:
    with pytest.raises(InputError, match=r"tf=1.1 is older than what is known here: 1.2, 1.3, 1.4"):
        legacy(*apart(inception_like()), [], tf="1.1")


def test_the_table_holds_what_this_tensorflow_has() -> None:
    history = op_history()
    assert len(history) > 1900
    assert registry().keys() <= history.keys()
    assert history["Conv2D"].later["dilations"] == list(versions()).index("1.5")
    assert op_names(graph_of(lambda x: x + x))[1] == "AddV2"
