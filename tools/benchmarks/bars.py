"""What has to hold (issue 11): bounds on ratios of medians of one run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

from benchmarks import extraction, memory, start, training
from benchmarks.records import Record, short
from benchmarks.setting import PRECISIONS
from benchmarks.subjects import NETWORKS, OWN
from retrain_tools.text_tables import Style, aligned

_GFLOP = 11.4  # of one image in the graph of 2015
_FLOAT32, _BFLOAT16 = map(extraction.OURS, PRECISIONS)

Find = Callable[[str, str, str], float | None]
"""The median of (section, subject, way); None where it was not measured."""


@dataclasses.dataclass(frozen=True)
class Bar:
    """A bound and what was found.

    Attributes:
        point: of the issue's acceptance.
        text: what is bounded.
        value: what was found; None where something of it was not measured.
        bound: what it has to be.
        is_most: whether it has to be at most the bound; else at least.
        needs_amx: it is meant for CPUs with AMX.
    """

    point: str
    text: str
    value: float | None
    bound: float
    is_most: bool = False
    needs_amx: bool = False

    @property
    def holds(self) -> bool | None:
        """Whether it holds; None where it was not measured."""
        if self.value is None:
            return None
        return self.value <= self.bound if self.is_most else self.value >= self.bound


def evaluate(records: Sequence[Record], clock: str = "wall") -> list[Bar]:
    """Return every bar with what the records say of it, by the clock or by CPU time."""
    by_key = {(record.section, record.subject, record.way): record for record in records}

    def find(section: str, subject: str, way: str) -> float | None:
        record = by_key.get((section, subject, way))
        return None if record is None else record.median(clock)

    loads = by_key.get(("start", OWN, start.CACHED))
    return [
        *_extraction(find),
        *_training(find),
        *_start(find, loads),
        *_memory(find),
    ]


def _extraction(find: Find) -> Iterator[Bar]:
    def cached(way: str, name: str = OWN) -> float | None:
        return find("extraction", f"{name}, small photos", way)

    ours, fast = cached(_FLOAT32), cached(_BFLOAT16)
    original, keras = cached(extraction.ORIGINAL), cached(extraction.KERAS_PREDICT)
    peers = {precision: cached(extraction.OPENVINO(precision)) for precision in PRECISIONS}
    yield Bar("1", "float32 / one image per call", _over(ours, original), 1.95)
    yield Bar("1", "float32 / OpenVINO float32", _over(ours, peers["float32"]), 0.97)
    yield Bar("1", "bfloat16 / one image per call", _over(fast, original), 8.5, needs_amx=True)
    yield Bar(
        "1", "bfloat16 / OpenVINO bfloat16", _over(fast, peers["bfloat16"]), 1, needs_amx=True
    )
    for name in NETWORKS[1:]:
        for precision in PRECISIONS:
            mine, peer = (
                cached(way(precision), name) for way in (extraction.OURS, extraction.OPENVINO)
            )
            text = f"{name}, {precision} / OpenVINO {precision}"
            yield Bar("1", text, _over(mine, peer), 0.95, needs_amx=precision != "float32")
    product = find("limits", "matmul 2048 × 2048, all cores", "matmul float32")
    limit = None if product is None else product / _GFLOP
    yield Bar("2", "float32 / limit of matrix products", _over(ours, limit), 0.9)
    yield Bar("4", "float32 / Keras predict", _over(ours, keras), 1.2)
    yield Bar("4", "bfloat16 / Keras predict", _over(fast, keras), 4.5, needs_amx=True)


def _training(find: Find) -> Iterator[Bar]:
    def steps(way: str) -> float | None:
        return find("training", "10,000 × 2048, 4,000 steps of 100", way)

    ours = steps(training.OURS)
    yield Bar("3", "training / retrain.py's way", _over(ours, steps(training.ORIGINAL)), 100)
    yield Bar("point 6", "with curves / without", _over(ours, steps(training.OURS_ALONE)), 0.9)
    for way, bound in ((training.COLD, 2.0), (training.PACKED, 0.1)):
        seconds = find("training", f"loading 10,000 × {training.LOADED_DEPTH}", way)
        yield Bar("3", f"seconds of loading, {way}", seconds, bound, is_most=True)


def _start(find: Find, all_cached: Record | None) -> Iterator[Bar]:
    importing, missing = (find("start", OWN, way) for way in (start.IMPORT, start.MISSING))
    more = None if missing is None or importing is None else missing - importing
    yield Bar("5", "one missing: seconds more than the import", more, 1.0, is_most=True)
    loads = None if all_cached is None else all_cached.notes.get("imports_tensorflow")
    value = None if loads is None else float(loads)
    yield Bar("5", "all cached: TensorFlow imported (1: it is)", value, 0, is_most=True)
    label = _over(*(find("start", OWN, way) for way in (start.LABEL, start.MINIMAL)))
    yield Bar("5", "label_image / minimal script, seconds", label, 1.15, is_most=True)


def _memory(find: Find) -> Iterator[Bar]:
    for precision in PRECISIONS:
        few, many = (
            find("memory", f"{OWN}, {precision}", memory.WAY(count)) for count in (500, 8000)
        )
        peak = None if few is None or many is None else max(few, many)
        yield Bar("6", f"{precision}: peak, MB", peak, 1300, is_most=True)
        growth = _over(many, few)
        off = None if growth is None else abs(growth - 1)
        yield Bar("6", f"{precision}: 8,000 images / 500, off by", off, 0.05, is_most=True)


def _over(one: float | None, other: float | None) -> float | None:
    return None if not one or not other else one / other


def bars_table(bars: Sequence[Bar], has_amx: bool) -> str:
    """Return the bars as text; those that ask for AMX say so where the CPU has none."""
    rows = [("acceptance", "what", "found", "has to be", "holds")]
    for bar in bars:
        holds = {True: "yes", False: "NO", None: "not measured"}[bar.holds]
        note = " (meant for AMX)" if bar.needs_amx and not has_amx and bar.holds is not None else ""
        sign = "≤" if bar.is_most else "≥"
        rows.append((bar.point, bar.text, short(bar.value), f"{sign} {bar.bound:g}", holds + note))
    return aligned(rows, Style())


def engines(records: Sequence[Record], clock: str = "wall") -> str:
    """Say on which networks OpenVINO is at least 1.15 times as fast as our best (point 4)."""
    faster, compared = [], 0
    for name in NETWORKS:
        of_it = [r for r in records if r.subject == f"{name}, small photos" and r.median(clock)]
        mine = [r.median(clock) or 0 for r in of_it if r.way in (_FLOAT32, _BFLOAT16)]
        peer = [r.median(clock) or 0 for r in of_it if r.way.startswith("OpenVINO")]
        if mine and peer:
            compared += 1
            if max(peer) >= 1.15 * max(mine):
                faster.append(f"{name} ({max(peer) / max(mine):.2f})")
    if not compared:
        return "engines: OpenVINO was not compared"
    where = ", ".join(faster) or "none"
    verdict = "worth an --engine" if len(faster) > 1 else "no --engine: that takes two networks"
    return f"engines: OpenVINO ≥ 1.15 × our best on {where} of {compared} networks: {verdict}"
