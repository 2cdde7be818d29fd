"""The figures as a picture: how many times as fast each way is as the first of its subject."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.records import Record, short, times_as_fast
from retrain_tools.extras import import_extra

_OURS, _OTHERS = "#1b7f5c", "#9aa5b1"
_COLUMNS = 2


def write_chart(records: Sequence[Record], title: str, clock: str, path: Path) -> None:
    """Draw a panel for each subject with two ways or more; colour is for what is ours.

    Raises:
        InputError: matplotlib is not installed.
    """
    figure_type: Any = import_extra("matplotlib.figure", "a chart").Figure
    subjects: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.values:
            subjects.setdefault((record.section, record.subject), []).append(record)
    subjects = {key: ways for key, ways in subjects.items() if len(ways) > 1}
    names = list(subjects)
    rows = [names[start : start + _COLUMNS] for start in range(0, len(names), _COLUMNS)]
    heights = [1.5 + max(len(subjects[name]) for name in row) for row in rows] or [1.0]
    figure = figure_type(figsize=(14, 0.7 + 0.24 * sum(heights)), layout="constrained")
    figure.suptitle(title, fontsize=10)
    grid = {"height_ratios": heights}
    lines = figure.subplots(len(heights), _COLUMNS, squeeze=False, gridspec_kw=grid)
    panels = lines.ravel()
    for panel in panels[len(subjects) :]:
        panel.set_axis_off()
    for panel, ((section, subject), ways) in zip(panels, subjects.items(), strict=False):
        ratios = [times_as_fast(record, ways[0], clock) or 0 for record in ways]
        ours = [_is_ours(record) for record in ways]
        panel.barh(range(len(ways)), ratios, color=[_OURS if own else _OTHERS for own in ours])
        panel.set_yticks(range(len(ways)), [record.way for record in ways], fontsize=7)
        most = heights[names.index((section, subject)) // _COLUMNS] - 1.5
        panel.set_ylim(most - 0.4, -0.6)  # bars of one width in all panels
        panel.set_xlim(0, 1.3 * max(ratios))
        panel.set_xticks([])
        for place, (record, ratio) in enumerate(zip(ways, ratios, strict=True)):
            text = f" {ratio:.2f} ×  ({short(record.median(clock))} {record.unit})"
            panel.text(ratio, place, text, va="center", fontsize=7)
        panel.set_title(f"{section}: {subject}", fontsize=8, loc="left")
        panel.spines[["top", "right", "bottom"]].set_visible(False)
    figure.savefig(path, dpi=110)


def _is_ours(record: Record) -> bool:
    ours = ("retrain_tools", "bottlenecks", "label_image", "list_tensors")
    return record.way.startswith(ours)
