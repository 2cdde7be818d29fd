"""A summary as text for a reader, or as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from retrain_tools.graphdef.summary import Guess, Summary
from retrain_tools.graphdef.tensors import shape_text
from retrain_tools.listing.tables import aligned, counted
from retrain_tools.listing.terminal import Style

_OUTPUTS_SHOWN = 10  # a training graph has a thousand
_PLAIN = Style()


def summary_text(summary: Summary, style: Style) -> str:
    """Return the summary as text."""
    parts = [_head(summary)]
    parts += _section("Inputs", _guesses(summary.inputs), style)
    parts += _section("Outputs", _guesses(summary.outputs[:_OUTPUTS_SHOWN]), style)
    if len(summary.outputs) > _OUTPUTS_SHOWN:
        parts.append(f"  and {len(summary.outputs) - _OUTPUTS_SHOWN:,} more: --outputs\n")
    best = [
        (c.tensor, shape_text(c.shape), "?" if c.depth is None else f"{c.depth:,} values", c.why)
        for c in summary.bottlenecks
    ]
    parts += _section("Worth caching", best, style)
    parts += _section("Size", _size(summary), style)
    ops = [(op, f"{count:,}") for op, count in summary.ops.items()]
    parts += _section("Ops", ops, style)
    parts += _section("Not in TensorFlow (custom, or tf.contrib)", _unavailable(summary), style)
    parts += _section("Deprecated", _deprecated(summary), style)
    parts += _section("Next", [(command,) for command in summary.commands], style)
    return "".join(parts)


def _head(summary: Summary) -> str:
    versions = summary.versions
    parts = [counted(summary.nodes, "node"), counted(summary.tensors, "tensor")]
    parts += [counted(summary.functions, "function")] if summary.functions else []
    lines = [
        ("File", f"{summary.path} ({summary.file_bytes:,} bytes)".replace(" (0 bytes)", "")),
        ("Kind", f"{summary.kind}: {', '.join(parts)}"),
        ("Network", summary.network or "not in the catalogue, and without a note"),
        ("Version", f"{versions.producer}: {versions.meaning}"),
    ]
    if versions.min_consumer:
        lines.append(("", f"TensorFlow must be of version {versions.min_consumer} or later"))
    if versions.bad_consumers:
        bad = ", ".join(map(str, versions.bad_consumers))
        lines.append(("", f"TensorFlow must not be of version {bad}"))
    if summary.image_size:
        height, width = summary.image_size
        lines.append(("Images", f"{width}×{height} pixels"))
    return aligned(lines, _PLAIN, heading=False)


def _section(title: str, cells: Sequence[tuple[str, ...]], style: Style) -> list[str]:
    if not cells:
        return []
    lines = aligned(cells, style, heading=False).splitlines()
    return [f"\n{style.bold(title)}\n", *(f"  {line}\n" for line in lines)]


def _guesses(guesses: Sequence[Guess]) -> list[tuple[str, ...]]:
    return [(g.tensor.name, g.tensor.dtype, g.tensor.shape_text, g.why) for g in guesses]


def _size(summary: Summary) -> list[tuple[str, ...]]:
    unknown = summary.unmeasured_layers
    measured = "for one image: two for each multiply-add of convolutions and matrix products"
    if unknown:
        measured += f", without {counted(unknown, 'layer')} of unknown size"
    return [
        ("parameters", f"{summary.parameters:,}", "values of the weight constants"),
        ("constants", f"{summary.constant_bytes:,}", "bytes"),
        ("operations", f"{summary.flops:,}", measured),
    ]


def _unavailable(summary: Summary) -> list[tuple[str, ...]]:
    return [(op, counted(count, "node")) for op, count in summary.unavailable.items()]


def _deprecated(summary: Summary) -> list[tuple[str, ...]]:
    return [
        (
            found.op,
            counted(found.nodes, "node"),
            f"dropped for graphs of version {found.version} and later"
            + (", so this one does not load" if found.is_dropped else ""),
            found.advice,
        )
        for found in summary.deprecated
    ]


def summary_json(summary: Summary) -> str:
    """Return the summary as one object, with the names of its attributes."""
    values = dataclasses.asdict(summary)
    values["path"] = str(summary.path)
    for key in ("inputs", "outputs"):
        values[key] = [
            {**guess.tensor._asdict(), "why": guess.why} for guess in getattr(summary, key)
        ]
    return json.dumps(values, indent=1) + "\n"
