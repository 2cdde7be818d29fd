from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from graphdef.tiny_graphs import add, inception_like

from retrain_tools.errors import InputError
from retrain_tools.graphdef.tensors import list_tensors
from retrain_tools.listing.choose import Filters, Kinds, check_filters, chosen, of_kind

PATH = Path("g.pb")
GRAPH = inception_like()
TENSORS = list_tensors(GRAPH)


def names(graph_def: Any = GRAPH, **filters: Any) -> list[str]:
    tensors = list_tensors(graph_def)
    made = Filters(**filters)
    check_filters(made)
    return [t.name for t in chosen(graph_def, tensors, made, tensors, PATH)]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"pattern": "^pool_3"}, ["pool_3:0", "pool_3/_reshape/shape:0", "pool_3/_reshape:0"]),
        ({"glob": "pool_3"}, ["pool_3:0"]),
        ({"glob": "*/_reshape:?"}, ["pool_3/_reshape:0"]),
        ({"glob": "SOFTMAX"}, []),
        ({"op_type": ["Concat", "MatMul"]}, ["mixed/join:0", "softmax/logits/MatMul:0"]),
        ({"dtype": ["uint8", "string"]}, ["DecodeJpeg/contents:0", "DecodeJpeg:0"]),
        ({"rank": 0, "dtype": ["float32"]}, ["Sub/y:0", "Mul/y:0"]),
        ({"rank": 2, "op_type": ["Const"]}, ["softmax/weights:0"]),
        ({"min_bytes": 4 * 4 * 28 * 4, "op_type": ["Concat", "Relu"]}, ["mixed/join:0"]),
        ({"upstream": ["DecodeJpeg"]}, ["DecodeJpeg/contents:0", "DecodeJpeg:0"]),
        ({"downstream": ["softmax/logits:0"]}, ["softmax/logits:0", "softmax:0"]),
        ({"upstream": ["pool_3"], "downstream": ["mixed/join"]}, ["mixed/join:0", "pool_3:0"]),
        (
            {"path": ["mixed/join", "pool_3/_reshape"]},
            ["mixed/join:0", "pool_3:0", "pool_3/_reshape:0"],
        ),
        ({"path": ["conv", "pool_3"], "op_type": ["Concat"]}, ["mixed/join:0"]),
    ],
)
def test_filters(filters: dict[str, Any], expected: list[str]) -> None:
    assert names(**filters) == expected


def test_no_filter_is_everything() -> None:
    assert names() == [tensor.name for tensor in TENSORS]


def test_a_way_is_in_its_own_order() -> None:
    graph_def = inception_like()
    for node in list(graph_def.node)[::-1]:  # so that the file's order is another
        graph_def.node.add().CopyFrom(node)
    del graph_def.node[: len(GRAPH.node)]
    assert names(graph_def, path=["Cast", "ResizeBilinear"]) == [
        "Cast:0",
        "ExpandDims:0",
        "ResizeBilinear:0",
    ]


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (
            {"pattern": "("},
            "--pattern=( is not a regular expression: missing ), unterminated subpattern at "
            "position 0",
        ),
        ({"path": ["a"]}, "--path=a must name two tensors, as --path=Mul,pool_3."),
        (
            {"path": ["pool_3", "conv"]},
            "No way leads from 'pool_3:0' to 'conv:0' in g.pb; the way leads from 'conv:0' to "
            "'pool_3:0'.",
        ),
        (
            {"path": ["Sub/y", "Mul/y"]},
            "No way leads from 'Sub/y:0' to 'Mul/y:0' in g.pb.",
        ),
        (
            {"upstream": ["pool3"]},
            f"No tensor 'pool3:0' in g.pb ({len(GRAPH.node)} nodes). Did you mean 'pool_3:0'? "
            "List them: list_tensors --graph=g.pb",
        ),
    ],
)
def test_errors(filters: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        names(**filters)
    assert str(error.value) == message


def test_an_unknown_type_gets_the_nearest() -> None:
    with pytest.raises(InputError, match=r"--dtype=flaot32 is no type of tensors\. Did you mean"):
        check_filters(Filters(dtype=["flaot32"]))


def test_inputs_and_outputs_each_once() -> None:
    graph_def = inception_like()
    add(graph_def, "d", "PlaceholderWithDefault", ["Mul/y"], dtype=_float32())
    tensors = list_tensors(graph_def)
    found, extra = of_kind(graph_def, tensors, Kinds(inputs=True, outputs=True), PATH)
    assert [tensor.name for tensor in found] == ["DecodeJpeg/contents:0", "d:0", "softmax:0"]
    assert extra == {}


def _float32() -> Any:
    from retrain_tools.quiet_tensorflow import tf

    return tf.float32


def test_bottlenecks_with_reasons() -> None:
    found, extra = of_kind(GRAPH, TENSORS, Kinds(bottlenecks=True), PATH)
    assert [tensor.name for tensor in found][:2] == ["pool_3/_reshape:0", "pool_3:0"]
    assert extra["pool_3/_reshape:0"] == {"depth": 28, "why": "what the last layer classifies"}
