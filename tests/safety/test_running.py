"""A graph that does more than compute is not run, by anything; what is cut away does not count."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import retrain_tools as rt
from retrain_tools.engine.shapes import infer_tensors
from retrain_tools.graphdef import schema
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.safety.running import UnsafeGraphError, refuse_unsafe
from tests.features import tiny
from tests.head.scripts import run_script as run_once
from tests.opening import read_graph_def
from tests.safety.graphs import graph, node

WAY_OUT = "See all of it with scan; if you trust whoever made it, pass {}allow_unsafe_graph."
SECRET = b"3"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_bytes(SECRET)
    for number, name in enumerate("abab"):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True, exist_ok=True)
        tiny.photo(20, 30, number).save(folder / f"{number}.jpg")
    return tmp_path


def read_into(secret: Path, name: str = "leak") -> Callable:
    """What adds the number in a file to the features."""

    def ending(pooled, _):
        content = tf.raw_ops.ReadFile(filename=str(secret), name=name)
        return pooled + tf.strings.to_number(content)

    return ending


def write_beside(file: Path, controls: bool) -> Callable:
    """What writes a file beside the features, which may have to wait for it."""

    def ending(pooled, _):
        done = tf.raw_ops.WriteFile(filename=str(file), contents="written", name="drop")
        with tf.control_dependencies([done] if controls else []):
            return tf.identity(pooled, "waiting")

    return ending


def fetched(path: Path, place: Path, **said: object) -> np.ndarray:
    model = rt.load(path, input_mean=0.0, input_std=255.0, **said)  # type: ignore[arg-type]
    return rt.fetch(model, "features", [place / "photos/a/0.jpg"]).values["features"]


def test_a_graph_that_reads_a_file_is_refused_and_runs_when_it_is_allowed(place, caplog) -> None:
    plain = tiny.write_pixel_graph(place / "plain.pb")
    leaky = tiny.write_pixel_graph(place / "leaky.pb", read_into(place / "secret"))
    with pytest.raises(UnsafeGraphError) as raised:
        fetched(leaky, place)
    said = f"{leaky} is not run: 'leak' (ReadFile) reads a file of the graph's choice. "
    assert str(raised.value) == said + WAY_OUT.format("")
    assert [finding.name for finding in raised.value.findings] == ["ReadFile"]
    with caplog.at_level(logging.WARNING, "retrain_tools"):
        values = fetched(leaky, place, allow_unsafe_graph=True)
    np.testing.assert_allclose(values, fetched(plain, place) + 3, atol=1e-5)
    warning = f"{leaky} may run although 'leak' (ReadFile) reads a file of the graph's choice"
    assert warning in caplog.messages


@pytest.mark.parametrize("controls", [True, False])
def test_what_is_cut_away_does_not_run_and_is_said(controls: bool, place, caplog) -> None:
    written = place / "written"
    path = tiny.write_pixel_graph(place / "g.pb", write_beside(written, controls))
    with caplog.at_level(logging.INFO, "retrain_tools"):
        values = fetched(path, place)
    plain = tiny.write_pixel_graph(place / "plain.pb")
    np.testing.assert_allclose(values, fetched(plain, place), atol=1e-6)
    assert not written.exists()
    said = f"{path} has parts that are not run, nothing wanted needs them: 'drop' (WriteFile) "
    assert any(message.startswith(said) for message in caplog.messages)
    # The untouched graph, by which the plan is checked, would have waited for the file.
    compared = f"{path} could not be compared with the untouched graph: {path} is not run: 'drop'"
    assert any(message.startswith(compared) for message in caplog.messages) == controls


def test_a_function_that_is_called_counts_and_another_does_not(place: Path) -> None:
    secret = str(place / "secret")

    @tf.function(autograph=False)
    def called(x):
        return x + tf.strings.to_number(tf.raw_ops.ReadFile(filename=secret))

    concrete = called.get_concrete_function(tf.TensorSpec([None, 4]))

    def ending(pooled, _):
        concrete.add_to_graph(tf.compat.v1.get_default_graph())
        return tf.raw_ops.PartitionedCall(args=[pooled], Tout=[tf.float32], f=concrete)[0]

    path = tiny.write_pixel_graph(place / "f.pb", ending)
    with pytest.raises(UnsafeGraphError, match=r"\(ReadFile\) in function '__inference_called_"):
        fetched(path, place)
    model = rt.load(path, input_mean=0.0, input_std=255.0)
    found = rt.fetch(model, "pooled", [place / "photos/a/0.jpg"])
    assert found.values["pooled"].shape == (1, 4)


def test_the_gradient_of_a_function_that_is_called_counts() -> None:
    caller = node("SymbolicGradient", name="slope")
    caller.attr["f"].func.name = "plain"
    graph_def = schema.GraphDef(node=[caller])
    library = graph_def.library
    library.function.add().signature.name = "plain"
    writing = library.function.add(node_def=[node("WriteFile", name="drop")])
    writing.signature.name = "writes"
    refuse_unsafe(graph_def, allow_unsafe_graph=False)
    library.gradient.add(function_name="plain", gradient_func="writes")
    with pytest.raises(UnsafeGraphError, match=r"'drop' \(WriteFile\) in function 'writes'"):
        refuse_unsafe(graph_def, allow_unsafe_graph=False)


def test_a_debugger_with_an_address_is_refused(place: Path) -> None:
    def ending(pooled, _):
        return tf.raw_ops.DebugIdentity(input=pooled, debug_urls=[f"file://{place}/dump"])

    path = tiny.write_pixel_graph(place / "d.pb", ending)
    with pytest.raises(UnsafeGraphError, match=r"writes tensors into files: debug_urls=file://"):
        fetched(path, place)
    assert not (place / "dump").exists()


def test_arrays_are_not_fed_to_it_either(place: Path) -> None:
    path = tiny.write_pixel_graph(place / "leaky.pb", read_into(place / "secret"))
    feeds = {"input": np.zeros((1, tiny.SIZE, tiny.SIZE, 3))}
    with pytest.raises(UnsafeGraphError, match="is not run: 'leak'"):
        rt.run(rt.load(path), "features", feeds)
    found = rt.run(rt.load(path, allow_unsafe_graph=True), "features", feeds)
    np.testing.assert_allclose(found["features"], np.full((1, 4), 3.0), atol=1e-5)
    pooled = rt.run(rt.load(path), "pooled", feeds)  # the part before it
    np.testing.assert_allclose(pooled["pooled"], np.zeros((1, 4)), atol=1e-5)


def test_a_sight_of_its_shapes_runs_nothing(place: Path) -> None:
    path = tiny.write_pixel_graph(place / "leaky.pb", read_into(place / "secret"))
    tensors = {t.name: t for t in infer_tensors(read_graph_def(path))}
    assert tensors["leak:0"].dtype == "string"
    assert tensors["pooled:0"].shape == (None, 4)
    several = graph(node("ReaderReadV2", name="reader"), node("WriteFile", name="drop"))
    assert {t.name for t in infer_tensors(several)} >= {"input:0", "result:0", "reader:0"}


COMMANDS = {
    "bottlenecks": ["--image_dir=photos", "--bottleneck_dir=cache"],
    "fetch_tensors": ["--image_dir=photos", "--tensors=features", "--output=f.npz"],
    "label_image": ["--output_layer=scores", "photos/a/0.jpg"],
    "classify_image": ["--image_file=photos/a/0.jpg"],
    "retrain": [
        *("--image_dir=photos", "--how_many_training_steps=2", "--testing_percentage=0"),
        *("--validation_percentage=0", "--output_dir=out"),
    ],
}


@pytest.mark.parametrize("script", COMMANDS)
def test_every_script_refuses_it_unless_it_is_allowed(script: str, place: Path, run_script) -> None:
    read = read_into(place / "secret")

    def ending(pooled, pixels):
        return tf.nn.softmax(read(pooled, pixels), name="scores")

    tiny.write_pixel_graph(place / "leaky.pb", ending)
    module, flags = f"retrain_tools.{script}", ["--input_mean=0", "--input_std=255"]
    command = ["--graph=leaky.pb", *flags, *COMMANDS[script]]
    command += ["--bottleneck_tensor=features"] if script in ("bottlenecks", "retrain") else []
    done = run_script(module, *command, cwd=place)
    assert done.status == 2
    assert done.err.splitlines()[-1] == (
        "error: leaky.pb is not run: 'leak' (ReadFile) reads a file of the graph's choice. "
        + WAY_OUT.format("--")
    )
    done = run_script(module, *command, "--allow_unsafe_graph", cwd=place)
    assert done.status == 0, done.err
    assert "warning: leaky.pb may run although 'leak' (ReadFile) reads a file" in done.err


def test_a_process_of_its_own_refuses_it_too(place: Path) -> None:
    tiny.write_pixel_graph(place / "leaky.pb", read_into(place / "secret"))
    command = ["--graph=leaky.pb", "--image_dir=photos", "--tensors=features", "--output=f.npz"]
    done = run_once("retrain_tools.fetch_tensors", *command, "--input_mean=0", "--input_std=1",
                    cwd=place)  # fmt: skip
    assert done.status == 2
    assert "error: leaky.pb is not run: 'leak' (ReadFile)" in done.err
    assert not (place / "f.npz").exists()


def test_commands_that_are_offered_say_that_it_was_allowed(place: Path) -> None:
    path = tiny.write_pixel_graph(place / "leaky.pb", read_into(place / "secret"))
    said = json.dumps(rt.load(path, allow_unsafe_graph=True).summary().as_json())
    assert "allow_unsafe_graph=True" in said
