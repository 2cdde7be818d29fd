"""What the version numbers of a GraphDef mean, and which of its ops TensorFlow has or drops."""

from __future__ import annotations

import collections
import dataclasses
import datetime
from typing import Any

from retrain_tools.graphdef import ops

# tensorflow/core/public/version.h, "Version history": the days on which versions came up. From
# version 30 of 9 May 2019 on, the number goes up by one a day.
_DAYS = {
    1: "2015-12-02",
    2: "2015-12-11",
    3: "2015-12-30",
    4: "2016-01-07",
    6: "2016-01-27",
    7: "2016-02-05",
    9: "2016-02-16",
    10: "2016-06-10",
    11: "2016-08-03",
    12: "2016-08-22",
    13: "2016-09-09",
    14: "2016-09-10",
    15: "2016-09-14",
    16: "2016-11-10",
    18: "2016-11-30",
    19: "2016-12-08",
    20: "2016-12-12",
    21: "2017-01-11",
    24: "2017-05-30",
    25: "2017-06-15",
    26: "2017-12-07",
    27: "2018-01-23",
    28: "2018-08-21",
    29: "2019-03-25",
}
NEWEST_VERSION = 2474
"""The version of graphs that the newest supported TensorFlow, 2.21, writes (public/version.h)."""

_FIRST_DAILY, _FIRST_DAY = 30, datetime.date(2019, 5, 9)

_OWN_OPS = ("_Arg", "_Retval")  # of TensorFlow's own making, in no registry that can be asked


@dataclasses.dataclass(frozen=True)
class Versions:
    """The versions field of a GraphDef.

    Attributes:
        producer: the version of the TensorFlow that wrote the graph; 0 where nothing says.
        min_consumer: the oldest version that may read it.
        bad_consumers: versions that must not.
        meaning: what that says, for a reader.
    """

    producer: int
    min_consumer: int
    bad_consumers: tuple[int, ...]
    meaning: str


@dataclasses.dataclass(frozen=True)
class Deprecated:
    """An op that graphs of later versions may not have.

    Attributes:
        op: its name.
        nodes: how many nodes of the graph are of it.
        version: the first GraphDef version without it.
        advice: what TensorFlow says to do.
        is_dropped: whether the graph is of such a version already, and so does not load.
    """

    op: str
    nodes: int
    version: int
    advice: str
    is_dropped: bool


def read_versions(graph_def: Any) -> Versions:
    """Return the graph's versions and what they mean."""
    versions = graph_def.versions
    return Versions(
        versions.producer,
        versions.min_consumer,
        tuple(versions.bad_consumers),
        _meaning(versions.producer),
    )


def _meaning(producer: int) -> str:
    """Say when TensorFlow had the version `producer`, and what is special about such graphs."""
    if producer == 0:
        return "not said: written by hand or by a tool that drops it; TensorFlow takes any op in it"
    if producer < min(_DAYS):
        return "a version that TensorFlow never had"
    if producer >= _FIRST_DAILY:
        day = _FIRST_DAY + datetime.timedelta(days=min(producer - _FIRST_DAILY, 100_000))
        return f"TensorFlow's sources of {day:%-d %B %Y}"
    before = max(version for version in _DAYS if version <= producer)
    after = min((version for version in _DAYS if version > producer), default=_FIRST_DAILY)
    start = datetime.date.fromisoformat(_DAYS[before])
    end = _FIRST_DAY if after == _FIRST_DAILY else datetime.date.fromisoformat(_DAYS[after])
    period = f"TensorFlow of {start:%B %Y} to {end:%B %Y}"
    if f"{start:%Y-%m}" == f"{end:%Y-%m}":
        period = f"TensorFlow of {start:%B %Y}"
    return f"{period}; ops that were dropped later still work" if producer < 29 else period


def op_counts(graph_def: Any) -> dict[str, int]:
    """Return how many nodes there are of each op, functions included, the most frequent first."""
    counts = collections.Counter(node.op for node in graph_def.node)
    for function in graph_def.library.function:
        counts.update(node.op for node in function.node_def)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def unavailable_ops(graph_def: Any, counts: dict[str, int]) -> dict[str, int]:
    """Return the ops of `op_counts` that a plain TensorFlow does not have: custom or contrib ones.

    The graph's own functions are there; what TensorFlow 2.21 has counts as available.
    """
    known = ops.registry().keys() | ops.functions(graph_def).keys() | set(_OWN_OPS)
    return {op: count for op, count in counts.items() if op not in known}


def deprecated_ops(graph_def: Any, counts: dict[str, int]) -> tuple[Deprecated, ...]:
    """Return the ops of `op_counts` that TensorFlow drops for graphs of later versions."""
    found = []
    for op, count in counts.items():
        if dropped := ops.deprecation(op):
            version, advice = dropped
            is_dropped = graph_def.versions.producer >= version
            found.append(Deprecated(op, count, version, advice, is_dropped))
    return tuple(found)
