"""One HTML file, complete in itself, that shows how two sets of features differ."""

from __future__ import annotations

from string import Template

import numpy as np

from retrain_tools.comparing.comparison import Comparison
from retrain_tools.comparing.differences import comparable
from retrain_tools.explaining.similarity import as_vectors
from retrain_tools.listing.comparison_text import compared, figures, number, shape_of
from retrain_tools.report.comparison_plots import (
    MOST_BARS,
    heat_map,
    scatter_plot,
    strips,
)
from retrain_tools.report.page_html import escaped, png_uri, table_of, thumbnail
from retrain_tools.report.page_parts import asset, policy_hash

_WORST = 6
_MOST_TRIED = 20


def comparison_page(comparison: Comparison) -> str:
    """Return a page about a comparison; the browser needs no network and no other file for it.

    No script is in it, and its content security policy lets none run, whatever images are called.

    Raises:
        InputError: matplotlib is not installed.
    """
    style = asset("comparison.css")
    explanation = comparison.explanation
    title = f"{comparison.a.source} (A) against {comparison.b.source} (B)"
    notes = "".join(
        f'<p class="notes">{escaped(note)}</p>'
        for note in (*comparison.notes, *explanation.notes)
    )  # fmt: skip
    command = ""
    if explanation.command:
        command = f"<h2>What makes them agree</h2><pre>{escaped(explanation.command)}</pre>"
    return Template(asset("comparison.html")).substitute(
        title=escaped(title),
        style=style,
        style_hash=policy_hash(style),
        outcome="agrees" if comparison.agrees else "differs",
        sentence=escaped(explanation.sentence),
        notes=notes,
        command=command,
        sides=_sides(comparison),
        matching=_matching(comparison),
        figures=table_of((), figures(comparison.difference), heads=True),
        tensors=_tensors(comparison),
        plots=_plots(comparison),
        tried=_tried(comparison),
        layers=_layers(comparison),
        worst=_worst(comparison),
    )


def _sides(comparison: Comparison) -> str:
    main = comparison.difference
    rows = [
        (side.name, side.source, side.kind, tensor, shape_of(shape), f"{count:,}")
        for side, count, tensor, shape in (
            (comparison.a, comparison.count_a, main.tensor_a, main.shape_a),
            (comparison.b, comparison.count_b, main.tensor_b, main.shape_b),
        )
    ]
    return table_of(("", "source", "kind", "tensor", "shape", "images"), rows, numbers=(5,))


def _matching(comparison: Comparison) -> str:
    found = comparison.matching
    ways = ", ".join(f"{count:,} by {way}" for way, count in found.how.items())
    parts = [f"<p>{compared(comparison)}; matched: {escaped(ways)}.</p>"]
    for what, names in found.left_out.items():
        items = "".join(f"<li>{escaped(name)}</li>" for name in names)
        count = f"{len(names):,} {what}"
        parts.append(f"<details><summary>{count}</summary><ul>{items}</ul></details>")
    return "".join(parts)


def _tensors(comparison: Comparison) -> str:
    if len(comparison.pairs) < 2:
        return ""
    rows = [
        (
            pair.tensor_a,
            pair.tensor_b,
            shape_of(pair.shape_a),
            shape_of(pair.shape_b),
            number(pair.mean),
            number(pair.correlation),
            "agrees" if pair.agrees else "differs",
        )
        for pair in comparison.pairs
    ]
    head = ("tensor of A", "of B", "shape in A", "in B", "mean difference", "correlation", "")
    return f'<h2>Every tensor</h2><div class="card">{table_of(head, rows, numbers=(4, 5))}</div>'


def _plots(comparison: Comparison) -> str:
    _, a, b = comparable(*comparison.values)
    if a is None or b is None:
        return ""
    gaps = (np.abs(one.astype(np.float64) - other) for one, other in zip(a, b, strict=True))
    errors = np.stack([gap.reshape(-1, gap.shape[-1]).mean(axis=0) for gap in gaps])
    pictures = (
        (scatter_plot(a, b), "A's value against B's; on the line they are equal"),
        (heat_map(errors), "Absolute difference of each image and channel"),
    )
    shown = "".join(
        f'<figure class="card"><img alt="{escaped(said)}" src="{png_uri(picture)}">'
        f"<figcaption>{escaped(said)}</figcaption></figure>"
        for picture, said in pictures
    )
    return f'<h2>Where they differ</h2><div class="plots">{shown}</div>'


def _tried(comparison: Comparison) -> str:
    tried = comparison.explanation.tried[:_MOST_TRIED]
    if not tried:
        return ""
    rows = [
        (
            ", ".join(cause.words for cause in one.causes) or "nothing changed",
            number(one.error),
            f"{one.share:.1%}",
            str(one.images or "all"),
        )
        for one in tried
    ]
    head = ("", "mean error left", "explains", "images")
    table = table_of(head, rows, numbers=(1, 2, 3))
    return f'<h2>What was tried, best first</h2><div class="card">{table}</div>'


def _layers(comparison: Comparison) -> str:
    if not comparison.layers:
        return ""
    rows = [
        (
            one.tensor,
            shape_of(one.shape),
            number(one.mean),
            number(one.mean / one.spread) if one.spread else "none",
            "agrees" if one.agrees else "differs",
        )
        for one in comparison.layers
    ]
    head = ("layer", "shape", "mean difference", "of A's standard deviation", "")
    return f'<h2>Layer by layer</h2><div class="card">{table_of(head, rows, numbers=(2, 3))}</div>'


def _worst(comparison: Comparison) -> str:
    main = comparison.difference
    _, a, b = comparable(*comparison.values)
    if a is None or b is None or not main.mean:
        return ""
    parts = ["<h2>The images that differ most</h2>"]
    if a.shape[-1] > MOST_BARS:
        said = f"Each of the {MOST_BARS} bars is the mean of channels beside each other."
        parts.append(f'<p class="notes">{said}</p>')
    for row in main.worst_images(_WORST):
        name = escaped(comparison.images[row])
        drawn = png_uri(strips(*(as_vectors(one[row : row + 1])[0] for one in (a, b))))
        label = f", {escaped(comparison.labels[row])}" if comparison.labels else ""
        said = (
            f"mean difference {number(main.by_image[row])}, largest "
            f"{number(main.largest_by_image[row])}, cosine {number(main.cosine_by_image[row])}"
        )
        parts.append(
            f'<div class="card image">{thumbnail(comparison.paths[row])}<figure>'
            f'<figcaption><strong>{name}</strong>{label}: {said}</figcaption>'
            f'<img class="strips" alt="Features of A, of B, and their difference" src="{drawn}">'
            "</figure></div>"
        )  # fmt: skip
    return "".join(parts)
