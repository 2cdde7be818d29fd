"""What is fed and fetched where nobody says it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

import retrain_tools as rt
from retrain_tools.errors import InputError
from retrain_tools.sources.ends import graph_ends
from tests.graphdef.tiny_graphs import (
    MOBILENET,
    MOBILENET_RETRAINED,
    NEAR_REAL,
    inception_like,
    real,
    write,
)

FOUND = {
    NEAR_REAL: (("DecodeJpeg/contents:0",), ("softmax:0",)),
    MOBILENET: (("input:0",), ("MobilenetV1/Predictions/Reshape_1:0",)),
    MOBILENET_RETRAINED: (("input:0",), ("final_result:0",)),
    "wild/kisan_output_graph.pb": (("Pholder0:0", "Pholder11:0"), ("logit:0",)),
    "wild/onnx_lstm_frozen.pb": (("X:0", "keep_prob:0"), ("output:0",)),
}


@pytest.mark.parametrize("file", FOUND)
def test_published_graphs(file: str) -> None:
    ends = graph_ends(rt.load(real(file)))
    assert (ends.inputs, ends.outputs) == FOUND[file]


@pytest.mark.parametrize(
    ("kind", "inputs", "outputs"),
    [
        ("saved model 1", ("images:0",), ("net/pool:0", "net/looked_up:0", "net/probs:0")),
        ("hub 1", ("hub_input/images:0",), ("net/pool:0", "net/looked_up:0", "net/probs:0")),
        ("keras", None, None),
        ("meta", None, None),
        ("slim v2", ("DecodeJpeg/contents:0",), ("MobilenetV1/Predictions/Reshape_1:0",)),
    ],
)
def test_all_kinds_of_files(
    kinds: Mapping[str, Path],
    kind: str,
    inputs: tuple[str, ...] | None,
    outputs: tuple[str, ...] | None,
) -> None:
    model = rt.load(kinds[kind])
    ends = graph_ends(model)
    assert ends.inputs
    assert ends.outputs
    assert inputs is None or ends.inputs == inputs
    assert outputs is None or set(ends.outputs) == set(outputs)


def test_a_graph_without_the_values_of_its_variables(kinds: Mapping[str, Path]) -> None:
    ends = graph_ends(rt.load(kinds["graph with variables"]))
    assert {"VariableV2", "Variable"} & {node.op for node in ends.graph_def.node}
    assert ends.outputs


def test_what_is_given_counts(tmp_path: Path) -> None:
    write(inception_like(), tmp_path / "g.pb")
    model = rt.load(tmp_path / "g.pb")
    ends = graph_ends(model, ["Mul", "import/conv"], ["pool_3:0", "pool_3"])
    assert (ends.inputs, ends.outputs) == (("Mul:0", "conv:0"), ("pool_3:0",))
    assert graph_ends(model, None, ["pool_3"]).inputs == ("DecodeJpeg/contents:0",)
    assert graph_ends(model, ["Mul"]).outputs == ("softmax:0",)


def test_errors(tmp_path: Path, kinds: Mapping[str, Path]) -> None:
    write(inception_like(), tmp_path / "g.pb")
    model = rt.load(tmp_path / "g.pb")
    for inputs, outputs in ((["Mull"], None), (None, ["Mull"])):
        with pytest.raises(InputError) as raised:
            graph_ends(model, inputs, outputs)
        assert str(raised.value) == (
            f"No tensor 'Mull:0' in {tmp_path}/g.pb (41 nodes). Did you mean 'Mul:0'? List them: "
            f"list_tensors --graph={tmp_path}/g.pb"
        )
    alone = kinds["checkpoint alone"]
    with pytest.raises(InputError) as raised:
        graph_ends(rt.load(alone))
    assert str(raised.value).startswith(f"{alone} has no graph: it is a ")
    graph_def = inception_like()
    del graph_def.node[1:]
    write(graph_def, tmp_path / "one.pb")
    with pytest.raises(InputError) as raised:
        graph_ends(rt.load(tmp_path / "one.pb"))
    assert str(raised.value) == (
        f"{tmp_path}/one.pb has no result that could be told; name some with outputs."
    )
