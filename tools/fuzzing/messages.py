"""Changes to TensorFlow's messages: parsed, changed field by field, and written again."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message import DecodeError

from fuzzing.raw_bytes import changed_bytes
from fuzzing.texts import changed_text

_MOST_PARTS = 20_000
_MOST_BYTES = 4 << 20
_INTEGERS = (0, 1, -1, 2, 7, 100, 2**31 - 1, -(2**31), 2**40, 2**62, 2**63 - 1, -(2**63))
_FLOATS = (0.0, -1.0, 1e38, float("inf"), float("nan"))
_TEXTS = (
    "", "x", "^", ":", ":0", "^:0", "a:-1", "a:99999999999999999999", "/", "//", "a//b", "_", "\0",
    "\n", "\u2028\u202e", "\x1b[31m", "x" * 100_000, "s/" * 3000, "../../x", "/etc/passwd", "-",
    "²", "Const", "Placeholder", "Identity", "PartitionedCall", "Merge", "Switch", "NextIteration",
    "Reshape", "Conv2D", "VariableV2", "DecodeJpeg", "float", "T", "value", "shape", "dtype",
)  # fmt: skip
_WHOLE = {
    Field.TYPE_INT32: 32, Field.TYPE_SINT32: 32, Field.TYPE_SFIXED32: 32, Field.TYPE_ENUM: 32,
    Field.TYPE_INT64: 64, Field.TYPE_SINT64: 64, Field.TYPE_SFIXED64: 64,
    Field.TYPE_UINT32: -32, Field.TYPE_FIXED32: -32, Field.TYPE_UINT64: -64,
    Field.TYPE_FIXED64: -64,
}  # fmt: skip


def changed_message(
    data: bytes, message: Any, chance: Random, others: Sequence[bytes] = (), text: bool = False
) -> bytes:
    """Return a message of a class after some changes to its fields, or by chance to its bytes."""
    raw = changed_text if text else changed_bytes
    if chance.random() < 0.25:
        return raw(data, chance, others)
    try:
        parsed = _parsed(data, message, text)
        other = _parsed(chance.choice(others), message, text) if others else parsed
    except (DecodeError, text_format.ParseError, UnicodeDecodeError, RecursionError):
        return raw(data, chance, others)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        _change(parsed, other, chance)
        if parsed.ByteSize() > _MOST_BYTES:
            break
    try:
        made = text_format.MessageToString(parsed).encode() if text else parsed.SerializeToString()
    except (ValueError, UnicodeError, RecursionError):
        return raw(data, chance, others)
    return changed_bytes(made, chance) if chance.random() < 0.05 else made


def _parsed(data: bytes, message: Any, text: bool) -> Any:
    return text_format.Parse(data.decode(), message()) if text else message.FromString(data)


def _change(root: Any, other: Any, chance: Random) -> None:
    """Make one change somewhere in a message."""
    parts = _parts(root)
    part = chance.choice(parts)
    if chance.random() < 0.15:
        donors = [one for one in [*parts, *_parts(other)] if one.DESCRIPTOR is part.DESCRIPTOR]
        donor = type(part)()
        donor.CopyFrom(chance.choice(donors))  # it may be an ancestor: nested in itself
        part.CopyFrom(donor)
        return
    there = [field for field, _ in part.ListFields()]
    fields = there if there and chance.random() < 0.8 else list(part.DESCRIPTOR.fields)
    if not fields:
        return
    field = chance.choice(fields)
    if chance.random() < 0.15:
        part.ClearField(field.name)
    elif _is_map(field):
        _change_map(part, field, chance)
    elif _is_repeated(field):
        _change_list(part, field, parts, chance)
    elif field.message_type is not None:
        getattr(part, field.name).SetInParent()
    else:
        setattr(part, field.name, _value(field, getattr(part, field.name), parts, chance))


def _parts(root: Any) -> list[Any]:
    """Return all messages in a message, itself first."""
    found, waiting = [], [root]
    while waiting and len(found) < _MOST_PARTS:
        part = waiting.pop()
        found.append(part)
        for field, value in part.ListFields():
            if _is_map(field):
                if field.message_type.fields_by_name["value"].message_type is not None:
                    waiting.extend(value[key] for key in value)
            elif field.message_type is not None:
                waiting.extend(value if _is_repeated(field) else [value])
    return found


def _is_map(field: Any) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _is_repeated(field: Any) -> bool:
    label = getattr(field, "is_repeated", None)  # newer protobuf has no labels any more
    return field.label == Field.LABEL_REPEATED if label is None else bool(label)


def _change_map(part: Any, field: Any, chance: Random) -> None:
    held = getattr(part, field.name)
    keys = sorted(held, key=repr)
    if not keys:
        return
    key, other = chance.choice(keys), chance.choice(keys)
    is_message = field.message_type.fields_by_name["value"].message_type is not None
    if chance.random() < 0.4:
        del held[key]
    elif is_message:
        new = key if isinstance(key, int) else chance.choice((*_TEXTS, *keys))
        if new != other:
            held[new].CopyFrom(held[other])
    else:
        held[key] = held[other]


def _change_list(part: Any, field: Any, parts: Sequence[Any], chance: Random) -> None:
    held = getattr(part, field.name)
    size = len(held)
    if field.message_type is None:
        values = list(held)
        at = chance.randrange(size + 1)
        match chance.randrange(5):
            case 0:
                del values[at : at + 1]
            case 1:
                chance.shuffle(values)
            case 2:
                values = values[:1000] * chance.choice((2, 50))
            case 3:
                values.insert(at, _value(field, held[0] if size else None, parts, chance))
            case _:
                values[at : at + 1] = [_value(field, held[0] if size else None, parts, chance)]
        del held[:]
        held.extend(values)
        return
    if not size:
        held.add()
        return
    at, to = chance.randrange(size), chance.randrange(size)
    match chance.randrange(5):
        case 0:
            del held[at]
        case 1:
            held.add().CopyFrom(held[at])
        case 2:
            for _ in range(chance.choice((5, 100))):
                held.add().CopyFrom(held[at])
        case 3:
            kept = type(held[at])()
            kept.CopyFrom(held[at])
            held[at].CopyFrom(held[to])
            held[to].CopyFrom(kept)
        case _:
            held[at].CopyFrom(held[to])


def _value(field: Any, now: Any, parts: Sequence[Any], chance: Random) -> Any:
    """Return another value for a field: an extreme, or one that stands elsewhere."""
    if field.type in _WHOLE:
        bits = _WHOLE[field.type]
        value = chance.choice((*_INTEGERS, chance.randrange(130), (now or 0) + 1))
        least, most = (0, 2**-bits - 1) if bits < 0 else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        return min(max(value, least), most)
    if field.type in (Field.TYPE_FLOAT, Field.TYPE_DOUBLE):
        return chance.choice(_FLOATS)
    if field.type == Field.TYPE_BOOL:
        return chance.random() < 0.5
    if field.type == Field.TYPE_BYTES:
        return changed_bytes(now or b"", chance)
    if chance.random() < 0.3:
        return chance.choice(_TEXTS)
    found = _text_of(chance.choice(parts)) or now or ""
    ends = ("", "", "", ":0", ":1", "^", "/x")
    end = chance.choice(ends)
    return f"^{found}" if end == "^" else f"{found}{end}"


def _text_of(part: Any) -> str:
    """Return a text of a message: mostly a name, which then stands where it should not."""
    for field, value in part.ListFields():
        if field.type == Field.TYPE_STRING:
            return value[0] if _is_repeated(field) else value
    return ""
