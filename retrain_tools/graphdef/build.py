"""Making NodeDefs by hand, with only the attributes that have no default."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from retrain_tools.quiet_tensorflow import tf


def new_node(name: str, op: str, inputs: Sequence[str] = (), **attributes: Any) -> Any:
    """Return a NodeDef; an attribute is a TensorFlow dtype, an int, or an AttrValue."""
    node = tf.compat.v1.NodeDef(name=name, op=op, input=inputs)
    for key, value in attributes.items():
        if isinstance(value, tf.DType):
            node.attr[key].type = value.as_datatype_enum
        elif isinstance(value, int):
            node.attr[key].i = value
        else:
            node.attr[key].CopyFrom(value)
    return node


def new_constant(name: str, value: Any) -> Any:
    """Return a `Const` NodeDef that holds a NumPy value."""
    node = tf.compat.v1.NodeDef()
    fill_constant(node, name, value)
    return node


def fill_constant(node: Any, name: str, value: Any) -> None:
    """Make `node`, an empty NodeDef, a `Const`; of a large array one copy is made, not three."""
    array = np.asarray(value)
    dtype = tf.as_dtype(array.dtype).as_datatype_enum
    node.name, node.op = name, "Const"
    node.attr["dtype"].type = dtype
    tensor = node.attr["value"].tensor
    if array.size < 2:  # TensorFlow's own form for scalars, which people can read
        tensor.CopyFrom(tf.make_tensor_proto(array))
        return
    tensor.dtype = dtype
    tensor.tensor_shape.CopyFrom(tf.TensorShape(array.shape).as_proto())
    tensor.tensor_content = array.tobytes()


def strip_defaults(node: Any) -> None:
    """Drop attributes that say what holds anyway: an older TensorFlow may not know them."""
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get(node.op)
    if definition is None:
        return
    for attribute in definition.attr:
        name = attribute.name
        has_default = name in node.attr and attribute.HasField("default_value")
        if has_default and node.attr[name] == attribute.default_value:
            del node.attr[name]
