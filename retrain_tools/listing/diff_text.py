"""The difference of two graphs as text for a reader, or as JSON."""

from __future__ import annotations

import dataclasses
import json

from retrain_tools.graphdef.diff import Difference, ValuesChanged
from retrain_tools.text_tables import Style, counted


def diff_text(difference: Difference, style: Style) -> str:
    """Return a line or a few for each node that changed, and a line with the numbers of them."""
    lines = []
    if difference.versions is not None:
        before, after = difference.versions
        lines.append(f"~ version {before} → {after}")
    lines += [style.red(f"- {name}") for name in difference.removed]
    lines += [style.green(f"+ {name}") for name in difference.added]
    for node in difference.attributes_changed:
        lines.append(f"~ {node.name}")
        lines += [
            f"    {key}: {_said(before)} → {_said(node.after[key])}"
            for key, before in node.before.items()
        ]
    for wires in difference.inputs_changed:
        lines.append(f"~ {wires.name} takes")
        lines += [style.red(f"    - {name}") for name in wires.before if name not in wires.after]
        lines += [style.green(f"    + {name}") for name in wires.after if name not in wires.before]
        if sorted(wires.before) == sorted(wires.after):
            lines.append(f"    in another order: {', '.join(wires.after)}")
    lines += [
        f"~ {constant.name} holds {_change(constant)}" for constant in difference.values_changed
    ]
    lines.append(_count(difference))
    return "".join(f"{line}\n" for line in lines)


def _said(value: str | None) -> str:
    return "(not said)" if value is None else value


def _change(constant: ValuesChanged) -> str:
    if constant.before != constant.after:
        return f"{constant.after} instead of {constant.before}"
    if constant.largest is None:
        return f"other values ({constant.before})"
    relative = constant.largest_relative
    share = "" if relative is None else f", {relative:.3g} of its largest value"
    return (
        f"other values ({constant.before}): {constant.changed:,} of {constant.count:,} differ, "
        f"by {constant.mean:.3g} on average and {constant.largest:.3g} at most{share}"
    )


def _count(difference: Difference) -> str:
    if difference.is_empty:
        return f"no difference in {counted(difference.same, 'node')}"
    return (
        f"{counted(len(difference.removed), 'node')} removed, {len(difference.added):,} added, "
        f"{len(difference.attributes_changed):,} with other attributes, "
        f"{len(difference.inputs_changed):,} with other inputs, "
        f"{counted(len(difference.values_changed), 'constant')} changed, "
        f"{difference.same:,} the same"
    )


def diff_json(difference: Difference) -> str:
    """Return the difference as one object, with the names of its attributes."""
    return json.dumps(dataclasses.asdict(difference), indent=1) + "\n"
