"""SavedModels, loaded by plain TensorFlow, against the untouched source graph and the head."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from retrain_tools.errors import InputError
from retrain_tools.export.saved_model import check_path, next_version
from retrain_tools.head.export import retrained_graph
from retrain_tools.head.saved_model import retrained, write_saved_model as write_retrained

from . import graphs
from .conftest import make_head
from .graphs import DEPTH, SIZE, drawn_image, encoded, jpeg, pixel_graph, prepared, run
from .test_export import of_unknown_rank

EXACT = 1e-4
LABELS = ["daisy", "rose bush", "löwenzahn"]
IMAGES = [jpeg(drawn_image(seed, 20 + 9 * seed, 70 - 7 * seed)) for seed in range(7)]
IMAGES.append(encoded(drawn_image(7, 45, 31), "PNG"))


def write_saved_model(folder, source, head, labels, pooling="avg"):
    graph_def = retrained_graph(source, head, pooling, labels=labels)
    write_retrained(folder, retrained(source, graph_def, "final_result"), labels)


def bottlenecks(source, images):
    """By the untouched graph, one image at a time."""
    if source.spec.encoded_input is None:
        feeds = [{"input:0": prepared(data)} for data in images]
        return np.concatenate([run(source.graph_def, "pooled:0", feed) for feed in feeds])
    feeds = [{"DecodeJpeg/contents:0": data} for data in images]
    return np.concatenate([run(source.graph_def, "pool/_reshape:0", feed) for feed in feeds])


def serve(folder, images):
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    return signature(image_bytes=tf.constant(images, tf.string, [len(images)]))


IN_A_FRESH_PROCESS = """
import sys, numpy as np, tensorflow as tf
model, images, result = sys.argv[1:]
signature = tf.saved_model.load(model).signatures["serving_default"]
images = np.load(images)
data = [images[name].tobytes() for name in images.files]
given = signature(image_bytes=tf.constant(data))
np.savez(result, **{name: tensor.numpy().astype("f4" if name == "scores" else "S20")
                    for name, tensor in given.items()})
assert "retrain_tools" not in sys.modules
"""


def test_a_fresh_process_gets_the_heads_scores_for_a_batch_of_any_images(old, head, tmp_path):
    model = tmp_path / "model"
    write_saved_model(str(model), old, head, LABELS)
    named = {f"{i}": np.frombuffer(data, np.uint8) for i, data in enumerate(IMAGES)}
    np.savez(tmp_path / "images.npz", **named)
    places = [str(tmp_path / name) for name in ("model", "images.npz", "result.npz")]
    subprocess.run([sys.executable, "-c", IN_A_FRESH_PROCESS, *places], check=True, cwd=tmp_path)
    with np.load(tmp_path / "result.npz") as result:
        expected = head.scores(bottlenecks(old, IMAGES))
        np.testing.assert_allclose(result["scores"], expected, atol=EXACT)
        assert expected.std(axis=0).max() > 0.01  # the images differ
        assert result["labels"].shape == (8, 3)
        for row in result["labels"]:
            assert [label.decode() for label in row] == LABELS


@pytest.mark.parametrize("name", ["shaped", "shapeless"])
def test_a_pixel_graphs_model_gives_the_heads_scores(request, head, tmp_path, name):
    source = request.getfixturevalue(name)
    write_saved_model(str(tmp_path / "model"), source, head, LABELS)
    given = serve(tmp_path / "model", IMAGES)
    expected = head.scores(bottlenecks(source, IMAGES))
    np.testing.assert_allclose(given["scores"], expected, atol=EXACT)


def test_an_empty_batch_gives_empty_results(old, head, tmp_path):
    write_saved_model(str(tmp_path / "model"), old, head, LABELS)
    given = serve(tmp_path / "model", [])
    assert given["scores"].shape == given["labels"].shape == (0, 3)


def test_the_signature_says_what_it_takes_and_gives(old, head, tmp_path):
    write_saved_model(str(tmp_path / "model"), old, head, LABELS)
    signatures = tf.saved_model.load(str(tmp_path / "model")).signatures
    assert sorted(signatures) == ["one_image", "pixels", "serving_default"]
    signature = signatures["serving_default"]
    [taken] = signature.structured_input_signature[1].values()
    assert (taken.name, taken.dtype, taken.shape.as_list()) == ("image_bytes", tf.string, [None])
    given = signature.structured_outputs
    assert sorted(given) == ["labels", "scores"]
    assert given["scores"].dtype == tf.float32
    assert given["labels"].dtype == tf.string


@pytest.mark.parametrize("pooling", ["avg", "max", "flatten"])
@pytest.mark.parametrize("known", [True, False])
def test_a_feature_map_is_pooled_as_the_cache_pools_it(save, tmp_path, pooling, known):
    if known:
        source = save(pixel_graph([None, SIZE, SIZE, 3]), "maps:0")
    else:
        source = save(of_unknown_rank((-1, 4, 4, DEPTH)), "mystery:0")
    maps = np.concatenate(
        [run(source.graph_def, "maps:0", {"input:0": prepared(data)}) for data in IMAGES]
    )
    vectors = {
        "avg": maps.mean(axis=(1, 2)),
        "max": maps.max(axis=(1, 2)),
        "flatten": maps.reshape(len(maps), -1),
    }[pooling]
    head = make_head(vectors.shape[1])
    write_saved_model(str(tmp_path / "model"), source, head, LABELS, pooling)
    scores = serve(tmp_path / "model", IMAGES)["scores"]
    np.testing.assert_allclose(scores, head.scores(vectors), atol=EXACT)


def test_a_graph_that_tensorflow_2_refuses_is_an_error_and_leaves_nothing(save, head, tmp_path):
    graph_def = graphs.graph_2015()
    for node in graph_def.node:  # the convolution has two consumers: its batch norm cannot fold
        if node.name == "pool":
            node.input[0] = "mix"
    graph_def.node.append(graphs.node("mix", "Add", "conv/relu", "conv", T=tf.float32))
    source = save(graph_def)
    message = (
        f"{source.path} cannot become a SavedModel: Op BatchNormWithGlobalNormalization is not "
        "available in GraphDef version"
    )
    with pytest.raises(InputError, match=re.escape(message)):
        write_saved_model(str(tmp_path / "model"), source, head, LABELS)
    assert not list(tmp_path.iterdir())


def test_an_interrupted_save_leaves_nothing(old, head, tmp_path, monkeypatch):
    def stop(module, folder, **_):
        assert tf.io.gfile.makedirs(folder) is None
        raise KeyboardInterrupt

    monkeypatch.setattr("retrain_tools.export.saved_model.tf.saved_model.save", stop)
    with pytest.raises(KeyboardInterrupt):
        write_saved_model(str(tmp_path / "models" / "1"), old, head, LABELS)
    assert not list((tmp_path / "models").iterdir())


def test_an_empty_folder_is_used_and_nothing_else_is_left_beside_it(old, head, tmp_path):
    folder = tmp_path / "models" / "1"
    folder.mkdir(parents=True)
    check_path(str(folder))
    write_saved_model(str(folder), old, head, LABELS)
    assert (folder / "saved_model.pb").is_file()
    assert [path.name for path in folder.parent.iterdir()] == ["1"]


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    message = f"saved_model_dir={tmp_path} exists and is not an empty folder."
    with pytest.raises(InputError, match=re.escape(message)):
        check_path(str(tmp_path), "saved_model_dir")
    with pytest.raises(InputError, match=r"mine\.txt exists and is not an empty folder"):
        check_path(str(tmp_path / "mine.txt"))


def test_a_missing_folder_is_fine(tmp_path):
    check_path(str(tmp_path / "new"))


@pytest.mark.parametrize(
    ("there", "expected"),
    [([], "1"), (["1"], "2"), (["9", "10", "notes", "2x", "_11"], "11"), (["0003"], "4")],
)
def test_the_next_version_is_one_above_the_highest(tmp_path, there, expected):
    for name in there:
        (tmp_path / name).mkdir()
    assert next_version(str(tmp_path)) == str(tmp_path / expected)


def test_the_first_version_in_a_folder_to_come_is_1(tmp_path):
    assert next_version(str(tmp_path / "new")) == str(tmp_path / "new" / "1")
