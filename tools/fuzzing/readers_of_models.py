"""Readers of models: opened, scanned, and looked at in every way that list_tensors has."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from retrain_tools.errors import InputError
from retrain_tools.listing.choose import Filters, Kinds
from retrain_tools.listing.modes import Form, Part, contents_text, list_text, summary_of
from retrain_tools.listing.scan_text import scan_json, scan_table
from retrain_tools.report.drawing import page
from retrain_tools.safety.scanning import scan
from retrain_tools.sources.contents import Choices
from retrain_tools.sources.kinds import Kind
from retrain_tools.sources.model import Model
from retrain_tools.sources.open import open_model
from retrain_tools.text_tables import Style

_MOST_VALUES = 20
_TABLE = Form("table", Style())
_CONTENTS = ("variables", "signatures", "functions", "inside")


def _looks(path: Path) -> list[str]:
    """Scan a file, open it and look at it; what each look says."""
    said = _all([lambda: _scanned(path)])
    model = open_model(path)
    if model.kind in (Kind.KERAS, Kind.HDF5):  # its graph takes Keras, seconds to start
        return said + _all(_looks_without_keras(model))
    return said + _all([*_looks_at(model), *_values(model)])


def _scanned(path: Path) -> str:
    report = scan(path)
    scan_table([report], Style())
    scan_json([report])
    return f"{report.kind} {sorted({found.rule for found in report.findings})}"


def _looks_at(model: Model) -> Iterable[Callable[[], Any]]:
    kinds = Kinds()
    yield lambda: list_text(model, Part(), kinds, Filters(), _TABLE)
    yield lambda: list_text(model, Part(), Kinds(inputs=True), Filters(), Form("json", Style()))
    yield lambda: list_text(model, Part(), Kinds(outputs=True), Filters(), Form("csv", Style()))
    yield lambda: list_text(model, Part(), Kinds(bottlenecks=True), Filters(), _TABLE)
    yield lambda: list_text(model, Part(), kinds, Filters(), Form("table", Style(), tree=True))
    yield lambda: list_text(model, Part(), kinds, Filters(), Form("table", Style(), stats=True))
    yield lambda: list_text(model, Part(as_stored=True), kinds, Filters(), _TABLE)
    for what in _CONTENTS:
        yield lambda what=what: contents_text(model, what, Filters(), _TABLE)
    yield from (lambda name=name: _function(model, name) for name in _functions(model))
    yield lambda: summary_of(model, _TABLE)
    yield lambda: summary_of(model, Form("json", Style()))
    yield lambda: page(model)
    yield model.frozen
    yield model._repr_html_


def _functions(model: Model) -> list[str]:
    graph = model.stored_graph
    return [] if graph is None else [f.signature.name for f in graph.library.function[:3]]


def _function(model: Model, name: str) -> Any:
    return list_text(model, Part(function=name), Kinds(), Filters(), _TABLE)


def _looks_without_keras(model: Model) -> Iterable[Callable[[], Any]]:
    yield lambda: contents_text(model, "variables", Filters(), _TABLE)
    yield lambda: () if model.describe is None else model.describe()
    yield from _values(model)


def _values(model: Model) -> Iterable[Callable[[], Any]]:
    names = [variable.name for variable in model.variables[:_MOST_VALUES]]
    return (lambda name=name: model.value(name) for name in names)


def _all(looks: Iterable[Callable[[], Any]]) -> list[str]:
    """Take each look, and return why those cannot be taken that cannot."""
    said = []
    for look in looks:
        try:
            found = look()
            said.append(found if isinstance(found, str) and len(found) < 200 else "")
        except InputError as error:
            said.append(str(error))
    return said


def _chosen(path: Path) -> list[str]:
    """Open each signature and tag set that a SavedModel or MetaGraph has, and freeze it."""
    said = _looks(path)
    model = open_model(path)
    choices = [Choices(signature=name) for name in list(model.signatures)[:4]]
    choices += [Choices(tags=["train"]), Choices(tags=[]), Choices(signature="__call__")]
    if model.kind is Kind.META_GRAPH:
        choices.append(Choices(outputs=["net/probs", "pool"]))
    for one in choices:
        said += _all([lambda one=one: open_model(path, choices=one).freeze()])
    return said


def _with_keras(path: Path) -> list[str]:
    """Let Keras load the model for its graph: only what `scan` finds nothing in gets so far."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    model = open_model(path)
    return _all([lambda: str(model.usual.outputs), lambda: summary_of(model, _TABLE)])


def _pair(path: Path) -> list[str]:
    """Compare a graph with itself, and with what it can be frozen to."""
    from retrain_tools.listing.modes import difference_text

    before, after = open_model(path), open_model(path)
    said = _all([lambda: difference_text(before, after, _TABLE)])
    with contextlib.suppress(InputError):
        said += _all([lambda: difference_text(before, after, Form("json", Style()))])
    return said + _looks(path)


READERS: dict[str, Callable[[Path], Any]] = {
    "graph_def": _pair,
    "graph_def_text": _looks,
    "meta_graph": _chosen,
    "saved_model": _chosen,
    "saved_model_text": _chosen,
    "checkpoint_v1": _looks,
    "checkpoint_v2": _looks,
    "hdf5_model": _looks,
    "keras": _looks,
    "keras_loaded": _with_keras,
    "tflite": _looks,
    "tar": _looks,
    "zip": _looks,
    "gzip": _looks,
}

RAISES: dict[str, tuple[type[BaseException], ...]] = {}
