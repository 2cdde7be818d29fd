"""What was measured: times of several ways to do one thing, taken in turns; medians and ratios."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from retrain_tools.text_tables import Style, aligned

MORE_IS_BETTER = ("/s", "GFLOP/s")


class LeftOut(Exception):  # noqa: N818 - nothing is wrong
    """A way that cannot be measured here; the message is why."""


@dataclasses.dataclass
class Record:
    """One way to do one thing.

    Attributes:
        section, subject: what was done, as `extraction` and `inception_2015, alone`.
        way: how, as `OpenVINO bfloat16`.
        unit: of the values; those that end in `/s` are the better the larger.
        values: one for each round.
        cpu_values: the same by CPU time on all cores instead of the clock, where that is measured;
            for a machine that has other work to do.
        notes: what else was found, as the difference from our values.
        left_out: why there is no value.
    """

    section: str
    subject: str
    way: str
    unit: str
    values: list[float] = dataclasses.field(default_factory=list)
    cpu_values: list[float] = dataclasses.field(default_factory=list)
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)
    left_out: str = ""

    def median(self, clock: str = "wall") -> float | None:
        """Return the median, by the clock or by CPU time (`cpu`) where that was measured."""
        values = self.cpu_values if clock == "cpu" and self.cpu_values else self.values
        return statistics.median(values) if values else None


def times_as_fast(record: Record, other: Record, clock: str = "wall") -> float | None:
    """Return how many times as fast (or small) `record` is as `other`; None without values."""
    mine, others = record.median(clock), other.median(clock)
    if not mine or not others:
        return None
    return mine / others if record.unit.endswith(MORE_IS_BETTER) else others / mine


Ways = Mapping[str, Callable[[], dict[str, Any]]]
"""What measures each way once: `value`, perhaps `cpu`, and notes."""


def compare(
    section: str,
    subject: str,
    unit: str,
    ways: Ways,
    rounds: int,
    say: Callable[[str], object] = print,
) -> list[Record]:
    """Measure every way once, then every way again, and so on; say each value as it comes.

    A way that raises LeftOut is named, and left out from there on.
    """
    records = [Record(section, subject, way, unit) for way in ways]
    for number in range(rounds):
        for record in records:
            if record.left_out:
                continue
            head = f"{section}, {subject}, {number + 1}/{rounds}: {record.way}:"
            try:
                found = dict(ways[record.way]())
            except LeftOut as reason:
                record.left_out = str(reason)
                say(f"{head} left out: {reason}")
                continue
            record.values.append(found.pop("value"))
            cpu = found.pop("cpu", None)
            if cpu is not None:
                record.cpu_values.append(cpu)
            record.notes.update(found)
            by_cpu = "" if cpu is None else f" ({short(cpu)} by CPU time)"
            notes = "".join(f", {name} {short(note)}" for name, note in found.items())
            say(f"{head} {short(record.values[-1])} {unit}{by_cpu}{notes}")
    return records


def table(records: Iterable[Record], clock: str) -> str:
    """Return medians as text, each subject's against its first way that has a value."""
    heading = ("section", "subject", "way", "median", "unit", "× first", "notes")
    rows, first = [heading], {}
    for record in records:
        key = (record.section, record.subject)
        if record.values:
            first.setdefault(key, record)
        ratio = times_as_fast(record, first[key], clock) if key in first else None
        notes = ", ".join(f"{name} {short(note)}" for name, note in record.notes.items())
        rows.append(
            (
                *key,
                record.way,
                short(record.median(clock)),
                record.unit,
                "" if ratio is None else f"{ratio:.2f}",
                f"left out: {record.left_out}" if record.left_out else notes,
            )
        )
    return aligned(rows, Style())


def short(value: Any) -> str:
    """Return a value in four digits; other things as they are."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
