"""The scores of two sets of images as text and as JSON, with all that they depend on."""

from __future__ import annotations

import json
import math

from retrain_tools import __version__
from retrain_tools.listing.comparison_text import number
from retrain_tools.metrics.evaluation import Evaluation
from retrain_tools.metrics.image_sets import ImageSet
from retrain_tools.text_tables import Style, aligned, counted, printable

NAMES = {
    "fid": "FID",
    "sfid": "sFID",
    "is": "Inception Score",
    "kid": "KID",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
}
"""What people call the scores."""


def evaluation_json(evaluation: Evaluation) -> str:
    """Return an evaluation as strict JSON: what is no number is null."""
    content = evaluation.as_dict()
    for score in content["scores"].values():
        for name in ("value", "std"):
            if score[name] is not None and not math.isfinite(score[name]):
                score[name] = None
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def scores_text(evaluation: Evaluation, style: Style) -> str:
    """Return an evaluation as text: the scores, what they are of, and what has to be known."""
    lines = []
    if evaluation.scores:
        rows = [("score", "value", "±", "how")]
        for name, score in evaluation.scores.items():
            spread = "" if score.std is None else shown(score.std)
            rows.append((NAMES[name], shown(score.value), spread, score.how))
        lines += [aligned(rows, style, right=(1, 2)), "\n"]
    lines.append(aligned(depends_on(evaluation), Style(), heading=False))
    for name, why in evaluation.left_out.items():
        lines.append(f"left out: {NAMES[name]}: {printable(why)}\n")
    for note in evaluation.notes:
        lines.append(f"{style.bold('note:')} {printable(note)}\n")
    return "".join(lines)


def shown(value: float) -> str:
    """Return a score with the digits that people compare."""
    return f"{value:.4f}" if abs(value) >= 0.1 or not value else number(value)


def depends_on(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return what the scores depend on, and its names."""
    rows = [("REFERENCE", _of_set(evaluation.reference))]
    if evaluation.samples is not None:
        rows.append(("SAMPLES", _of_set(evaluation.samples)))
    rows.append(("definition", f"{evaluation.definition}, retrain_tools {__version__}"))
    if seeds := {name: s.seed for name, s in evaluation.scores.items() if s.seed is not None}:
        said = ", ".join(f"{seed} ({NAMES[name]})" for name, seed in seeds.items())
        rows.append(("seed", said))
    if evaluation.graph is not None:
        mark = evaluation.fingerprint or ""
        rows.append(("graph", f"{evaluation.graph}, fingerprint {mark[:16]}…"))
        rows.append(("resize", f"{evaluation.resize}, {evaluation.precision}"))
    return rows


def _of_set(one: ImageSet) -> str:
    count = "images of unknown number" if one.count is None else counted(one.count, "image")
    facts = one.facts.words()
    return f"{one.name}: {one.kind}, {count}{f' ({facts})' if facts else ''}"
