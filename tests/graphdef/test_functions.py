from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import pytest
from tensorflow.python.framework.function_def_to_graph import function_def_to_graph_def

from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from retrain_tools.graphdef.check import check_graph
from retrain_tools.graphdef.functions import function_graph
from retrain_tools.graphdef.navigate import full_name
from retrain_tools.graphdef.tensors import list_tensors
from retrain_tools.graphdef.view import view_of
from retrain_tools.quiet_tensorflow import tf

FLOATS = tf.TensorSpec([None, 6], tf.float32)


class Module(tf.Module):
    """Outputs by name and number, lists of them, calls, loops and conditions."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = tf.Variable(tf.ones([2, 2]), name="weights")

    @tf.function(input_signature=[FLOATS, tf.TensorSpec([], tf.int32)])
    def __call__(self, x: Any, times: Any) -> dict[str, Any]:
        left, middle, right = tf.split(x, 3, axis=1)
        values, places = tf.nn.top_k(middle, 2)
        unique, where = tf.unique(tf.reshape(places, [-1]))
        for _ in tf.range(times):
            left = self.doubled(left)
        right = tf.cond(times > 3, lambda: right @ self.weights, lambda: right)
        return {"a": left + values, "b": right, "c": unique, "d": where}

    @tf.function
    def doubled(self, x: Any) -> Any:
        return x * 2


def stored_graph(model: Any, folder: Path) -> Any:
    tf.saved_model.save(model, str(folder))
    data = (folder / "saved_model.pb").read_bytes()
    return schema.SavedModel.FromString(data).meta_graphs[0].graph_def


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Any]:
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5, activation="softmax"),
        ]
    )
    folder = tmp_path_factory.mktemp("saved")
    network.export(folder / "keras", verbose=False)
    data = (folder / "keras" / "saved_model.pb").read_bytes()
    exported = schema.SavedModel.FromString(data).meta_graphs[0].graph_def
    return exported, stored_graph(Module(), folder / "module")


def bodies(graphs: Sequence[Any]) -> list[tuple[Any, Any]]:
    found = [(graph_def, f) for graph_def in graphs for f in graph_def.library.function]
    assert len(found) > 10
    return found


def test_every_node_and_argument_is_there(graphs: Sequence[Any]) -> None:
    for graph_def, function in bodies(graphs):
        made = function_graph(graph_def, function.signature.name)
        assert isinstance(made, schema.GraphDef)
        arguments = [argument.name for argument in function.signature.input_arg]
        names = [*arguments, *(node.name for node in function.node_def)]
        assert [node.name for node in made.node] == names
        assert {node.op for node in list(made.node)[: len(arguments)]} <= {"Placeholder"}


def test_inputs_refer_to_tensors(graphs: Sequence[Any]) -> None:
    for graph_def, function in bodies(graphs):
        made = function_graph(graph_def, function.signature.name)
        check_graph(made, function.signature.name)
        tensors = {tensor.name: tensor for tensor in list_tensors(made)}
        for node in made.node:
            data = [full_name(source) for source in node.input if source[:1] != "^"]
            assert tensors.keys() >= set(data), node
        for argument in function.signature.input_arg:
            assert tensors[f"{argument.name}:0"].dtype == tf.as_dtype(argument.type).name


def test_inputs_are_those_that_tensorflow_gives(graphs: Sequence[Any]) -> None:
    for graph_def, function in bodies(graphs):
        library = tf.compat.v1.GraphDef(versions={"producer": graph_def.versions.producer})
        library.library.ParseFromString(graph_def.library.SerializeToString())
        theirs = tf.compat.v1.GraphDef.FromString(graph_def.SerializeToString()).library.function
        name = function.signature.name
        with tf.Graph().as_default():
            tf.import_graph_def(library)
            expected, _ = function_def_to_graph_def(
                next(f for f in theirs if f.signature.name == name)
            )
        made = function_graph(graph_def, name)
        assert [plain(node) for node in made.node] == [plain(node) for node in expected.node]


def plain(node: Any) -> tuple[Any, ...]:
    return node.name, node.op, node.attr["dtype"].type, [full_name(i) for i in node.input]


def test_the_graph_is_not_changed_and_may_be_a_view(graphs: Sequence[Any]) -> None:
    graph_def = graphs[1]
    before = graph_def.SerializeToString(deterministic=True)
    name = graph_def.library.function[0].signature.name
    made = function_graph(graph_def, name)
    assert isinstance(made, schema.GraphDef)
    assert made.library == graph_def.library  # it may call any of them
    assert graph_def.SerializeToString(deterministic=True) == before
    assert function_graph(view_of(graph_def), name) == made


def test_shapes_of_arguments(graphs: Sequence[Any]) -> None:
    name = next(
        f.signature.name for f in graphs[1].library.function if "signature" in f.signature.name
    )
    shapes = {t.name: t.shape for t in list_tensors(function_graph(graphs[1], name))}
    assert shapes["x:0"] == (None, 6)
    assert shapes["times:0"] == ()


def defined(function: str, **arguments: Any) -> Any:
    """A graph with one function of one node."""
    graph_def = schema.GraphDef()
    made = graph_def.library.function.add()
    made.signature.name = function
    made.signature.input_arg.add(name="x", type=1)
    made.node_def.add(**arguments)
    return graph_def


def test_an_unknown_function() -> None:
    with pytest.raises(InputError) as error:
        function_graph(defined("serve", name="a", op="NoOp"), "sevre")
    assert str(error.value) == (
        "No function 'sevre' in the graph (1 functions). Did you mean 'serve'? List them: "
        "list_tensors --functions"
    )


@pytest.mark.parametrize("source", ["y", "^y", "y:output:0", "x:output:0", "x:a", "a:output:b"])
def test_what_nothing_makes(source: str) -> None:
    with pytest.raises(InputError, match="The function 'f' is damaged: it uses"):
        function_graph(defined("f", name="a", op="Identity", input=[source]), "f")


def test_outputs_of_an_op_that_is_not_known_keep_their_numbers() -> None:
    graph_def = defined("f", name="a", op="Custom", input=["x"])
    graph_def.library.function[0].node_def.add(name="b", op="Custom", input=["a:z:1", "a:z:0"])
    assert list(function_graph(graph_def, "f").node[2].input) == ["a:1", "a"]


def test_outputs_are_counted_with_attributes_left_out() -> None:
    graph_def = defined("f", name="a", op="Split", input=["x", "x"])
    function = graph_def.library.function[0]
    function.node_def[0].attr["num_split"].i = 3
    function.node_def.add(name="b", op="Identity", input=["a:output:2"])
    assert list(function_graph(graph_def, "f").node[2].input) == ["a:2"]
    assert list(function.node_def[0].attr) == ["num_split"]
