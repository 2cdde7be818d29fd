"""The ops that TensorFlow knows, without TensorFlow: arguments, defaults, deprecation."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from retrain_tools.graphdef import schema
from retrain_tools.graphdef.dtypes import UNKNOWN, dtype_name

# No op makes as many; a damaged attribute may say so, and each would be a line of the listing.
MOST_OUTPUTS = 65_536


@functools.cache
def registry() -> Mapping[str, Any]:
    """Return the OpDef of every op of the newest TensorFlow that is supported, by name.

    Descriptions and limits of attributes are left out; whether the op holds a state, or has other
    effects, is there. The file is made by tools/make_schema.py.
    """
    ops = schema.OpList.FromString((schema.DATA / "ops.binpb").read_bytes())
    return {op.name: op for op in ops.op}


def defaults(definition: Any | None) -> dict[str, Any]:
    """Return the attributes that a node may leave out, given its op's OpDef: AttrValues by name."""
    attributes = () if definition is None else definition.attr
    return {a.name: a.default_value for a in attributes if a.HasField("default_value")}


def functions(graph_def: Any) -> dict[str, Any]:
    """Return the signature (an OpDef) of every function in the graph's library, by name."""
    return {f.signature.name: f.signature for f in graph_def.library.function}


@dataclasses.dataclass(frozen=True, slots=True)
class Output:
    """An output of an op, as its OpDef says it: one tensor, or a list of them.

    Attributes:
        dtype: the name of its type, where that is fixed.
        type_attr, number_attr, type_list_attr: the attributes of the node that hold its type, how
            many tensors there are of it, or the types of all of them; empty for none.
        is_reference: whether it stands for a variable.
        defaults: the attributes that a node may leave out.
        is_plain: whether it is one tensor, of the type in `type_attr`.
    """

    dtype: str
    type_attr: str
    number_attr: str
    type_list_attr: str
    is_reference: bool
    defaults: Mapping[str, Any]
    is_plain: bool


def outputs(definition: Any) -> tuple[Output, ...]:
    """Return the outputs of an op, given its OpDef from `registry` or `functions`."""
    left_out = defaults(definition)
    return tuple(
        Output(
            dtype_name(output.type),
            output.type_attr,
            output.number_attr,
            output.type_list_attr,
            output.is_ref,
            left_out,
            is_plain=bool(output.type_attr)
            and not (output.number_attr or output.type_list_attr or output.is_ref),
        )
        for output in definition.output_arg
    )


def output_dtypes(node: Any, made: Sequence[Output]) -> list[str] | None:
    """Return the name of the type of each tensor that a node makes, given its op's outputs.

    Where an attribute is missing it is `?`; where one makes no sense, the whole result is None.
    """
    found: list[str] = []
    attributes = node.attr
    for output in made:
        dtypes = _dtypes(attributes, output)
        if dtypes is None or len(found) + len(dtypes) > MOST_OUTPUTS:
            return None
        found += dtypes
    return found


def output_offset(definition: Any, node: Any, output: str) -> int | None:
    """Return the number of the first tensor of a node that its op's OpDef calls `output`.

    None if there is no such output, or an attribute before it makes no sense.
    """
    offset = 0
    for argument, form in zip(definition.output_arg, outputs(definition), strict=True):
        if argument.name == output:
            return offset
        dtypes = _dtypes(node.attr, form)
        if dtypes is None:
            return None
        offset += len(dtypes)
    return None


def _dtypes(attributes: Any, output: Output) -> list[str] | None:
    def value(key: str) -> Any:
        return attributes[key] if key in attributes else output.defaults.get(key)

    if output.type_list_attr:
        listed = value(output.type_list_attr)
        return None if listed is None else [dtype_name(t) for t in listed.list.type]
    name = output.dtype
    if output.type_attr:
        said = value(output.type_attr)
        name = UNKNOWN if said is None else dtype_name(said.type)
    if output.is_reference and name != UNKNOWN:
        name += "_ref"
    if not output.number_attr:
        return [name]
    count = value(output.number_attr)
    return None if count is None or not 0 <= count.i <= MOST_OUTPUTS else [name] * count.i


def deprecation(op: str) -> tuple[int, str] | None:
    """Return the first GraphDef version without the op, and TensorFlow's advice; else None."""
    definition = registry().get(op)
    if definition is None or not definition.HasField("deprecation"):
        return None
    return definition.deprecation.version, definition.deprecation.explanation
