"""Exported graphs, loaded by plain TensorFlow, against the untouched source graph and the head."""

from __future__ import annotations

import re
import stat

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import op_def_registry

from retrain_tools.errors import InputError
from retrain_tools.graphdef.note import read_labels
from retrain_tools.graphdef.save import write_graph
from retrain_tools.head.export import retrained_graph, write_checkpoint, write_labels

from . import graphs
from .conftest import make_head
from .graphs import DEPTH, SIZE, drawn_image, jpeg, pixel_graph, prepared, run

EXACT = 1e-5
ENCODED = "DecodeJpeg/contents:0"
FINAL = "final_result:0"
IMAGES = [jpeg(drawn_image(1)), jpeg(drawn_image(2, 61, 17)), jpeg(drawn_image(3, 9, 40))]


def node_names(graph_def):
    return [node.name for node in graph_def.node]


def needed(graph_def, final):
    """The names of all nodes that `final` is computed from."""
    inputs = {node.name: node.input for node in graph_def.node}
    found, waiting = set(), [final]
    while waiting:
        name = waiting.pop().lstrip("^").split(":")[0]
        if name not in found:
            found.add(name)
            waiting.extend(inputs[name])
    return found


@pytest.fixture(params=["old", "shaped", "shapeless"])
def source(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def exported(source, head):
    # By way of bytes: what counts is what another program reads.
    data = retrained_graph(source, head).SerializeToString()
    return tf.compat.v1.GraphDef.FromString(data)


@pytest.mark.parametrize("data", IMAGES)
def test_bytes_in_give_the_heads_scores_of_the_old_graphs_bottleneck(old, head, data):
    bottleneck = run(old.graph_def, "pool/_reshape:0", {ENCODED: data})
    scores = run(retrained_graph(old, head), FINAL, {ENCODED: data})
    np.testing.assert_allclose(scores, head.scores(bottleneck), atol=EXACT)
    assert scores.std() > 0.01  # the test tells heads and images apart


@pytest.mark.parametrize("name", ["shaped", "shapeless"])
@pytest.mark.parametrize("data", IMAGES)
def test_bytes_in_give_the_heads_scores_of_the_pixel_graphs_bottleneck(name, request, head, data):
    source = request.getfixturevalue(name)
    bottleneck = run(source.graph_def, "pooled:0", {"input:0": prepared(data)})
    scores = run(retrained_graph(source, head), FINAL, {ENCODED: data})
    np.testing.assert_allclose(scores, head.scores(bottleneck), atol=EXACT)
    assert scores.std() > 0.01


@pytest.mark.parametrize(
    ("name", "entrance", "bottleneck"),
    [
        ("old", "Mul:0", "pool/_reshape:0"),
        ("shaped", "input:0", "pooled:0"),
        ("shapeless", "input:0", "pooled:0"),
    ],
)
@pytest.mark.parametrize("encoded_input", [True, False])
def test_pixels_in_give_the_heads_scores(request, head, name, entrance, bottleneck, encoded_input):
    source = request.getfixturevalue(name)
    pixels = np.random.default_rng(5).uniform(-1, 1, (1, SIZE, SIZE, 3)).astype(np.float32)
    expected = head.scores(run(source.graph_def, bottleneck, {entrance: pixels}))
    exported = retrained_graph(source, head, encoded_input=encoded_input)
    np.testing.assert_allclose(run(exported, FINAL, {entrance: pixels}), expected, atol=EXACT)


def test_bottlenecks_in_give_the_heads_scores_also_as_a_batch(exported, head):
    vectors = np.random.default_rng(6).normal(0, 1, (5, DEPTH)).astype(np.float32)
    [entrance] = [name for name in node_names(exported) if "BottleneckInput" in name]
    scores = run(exported, FINAL, {f"{entrance}:0": vectors})
    np.testing.assert_allclose(scores, head.scores(vectors), atol=EXACT)


def test_a_pixel_graph_without_a_batch_size_still_takes_batches_of_pixels(save, head):
    source = save(pixel_graph([None, SIZE, SIZE, 3]))
    pixels = np.random.default_rng(5).uniform(-1, 1, (4, SIZE, SIZE, 3)).astype(np.float32)
    expected = head.scores(run(source.graph_def, "pooled:0", {"input:0": pixels}))
    scores = run(retrained_graph(source, head), FINAL, {"input:0": pixels})
    np.testing.assert_allclose(scores, expected, atol=EXACT)


def test_a_graph_that_takes_nothing_but_batches_gets_no_encoded_input(save, head):
    source = save(pixel_graph([4, SIZE, SIZE, 3]))
    exported = retrained_graph(source, head)
    assert "DecodeJpeg" not in node_names(exported)
    pixels = np.random.default_rng(5).uniform(-1, 1, (4, SIZE, SIZE, 3)).astype(np.float32)
    expected = head.scores(run(source.graph_def, "pooled:0", {"input:0": pixels}))
    np.testing.assert_allclose(run(exported, FINAL, {"input:0": pixels}), expected, atol=EXACT)


def test_without_an_encoded_input_the_placeholder_stays_as_it_was(shaped, head):
    exported = retrained_graph(shaped, head, encoded_input=False)
    assert "DecodeJpeg" not in node_names(exported)
    [entrance] = [node for node in exported.node if node.name == "input"]
    assert entrance == shaped.graph_def.node[0]


HEAD_NODES = [
    "{scope}/BottleneckInputPlaceholder",
    "final_training_ops/weights/final_weights",
    "final_training_ops/weights/final_weights/read",
    "final_training_ops/biases/final_biases",
    "final_training_ops/biases/final_biases/read",
    "final_training_ops/Wx_plus_b/MatMul",
    "final_training_ops/Wx_plus_b/add",
    "final_result",
]


def test_the_new_nodes_have_retrain_pys_names(old, head):
    added = set(node_names(retrained_graph(old, head))) - set(node_names(old.graph_def))
    assert added == {name.format(scope="input") for name in HEAD_NODES}


def test_where_input_is_taken_the_scope_is_input_1(shaped, head):
    exported = retrained_graph(shaped, head, encoded_input=False)
    added = set(node_names(exported)) - set(node_names(shaped.graph_def))
    assert added == {name.format(scope="input_1") for name in HEAD_NODES}


def test_the_bottleneck_placeholder_has_the_depth(exported):
    [node] = [n for n in exported.node if n.name.endswith("/BottleneckInputPlaceholder")]
    assert node.op == "PlaceholderWithDefault"
    assert [dim.size for dim in node.attr["shape"].shape.dim] == [-1, DEPTH]


def test_the_sources_version_is_kept(source, exported):
    assert str(exported.versions) == str(source.graph_def.versions)
    assert exported.versions.producer in (8, 21)


def test_the_sources_nodes_are_kept_as_they_were(old, head):
    exported = {node.name: node for node in retrained_graph(old, head).node}
    for node in old.graph_def.node:
        if node.name in ("logits/weights", "logits/MatMul", "probabilities"):
            assert node.name not in exported
            continue
        kept = exported[node.name]
        assert (kept.op, kept.input) == (node.op, node.input)
        assert all(kept.attr[key] == node.attr[key] for key in kept.attr)


def test_no_attribute_says_what_holds_by_default(exported):
    seen = 0
    for node in exported.node:
        for definition in op_def_registry.get(node.op).attr:
            if definition.name in node.attr and definition.HasField("default_value"):
                assert node.attr[definition.name] != definition.default_value, node
                seen += 1
    assert seen  # some attributes do differ from their default


def test_no_attribute_without_a_default_is_missing(exported):
    for node in exported.node:
        for definition in op_def_registry.get(node.op).attr:
            if not definition.HasField("default_value"):
                assert definition.name in node.attr, node


def test_every_node_is_needed(exported):
    assert sorted(node_names(exported)) == sorted(needed(exported, "final_result"))


def test_every_op_was_in_tensorflow_1_4(exported):
    assert {node.op for node in exported.node} <= graphs.OPS_OF_TENSORFLOW_1_4


def test_the_source_is_not_changed(source, head):
    before = source.graph_def.SerializeToString(deterministic=True)
    retrained_graph(source, head)
    assert source.graph_def.SerializeToString(deterministic=True) == before


def test_the_same_head_gives_the_same_bytes(source, head):
    first, second = (retrained_graph(source, head).SerializeToString() for _ in range(2))
    assert first == second


def test_a_retrained_graph_retrained_again_loses_its_old_head(source, head, save):
    once = retrained_graph(source, head)
    again = save(once)
    other = make_head(DEPTH, classes=4, seed=9)
    twice = retrained_graph(again, other)
    assert node_names(twice) == node_names(once)
    bottleneck = "pool/_reshape:0" if source.spec.encoded_input else "pooled:0"
    feeds = {ENCODED: IMAGES[0]}
    expected = other.scores(run(once, bottleneck, feeds))
    scores = run(twice, FINAL, feeds)
    assert scores.shape == (1, 4)
    np.testing.assert_allclose(scores, expected, atol=EXACT)


def test_a_graph_retrained_on_its_own_scores_has_the_new_labels_alone(old, save):
    once = retrained_graph(old, make_head(DEPTH), labels=["a", "b", "c"])
    again = save(once, "final_result:0")
    twice = retrained_graph(again, make_head(3, 2), final_tensor_name="new", labels=["d", "e"])
    assert "final_result" in node_names(twice)
    assert read_labels(twice) == ["d", "e"]
    assert [node.name for node in twice.node if "_retrain_tools_labels" in node.attr] == ["new"]


@pytest.mark.parametrize("pooling", ["avg", "max", "flatten"])
def test_a_feature_map_is_pooled_as_the_cache_pools_it(save, pooling):
    source = save(pixel_graph([None, SIZE, SIZE, 3]), "maps:0")
    maps = run(source.graph_def, "maps:0", {"input:0": prepared(IMAGES[0])})
    assert maps.shape == (1, 4, 4, DEPTH)
    vectors = {
        "avg": maps.mean(axis=(1, 2)),
        "max": maps.max(axis=(1, 2)),
        "flatten": maps.reshape(1, -1),
    }[pooling]
    head = make_head(vectors.shape[1])
    exported = retrained_graph(source, head, pooling)
    scores = run(exported, FINAL, {ENCODED: IMAGES[0]})
    np.testing.assert_allclose(scores, head.scores(vectors), atol=EXACT)
    assert {node.op for node in exported.node} <= graphs.OPS_OF_TENSORFLOW_1_4


def of_unknown_rank(ending):
    """The pixel graph, its feature maps [N, 4, 4, DEPTH] reshaped by a shape nobody can infer."""
    graph_def = pixel_graph([None, SIZE, SIZE, 3])
    shape = graphs.node("shape", "PlaceholderWithDefault", "shape/default", dtype=tf.int32)
    shape.attr["shape"].shape.unknown_rank = True
    graph_def.node.extend(
        [
            graphs.constant("shape/default", np.array(ending, np.int32)),
            shape,
            graphs.node("mystery", "Reshape", "maps", "shape", T=tf.float32),
        ]
    )
    return graph_def


@pytest.mark.parametrize("pooling", ["avg", "max", "flatten"])
@pytest.mark.parametrize("ending", [(-1, 4, 4, DEPTH), (-1, 4 * 4 * DEPTH), (-1, 16, DEPTH)])
def test_a_tensor_whose_rank_is_only_known_at_run_time_is_pooled_as_the_cache_pools_it(
    save, pooling, ending
):
    source = save(of_unknown_rank(ending), "mystery:0")
    values = run(source.graph_def, "mystery:0", {"input:0": prepared(IMAGES[0])})
    between = tuple(range(1, values.ndim - 1))
    if pooling == "flatten":
        vectors = values.reshape(1, -1)
    else:
        vectors = values.mean(between) if pooling == "avg" else values.max(between)
    head = make_head(vectors.shape[1])
    exported = retrained_graph(source, head, pooling)
    scores = run(exported, FINAL, {ENCODED: IMAGES[0]})
    np.testing.assert_allclose(scores, head.scores(vectors), atol=EXACT)
    assert {node.op for node in exported.node} <= graphs.OPS_OF_TENSORFLOW_1_4


def test_the_final_tensor_takes_any_free_name(old, head):
    exported = retrained_graph(old, head, final_tensor_name="probabilities")  # the old, pruned one
    bottleneck = run(old.graph_def, "pool/_reshape:0", {ENCODED: IMAGES[0]})
    scores = run(exported, "probabilities:0", {ENCODED: IMAGES[0]})
    np.testing.assert_allclose(scores, head.scores(bottleneck), atol=EXACT)


@pytest.mark.parametrize("name", ["conv/relu", "final_training_ops/Wx_plus_b/add"])
def test_a_final_name_that_is_taken_is_refused(old, head, name):
    message = (
        f"final_tensor_name={name!r} is the name of a node that {old.path} or the new layer "
        "needs; choose another."
    )
    with pytest.raises(InputError, match=re.escape(message)):
        retrained_graph(old, head, final_tensor_name=name)


@pytest.mark.parametrize("name", ["", "final_result:0", "my result", "_private"])
def test_a_final_name_that_tensorflow_refuses_is_refused(old, head, name):
    message = f"final_tensor_name={name!r} cannot be the name of a node: it takes letters,"
    with pytest.raises(InputError, match=re.escape(message)):
        retrained_graph(old, head, final_tensor_name=name)


def test_files_are_written_in_one_step_into_new_folders(tmp_path, old, head):
    graph, labels = tmp_path / "a" / "graph.pb", tmp_path / "b" / "labels.txt"
    exported = retrained_graph(old, head)
    write_graph(str(graph), exported)
    write_labels(str(labels), ["daisy", "rose bush", "löwenzahn"])
    assert graphs.read_graph(graph) == exported
    assert labels.read_bytes() == "daisy\nrose bush\nlöwenzahn\n".encode()
    assert [path.name for path in sorted(tmp_path.rglob("*")) if path.is_file()] == [
        "graph.pb",
        "labels.txt",
    ]
    assert stat.S_IMODE(graph.stat().st_mode) == stat.S_IMODE(labels.stat().st_mode)


def test_the_checkpoint_has_the_heads_variables_under_retrain_pys_names(tmp_path, head):
    prefix = str(tmp_path / "new" / "head")
    write_checkpoint(prefix, head)
    reader = tf.train.load_checkpoint(prefix)
    assert sorted(reader.get_variable_to_shape_map()) == [
        "final_retrain_ops/biases/final_biases",
        "final_retrain_ops/weights/final_weights",
    ]
    weights = reader.get_tensor("final_retrain_ops/weights/final_weights")
    biases = reader.get_tensor("final_retrain_ops/biases/final_biases")
    assert np.array_equal(weights, head.weights)
    assert np.array_equal(biases, head.biases)
    assert weights.dtype == np.float32
