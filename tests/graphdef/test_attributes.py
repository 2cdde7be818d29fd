from __future__ import annotations

from typing import Any

import pytest

from retrain_tools.graphdef import schema
from retrain_tools.graphdef.attributes import attribute_text, attribute_texts
from retrain_tools.graphdef.build import shape_proto
from retrain_tools.graphdef.tensors import shape_text
from retrain_tools.quiet_tensorflow import tf

from .tiny_graphs import own


def value(**fields: Any) -> Any:
    return schema.AttrValue(**fields)


def listed(**fields: Any) -> Any:
    return value(list=schema.AttrValue.ListValue(**fields))


SHAPE = shape_proto([1, None, 3])


@pytest.mark.parametrize(
    ("attribute", "text"),
    [
        (value(), "(empty)"),
        (value(s=b"SAME"), "SAME"),
        (value(s=b"\xffa"), r"\xffa"),
        (value(i=-3), "-3"),
        (value(f=0.001), "0.001"),
        (value(f=1 + 2**-23), "1.00000012"),
        (value(b=False), "false"),
        (value(type=1), "float32"),
        (value(type=101), "float32_ref"),
        (value(type=77), "?"),
        (value(shape=SHAPE), "[1, ?, 3]"),
        (value(shape=shape_proto(None)), "unknown"),
        (value(tensor=own(tf.make_tensor_proto([1, 2]))), "int32 [2]"),
        (value(placeholder="T"), "T"),
        (listed(), "[]"),
        (listed(i=[1, 2, 2, 1]), "[1, 2, 2, 1]"),
        (listed(shape=[SHAPE, SHAPE]), "[[1, ?, 3], [1, ?, 3]]"),
        (listed(b=[True] * 40), f"[{'true, ' * 32}… (40 in all)]"),
        (value(s=b"x" * 1000), "x" * 300 + "… (cut off)"),
    ],
)
def test_every_kind_of_attribute_has_a_text(attribute: Any, text: str) -> None:
    assert attribute_text(attribute) == text


def test_functions_are_named_with_their_attributes_but_not_without_end() -> None:
    function = value()
    inner = function.func
    for name in ("f", "g", "h", "i", "j"):
        inner.name = name
        inner = inner.attr["then"].func
    assert attribute_text(function) == "f(then=g(then=h(then=i)))"


def test_attributes_are_sorted_and_reading_them_adds_none() -> None:
    node = schema.NodeDef(name="n", op="Op")
    node.attr["b"].i = 2
    node.attr["a"].b = True
    before = node.SerializeToString(deterministic=True)
    assert attribute_texts(node) == [("a", "true"), ("b", "2")]
    assert node.SerializeToString(deterministic=True) == before


def test_shapes_as_people_write_them() -> None:
    assert [shape_text(s) for s in (None, (), (1, None))] == ["unknown", "[]", "[1, ?]"]
