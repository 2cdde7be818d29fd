"""Labelled images as text, JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from retrain_tools.head.labelling import Labelled


def _text(results: list[Labelled]) -> str:
    lines = []
    for result in results:
        if len(results) > 1 and result.error is None:
            lines.append(f"{result.image}\n")
        lines += [f"{label} {score:.5f}\n" for label, score in result.best]
    return "".join(lines)


def _json(results: list[Labelled]) -> str:
    def as_dict(result: Labelled) -> dict[str, Any]:
        best: list[dict[str, Any]] = [
            {"label": name, "score": score} for name, score in result.best
        ]
        for one, synset in zip(best, result.synsets, strict=False):  # there may be no synsets
            one["synset"] = synset
        return {"image": result.image, "labels": best, "error": result.error}

    return json.dumps([as_dict(r) for r in results], indent=1, ensure_ascii=False) + "\n"


def _csv(results: list[Labelled]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "rank", "label", "score", "error", "synset"])
    for result in results:
        if result.error is not None:
            writer.writerow([result.image, "", "", "", result.error, ""])
        synsets = result.synsets or [""] * len(result.best)
        ranked = zip(result.best, synsets, strict=True)
        for rank, ((label, score), synset) in enumerate(ranked, start=1):
            writer.writerow([result.image, rank, label, score, "", synset])
    return text.getvalue()


FORMS = {"text": _text, "json": _json, "csv": _csv}
"""What a list of labelled images is as text, by the name of the form."""
