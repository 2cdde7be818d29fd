"""Hostile and benign models as TensorFlow and Keras write them, and what their loading would do."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from retrain_tools.safety.findings import Finding, Severity
from retrain_tools.safety.op_table import rules_by_op
from retrain_tools.safety.scanning import scan

v1 = tf.compat.v1


def loud(path: Path) -> list[Finding]:
    return [finding for finding in scan(path).findings if finding.severity > Severity.LOW]


@pytest.fixture(autouse=True)
def _plain_session() -> Iterator[None]:
    yield
    tf.keras.backend.clear_session()


def module_with(call: Any) -> tf.Module:
    module = tf.Module()
    module.call = tf.function(call, input_signature=[tf.TensorSpec([None], tf.float32)])
    return module


def test_a_saved_model_with_python_and_console(tmp_path: Path) -> None:
    def call(x: Any) -> Any:
        tf.print("hello", x)
        return tf.py_function(lambda y: y, [x], tf.float32)

    module = module_with(call)
    tf.saved_model.save(module, str(tmp_path / "m"), signatures=module.call)
    found = {(f.name, f.severity.word, f.function != "") for f in loud(tmp_path / "m")}
    assert found == {("EagerPyFunc", "high", True), ("PrintV2", "medium", True)}


def test_a_graph_of_tf_data_in_a_constant_would_write_a_file(tmp_path: Path) -> None:
    file = str(tmp_path / "written")

    def write(x: Any) -> Any:
        with tf.control_dependencies([tf.io.write_file(file, "data")]):
            return tf.identity(x)

    hidden = tf.raw_ops.DatasetToGraphV2(
        input_dataset=tf.data.Dataset.range(2).map(write)._variant_tensor
    ).numpy()

    def call(x: Any) -> Any:
        dataset = tf.raw_ops.DatasetFromGraph(graph_def=hidden)
        made = tf.data.experimental.from_variant(dataset, tf.TensorSpec([], tf.int64))
        return x + tf.cast(made.reduce(tf.constant(0, tf.int64), lambda a, b: a + b), tf.float32)

    module = module_with(call)
    tf.saved_model.save(module, str(tmp_path / "m"), signatures=module.call)
    found = loud(tmp_path / "m")
    assert not Path(file).exists()
    assert {finding.name for finding in found} == {"DatasetFromGraph", "WriteFile"}
    [inner] = [finding for finding in found if finding.name == "WriteFile"]
    assert "the graph in attribute 'value' of " in inner.within
    assert inner.function.startswith("__inference_Dataset_map_write_")
    # It is no idle warning: whoever runs the op does write it.
    dataset = tf.raw_ops.DatasetFromGraph(graph_def=hidden)
    list(tf.data.experimental.from_variant(dataset, tf.TensorSpec([], tf.int64)))
    assert Path(file).exists()


def test_a_saved_model_of_tensorflow_1_that_saves_on_loading(tmp_path: Path) -> None:
    graph, place = tf.Graph(), str(tmp_path / "stolen")
    with graph.as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None], "x")
        variable = v1.get_variable("v", [1], initializer=v1.ones_initializer())
        saved = tf.raw_ops.SaveV2(
            prefix=place, tensor_names=["v"], shape_and_slices=[""], tensors=[variable]
        )
        with tf.control_dependencies([saved]):
            main = tf.no_op("main")
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(tmp_path / "m"))
        signature = v1.saved_model.predict_signature_def({"x": x}, {"y": x + variable})
        builder.add_meta_graph_and_variables(
            session, ["serve"], {"serving_default": signature}, main_op=main
        )
        builder.save()
    [finding] = loud(tmp_path / "m")
    assert (finding.name, finding.severity) == ("SaveV2", Severity.HIGH)
    assert finding.why.endswith("; it runs as soon as the model is loaded")
    savers = [f for f in scan(tmp_path / "m").findings if f.severity is Severity.LOW]
    assert {f.name for f in savers} >= {"SaveV2", "RestoreV2"}  # the Saver's own ones


def test_a_saved_model_with_words_is_clean(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("one\ntwo\n")
    initial = tf.lookup.TextFileInitializer(
        str(words), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER,
    )  # fmt: skip
    module = tf.Module()
    module.table = tf.lookup.StaticHashTable(initial, -1)
    module.call = tf.function(
        lambda x: module.table.lookup(x), input_signature=[tf.TensorSpec([None], tf.string)]
    )
    tf.saved_model.save(module, str(tmp_path / "m"), signatures=module.call)
    report = scan(tmp_path / "m")
    assert report.is_clean
    names = {finding.name for finding in report.findings}
    assert "InitializeTableFromTextFileV2" in names  # which is low, as it reads an asset


def test_keras_files_with_code_of_ones_own(tmp_path: Path) -> None:
    import keras

    @keras.saving.register_keras_serializable("mine")
    class Doubled(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return 2 * x

    inputs = keras.Input([3])
    own = keras.Model(inputs, Doubled(name="doubled")(inputs))
    own.save(tmp_path / "own.keras")
    [finding] = loud(tmp_path / "own.keras")
    assert (finding.severity, finding.name, finding.node) == (
        Severity.MEDIUM,
        "mine>Doubled",
        "doubled",
    )
    squared = keras.Model(inputs, keras.layers.Lambda(lambda x: x**2, name="squared")(inputs))
    for name in ("lambda.keras", "lambda.h5"):
        squared.save(tmp_path / name)
        found = loud(tmp_path / name)
        assert {(f.severity, f.name) for f in found if f.node == "squared"} == {
            (Severity.HIGH, "Lambda")
        }
    plain = keras.Sequential([inputs, keras.layers.Dense(2, activation="relu")])
    plain.compile("adam", "mse", ["mae"])
    for name in ("plain.keras", "plain.h5", "plain.weights.h5"):
        if "weights" in name:
            plain.save_weights(tmp_path / name)
        else:
            plain.save(tmp_path / name)
        assert not loud(tmp_path / name), name
    plain.export(tmp_path / "export", verbose=False)
    assert not loud(tmp_path / "export")


def test_every_op_with_state_that_touches_files_or_processes_has_a_rule() -> None:
    """TensorFlow says itself which ops have effects; those of a kind that matters are known."""
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session

    listed = op_def_pb2.OpList.FromString(
        pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())
    )
    names_files = {
        op.name
        for op in listed.op
        for argument in (*op.input_arg, *op.attr)
        if argument.name in _FILES and (argument.type in (7, "string"))
    }
    assert names_files - rules_by_op().keys() - _HARMLESS == set()


_FILES = {
    *("filename", "filenames", "file_name", "path", "paths", "prefix", "file_pattern", "pattern"),
    *("directory", "logdir", "log_dir_path", "checkpoint_prefixes", "debug_urls", "address"),
    *("vocab_file", "output_file_path", "ckpt_path", "new_vocab_file", "patterns", "db_uri"),
}
# Where these words mean something else: regular expressions and the shards of a name.
_HARMLESS = {"StaticRegexReplace", "RegexReplace", "RegexFullMatch", "StaticRegexFullMatch"}


def test_an_archive_of_features_is_clean_and_one_of_objects_is_not(tmp_path: Path) -> None:
    features = io.BytesIO()
    np.savez(features, a=np.zeros((2, 3)))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("features.npz", features.getvalue())
    assert not scan(tmp_path / "a.zip").findings
