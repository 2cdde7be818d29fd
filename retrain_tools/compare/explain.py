# ruff: noqa: ARG001
"""Stub until the branch `explain` is merged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrain_tools.compare.explanation import Explanation, Runnable


def explain(
    runnable: Runnable | None,
    mine: Any,
    other: Any,
    images: Sequence[str],
    *,
    names: tuple[str, str] = ("A", "B"),
    mine_images: Sequence[str] = (),
) -> Explanation:
    """Say that nothing is known."""
    nan = float("nan")
    return Explanation("unknown", (), nan, nan, f"It is not known why {names[1]} differs")
