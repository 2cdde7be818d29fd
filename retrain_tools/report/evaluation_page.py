"""One HTML file, complete in itself, that shows the scores of two sets, and images behind them."""

from __future__ import annotations

from collections.abc import Sequence
from string import Template

import numpy as np

from retrain_tools.listing.comparison_text import number
from retrain_tools.listing.evaluation_of_images import NAMES, depends_on, shown
from retrain_tools.metrics.evaluation import Evaluation
from retrain_tools.metrics.neighbourhoods import DensityCoverage
from retrain_tools.report.evaluation_plots import distances_plot
from retrain_tools.report.page_html import escaped, png_uri, table_of, thumbnail
from retrain_tools.report.page_parts import asset, policy_hash

_SHOWN = 6
"""Samples of each kind."""


def evaluation_page(evaluation: Evaluation) -> str:
    """Return a page about an evaluation; the browser needs no network and no other file for it.

    No script is in it, and its content security policy lets none run, whatever images are called.

    Raises:
        InputError: matplotlib is not installed.
    """
    style = asset("comparison.css")
    samples = evaluation.samples.name if evaluation.samples is not None else "nothing"
    notes = [*evaluation.notes]
    notes += [f"{NAMES[name]} is left out: {why}." for name, why in evaluation.left_out.items()]
    return Template(asset("evaluation.html")).substitute(
        title=escaped(f"{samples} (samples) against {evaluation.reference.name} (reference)"),
        style=style,
        style_hash=policy_hash(style),
        scores=_scores(evaluation),
        notes="".join(f'<p class="notes">{escaped(note)}</p>' for note in notes),
        depends=table_of((), depends_on(evaluation), heads=True),
        distances=_distances(evaluation.neighbours),
        samples=_samples(evaluation),
    )


def _scores(evaluation: Evaluation) -> str:
    rows = [
        (
            NAMES[name],
            shown(score.value),
            "" if score.std is None else shown(score.std),
            score.how,
            score.source,
        )
        for name, score in evaluation.scores.items()
    ]
    return table_of(("score", "value", "±", "how", "from"), rows, numbers=(1, 2))


def _distances(found: DensityCoverage | None) -> str:
    if found is None:
        return ""
    drawn = png_uri(distances_plot(found.distances, found.within_reference))
    middle = [number(float(np.median(one))) for one in (found.distances, found.within_reference)]
    said = (
        f"Distance to the nearest reference image: median {middle[0]} of samples, {middle[1]} of "
        "reference images to another one"
    )
    return (
        f'<h2>How near samples are</h2><figure class="card wide"><img alt="{escaped(said)}" '
        f'src="{drawn}"><figcaption>{escaped(said)}</figcaption></figure>'
    )


def _samples(evaluation: Evaluation) -> str:
    found = evaluation.neighbours
    if found is None or evaluation.samples is None:
        return ""
    # Of the same density, the nearest is the best.
    order = np.lexsort((found.distances, -found.of_samples))
    count = min(_SHOWN, len(order))
    kinds = {
        "The best samples, by density": order[:count],
        "The worst samples, by density": order[::-1][:count],
        "Samples nearest to a reference image": np.argsort(found.distances, kind="stable")[:count],
    }
    said = (
        "Density counts the neighbourhoods of reference images that hold a sample. Beside each "
        "sample is the reference image that is nearest to it."
    )
    parts = [f'<p class="notes">{said}</p>']
    for title, rows in kinds.items():
        parts.append(f"<h2>{title}</h2>")
        parts += [_pair(evaluation, found, int(row)) for row in rows]
    return "".join(parts)


def _pair(evaluation: Evaluation, found: DensityCoverage, row: int) -> str:
    nearest = int(found.nearest[row])
    images = evaluation.samples.images if evaluation.samples is not None else ()
    names = [_name(images, row), _name(evaluation.reference.images, nearest)]
    density = float(found.of_samples[row])
    said = f"density {number(density)}, distance {number(float(found.distances[row]))} to"
    return (
        f'<div class="card image">{thumbnail(names[0])}<figure>{thumbnail(names[1])}'
        f"<figcaption><strong>{escaped(names[0])}</strong>: {said} {escaped(names[1])}"
        "</figcaption></figure></div>"
    )


def _name(images: Sequence[str], row: int) -> str:
    return images[row] if images else f"row {row}"
