"""What the attributes of a node hold, as short text."""

from __future__ import annotations

import struct
from typing import Any

from retrain_tools.graphdef.dtypes import dtype_name
from retrain_tools.graphdef.shapes.call import shape_in
from retrain_tools.graphdef.tensors import shape_text

_LONGEST_TEXT = 300
_LONGEST_LIST = 32
_DEEPEST = 3  # functions named by attributes of functions named by …


def attribute_texts(node: Any) -> list[tuple[str, str]]:
    """Return the attributes of a node, sorted by name, each as `attribute_text`."""
    return [(key, attribute_text(node.attr[key])) for key in sorted(node.attr)]


def attribute_text(value: Any, depth: int = 0) -> str:
    """Return an AttrValue as short text.

    Of a tensor, only dtype and shape are given. What is too long is cut off, and says so.

    Args:
        value: the AttrValue.
        depth: how many functions name it one inside the other.
    """
    kind = value.WhichOneof("value")
    if kind is None:
        return "(empty)"
    if kind == "list":
        return _list_text(value.list, depth)
    return _one(kind, getattr(value, kind), depth)


def tensor_text(tensor: Any) -> str:
    """Return dtype and shape of a TensorProto, as `float32 [3, 3]`."""
    return f"{dtype_name(tensor.dtype)} {shape_text(shape_in(tensor.tensor_shape))}"


def _one(kind: str, value: Any, depth: int) -> str:
    match kind:
        case "s":
            return _cut(value[: 4 * _LONGEST_TEXT].decode("utf-8", "backslashreplace"))
        case "f":
            return _float_text(value)
        case "b":
            return "true" if value else "false"
        case "type":
            return dtype_name(value)
        case "shape":
            return shape_text(shape_in(value))
        case "tensor":
            return tensor_text(value)
        case "func":
            return _function_text(value, depth)
    return _cut(str(value))


def _float_text(value: float) -> str:
    """Return a float32 with 7 digits, or 9 where it takes them to tell it from its neighbours."""
    text = f"{value:.7g}"
    return text if struct.pack("f", float(text)) == struct.pack("f", value) else f"{value:.9g}"


def _list_text(values: Any, depth: int) -> str:
    for field, items in values.ListFields():
        shown = [_one(field.name, item, depth) for item in items[:_LONGEST_LIST]]
        if len(items) > _LONGEST_LIST:
            shown.append(f"… ({len(items)} in all)")
        return f"[{', '.join(shown)}]"
    return "[]"


def _function_text(value: Any, depth: int) -> str:
    if depth == _DEEPEST or not len(value.attr):
        return _cut(value.name)
    inner = ", ".join(f"{k}={attribute_text(value.attr[k], depth + 1)}" for k in sorted(value.attr))
    return _cut(f"{value.name}({inner})")


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}… (cut off)"
