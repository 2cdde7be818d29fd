"""The findings in what a Keras file says of its model: Lambda layers, custom objects, programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from retrain_tools.errors import InputError
from retrain_tools.safety.findings import Finding, Severity
from retrain_tools.safety.graphs import has_control
from retrain_tools.sources.messages import message_items
from retrain_tools.sources.readers.keras_config import name_of, objects
from retrain_tools.sources.readers.keras_safety import foreign_name, refuse_programs

_LAMBDA = "is a program stored in the file, which runs when the model is loaded or called"
_CUSTOM = "is no part of Keras: loading looks for a program of that name on this computer"
_MODULE = "makes older Keras 3 import the module {module} and take what is named out of it"
_PROGRAM = "runs a function or reads a file that the description names"
_TERMINAL = "has control characters in its name, which may be commands for a terminal"
_DAMAGED = "has a class that is no name, so nobody can say what it is"
_KERAS_ROOTS = ("keras", "tf_keras", "tensorflow", "builtins", "")
_MOST_NESTED = 6  # messages in messages, in keras_metadata.pb


def config_findings(config: Any, path: str, version: str | None = None) -> list[Finding]:
    """Return the findings in the description of a Keras model, or of anything in it.

    Args:
        config: the description, as JSON holds it.
        path: the file.
        version: of the Keras that wrote it; None to tell by its form.

    Raises:
        InputError: it is nested too deeply.
    """
    # Whatever it is trained with counts as well: in a wrapping, nothing is left out.
    items = list(objects({"": config}, path))
    is_new = any("module" in item for item in items)
    generation = 3 if (version or ("3" if is_new else "2")).startswith("3") else 2
    return [finding for item in items for finding in _item_findings(item, path, generation)]


def count_of(config: Any) -> int:
    """Return how many objects a description has."""
    return sum(1 for _ in objects({"": config}, ""))


def metadata_findings(text: str, path: str) -> Iterator[Finding]:
    """Yield the Lambda layers that a SavedModel's Keras metadata describe.

    Other classes are not built from them by name: their functions are in the graph.
    """
    try:
        config = json.loads(text)
        items = list(objects({"": config}, path))
    except (ValueError, RecursionError, InputError):
        return
    for item in items:
        if _is_lambda(item):
            yield _finding(item, Severity.HIGH, "keras-lambda", _LAMBDA, path)


def metadata_file_findings(data: bytes, path: str, depth: int = 0) -> Iterator[Finding]:
    """Yield the findings of `metadata_findings` in a file `keras_metadata.pb`."""
    for _, value in message_items(data):
        if not isinstance(value, bytes):
            continue
        if value[:1] == b"{":
            yield from metadata_findings(value.decode("utf-8", "replace"), path)
        elif depth < _MOST_NESTED:
            yield from metadata_file_findings(value, path, depth + 1)


def _is_lambda(item: Mapping[str, Any]) -> bool:
    kinds = [str(item.get("class_name")), str(item.get("registered_name"))]
    return any(kind.rpartition(">")[2] in ("Lambda", "__lambda__") for kind in kinds)


def _item_findings(item: Mapping[str, Any], path: str, generation: int) -> Iterator[Finding]:
    kinds = (item.get("class_name"), item.get("registered_name"), item.get("module"))
    if not all(isinstance(kind, str | None) for kind in kinds):
        yield _finding(item, Severity.MEDIUM, "keras-custom", _DAMAGED, path)
        return
    if has_control(name_of(item).strip(" '")) or has_control(str(kinds[0])):
        yield _finding(item, Severity.MEDIUM, "terminal-escape", _TERMINAL, path)
    if _is_lambda(item):
        yield _finding(item, Severity.HIGH, "keras-lambda", _LAMBDA, path)
        return
    foreign = foreign_name(item, generation)
    if foreign is not None:
        root = (kinds[2] or "").partition(".")[0]
        if root in _KERAS_ROOTS or ">" in str(kinds[1]):
            yield _finding(item, Severity.MEDIUM, "keras-custom", _CUSTOM, path, foreign)
        else:
            why = _MODULE.format(module=repr(kinds[2]))
            yield _finding(item, Severity.HIGH, "keras-custom", why, path, foreign)
        return
    try:
        refuse_programs(item, path, name_of(item))
    except InputError:
        yield _finding(item, Severity.HIGH, "keras-program", _PROGRAM, path)


def _finding(
    item: Mapping[str, Any],
    severity: Severity,
    rule: str,
    why: str,
    path: str,
    name: str | None = None,
) -> Finding:
    inner = item.get("config")
    node = (inner.get("name") if isinstance(inner, dict) else None) or item.get("name") or ""
    return Finding(severity, rule, name or str(item.get("class_name")), why, path, str(node))
