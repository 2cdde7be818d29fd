from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrain_tools.quiet_tensorflow import tf
from retrain_tools.report.graph_data import graph_data
from retrain_tools.report.graph_page import graph_page

from .graphs import (
    IMAGE_NAME,
    SCRIPT_NAME,
    SMALL_DTYPES,
    SMALL_PATH,
    SMALL_SHAPES,
    add,
    add_constant,
    flat_network,
    hostile_network,
    small_network,
)

NEAR_REAL = (
    Path(__file__).resolve().parents[2]
    / "../shared/data/inception-2015-12-05/near_real_graph_def.pb"
)


class Elements(HTMLParser):
    """The elements of a page with their attributes, and the text of its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.comments: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append((self.found[-1][0] if self.found else "", data))

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


def small_page(**changes: Any) -> str:
    arguments = {
        "graph_def": small_network(),
        "title": "small.pb",
        "shapes": SMALL_SHAPES,
        "dtypes": SMALL_DTYPES,
        "path": SMALL_PATH,
        "bottleneck": "pool:0",
        "facts": {"Kind": "frozen GraphDef"},
    }
    return graph_page(**(arguments | changes))


def embedded(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="graph-data">(.*?)</script>', page)
    assert found
    return json.loads(found[1])


def test_the_page_holds_the_graph() -> None:
    data = embedded(small_page())
    nodes = data["nodes"]
    names = nodes["name"]
    assert names == [node.name for node in small_network().node]
    relu = names.index("conv")
    assert nodes["inputs"][relu] == [names.index("conv/Conv2D"), [names.index("conv/check"), -1]]
    assert data["ops"][nodes["op"][relu]] == "Relu"
    assert [(out, data["texts"][text]) for out, text in nodes["outputs"][relu]] == [
        (0, "float32 [?, 16, 16, 8]")
    ]
    pool = names.index("pool")
    assert data["texts"][nodes["outputs"][pool][0][1]] == "float32 unknown"
    texts = [data["texts"][n] for n in nodes["attributes"][names.index("conv/Conv2D")]]
    assert texts == ["padding", "SAME", "strides", "[1, 2, 2, 1]"]
    assert sorted(prefix for _, _, prefix, _ in data["scopes"]) == [
        "", "conv", "conv/weights", "conv_1", "conv_1/weights", "logits",
    ]  # fmt: skip
    assert [data["scopes"][nodes["scope"][n]][2] for n in (relu, pool)] == ["conv", ""]
    assert data["path"] == [names.index(name) for name in SMALL_PATH]
    assert data["bottleneck"] == pool
    assert data["facts"] == [["Kind", "frozen GraphDef"]]


def test_statistics_and_kernels_are_those_of_the_constants() -> None:
    data = embedded(small_page())
    names = data["nodes"]["name"]
    weights = tf.make_ndarray(small_network().node[1].attr["value"].tensor)
    found = data["constants"][str(names.index("conv/weights"))]
    assert found["min"] == pytest.approx(weights.min())
    assert found["mean"] == pytest.approx(weights.mean(), abs=1e-6)
    assert found["bins"] == np.histogram(weights, 24, (weights.min(), weights.max()))[0].tolist()
    broken = data["constants"][str(names.index("logits/weights"))]
    assert (broken["nan"], broken["zeros"], broken["min"], broken["max"]) == (1, 1, -1, 0.5)
    assert [names[int(number)] for number in data["kernels"]] == ["conv/weights"]


def test_what_is_computed_from_constants_only_is_not_live() -> None:
    data = graph_data(small_network(), {}, {}, (), None)
    names = data["nodes"]["name"]
    fixed = [name for name, live in zip(names, data["nodes"]["live"], strict=True) if not live]
    assert fixed == [
        "conv/weights", "conv/weights/read", "conv_1/weights", "conv_1/weights/read",
        "logits/weights",
    ]  # fmt: skip
    # The graph of 2015 takes its image at a constant.
    graph_def = tf.compat.v1.GraphDef()
    add_constant(graph_def, "DecodeJpeg/contents", b"jpeg")
    add(graph_def, "DecodeJpeg", "DecodeJpeg", "DecodeJpeg/contents")
    assert graph_data(graph_def, {}, {}, ["DecodeJpeg/contents"], None)["nodes"]["live"] == [1, 1]


def test_malformed_graphs_make_a_page() -> None:
    graph_def = tf.compat.v1.GraphDef()
    add(graph_def, "twice", "Const")
    add(graph_def, "twice", "NoOp", "twice:x", "^gone", "twice:3", "", "^")
    add(graph_def, "", "", "twice")
    node = add_constant(graph_def, "broken", np.zeros(3, np.float32))
    node.attr["value"].tensor.tensor_content = b"1"
    data = embedded(graph_page(graph_def, "", {"odd": None, "twice:0": (1,)}, {}, ["gone"], "gone"))
    assert data["nodes"]["inputs"][1] == ["twice:x", "^gone", [0, 3], 2, [2, -1]]
    assert data["constants"]["0"] == {"broken": "it has no value"}
    assert "1 bytes; 3 elements" in data["constants"]["3"]["broken"]
    assert (data["path"], data["bottleneck"]) == ([], None)
    assert embedded(graph_page(tf.compat.v1.GraphDef(), "empty", {}, {}))["nodes"]["name"] == []


def test_making_a_page_changes_no_graph() -> None:
    graph_def = small_network()
    before = copy.deepcopy(graph_def)
    small_page(graph_def=graph_def)
    assert graph_def == before


def test_the_same_graph_makes_the_same_page() -> None:
    graph_def = small_network()
    again = tf.compat.v1.GraphDef.FromString(graph_def.SerializeToString(deterministic=False))
    assert small_page(graph_def=graph_def) == small_page(graph_def=again)


def test_nothing_in_a_graph_becomes_markup() -> None:
    hostile = f"{SCRIPT_NAME}--><script>"
    page = graph_page(
        hostile_network(),
        hostile,
        {f"a/{IMAGE_NAME}:0": (1,)},
        {f"a/{IMAGE_NAME}:0": SCRIPT_NAME},
        [f"a/{IMAGE_NAME}"],
        None,
        {hostile: hostile},
    )
    shape = [tag for tag, _ in Elements(small_page()).found]
    assert [tag for tag, _ in Elements(page).found] == shape
    assert page.count("</script>") == small_page().count("</script>") == 3
    data = embedded(page)
    assert data["nodes"]["name"][:2] == [f"a/{SCRIPT_NAME}", f"a/{IMAGE_NAME}"]
    assert data["facts"] == [[hostile, hostile]]
    assert data["functions"][0]["name"] == IMAGE_NAME
    assert ("title", hostile) in Elements(page).texts


def test_the_page_is_complete_in_itself() -> None:
    page = small_page()
    elements = Elements(page).found
    loaded = [a[k] for _, a in elements for k in ("src", "href", "srcset", "data") if k in a]
    assert loaded == []
    assert not [tag for tag, _ in elements if tag in ("link", "iframe", "object", "embed")]
    outside = re.sub(r"http://www\.w3\.org/2000/svg", "", page)
    assert not re.search(r"https?://|@import|url\((?!#)|import\(|fetch\(|XMLHttpRequest", outside)


def test_only_the_pages_own_scripts_and_style_may_run() -> None:
    page = small_page()
    policy = dict(Elements(page).found[[t for t, _ in Elements(page).found].index("meta") + 1][1])
    assert policy["http-equiv"] == "Content-Security-Policy"
    content = str(policy["content"])
    assert content.startswith("default-src 'none';")
    assert "unsafe" not in content
    parts = re.findall(r"<(?:script|style)>(.*?)</(?:script|style)>", page, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(p.encode()).digest()).decode() for p in parts]
    assert sorted(re.findall(r"'sha256-(.*?)'", content)) == sorted(hashes)
    assert len(hashes) == 3


def test_the_drawing_library_is_there_with_its_licence() -> None:
    page = small_page()
    comment = next(text for text in Elements(page).comments if "dagre" in text)
    assert "@dagrejs/dagre 3.1.3" in comment
    assert "Copyright (c) 2012-2014 Chris Pettitt" in comment
    assert "Permission is hereby granted, free of charge" in comment
    assert "var dagre=" in page


def test_functions_are_listed_with_their_nodes() -> None:
    graph_def = small_network()
    function = graph_def.library.function.add()
    function.signature.name = "square"
    function.signature.input_arg.add(name="x")
    function.signature.output_arg.add(name="y")
    function.node_def.add(name="mul", op="Mul")
    assert embedded(small_page(graph_def=graph_def))["functions"] == [
        {"name": "square", "nodes": 1, "inputs": ["x"], "outputs": ["y"]}
    ]


def test_the_package_takes_no_tensorflow() -> None:
    code = (
        "import sys, retrain_tools.report.graph_page; "
        "sys.exit('tensorflow.python.tf2' in sys.modules or 'keras' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_pages_stay_small() -> None:
    graph_def = flat_network(20_001)
    shapes = {f"{node.name}:0": (None, 32, 32, 64) for node in graph_def.node}
    page = graph_page(graph_def, "flat", shapes, dict.fromkeys(shapes, "float32"))
    assert len(graph_def.node) == 20_001
    assert len(page.encode()) < 10_000_000


@pytest.mark.skipif(not NEAR_REAL.exists(), reason=f"real material is not here: {NEAR_REAL}")
def test_the_page_of_the_near_real_graph_of_2015_is_small() -> None:
    graph_def = tf.compat.v1.GraphDef.FromString(NEAR_REAL.read_bytes())
    page = graph_page(graph_def, "2015", {}, {}, ["DecodeJpeg/contents"], "pool_3/_reshape:0")
    data = embedded(page)
    assert len(page.encode()) < 2_000_000
    assert len(data["constants"]) == 488
    assert not [c for c in data["constants"].values() if "broken" in c]
    assert [data["nodes"]["name"][int(n)] for n in data["kernels"]] == ["conv/conv2d_params"]
    assert len({s for s in data["nodes"]["scope"] if s}) > 200
