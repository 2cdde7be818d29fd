"""Changes to texts and JSON: words and lines moved, nested, made long; values of another type."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from fuzzing.raw_bytes import changed_bytes

_TOKEN = re.compile(rb"[A-Za-z_][\w.]*|-?\d[\w.+-]*|\"(?:[^\"\\\n]|\\.)*\"|\s+|.", re.DOTALL)
_WORDS = (
    b"", b"0", b"-1", b"1e999", b"nan", b"-inf", b"9" * 30, b"9" * 5000, b"0x7fffffffffffffff",
    b"1_0", b"true", b"null", b'""', b"'", b'"', b"\\", b"{", b"}", b"[", b"]", b"<", b">", b":",
    b",", b"\n", b"\r", b"\t", b"\0", b"\xff", b"\xef\xbb\xbf", "\u202e\u2028".encode(),
    b"\xed\xa0\x80", b"\x1b[31m", b"a/" * 3000, b"x" * 100_000, b"{" * 3000, b"[" * 3000,
    b"../../x", b"/etc/passwd", b"__class__", b"1979-05-27", b"# ", b"=", b"\xd9\xa3",
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 10**400, 0.5, 1e308, float("nan"),
    float("inf"), "", "0", "a", "../x", "/etc/passwd", "\0", "\u2028", "\ud800", "x" * 10_000,
    [], {}, [[]], [1], [0], [-1], [2**62, 2**62], ["a", 1], {"a": 1}, [None], [{}],
    "__import__", {"class_name": "Lambda", "config": {}},
)  # fmt: skip


def changed_text(data: bytes, chance: Random, others: Sequence[bytes] = ()) -> bytes:
    """Return a text after some changes to its words and lines."""
    if chance.random() < 0.2:
        return changed_bytes(data, chance, others)
    tokens = _TOKEN.findall(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at, size = chance.randrange(len(tokens) + 1), chance.choice((1, 1, 3, 20))
        match chance.randrange(6):
            case 0:
                tokens[at : at + size] = []
            case 1:
                tokens[at : at + 1] = [chance.choice(_WORDS)]
            case 2:
                tokens[at:at] = [chance.choice(_WORDS)]
            case 3 if tokens:
                tokens[at : at + 1] = [chance.choice(tokens)]
            case 4:
                tokens[at:at] = tokens[at : at + size] * chance.choice((1, 2, 300))
            case _:
                lines = b"".join(tokens).split(b"\n")
                chance.shuffle(lines)
                tokens = _TOKEN.findall(b"\n".join(lines[: chance.randint(1, len(lines))]))
    return b"".join(tokens)


def changed_json(data: bytes, chance: Random, others: Sequence[bytes] = ()) -> bytes:
    """Return JSON whose values have changed; or text, where it is none or by chance."""
    if chance.random() < 0.2:
        return changed_text(data, chance, others)
    try:
        return json.dumps(changed_value(json.loads(data), chance)).encode()
    except (ValueError, RecursionError):  # no JSON, too many digits, or nested too deeply
        return changed_text(data, chance, others)


def changed_value(value: Any, chance: Random) -> Any:
    """Return nested lists and dicts with one to three changes."""
    value = copy.deepcopy(value)
    for _ in range(chance.choice((1, 1, 2, 3))):
        holders = [(lambda _: None, value)]
        _collect(value, holders)
        if len(holders) == 1 or chance.random() < 0.02:
            return copy.deepcopy(chance.choice(_VALUES))
        put, held = chance.choice(holders[1:])
        _change(put, held, [other for _, other in holders], chance)
    return value


def _collect(value: Any, found: list[tuple[Callable[[Any], None], Any]]) -> None:
    if len(found) > 5000:
        return
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, held in list(items):
        found.append((lambda new, value=value, key=key: value.__setitem__(key, new), held))
        if isinstance(held, (dict, list)):
            _collect(held, found)


def _change(put: Callable[[Any], None], held: Any, others: Sequence[Any], chance: Random) -> None:
    if isinstance(held, dict) and held and chance.random() < 0.6:
        key = chance.choice(list(held))
        match chance.randrange(3):
            case 0:
                del held[key]
            case 1:
                held[chance.choice(("", "name", "x" * 5000, "class_name", "\0"))] = held.pop(key)
            case _:
                held[key] = copy.deepcopy(chance.choice(others))
    elif isinstance(held, list) and held and chance.random() < 0.6:
        match chance.randrange(3):
            case 0:
                held.pop(chance.randrange(len(held)))
            case 1:
                held[:] = held * chance.choice((2, 50))
            case _:
                chance.shuffle(held)
    elif chance.random() < 0.7:
        put(copy.deepcopy(chance.choice(_VALUES)))
    elif isinstance(held, str) and chance.random() < 0.5:
        put(held * chance.choice((0, 2, 1000)))
    elif type(held) is int:
        put(held + chance.choice((-1, 1, 2**31, -(2**63))))
    else:
        put(copy.deepcopy(chance.choice(others)))
