"""What the attributes of a node say, as short text."""

from __future__ import annotations

from typing import Any

from retrain_tools.report.constants import dtype_name

_LONGEST_TEXT = 300
_LONGEST_LIST = 32
_DEEPEST = 3  # functions named by attributes of functions named by …

Shape = tuple[int | None, ...]


def shape_text(shape: Shape | None) -> str:
    """Return a shape as people write it: `[1, ?, 2048]`, `[]`, or `unknown`."""
    if shape is None:
        return "unknown"
    return f"[{', '.join('?' if d is None else str(d) for d in shape)}]"


def attribute_texts(node: Any) -> list[tuple[str, str]]:
    """Return the attributes of a node, sorted by name, each as short text.

    The values of a constant are only named with their type and shape. What is too long is cut
    off, and says so.
    """
    return [(key, attribute_text(node.attr[key])) for key in sorted(node.attr)]


def attribute_text(value: Any, depth: int = 0) -> str:
    """Return an AttrValue, of any class that has its fields, as short text."""
    kind = value.WhichOneof("value")
    if kind is None:
        return "(empty)"
    if kind == "list":
        return _list_text(value.list, depth)
    return _one(kind, getattr(value, kind), depth)


def _one(kind: str, value: Any, depth: int) -> str:
    match kind:
        case "s":
            return _cut(value[: 4 * _LONGEST_TEXT].decode("utf-8", "backslashreplace"))
        case "f":
            return f"{value:.7g}"
        case "b":
            return "true" if value else "false"
        case "type":
            return dtype_name(value)
        case "shape":
            return shape_text(_shape(value))
        case "tensor":
            return f"{dtype_name(value.dtype)} {shape_text(_shape(value.tensor_shape))}"
        case "func":
            return _function_text(value, depth)
    return _cut(str(value))


def _list_text(values: Any, depth: int) -> str:
    for kind in ("s", "i", "f", "b", "type", "shape", "tensor", "func"):
        items = getattr(values, kind)
        if len(items):
            shown = [_one(kind, item, depth) for item in items[:_LONGEST_LIST]]
            if len(items) > _LONGEST_LIST:
                shown.append(f"… ({len(items)} in all)")
            return f"[{', '.join(shown)}]"
    return "[]"


def _function_text(value: Any, depth: int) -> str:
    if depth == _DEEPEST or not len(value.attr):
        return _cut(value.name)
    inner = ", ".join(f"{k}={attribute_text(value.attr[k], depth + 1)}" for k in sorted(value.attr))
    return _cut(f"{value.name}({inner})")


def _shape(proto: Any) -> Shape | None:
    if proto.unknown_rank:
        return None
    return tuple(int(d.size) if d.size >= 0 else None for d in proto.dim)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}… (cut off)"
