"""The figures of a classifier as text."""

from __future__ import annotations

from typing import Any

from retrain_tools.text_tables import Style, aligned

_MOST_COLUMNS = 20  # of a confusion matrix; more are not readable on a terminal


def evaluation_text(labels: list[str], test: dict[str, Any]) -> str:
    """Return accuracy, precision and recall per class, and the confusion matrix, for a terminal.

    Classes without images that were given to none are left out.

    Args:
        labels: of all classes.
        test: what `Evaluation.as_dict` gives.
    """
    confusion = test["confusion_matrix"]
    given = [sum(column) for column in zip(*confusion, strict=True)]
    shown = [i for i, row in enumerate(confusion) if sum(row) or given[i]]
    table = [("label", "images", "precision", "recall")]
    for i in shown:
        figures = test["per_class"][labels[i]]
        shares = (_percent(figures["precision"]), _percent(figures["recall"]))
        table.append((labels[i], str(figures["images"]), *shares))
    loss = test["cross_entropy"]
    lines = [
        f"Accuracy = {_percent(test['accuracy'])} (N={test['images']})\n",
        "" if loss is None else f"Cross entropy = {loss:.4f}\n",
        "\n",
        aligned(table, Style(), right=(1, 2, 3)),
        "\n",
    ]
    if len(shown) > _MOST_COLUMNS:
        lines.append(f"The confusion matrix of {len(shown)} classes is too wide to be shown.\n")
        return "".join(lines)
    columns = [f"[{number}]" for number in range(1, len(shown) + 1)]
    matrix = [("true label \\ given", *columns)]
    for name, i in zip(columns, shown, strict=True):
        matrix.append((f"{name} {labels[i]}", *(str(confusion[i][j]) for j in shown)))
    return "".join(lines) + aligned(matrix, Style(), right=range(1, len(matrix[0])))


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{share:.1%}"
