r"""Reads a list of transforms in the syntax of TensorFlow 1's Graph Transform Tool.

1. A transform is its name, of letters, digits and `_`; arguments may follow in parentheses, with
   commas between them: `remove_nodes(op=Identity, op=CheckNumerics)`.
2. Transforms are separated by white space, or by nothing after a `)`. A backslash at the end of a
   line, as shell scripts have it inside quotes, counts as white space.
3. A value is all up to the next comma, parenthesis, quote or white space; or what stands between
   two `"` or two `'`: `shape="1,299,299,3"`. Between quotes, `\"`, `\'` and `\\` are the character.
4. An argument may be given several times: it has several values then.
"""

from __future__ import annotations

import dataclasses
import re

from retrain_tools.errors import InputError, argument

_SPACE = re.compile(r"(?:\s|\\(?=\s|$))*")
_NAME = re.compile(r"[A-Za-z0-9_]+")
_BARE = re.compile(r"[^\s,()\"']+")
_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'", re.DOTALL)
_ESCAPED = re.compile(r"\\([\"'\\])")
_CONTEXT = 30  # characters of the text that a message repeats


@dataclasses.dataclass(frozen=True)
class Call:
    """A transform as a user wrote it.

    Attributes:
        name: its name.
        arguments: names and values, in the order in which they stand.
    """

    name: str
    arguments: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        inner = ", ".join(f"{key}={_as_value(value)}" for key, value in self.arguments)
        return f"{self.name}({inner})" if inner else self.name


def parse_transforms(text: str) -> list[Call]:
    """Return the transforms that a text lists, in order; see the module for the syntax.

    Raises:
        InputError: it is not a list of transforms, or an empty one.

    Example:
        >>> for call in parse_transforms('strip_unused_nodes(shape="1,8,8,3") sort(a=b,a=c)'):
        ...     print(call.name, call.arguments)
        strip_unused_nodes (('shape', '1,8,8,3'),)
        sort (('a', 'b'), ('a', 'c'))
    """
    reader, calls = _Reader(text), list[Call]()
    reader.skip_space()
    while not reader.is_at_end:
        name = reader.take(_NAME)
        if name is None:
            also = "; only white space separates transforms" if reader.next == "," else ""
            raise reader.error(f"the name of a transform was expected{also}")
        reader.skip_space()
        calls.append(Call(name, tuple(_arguments(reader, name)) if reader.has("(") else ()))
        reader.skip_space()
    if not calls:
        raise InputError(f"{argument('transforms')} names none; see --list.")
    return calls


def _arguments(reader: _Reader, transform: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    while not reader.has(")"):
        if found and not reader.has(","):
            if reader.is_at_end:
                raise reader.error(f"the parenthesis of {transform} is not closed")
            raise reader.error(
                f"a comma or ) was expected; a value with other characters than letters, digits "
                f'and punctuation goes in quotes, {found[-1][0]}="…"'
            )
        key = reader.take(_NAME)
        if key is None and reader.is_at_end:
            raise reader.error(f"the parenthesis of {transform} is not closed")
        if key is None:
            raise reader.error(f"the name of an argument of {transform} was expected")
        if not reader.has("="):
            raise reader.error(f"after {key} an = was expected: {transform}({key}=VALUE)")
        found.append((key, _value(reader, f"{transform}({key}=")))
    return found


def _value(reader: _Reader, start: str) -> str:
    quoted = reader.take(_QUOTED)
    if quoted is not None:
        return _ESCAPED.sub(r"\1", quoted[1:-1])
    if reader.next in ('"', "'"):
        raise reader.error(f"the quote after {start} is not closed")
    value = reader.take(_BARE)
    if value is None:
        raise reader.error(f'after {start} a value was expected; an empty one is ""')
    return value


class _Reader:
    """A place in a text, which moves forward."""

    def __init__(self, text: str) -> None:
        self._text, self._place = text, 0

    @property
    def is_at_end(self) -> bool:
        return self._place == len(self._text)

    @property
    def next(self) -> str:
        """The character that comes next; empty at the end."""
        return self._text[self._place : self._place + 1]

    def skip_space(self) -> None:
        match = _SPACE.match(self._text, self._place)
        self._place = match.end() if match else self._place

    def take(self, pattern: re.Pattern[str]) -> str | None:
        """Return what matches here, and move behind it and its white space; None if none does."""
        match = pattern.match(self._text, self._place)
        if match is None:
            return None
        self._place = match.end()
        self.skip_space()
        return match[0]

    def has(self, character: str) -> bool:
        """Tell whether a character comes next, and move behind it and its white space if so."""
        if self.next != character:
            return False
        self._place += 1
        self.skip_space()
        return True

    def error(self, reason: str) -> InputError:
        before = self._text[max(0, self._place - _CONTEXT) : self._place].strip()
        after = self._text[self._place : self._place + _CONTEXT].strip()
        where = f"at {after!r}" if after else "at the end"
        where += f", after {before!r}" if before else ""
        return InputError(f"{argument('transforms')} cannot be read {where}: {reason}.")


def _as_value(value: str) -> str:
    if _BARE.fullmatch(value) and "\\" not in value:
        return value
    return '"' + re.sub(r"([\"\\])", r"\\\1", value) + '"'
