"""Reading TensorFlow's protobuf messages from files, binary or text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.message import DecodeError

from retrain_tools.errors import InputError
from retrain_tools.sources.kinds import Place, foreign_kind, varint

_START = 512
_PRINTABLE = bytes([9, 10, 13, *range(32, 256)])  # text may be in any language
_MOST_BYTES = 2**31 - 1  # a protobuf message cannot be larger


def read_bytes(place: Place, what: str) -> bytes:
    """Return the content of a file that should hold one message.

    Args:
        place: the file.
        what: what it should be, for error messages: `a MetaGraph`.

    Raises:
        InputError: the file is missing, empty, or larger than a message can be.
    """
    if not place.path.is_file():
        raise InputError(f"No such file: {place}")
    size = place.path.stat().st_size
    if size == 0:
        raise InputError(f"{place} is empty; download or copy it again.")
    if size > _MOST_BYTES:
        raise InputError(
            f"{place} has {size:,} bytes; {what} cannot have more than {_MOST_BYTES:,}."
        )
    return place.path.read_bytes()


def read_message(place: Place, message: Any, what: str) -> Any:
    """Read a message, binary or text, of a class of `graphdef.schema`; see `read_bytes`.

    Raises:
        InputError: the file is missing, too large, cut off or something else.
    """
    data = read_bytes(place, what)
    # Text can pass for a message of unknown fields, so it is looked for first.
    if not data[:_START].translate(None, _PRINTABLE):
        try:
            return parse_text(data, message, place, what)
        except InputError:
            pass
    try:
        return message.FromString(data)
    except DecodeError as error:
        # The folder's name says what the file should be; its content may say what it is.
        reason = foreign_kind(data) or f"is not {what}, or is cut off; copy it again"
        raise InputError(f"{place} {reason}.") from error


def parse_text(data: bytes, message: Any, place: Place, what: str) -> Any:
    """Return the message that a text file holds.

    Raises:
        InputError: it is not a text of this message; the reason has the line.
    """
    from google.protobuf import text_format  # slow to import, and seldom needed

    try:
        return text_format.Parse(data.decode("utf-8"), message())
    except (text_format.ParseError, ValueError, TypeError) as error:  # no UTF-8, no such number
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"{place} is {what} that cannot be read: {reason}.") from error
    except RecursionError:  # without its thousand lines
        raise InputError(f"{place} is nested more deeply than {what} can be.") from None


def message_items(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Yield number and value of each field of a message of no known class, as far as it is sound.

    Of fields that are numbers of 4 or 8 bytes the bytes are yielded.
    """
    position = 0
    while position < len(data):
        tag, position = varint(data, position)
        wire = -1 if tag is None else tag & 7
        if tag is None or wire not in (0, 1, 2, 5):
            return
        if wire == 0:
            value, position = varint(data, position)
            if value is not None:
                yield tag >> 3, value
            continue
        length: int | None = {1: 8, 5: 4}.get(wire)
        if length is None:
            length, position = varint(data, position)
        if length is None or position + length > len(data):
            return
        yield tag >> 3, data[position : position + length]
        position += length
