"""When TensorFlow's ops, their attributes and the types that these may be came up."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

from retrain_tools.errors import InputError, argument
from retrain_tools.graphdef import schema


@dataclasses.dataclass(frozen=True)
class OpHistory:
    """When an op came up, and what of it came up later; versions as places in `versions()`.

    Attributes:
        since: the first version that has it.
        later: attributes by name, and their types as `attribute:type`, that later versions added.
    """

    since: int
    later: Mapping[str, int]


@functools.cache
def versions() -> dict[str, int]:
    """Return the versions that were looked at, oldest first, and the version of graphs of each."""
    return {name: int(graphs) for name, _, graphs in (e.partition("=") for e in _lines()[0])}


@functools.cache
def op_history() -> Mapping[str, OpHistory]:
    """Return the history of every op that any of the versions has, by name.

    The file is made by tools/make_op_history.py.
    """
    places = {version: place for place, version in enumerate(versions())}
    found = {}
    for name, since, *parts in _lines()[1:]:
        later = (part.partition("=") for part in parts)
        found[name] = OpHistory(places[since], {part: places[v] for part, _, v in later})
    return found


def version_place(text: str) -> int:
    """Return the place in `versions()` of a version as people write it: `1.4`, `1.4.1`.

    One that was not looked at counts as the one before it.

    Raises:
        InputError: it is no version, or older than all that are known here.
    """
    known = [tuple(map(int, version.split("."))) for version in versions()]
    numbers = text.strip().split(".")
    if len(numbers) < 2 or not all(number.isdecimal() for number in numbers[:2]):
        raise InputError(
            f"{argument('tf')}={text} is no version of TensorFlow; write it as 1.4 or 1.15."
        )
    wanted = int(numbers[0]), int(numbers[1])
    if wanted < known[0]:
        raise InputError(
            f"{argument('tf')}={text} is older than what is known here: {', '.join(versions())}."
        )
    return max(place for place, version in enumerate(known) if version <= wanted)


@functools.cache
def _lines() -> list[list[str]]:
    text = (schema.DATA / "op_history.tsv").read_text(encoding="utf-8")
    first, *rest = (line for line in text.splitlines() if not line.startswith("#"))
    return [first.split(" "), *(line.split("\t") for line in rest)]
