"""What the page says of a training graph, and what it copies, in headless Chromium."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import retrain_tools
from retrain_tools.graphdef import schema
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.report.drawing import page
from retrain_tools.report.graph_page import graph_page
from tests.graphdef.tiny_graphs import real

from .graphs import SMALL_DTYPES, SMALL_PATH, SMALL_SHAPES, add, add_constant, small_network
from .test_in_browser import Open, Page, browser, opened  # noqa: F401  (fixtures)

from selenium.webdriver import Keys  # isort: skip
from selenium.webdriver.common.by import By  # isort: skip

COMMANDS = ["retrain_tools.bottlenecks --graph='my graph.pb' --image_dir=FOLDER"]
OF_TENSOR = ("retrain_tools.fetch_tensors --graph=g.pb --tensors=", " --image_dir=FOLDER")


def embedded(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="graph-data">(.*?)</script>', text)
    assert found
    return json.loads(found[1])


def pasted(shown: Page) -> str:
    """What is in the clipboard: the page's search field takes it."""
    query = shown.find("#query")
    query.clear()
    query.send_keys(Keys.CONTROL, "v")
    return str(query.get_property("value"))


@pytest.fixture
def training(opened: Open) -> Page:  # noqa: F811
    graph_def = small_network()
    add_constant(graph_def, "save/names", b"conv/weights")
    add(graph_def, "save/SaveV2", "SaveV2", "save/names", "save/names", "save/names")
    add_constant(graph_def, "tag", b"pool")
    add(graph_def, "written", "HistogramSummary", "tag", "pool")
    return opened(
        graph_def,
        SMALL_SHAPES,
        {**SMALL_DTYPES, "logits/MatMul:0": "float32"},
        SMALL_PATH,
        "pool:0",
        {"Parameters": "240"},
        commands=COMMANDS,
        of_tensor=OF_TENSOR,
    )


def colour(shown: Page, css: str, key: str) -> str:
    """A colour as its three numbers."""
    return str(re.findall(r"\d+", shown.find(css).value_of_css_property(key))[:3])


def test_parts_of_training_are_grey_and_have_a_legend(training: Page) -> None:
    grey = colour(training, "#panel .part-sample", "background-color")
    drawn = "#drawing .box[aria-label^='{}'] .face"
    for label in ("written,", "Scope save,"):
        assert colour(training, drawn.format(label), "fill") == grey
    for label in ("pool,", "Scope logits,"):
        assert colour(training, drawn.format(label), "fill") != grey
    assert training.texts("#panel .parts .name") == ["summaries", "saving"]
    assert training.texts("#panel .parts .count") == ["2", "2"]
    assert "what is written for TensorBoard" in training.texts("#panel .parts .meaning")
    training.click(training.browser.find_elements(By.CSS_SELECTOR, "#panel .parts button")[1])
    assert training.find("#query").get_property("value") == "part:saving"
    assert training.texts("#results .result .name") == ["save/names", "save/SaveV2"]
    training.press(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ENTER)
    assert training.texts("#panel .tag") == ["SaveV2", "only for training: saving"]


def test_the_words_of_the_overview_are_explained(training: Page) -> None:
    training.click(training.find("#panel .terms summary"))
    terms = dict(zip(training.texts(".terms dt"), training.texts(".terms dd"), strict=True))
    assert set(terms) == {"Parameters", "Values in constants"}
    assert terms["Values in constants"].startswith("all values of all constants")
    assert terms["Parameters"].startswith("the weights of the network")


def test_the_next_command_and_names_are_copied(training: Page) -> None:
    assert training.texts("#panel .commands code") == COMMANDS
    training.click(training.find("#panel .commands .copy"))
    assert training.find("#announcement").text == "Copied this command"
    assert pasted(training) == COMMANDS[0]
    training.search("logits/MatMul")
    training.press(Keys.ENTER)
    training.click(training.find("#panel td .copy"))
    assert pasted(training) == "logits/MatMul:0"
    training.press(Keys.ESCAPE, Keys.ESCAPE)
    training.search("conv/Conv2D")
    training.press(Keys.ENTER)
    training.click(training.find("#panel .commands .copy"))
    assert pasted(training) == f"{OF_TENSOR[0]}conv/Conv2D:0{OF_TENSOR[1]}"


def test_a_page_that_may_not_use_the_clipboard_copies_all_the_same(training: Page) -> None:
    training.script("navigator.clipboard.writeText = () => Promise.reject(new Error('no'))")
    training.click(training.find("#panel .commands .copy"))
    assert pasted(training) == COMMANDS[0]


def test_a_name_that_a_shell_would_read_is_quoted(opened: Open) -> None:  # noqa: F811
    name = "it's $HOME (1)"
    graph_def = schema.GraphDef()
    add(graph_def, name, "Placeholder")
    shown = opened(graph_def, {}, {f"{name}:0": "float32"}, of_tensor=OF_TENSOR)
    shown.search("HOME")
    shown.press(Keys.ENTER)
    words = shlex.split(shown.find("#panel .commands code").text)
    assert words[2:] == [f"--tensors={name}:0", "--image_dir=FOLDER"]


def test_a_network_has_no_grey_and_no_legend(opened: Open) -> None:  # noqa: F811
    shown = opened(small_network(), SMALL_SHAPES, SMALL_DTYPES, SMALL_PATH, "pool:0")
    assert shown.texts(".box.part, .parts, .commands, .tag.part") == []


def test_the_page_of_a_model_has_commands_that_name_it() -> None:
    path = real("mobilenet_v1_0.25_128/frozen_graph.pb")
    data = embedded(page(retrain_tools.load(path)))
    assert data["parts"] == []
    assert set(data["nodes"]["part"]) == {-1}
    before, after = data["ofTensor"]
    assert shlex.split(before + "a/b:0" + after) == [
        "retrain_tools.fetch_tensors",
        f"--graph={path}",
        "--tensors=a/b:0",
        "--image_dir=FOLDER",
        "--output=features.npz",
    ]
    assert any("retrain_tools.bottlenecks" in command for command in data["commands"])


def test_the_command_for_a_tensor_says_again_what_was_said_of_the_graph() -> None:
    path = real("mobilenet_v1_0.25_128/frozen_graph.pb")
    model = retrain_tools.load(path, input_layer="input:0", input_mean=1.0)
    before, _ = embedded(page(model))["ofTensor"]
    assert "--input_layer=input:0" in before
    assert "--input_mean=1.0" in before
    assert "bottleneck" not in before


def test_the_page_of_a_graph_without_images_lists_where_a_tensor_comes_from(
    tmp_path: Path,
) -> None:
    graph_def = tf.compat.v1.GraphDef()
    add_constant(graph_def, "x", np.ones(1, np.float32))
    add(graph_def, "y", "Identity", "x").attr["T"].type = 1
    path = tmp_path / "my graph.pb"
    path.write_bytes(graph_def.SerializeToString())
    before, after = embedded(page(retrain_tools.load(path)))["ofTensor"]
    assert shlex.split(f"{before}y:0{after}") == [
        "retrain_tools.list_tensors",
        f"--graph={path}",
        "--upstream=y:0",
    ]


def test_the_page_of_a_real_training_graph_knows_its_parts() -> None:
    data = embedded(page(retrain_tools.load(real("wild/unique_mnist_graph.pbtxt"))))
    nodes = data["nodes"]
    by_name = dict(zip(nodes["name"], nodes["part"], strict=True))
    names = [name for name, _ in data["parts"]]
    assert names == ["loss", "gradients", "queues", "summaries", "saving", "initialising"]
    assert names[by_name["save/RestoreV2"]] == "saving"
    assert names[by_name["enqueue_input/Placeholder"]] == "queues"
    assert names[by_name["gradients/dense/MatMul_grad/MatMul"]] == "gradients"
    for name in ("conv2d/Conv2D", "dense/kernel", "softmax_tensor", "ArgMax", "Reshape"):
        assert by_name[name] == -1


def test_the_same_graph_gives_the_same_page() -> None:
    graph_def = small_network()
    arguments = (graph_def, "g.pb", SMALL_SHAPES, SMALL_DTYPES, SMALL_PATH, "pool:0")
    made = [graph_page(*arguments, commands=COMMANDS, of_tensor=OF_TENSOR) for _ in range(2)]
    assert made[0] == made[1]
