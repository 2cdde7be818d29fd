"""TensorFlow without what graphs do not need, and all of it where it is asked for."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retrain_tools import quiet_tensorflow
from retrain_tools.graphdef import schema
from retrain_tools.graphdef.build import new_constant, new_node
from retrain_tools.graphdef.dtypes import FLOAT32

# Stops the process in the middle of the import of TensorFlow.
STOPPED = """
import os, signal, sys
def stop(*_):
    raise KeyboardInterrupt
signal.signal(signal.SIGTERM, stop)
class Finder:
    def find_spec(name, *_):
        if name == "tensorflow.python.client.session":
            os.kill(os.getpid(), signal.SIGTERM)
sys.meta_path.insert(0, Finder)
from retrain_tools.quiet_tensorflow import tf
try:
    tf.compat.v1.Session
except KeyboardInterrupt:
    print(hasattr(sys.modules["tensorflow.python.client.session"], "Session"))
    print(signal.getsignal(signal.SIGTERM) is stop, tf.compat.v1.Session.__name__)
"""

ROOT = Path(__file__).parents[1]
Run = Callable[..., str]

# A graph of TensorFlow 1, run as the engine does: (2 x) squared.
GRAPH = """
import sys
from retrain_tools.quiet_tensorflow import stderr_held_back, tf

graph = tf.Graph()
with graph.as_default():
    definition = tf.compat.v1.GraphDef()
    nodes = [("x", "Placeholder", []), ("y", "AddV2", ["x", "x"]), ("z", "Square", ["y"])]
    for name, op, inputs in nodes:
        node = definition.node.add(name=name, op=op, input=inputs)
        node.attr["dtype" if op == "Placeholder" else "T"].type = tf.float32.as_datatype_enum
    tf.compat.v1.import_graph_def(definition, name="")
config = tf.compat.v1.ConfigProto()
with tf.compat.v1.Session(graph=graph, config=config) as session, stderr_held_back():
    assert session.run("z:0", {"x:0": [1.0, 3.0]}).tolist() == [4.0, 36.0]
"""
ALONE = """
assert not {"tensorflow", "keras", "tensorflow._api"} & set(sys.modules)
assert "tensorflow.python.tf2" in sys.modules  # by which tests tell whether TensorFlow was used
"""
WHOLE = """
assert "tensorflow._api" in sys.modules
"""
EVERY_NAME = """
import inspect, sys
from retrain_tools import quiet_tensorflow

def values(tf):
    for name in quiet_tensorflow._MODULES:
        value = tf
        for part in name.split("."):
            value = getattr(value, part)
        yield name, value

def check(ours, theirs):
    assert len(ours) == len(theirs) > 20
    for (name, one), (_, other) in zip(ours, theirs):
        assert inspect.unwrap(one) is inspect.unwrap(other), name
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run code in a process of its own; return what it writes on stderr."""

    def run(*code: str, **environment: str) -> str:
        path = tmp_path / "script.py"  # in a file, because AutoGraph reads it
        path.write_text("\n".join(map(textwrap.dedent, code)))
        done = subprocess.run(
            [sys.executable, path],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), **os.environ, **environment},
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    return run


SCRIPTS = {
    "bottlenecks": "--image_dir=photos --bottleneck_dir=TIME --bottleneck_tensor=features:0",
    "fetch_tensors": "--tensors=features:0 --output=TIME.npz photos/red/0.png",
    "label_image": "--labels=labels.txt --output_layer=scores:0 photos/red/0.png",
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_run_a_network_without_the_package(run: Run, tmp_path: Path, script: str) -> None:
    graph = schema.GraphDef()
    graph.node.extend(
        [
            new_node("input", "Placeholder", dtype=FLOAT32, shape=(None, 8, 8, 3)),
            new_constant("axes", np.array([1, 2], np.int32)),
            new_node("features", "Mean", ["input", "axes"], T=FLOAT32),
            new_node("scores", "Softmax", ["features"], T=FLOAT32),
        ]
    )
    (tmp_path / "graph.pb").write_bytes(graph.SerializeToString())
    (tmp_path / "labels.txt").write_text("red\ngreen\nblue\n")
    (tmp_path / "photos/red").mkdir(parents=True)
    Image.new("RGB", (9, 7), (255, 0, 0)).save(tmp_path / "photos/red/0.png")
    for time in ("first", "second"):  # without and with the plan that is kept
        flags = SCRIPTS[script].replace("TIME", time).split()
        lines = f"""
        import sys
        from retrain_tools import {script} as script
        sys.argv[1:] = ["--graph=graph.pb", "--input_mean=0", "--input_std=255", *{flags}]
        try:
            script.script()
        except SystemExit as end:
            assert not end.code
        """
        run(lines, ALONE, XDG_CACHE_HOME=str(tmp_path / "kept"))


def used_names(path: Path) -> Iterator[str]:
    """The names that a module takes from `tf`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.insert(0, node.attr)
            node = node.value
        if parts and isinstance(node, ast.Name) and node.id == "tf":
            yield ".".join(parts)


def test_what_runs_on_images_is_found_without_the_package() -> None:
    found: set[str] = set()
    for room in ("engine", "features", "head", "standin"):
        for path in (ROOT / "retrain_tools" / room).glob("*.py"):
            if path.name != "tuned_tail.py":  # which needs gradients: all of TensorFlow
                found.update(used_names(path))
    parts = {part for name in quiet_tensorflow._MODULES for part in prefixes(name)}
    longer = {name for name in found if name not in parts}  # and what is asked of these
    assert {name.rpartition(".")[0] for name in longer} <= set(quiet_tensorflow._MODULES), longer
    assert len(found) > 20


def prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]


def test_a_graph_runs_quietly_and_without_the_package_and_keras(run: Run) -> None:
    assert run(GRAPH, ALONE) == ""


def test_every_name_found_without_the_package_is_the_packages_own(run: Run) -> None:
    alone, whole = "ours = list(values(quiet_tensorflow.tf))", "theirs = list(values(tensorflow))"
    check = "check(ours, theirs)"
    run(EVERY_NAME, alone, ALONE, "import tensorflow", whole, check)
    assert "import tensorflow" not in run(EVERY_NAME, "import tensorflow", whole, alone, check)


def test_names_of_one_module_come_from_both(run: Run) -> None:
    lines = """
    import sys
    from retrain_tools.quiet_tensorflow import tf

    assert tf.compat.v1.GraphDef().node is not None
    assert "tensorflow" not in sys.modules
    assert tf.compat.v1.GraphKeys.GLOBAL_VARIABLES == "variables"
    assert tf.errors.NotFoundError.__mro__[1] is tf.errors.OpError
    """
    assert run(lines, WHOLE) == ""


def test_the_package_works_after_graphs_were_run_without_it(run: Run) -> None:
    lines = """
    import numpy as np
    import tensorflow

    assert tensorflow.executing_eagerly()
    two = tensorflow.constant([1.0, 2.0])
    assert (two + 1).numpy().tolist() == [2.0, 3.0]
    assert (two == [1.0, 5.0]).numpy().tolist() == [True, False]  # compared by value
    assert tensorflow.compat.v1.control_flow_v2_enabled()
    assert tensorflow.compat.v1.resource_variables_enabled()

    @tensorflow.function
    def halved(x):
        return x / 2 if x > 0 else x

    assert halved(tensorflow.constant(4.0)).numpy() == 2
    variable = tensorflow.Variable(3.0)
    with tensorflow.GradientTape() as tape:
        square = variable * variable
    assert tape.gradient(square, variable).numpy() == 6
    data = tensorflow.data.Dataset.range(4).map(lambda x: x + 1).batch(4)
    assert next(iter(data)).numpy().tolist() == [1, 2, 3, 4]
    with tensorflow.compat.v1.Session(graph=graph) as session:
        assert session.run("z:0", {"x:0": [1.0]}).tolist() == [4.0]
    try:
        tensorflow.io.read_file("nothing")
    except tf.errors.OpError as error:
        assert isinstance(error, tensorflow.errors.NotFoundError)
    """
    run(GRAPH, ALONE, lines)


def test_keras_works_after_graphs_were_run_without_it(run: Run) -> None:
    lines = """
    import keras
    import numpy as np

    layer = keras.layers.Dense(1, kernel_initializer="ones")
    model = keras.Sequential([keras.Input([2]), layer])
    assert model.predict(np.ones((1, 2)), verbose=0).tolist() == [[2.0]]
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
    assert layer.get_weights()[0].max() < 1
    model.save("model.keras")
    assert keras.saving.load_model("model.keras").count_params() == 3
    assert sys.modules["tensorflow"].keras.Model is keras.Model
    """
    run(GRAPH, ALONE, lines)


def test_models_are_saved_and_converted_after_graphs_were_run(run: Run) -> None:
    lines = """
    import numpy as np
    import tensorflow

    module = tensorflow.Module()
    one = tensorflow.TensorSpec([1])
    module.doubled = tensorflow.function(lambda x: 2 * x, input_signature=[one])
    tensorflow.saved_model.save(module, "saved")
    loaded = tensorflow.saved_model.load("saved")
    assert loaded.doubled(tensorflow.constant([3.0])).numpy() == 6
    convert = tensorflow.lite.TFLiteConverter.from_concrete_functions
    lite = convert([module.doubled.get_concrete_function()], module).convert()
    interpreter = tensorflow.lite.Interpreter(model_content=lite)
    interpreter.allocate_tensors()
    interpreter.set_tensor(0, np.float32([3.0]))
    interpreter.invoke()
    (output,) = interpreter.get_output_details()
    assert interpreter.get_tensor(output["index"]).tolist() == [6.0]
    """
    run(GRAPH, ALONE, lines)


def test_an_op_of_a_library_that_the_package_loads_is_found(run: Run) -> None:
    lines = """
    from retrain_tools.engine.importing import import_light
    from retrain_tools.graphdef import schema
    from retrain_tools.graphdef.build import new_node

    light = schema.GraphDef()
    light.node.append(new_node("audio", "Placeholder", dtype=tf.int16.as_datatype_enum))
    light.node.append(new_node("features", "AudioMicrofrontend", ["audio"]))
    with tf.Graph().as_default():
        [features] = import_light(light, {}, ["features:0"])
    assert features.shape.rank == 2
    """
    names = """
    import sys
    from retrain_tools import quiet_tensorflow
    quiet_tensorflow._MODULES["int16"] = "tensorflow.python.framework.dtypes"
    from retrain_tools.quiet_tensorflow import tf
    tf.compat.v1.import_graph_def
    """
    run(names, ALONE, lines, WHOLE)


def test_operators_of_tensors_work(run: Run) -> None:
    lines = """
    from retrain_tools.quiet_tensorflow import tf
    assert ((tf.constant([1.0, 2.0]) - 1) / 2).numpy().tolist() == [0.0, 0.5]
    assert tf.constant([1, 2])[1].numpy() == 2
    """
    run(lines)


def test_a_package_that_is_imported_already_is_used(run: Run) -> None:
    run("import tensorflow", GRAPH, "assert tf.Graph is tensorflow.Graph", WHOLE)


def test_another_thread_that_imports_tensorflow_meanwhile_gets_the_package(run: Run) -> None:
    lines = """
    import sys, threading
    from retrain_tools.quiet_tensorflow import tf

    found = []
    def other():
        while "tensorflow.python.tf2" not in sys.modules:
            pass
        import tensorflow
        found.append(tensorflow.keras.Model)
    thread = threading.Thread(target=other)
    thread.start()
    assert tf.Graph().as_graph_def().node is not None
    thread.join()
    assert len(found) == 1
    """
    run(lines, WHOLE)


def test_plugged_in_devices_are_what_the_package_loads(run: Run, tmp_path: Path) -> None:
    (tmp_path / "tensorflow-plugins").mkdir()
    assert run(GRAPH, WHOLE) == ""


def test_a_device_that_the_environment_names_is_what_the_package_loads(run: Run) -> None:
    lines = """
    from retrain_tools.quiet_tensorflow import tf
    try:
        tf.Graph
    except Exception as error:
        assert "no_such_device.so" in str(error)
    else:
        raise AssertionError("the device was not loaded")
    """
    run(lines, TF_PLUGGABLE_DEVICE_LIBRARY_PATH="no_such_device.so")


@pytest.mark.parametrize("moved", ["tensorflow.python.gone", "tensorflow.python.tf2"])
def test_a_tensorflow_whose_modules_have_moved_is_imported_whole(run: Run, moved: str) -> None:
    lines = f"""
    from retrain_tools import quiet_tensorflow
    quiet_tensorflow._MODULES["Graph"] = "{moved}"
    """
    assert run(lines, GRAPH, WHOLE) == ""


def test_without_tensorflow_it_is_named_and_nothing_is_left_behind(run: Run) -> None:
    lines = """
    import sys
    sys.modules["tensorflow"] = None
    from retrain_tools.quiet_tensorflow import tf
    before = list(sys.meta_path)
    try:
        tf.Graph
    except ImportError as error:
        assert error.name == "tensorflow"
    assert sys.meta_path == before
    """
    run(lines)


def test_an_import_that_is_interrupted_leaves_no_stand_in(run: Run) -> None:
    lines = """
    import sys
    from retrain_tools.quiet_tensorflow import tf

    class Interrupted:
        def find_spec(self, name, *_):
            if name == "tensorflow.python.compat":
                raise KeyboardInterrupt
    sys.meta_path.insert(0, Interrupted())
    try:
        tf.Graph
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("it was not interrupted")
    assert "tensorflow" not in sys.modules
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder) is not Interrupted]
    assert "_StandIn" not in {type(finder).__name__ for finder in sys.meta_path}
    """
    run(lines, GRAPH, ALONE)


def test_what_tensorflow_writes_is_shown_if_it_fails(run: Run) -> None:
    lines = """
    import os
    from retrain_tools.quiet_tensorflow import stderr_held_back
    with stderr_held_back():
        os.write(2, b"not shown\\n")
    try:
        with stderr_held_back(), stderr_held_back():
            os.write(2, b"shown\\n")
            raise ValueError
    except ValueError:
        pass
    """
    assert run(lines) == "shown\n"


def test_a_signal_in_the_middle_of_the_import_comes_after_it() -> None:
    command = [sys.executable, "-c", STOPPED]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("True\nTrue Session\n", "")
