"""A graph in short: inputs, outputs, what is worth caching, its size; as text, JSON and HTML."""

from __future__ import annotations

import dataclasses
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from retrain_tools.graphdef.bottleneck import Candidate
from retrain_tools.graphdef.pixel_range import PixelRange
from retrain_tools.graphdef.pooled import Pooled
from retrain_tools.graphdef.tensors import Tensor, shape_text
from retrain_tools.graphdef.training_ops import MEANINGS
from retrain_tools.graphdef.versions import Deprecated, Versions
from retrain_tools.text_tables import Style, aligned, counted

_OUTPUTS_SHOWN = 10  # a training graph has a thousand
_PLAIN = Style()


@dataclasses.dataclass(frozen=True)
class Guess:
    """A tensor taken for something, and the reason."""

    tensor: Tensor
    why: str


@dataclasses.dataclass(frozen=True)
class Summary:
    """A graph in short.

    Attributes:
        path: the file or folder.
        file_bytes: its size, that of all files in a folder.
        kind: what kind of file it is, in words.
        network: what it is, as its note or the catalogue says; None for one that nobody knows.
        nodes: how many nodes the graph has, those of functions not counted.
        functions: how many functions its library has.
        tensors: how many tensors its nodes make.
        parts: how many nodes there are of each part that only serves training.
        versions: the GraphDef versions.
        inputs, outputs: what to feed and what to fetch, the main one first.
        image_size: (height, width) of its images; None where it does not say.
        pixels: which range of pixels goes in; None where no images do.
        pooling: whether the bottleneck, and the result if it is another tensor, are pooled vectors
            or feature maps; empty where no images go in.
        bottlenecks: tensors worth caching, best first.
        parameters: the values of its weight constants.
        constant_bytes: what all constants hold.
        flops: floating-point operations for one image, two for each multiply-add of
            convolutions and matrix products.
        unmeasured_layers: how many of those are of unknown size, and so not in `flops`.
        ops: how many nodes there are of each op, functions included.
        unavailable: those of them that a plain TensorFlow does not have.
        deprecated: those of them that TensorFlow drops for graphs of later versions.
        commands: what to run next.
    """

    path: Path
    file_bytes: int
    kind: str
    network: str | None
    nodes: int
    functions: int
    tensors: int
    parts: Mapping[str, int]
    versions: Versions
    inputs: tuple[Guess, ...]
    outputs: tuple[Guess, ...]
    image_size: tuple[int, int] | None
    pixels: PixelRange | None
    pooling: tuple[Pooled, ...]
    bottlenecks: tuple[Candidate, ...]
    parameters: int
    constant_bytes: int
    flops: int
    unmeasured_layers: int
    ops: Mapping[str, int]
    unavailable: Mapping[str, int]
    deprecated: tuple[Deprecated, ...]
    commands: tuple[str, ...]

    def __str__(self) -> str:
        return self.as_text(_PLAIN)

    def as_text(self, style: Style) -> str:
        """Return the summary as text for a reader."""
        parts = [_head(self)]
        parts += _section("Inputs", _guesses(self.inputs), style)
        parts += _section("Outputs", _guesses(self.outputs[:_OUTPUTS_SHOWN]), style)
        if len(self.outputs) > _OUTPUTS_SHOWN:
            parts.append(f"  and {len(self.outputs) - _OUTPUTS_SHOWN:,} more: --outputs\n")
        parts += _section("Worth caching", [_cells(best) for best in self.bottlenecks], style)
        parts += _section("Pooling", _pooling(self.pooling), style)
        parts += _section("Size", _size(self), style)
        for_training = [(p, counted(n, "node"), MEANINGS[p]) for p, n in self.parts.items()]
        parts += _section("Only for training", for_training, style)
        ops = [(op, f"{count:,}") for op, count in self.ops.items()]
        parts += _section("Ops", ops, style)
        unavailable = [(op, counted(count, "node")) for op, count in self.unavailable.items()]
        parts += _section("Not in TensorFlow (custom, or tf.contrib)", unavailable, style)
        parts += _section("Deprecated", _deprecated(self), style)
        parts += _section("Next", [(command,) for command in self.commands], style)
        return "".join(parts)

    def as_json(self) -> str:
        """Return the summary as one JSON object, with the names of its attributes."""
        values = dataclasses.asdict(self)
        values["path"] = str(self.path)
        for key in ("inputs", "outputs"):
            values[key] = [
                {**guess.tensor._asdict(), "why": guess.why} for guess in getattr(self, key)
            ]
        return json.dumps(values, indent=1) + "\n"

    def _repr_html_(self) -> str:
        """Return an HTML table, for Jupyter."""
        rows = [
            ("file", f"{self.path} ({self.file_bytes:,} bytes)"),
            ("kind", self.kind),
            ("network", self.network or "not known"),
            ("nodes", f"{self.nodes:,}"),
            *(("input", f"{g.tensor.name} {g.tensor.dtype} {g.tensor.shape_text}: {g.why}")
              for g in self.inputs),
            *(("output", f"{g.tensor.name} {g.tensor.dtype} {g.tensor.shape_text}: {g.why}")
              for g in self.outputs[:10]),
            *(("worth caching", f"{c.tensor}, {c.depth} values: {c.why}")
              for c in self.bottlenecks),
            *((("pixels", str(self.pixels)),) if self.pixels else ()),
            *(("pooled", found.answer) for found in self.pooling[:1]),
            *(("pooling", " ".join(cells)) for cells in _pooling(self.pooling)),
            ("parameters", f"{self.parameters:,}"),
            ("operations for one image", f"{self.flops:,}"),
            *(("only for training", f"{part}, {counted(count, 'node')}")
              for part, count in self.parts.items()),
            *(("not in TensorFlow", f"{op}, {count}") for op, count in self.unavailable.items()),
            *(("deprecated", f"{d.op}, {d.nodes}: {d.advice}") for d in self.deprecated),
        ]  # fmt: skip
        cells = "".join(
            f"<tr><th>{html.escape(key)}</th><td>{html.escape(value)}</td></tr>"
            for key, value in rows
        )
        return f"<table>{cells}</table>"


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
    if summary.pixels:
        lines.append(("Pixels", str(summary.pixels)))
    if summary.pooling:
        lines.append(("Pooled", summary.pooling[0].answer))
    return aligned(lines, _PLAIN, heading=False)


def _section(title: str, cells: Sequence[tuple[str, ...]], style: Style) -> list[str]:
    if not cells:
        return []
    lines = aligned(cells, style, heading=False).splitlines()
    return [f"\n{style.bold(title)}\n", *(f"  {line}\n" for line in lines)]


def _guesses(guesses: Sequence[Guess]) -> list[tuple[str, ...]]:
    return [(g.tensor.name, g.tensor.dtype, g.tensor.shape_text, g.why) for g in guesses]


def _cells(found: Candidate) -> tuple[str, ...]:
    depth = "?" if found.depth is None else f"{found.depth:,} values"
    return found.tensor, shape_text(found.shape), depth, found.why


def _pooling(found: Sequence[Pooled]) -> list[tuple[str, ...]]:
    """Return a line for the bottleneck and the result, and one for what lies before the pooling."""
    lines: list[tuple[str, ...]] = [
        (p.tensor, shape_text(p.shape), p.role, ": ".join(filter(None, (p.what, p.way))))
        for p in found
    ]
    told = {p.tensor for p in found}
    for name, shape in {p.before: p.before_shape for p in found if p.before is not None}.items():
        if name not in told:
            tap = f"--bottleneck_tensor={name} or --tensors={name}"
            lines.append((name, shape_text(shape), "before the pooling", tap))
    return lines


def _size(summary: Summary) -> list[tuple[str, ...]]:
    unknown = summary.unmeasured_layers
    one = "image" if summary.bottlenecks or summary.image_size else "example"
    measured = f"for one {one}: two for each multiply-add of convolutions and matrix products"
    if unknown:
        measured += f", without {counted(unknown, 'layer')} of unknown size"
    return [
        ("parameters", f"{summary.parameters:,}", "values of the weight constants"),
        ("constants", f"{summary.constant_bytes:,}", "bytes"),
        ("operations", f"{summary.flops:,}", measured),
    ]


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
