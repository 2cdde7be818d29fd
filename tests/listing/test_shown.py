"""The summary as a notebook and `print` show it."""

from __future__ import annotations

import dataclasses
import html.parser
from collections.abc import Mapping
from pathlib import Path

from hypothesis import given, strategies as st

import retrain_tools
from retrain_tools.graphdef import schema
from retrain_tools.graphdef.summarize import summarize
from retrain_tools.graphdef.summary import Summary
from retrain_tools.text_tables import Style


class Table(html.parser.HTMLParser):
    """The rows of a table, and every tag that there is."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.rows: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        self.rows[-1][-1] += data


def test_a_summary_is_a_table(kinds: Mapping[str, Path]) -> None:
    path = kinds["graph"]
    table = Table(retrain_tools.load(path).summary()._repr_html_())
    assert table.tags == {"table", "tr", "th", "td"}
    assert table.rows[:-1] == [
        ["file", f"{path} ({path.stat().st_size:,} bytes)"],
        ["kind", "frozen GraphDef"],
        ["network", "not known"],
        ["nodes", "8"],
        [
            "input",
            "input:0 float32 [?, 12, 12, 3]: pixels: a placeholder of the type and shape of images",
        ],
        ["output", "final_result:0 float32 [?, 3]: retrain.py's name for the result"],
        ["worth caching", "Mean:0, 8 values: what the last layer classifies"],
        ["worth caching", "Conv2D:0, 8 values: the same before pooling or reshaping"],
        ["worth caching", "MatMul:0, 3 values: the last layer's own output (logits)"],
        [
            "pixels",
            "unknown: nothing in the file says it; -1 to 1 is fed unless --input_mean and "
            "--input_std say otherwise",
        ],
        [
            "pooled",
            "yes, a vector of 8 (global average of [12, 12, 8]); no GlobalAveragePooling2D is "
            "needed",
        ],
        ["pooling", "Mean:0 [?, 8] bottleneck a vector of 8: global average of [12, 12, 8]"],
        [
            "pooling",
            "final_result:0 [?, 3] result a vector of 3: global average of [12, 12, 8], then "
            "1 layer with weights",
        ],
        [
            "pooling",
            "Conv2D:0 [?, 12, 12, 8] before the pooling --bottleneck_tensor=Conv2D:0 or "
            "--tensors=Conv2D:0",
        ],
        ["parameters", "240"],
    ]
    assert table.rows[-1] == ["operations for one image", f"{2 * (144 * 8 * 27 + 8 * 3):,}"]


def test_a_summary_prints_as_the_script_does(kinds: Mapping[str, Path]) -> None:
    summary = retrain_tools.load(kinds["graph"]).summary()
    assert isinstance(summary, Summary)
    assert str(summary) == summary.as_text(Style())
    assert str(summary).startswith(f"File     {kinds['graph']} (")
    assert repr(summary).startswith("Summary(path=")
    assert dataclasses.asdict(summary)["nodes"] == 8


@given(
    st.text(
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=":^"),
        min_size=1,
        max_size=40,
    )
)
def test_names_of_nodes_are_text_and_nothing_else(name: str) -> None:
    graph_def = schema.GraphDef()
    node = graph_def.node.add(name=name, op="Placeholder")
    node.attr["dtype"].type = 3
    graph_def.node.add(name=f"<script>{name}", op="<b>Mystery</b>", input=[name])
    for op in ("BatchNormWithGlobalNormalization", "Mystery"):
        graph_def.node.add(name=f"{name}{op}", op=op)
    table = Table(summarize(graph_def, Path(f"/{name}<i>.pb"))._repr_html_())
    assert table.tags == {"table", "tr", "th", "td"}
    rows = {tuple(row) for row in table.rows}
    assert ("file", f"{Path(f'/{name}<i>.pb')} (0 bytes)") in rows
    assert ("input", f"{name}:0 int32 unknown: data that has to be fed") in rows
    assert ("not in TensorFlow", "<b>Mystery</b>, 1") in rows
    assert any(key == "deprecated" and text.startswith("BatchNorm") for key, text in rows)


def test_no_more_than_ten_outputs() -> None:
    graph_def = schema.GraphDef()
    for number in range(30):
        graph_def.node.add(name=f"n{number}", op="Placeholder").attr["dtype"].type = 1
        graph_def.node.add(name=f"r{number}", op="Neg", input=[f"n{number}"]).attr["T"].type = 1
    table = Table(summarize(graph_def, Path("g.pb"))._repr_html_())
    assert [row[0] for row in table.rows].count("output") == 10
