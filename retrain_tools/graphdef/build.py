"""Making NodeDefs by hand, with only the attributes that have no default."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from retrain_tools.graphdef import schema
from retrain_tools.graphdef.dtypes import dtype_of, number_of
from retrain_tools.graphdef.ops import defaults, registry
from retrain_tools.graphdef.shapes.call import Shape

_STRINGS = "OSU"  # the kinds of NumPy types that hold strings
# The fields of a TensorProto in which people can read a number.
_READABLE = ("float_val", "double_val", "int_val", "int64_val", "bool_val", "uint32_val")


def new_node(name: str, op: str, inputs: Sequence[str] = (), **attributes: Any) -> Any:
    """Return a NodeDef.

    Args:
        name: its name.
        op: an op of TensorFlow's.
        inputs: its inputs.
        **attributes: each as a Python value of the kind that the op takes: a dtype by its number, a
            shape as `shape_proto` takes it, a list for a list; or an AttrValue, which is copied.
    """
    node = schema.NodeDef(name=name, op=op, input=inputs)
    kinds = {attribute.name: attribute.type for attribute in registry()[op].attr}
    for key, value in attributes.items():
        if isinstance(value, schema.AttrValue):
            node.attr[key].CopyFrom(value)
        else:
            _set_attribute(node.attr[key], kinds[key], value)
    return node


def _set_attribute(attribute: Any, kind: str, value: Any) -> None:
    match kind:
        case "type":
            attribute.type = value
        case "int":
            attribute.i = value
        case "float":
            attribute.f = value
        case "bool":
            attribute.b = value
        case "string":
            attribute.s = value.encode()
        case "shape":
            attribute.shape.CopyFrom(shape_proto(value))
        case "list(int)":
            attribute.list.i.extend(value)
        case "list(type)":
            attribute.list.type.extend(value)
        case _:
            raise ValueError(f"an attribute of the kind {kind} is not made here")


def shape_proto(shape: Shape | None) -> Any:
    """Return a TensorShapeProto; None is an unknown dimension, or an unknown rank."""
    if shape is None:
        return schema.TensorShapeProto(unknown_rank=True)
    proto = schema.TensorShapeProto()
    for dim in shape:
        proto.dim.add(size=-1 if dim is None else dim)
    return proto


def new_constant(name: str, value: Any) -> Any:
    """Return a `Const` NodeDef that holds a NumPy value."""
    node = schema.NodeDef()
    fill_constant(node, name, value)
    return node


def fill_constant(node: Any, name: str, value: Any) -> None:
    """Make `node`, an empty NodeDef, a `Const`; of a large array one copy is made, not three.

    Raises:
        ValueError: TensorFlow has no dtype for the array's.
    """
    array = np.asarray(value)
    number = number_of(array.dtype)
    fill_light_constant(node, name, number, array.shape)
    tensor = node.attr["value"].tensor
    dtype = dtype_of(number)
    field = dtype.field if dtype is not None else None
    if array.dtype.kind in _STRINGS:
        texts = array.reshape(-1).tolist()
        tensor.string_val.extend(t.encode() if isinstance(t, str) else t for t in texts)
    elif array.size == 1 and field in _READABLE and not array.dtype.names:
        getattr(tensor, field).append(array.item())
    else:
        tensor.tensor_content = array.tobytes()


def fill_light_constant(node: Any, name: str, dtype: int, shape: Shape | None) -> None:
    """Make `node`, an empty NodeDef, a `Const` that has type and shape, and stands for any values.

    It is for graphs that are only looked at: read as a value, it would be all zeros.
    """
    node.name, node.op = name, "Const"
    node.attr["dtype"].type = dtype
    tensor = node.attr["value"].tensor
    tensor.dtype = dtype
    tensor.tensor_shape.CopyFrom(shape_proto(shape))


def strip_defaults(node: Any) -> None:
    """Drop attributes that say what holds anyway: an older TensorFlow may not know them."""
    for name, default in defaults(registry().get(node.op)).items():
        if name in node.attr and node.attr[name] == default:
            del node.attr[name]
