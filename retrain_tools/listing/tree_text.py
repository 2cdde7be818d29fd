"""Name scopes as text or JSON, folded at a depth."""

from __future__ import annotations

import json
from typing import Any

from retrain_tools.graphdef.tree import Scope
from retrain_tools.text_tables import Style, aligned

_NUMBERS = (1, 2, 3)  # columns
_MOST_LEVELS = 200  # no graph has as many, and what has more is not unfolded by recursion


def tree_text(root: Scope, depth: int, style: Style) -> str:
    """Return a line for each scope and node down to `depth` levels; 0 for all of them, up to 200.

    A scope that is not unfolded ends in `/…`. Where some nodes only serve training, a last column
    says what for, of scopes that hold nothing else.
    """
    cells: list[tuple[str, ...]] = [("scope", "nodes", "parameters", "bytes", "op", "part")]
    cells.append(("(all)", *_numbers(root), "", ""))
    _add(cells, root, 1, min(depth or _MOST_LEVELS, _MOST_LEVELS))
    if not any(cell[-1] for cell in cells[1:]):
        cells = [cell[:-1] for cell in cells]
    return aligned(cells, style, right=_NUMBERS)


def _add(cells: list[tuple[str, ...]], scope: Scope, level: int, depth: int) -> None:
    for child in scope.children.values():
        is_folded = bool(child.children) and level == depth
        mark = "/…" if is_folded else "/" if child.children else ""
        name = f"{'  ' * level}{child.name}{mark}"
        cells.append((name, *_numbers(child), child.op or "", _part(child)))
        if not is_folded:
            _add(cells, child, level + 1, depth)


def _numbers(scope: Scope) -> tuple[str, str, str]:
    return f"{scope.nodes:,}", f"{scope.parameters:,}", f"{scope.bytes:,}"


def _part(scope: Scope) -> str:
    """Return the parts of a scope, that of most nodes first, if all of its nodes have one."""
    if sum(scope.parts.values()) < scope.nodes:
        return ""
    return ", ".join(sorted(scope.parts, key=lambda part: -scope.parts[part]))


def tree_json(root: Scope, depth: int) -> str:
    """Return nested objects, those below `depth` levels left out; 0 for all of them, up to 200."""
    depth = min(depth or _MOST_LEVELS, _MOST_LEVELS)
    return json.dumps(_object(root, 0, depth), indent=1) + "\n"


def _object(scope: Scope, level: int, depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {"name": scope.path, "op": scope.op, "nodes": scope.nodes}
    found |= {"parameters": scope.parameters, "bytes": scope.bytes}
    if scope.parts:
        found["parts"] = scope.parts
    if scope.children and level < depth:
        children = scope.children.values()
        found["children"] = [_object(child, level + 1, depth) for child in children]
    return found
