"""Reading TensorFlow's messages from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from retrain_tools.errors import InputError
from retrain_tools.graphdef.file_kind import foreign_kind
from retrain_tools.graphdef.load import check_graph as check_graph  # where others take it from

_START = 512
_PRINTABLE = bytes([9, 10, 13, *range(32, 256)])  # text may be in any language
_MOST_BYTES = 2**31 - 1  # a protobuf message cannot be larger


def read_message(path: Path, message: Any, what: str) -> Any:
    """Read a message, binary or text.

    Args:
        path: the file.
        message: a class of `graphdef.schema`.
        what: what it should be, for messages: `a MetaGraph`.

    Raises:
        InputError: the file is missing, too large, cut off or something else.
    """
    if not path.is_file():
        raise InputError(f"No such file: {path}")
    size = path.stat().st_size
    if size == 0:
        raise InputError(f"{path} is empty; download or copy it again.")
    if size > _MOST_BYTES:
        raise InputError(
            f"{path} has {size:,} bytes; {what} cannot have more than {_MOST_BYTES:,}."
        )
    data = path.read_bytes()
    # Text can pass for a message of unknown fields, so it is looked for first.
    if not data[:_START].translate(None, _PRINTABLE) and (parsed := _parse_text(data, message)):
        return parsed
    try:
        return message.FromString(data)
    except DecodeError as error:
        # The folder's name says what the file should be; its content may say what it is.
        reason = foreign_kind(path) or f"is not {what}, or is cut off; copy it again"
        raise InputError(f"{path} {reason}.") from error


def _parse_text(data: bytes, message: Any) -> Any | None:
    from google.protobuf import text_format  # slow to import, and seldom needed

    try:
        return text_format.Parse(data.decode("utf-8"), message())
    except (text_format.ParseError, UnicodeDecodeError):
        return None
