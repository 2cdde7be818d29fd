"""The package as an API: typed, lazy, with examples that run, and a notebook of it."""

from __future__ import annotations

import doctest
import inspect
import json
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

import retrain_tools as rt
from retrain_tools.features.in_memory import Features
from retrain_tools.head.labelling import Labelled
from retrain_tools.sources.model import Model
from retrain_tools.standin.inception_2015 import make_reference_graph

ROOT = Path(__file__).resolve().parents[1]
FUNCTIONS = (
    *("load", "fetch", "run", "label", "retrain", "read_bottlenecks", "freeze"),
    *("transform_graph", "compare", "read_features", "export_graph", "to_keras"),
)
BOTTLENECK = "pool_3/_reshape:0"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the examples take: a graph, photos of two classes, bottlenecks."""
    folder = tmp_path_factory.mktemp("api")
    (folder / "graph.pb").write_bytes(make_reference_graph(0.1, 0).SerializeToString())
    rng = np.random.default_rng(0)
    for number in range(24):
        image = Image.fromarray(rng.integers(0, 90, (60, 80, 3), np.uint8))
        corners = [(15, 8), (60, 52)]
        label = ("disc", "square")[number % 2]
        draw = ImageDraw.Draw(image)
        {"disc": draw.ellipse, "square": draw.rectangle}[label](corners, (250, 200, number * 9))
        path = folder / "photos" / label / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    command = ["bottlenecks", "--graph=graph.pb", "--image_dir=photos"]
    subprocess.run([sys.executable, "-m", "retrain_tools", *command], cwd=folder, check=True)
    return folder


@pytest.fixture
def here(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(home)
    yield home


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_example_of_each_function_runs(here: Path, name: str) -> None:
    [example] = doctest.DocTestFinder(recurse=False).find(getattr(rt, name), name, globs={})
    assert example.examples
    output: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(example, out=output.append)
    assert runner.failures == 0, "".join(output)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_has_types_that_can_be_asked_for(name: str) -> None:
    function = getattr(rt, name)
    hints = typing.get_type_hints(function)
    assert set(hints) == {*inspect.signature(function).parameters, "return"}
    assert (ROOT / "retrain_tools" / "py.typed").exists()


@pytest.mark.parametrize("kind", [Model, Features, Labelled, rt.InputError])
def test_results_have_types_that_can_be_asked_for(kind: type) -> None:
    typing.get_type_hints(kind)
    for _, member in inspect.getmembers(kind, inspect.isfunction):
        typing.get_type_hints(member)


def test_an_unknown_keyword_is_a_python_error(here: Path) -> None:
    with pytest.raises(
        TypeError, match=r"load\(\) got an unexpected keyword argument 'input_size'"
    ):
        rt.load("graph.pb", input_size=3)  # type: ignore[call-arg]
    with pytest.raises(AttributeError, match="no attribute 'fetsch'"):
        rt.fetsch  # noqa: B018


def test_importing_is_lazy_and_listing_takes_neither_tensorflow_nor_numpy(here: Path) -> None:
    code = """
import sys
import retrain_tools as rt
assert not {"numpy", "tensorflow.python.tf2", "absl", "PIL"} & set(sys.modules)
assert "fetch" in dir(rt)
model = rt.load("graph.pb")
assert len(model.tensors("softmax")) > 1
assert not {"numpy", "tensorflow.python.tf2"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], cwd=here, check=True)


def test_images_in_any_form_give_the_same_vector(here: Path) -> None:
    path = here / "photos/disc/0.jpg"
    image = Image.open(path)
    pixels = np.asarray(image)
    model = rt.load("graph.pb")
    by_path = rt.fetch(model, BOTTLENECK, path).values[BOTTLENECK]
    forms: list[Any] = [str(path), path.read_bytes(), [path, str(path.parent / "2.jpg")]]
    for form in forms:
        found = rt.fetch(model, BOTTLENECK, form)
        assert np.array_equal(found.values[BOTTLENECK][0], by_path[0])
    decoded = rt.fetch(model, BOTTLENECK, [pixels, image]).values[BOTTLENECK]
    assert np.array_equal(decoded[0], decoded[1])
    # Pillow's decoder may differ from the graph's by a level or two.
    assert np.abs(decoded[0] - by_path[0]).max() < 0.05 * np.abs(by_path).max()
    folder = rt.fetch(model, BOTTLENECK, "photos/disc")
    assert len(folder.images) == 12
    cached = rt.read_bottlenecks("bottlenecks")
    row = cached.images.index("disc/0.jpg")
    assert np.array_equal(cached.vectors[row], by_path[0])


def test_the_head_that_was_trained_labels_an_array(here: Path, tmp_path: Path) -> None:
    result = rt.retrain(
        rt.load("graph.pb"),
        "photos",
        output_dir=tmp_path / "out",
        bottleneck_dir="bottlenecks",
        how_many_training_steps=60,
        testing_percentage=25,
    )
    figures = json.loads((tmp_path / "out/metrics.json").read_text())
    assert figures["test"] == dict(result.figures["test"])
    assert figures["bottlenecks"]["computed"] == 0  # those of the folder were used
    photo = np.asarray(Image.open("photos/square/1.jpg"))
    [found] = rt.label(rt.load(result.output_graph), photo, result.labels, top_k=1)
    vectors = rt.fetch(rt.load("graph.pb"), BOTTLENECK, photo).values[BOTTLENECK]
    scores = result.head.scores(vectors)[0]
    assert found.best[0][0] == result.labels[int(scores.argmax())]
    assert found.best[0][1] == pytest.approx(float(scores.max()), abs=1e-5)
    retrained = rt.load(result.output_graph)
    assert rt.label(retrained, photo, top_k=1) == [found]  # the labels are in the graph
    with pytest.raises(rt.InputError, match=r"^labels are 1, but the graph gives 2 scores\.$"):
        rt.label(retrained, photo, ["one"])
    with pytest.raises(rt.InputError, match=r"^labels\[0\] is 'square', but .* with 'disc' there;"):
        rt.label(retrained, photo, ["square", "disc"])


def test_a_graph_without_labels_gives_numbers(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING", "retrain_tools")
    other = rt.load("graph.pb", output_layer=BOTTLENECK)
    depth = rt.fetch(other, BOTTLENECK, "photos/disc/0.jpg").values[BOTTLENECK].shape[1]
    [found] = rt.label(other, "photos/disc/0.jpg", top_k=depth)
    assert sorted(int(label) for label, _ in found.best) == list(range(depth))
    assert found.synsets == []
    assert f"No labels are known for the {depth} scores of graph.pb" in caplog.text


def test_a_network_of_imagenet_gives_names_and_their_wordnet_ids(
    here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "retrain_tools")
    [found] = rt.label(rt.load("graph.pb"), "photos/disc/0.jpg", top_k=1008)
    [numbered] = rt.label(
        rt.load("graph.pb"), "photos/disc/0.jpg", list(map(str, range(1008))), 1008
    )
    where = [number for number, _ in numbered.best].index("169")
    assert found.best[where][0].startswith("giant panda, panda, ")
    assert found.synsets[where] == "n02510455"
    assert [score for _, score in found.best] == [score for _, score in numbered.best]
    assert found.synsets.count("") == 8
    assert "because graph.pb is a network as inception-2015-12-05, with 1008 scores" in caplog.text


def test_messages_name_arguments_and_not_flags(here: Path) -> None:
    with pytest.raises(rt.InputError) as error:
        rt.load("graph.pb", preprocess="crop")
    assert str(error.value) == "preprocess=crop must be resize or slim."
    with pytest.raises(rt.InputError) as error:
        rt.retrain(rt.load("graph.pb"), "nowhere")
    assert str(error.value) == "No such folder: nowhere (image_dir)"


def test_raw_pixels_are_a_choice_of_every_function(here: Path) -> None:
    model = rt.load("graph.pb", preprocess="none")
    spec = model.frozen().spec
    assert (spec.resize, spec.mean, spec.std) == ("bilinear", 0.0, 1.0)
    raw = rt.fetch(model, BOTTLENECK, "photos/disc/0.jpg").values[BOTTLENECK]
    usual = rt.fetch(rt.load("graph.pb"), BOTTLENECK, "photos/disc/0.jpg").values[BOTTLENECK]
    assert np.abs(raw - usual).max() > 0.1


def test_the_notebook_runs_in_under_20_lines(home: Path, tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbclient is in the extra `test`")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is in the extra `test`")
    notebook = nbformat.read(ROOT / "docs/first_steps.ipynb", as_version=4)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert sum(len(source.splitlines()) for source in code) < 20
    for name in ("graph.pb", "photos"):
        (tmp_path / name).symlink_to(home / name)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
    outputs = [cell.outputs[-1].data for cell in notebook.cells if cell.cell_type == "code"]
    assert "<table>" in outputs[0]["text/html"]
    assert outputs[1]["text/plain"].startswith("(24, ")
    assert "['disc', 'square']" in outputs[2]["text/plain"]
    assert "Labelled(image='images[0]'" in outputs[3]["text/plain"]
