"""A network's page: what is embedded in it, where it is written, and how it is opened."""

from __future__ import annotations

import itertools
import json
import re
import urllib.parse
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import retrain_tools
from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from retrain_tools.report.drawing import browse, draw, page
from retrain_tools.sources.model import Model
from tests.sources.corpus import real


def embedded(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="graph-data">(.*?)</script>', text)
    assert found
    return json.loads(found[1])


def way(data: dict[str, Any], network: Model) -> list[str]:
    """The names of the nodes on the way to the bottleneck; the page has their numbers."""
    assert network.graph is not None
    names = [node.name for node in network.graph.node]
    if data["path"]:
        assert data["bottleneck"] == data["path"][-1]
    return [names[number] for number in data["path"]]


def test_the_page_of_a_graph(kinds: Mapping[str, Path]) -> None:
    network = retrain_tools.load(kinds["graph"])
    data = embedded(page(network))
    assert data["title"] == "frozen.pb"
    assert way(data, network) == ["input", "Conv2D", "Mean"]
    assert data["facts"] == [
        ["Kind", "frozen GraphDef"],
        ["Input", "input:0"],
        ["Output", "final_result:0"],
        ["Bottleneck", "Mean:0"],
        ["Parameters", "240"],
        ["Operations", f"{2 * (144 * 8 * 27 + 8 * 3):,}"],
    ]


@pytest.mark.parametrize(
    ("name", "start", "bottleneck"),
    [
        ("meta", "input", "net/pool"),
        ("slim v2", "DecodeJpeg/contents", "MobilenetV1/Logits/AvgPool_1a/AvgPool"),
        ("saved model 1", "images", "net/pool"),
        ("saved model 2", "serving_default_pixels", "add"),
        ("keras", "pixels", "toy_1/pool_1/Mean"),
        ("keras export", "serving_default_pixels", "toy_1/pool_1/Mean"),
        ("inside", "input", "Mean"),
    ],
)
def test_every_kind_with_a_graph(
    kinds: Mapping[str, Path], model_dir: Path, name: str, start: str, bottleneck: str
) -> None:
    network = retrain_tools.load(kinds[name], model_dir=model_dir)
    data = embedded(page(network))
    path = way(data, network)
    assert (path[0], path[-1]) == (start, bottleneck)
    assert network.graph is not None
    nodes = {node.name: node for node in network.graph.node}
    for before, after in itertools.pairwise(path):
        assert before in {source.split(":")[0].lstrip("^") for source in nodes[after].input}
    assert data["facts"][0] == ["Kind", network.description]


def test_the_graph_of_2015() -> None:
    network = retrain_tools.load(real("inception-2015-12-05/near_real_graph_def.pb"))
    data = embedded(page(network))
    path = way(data, network)
    assert path[:6] == [
        "DecodeJpeg/contents",
        "DecodeJpeg",
        "Cast",
        "ExpandDims",
        "ResizeBilinear",
        "Sub",
    ]
    assert path[-2:] == ["pool_3", "pool_3/_reshape"]
    facts = dict(data["facts"])
    assert facts["Input"] == "DecodeJpeg/contents:0, Mul:0"
    assert (facts["Output"], facts["Bottleneck"]) == ("softmax:0", "pool_3/_reshape:0")
    assert facts["Network"].startswith("same structure as inception-2015-12-05 of the catalogue (")


def test_a_graph_without_images(tmp_path: Path) -> None:
    graph_def = schema.GraphDef()
    graph_def.node.add(name="</script><script>", op="Placeholder").attr["dtype"].type = 3
    graph_def.node.add(name="y", op="Neg", input=["</script><script>"]).attr["T"].type = 3
    path = tmp_path / "<b>.pb"
    path.write_bytes(graph_def.SerializeToString())
    text = page(retrain_tools.load(path))
    data = embedded(text)
    assert (data["path"], data["bottleneck"], data["title"]) == ([], None, "<b>.pb")
    assert dict(data["facts"]) == {
        "Kind": "frozen GraphDef",
        "Input": "</script><script>:0",
        "Output": "y:0",
        "Parameters": "0",
    }


def test_it_is_written_where_the_user_says(kinds: Mapping[str, Path], tmp_path: Path) -> None:
    network = retrain_tools.load(kinds["graph"])
    place = tmp_path / "new folder" / "graph.html"
    assert draw(network, str(place)) == str(place)
    assert place.read_text(encoding="utf-8") == page(network)
    assert list(place.parent.iterdir()) == [place]


def test_it_opens_in_the_browser(
    kinds: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    network = retrain_tools.load(kinds["graph"])
    place = Path(browse(network))
    assert place.parent == tmp_path
    assert re.fullmatch(r"graph-.+\.html", place.name)
    [address] = opened
    assert urllib.parse.unquote(address) == f"file://{place}"
    assert place.read_text(encoding="utf-8") == page(network)


@pytest.mark.parametrize("function", [page, browse, lambda network: draw(network, "no.html")])
def test_a_file_without_a_graph(kinds: Mapping[str, Path], function: Any) -> None:
    path = kinds["keras weights"]
    with pytest.raises(InputError) as error:
        function(retrain_tools.load(path))
    assert str(error.value) == f"{path} has no graph to draw: it is a Keras weights (HDF5)."
    assert not Path("no.html").exists()
