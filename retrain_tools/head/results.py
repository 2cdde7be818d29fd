"""The results of a retraining: the figures, and every file."""

from __future__ import annotations

import dataclasses
import json
import logging
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retrain_tools import __version__, files, storage
from retrain_tools.export.exporting import export_frozen
from retrain_tools.export.saved_model import next_version
from retrain_tools.features.cache import Identity
from retrain_tools.features.outcome import Outcome
from retrain_tools.graphdef.save import write_graph
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.graphdef.weights import light_copy
from retrain_tools.head.dataset import Dataset, splits_table
from retrain_tools.head.evaluation import Evaluation
from retrain_tools.head.export import retrained_graph, write_checkpoint, write_head, write_labels
from retrain_tools.head.saved_model import retrained, write_saved_model
from retrain_tools.head.settings import RetrainSettings
from retrain_tools.head.training import Head
from retrain_tools.quiet_tensorflow import tf

log = logging.getLogger(__name__)


def output_graph(
    frozen: FrozenGraph, settings: RetrainSettings, head: Head, labels: Sequence[str]
) -> Any:
    """Return the retrained graph; see `retrained_graph` for what is raised."""
    name, encoded_input = settings.final_tensor_name, settings.encoded_input
    return retrained_graph(frozen, head, settings.cache.pooling, name, encoded_input, labels)


def light_output_graph(frozen: FrozenGraph, settings: RetrainSettings, dataset: Dataset) -> Any:
    """Return the output graph for TensorBoard, which shows no values: large ones are left out."""
    light = dataclasses.replace(frozen, graph_def=light_copy(frozen.graph_def))
    nothing = np.zeros((dataset.vectors.shape[1], len(dataset.labels)), np.float32)
    graph_def = output_graph(light, settings, Head(nothing, nothing[0]), dataset.labels)
    constants = {node.name for node in frozen.graph_def.node if node.op == "Const"}
    for node in graph_def.node:
        if node.name in constants:
            node.op = "Const"  # which a light graph has a placeholder for
    return graph_def


def figures_of(
    frozen: FrozenGraph | None,
    settings: RetrainSettings,
    dataset: Dataset,
    report: Outcome,
    identity: Identity | None,
    test: Evaluation,
) -> dict[str, Any]:
    """Return what metrics.json holds, but for the curves and the mistakes."""
    return {
        "settings": dataclasses.asdict(settings) | {"features": storage.shown(settings.features)},
        "graph": None if frozen is None else str(frozen.path),
        "bottlenecks": {
            **({} if identity is None else dataclasses.asdict(identity)),
            "computed": report.computed,
            "reused": report.reused,
            "repaired": report.repaired,
            "failed": sorted(report.failed.items()),
        },
        "labels": dataset.labels,
        "images": {
            name: {label: len(rows) for label, rows in zip(dataset.labels, per_class, strict=True)}
            for name, per_class in dataset.rows.items()
        },
        "test": test.as_dict(dataset.labels),
        "versions": {
            "retrain_tools": __version__,
            "tensorflow": tf.version.VERSION,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def write_results(
    frozen: FrozenGraph | None,
    settings: RetrainSettings,
    head: Head,
    dataset: Dataset,
    figures: Mapping[str, Any],
) -> list[str]:
    """Write every result, and return the files that people are told of.

    All appear together, once all are written. Of two trainings into one folder, the second one to
    end replaces what the first one wrote, and gets a number of its own for its SavedModel.
    """
    written = [settings.output_labels]
    with files.alone_in(Path(settings.metrics).parent), files.together() as beside:
        write_labels(beside(settings.output_labels), dataset.labels)
        if not settings.image_dir:
            write_head(beside(settings.head), head, dataset.labels)
            written.append(settings.head)
        if settings.checkpoint_path:
            write_checkpoint(beside(settings.checkpoint_path), head)
            written.append(settings.checkpoint_path)
        if frozen is not None:
            written.insert(0, settings.output_graph)
            written += _write_graphs(frozen, settings, head, dataset.labels, beside)
        files.write_lines(beside(settings.splits), splits_table(dataset))
        files.write_text(beside(settings.metrics), json.dumps(figures, indent=1) + "\n")
    return [*written, settings.metrics]


def _write_graphs(
    frozen: FrozenGraph,
    settings: RetrainSettings,
    head: Head,
    labels: Sequence[str],
    beside: Callable[[str], str],
) -> list[str]:
    """Write the retrained graph in all its forms, and return the others than the graph itself."""
    log.debug("Save final result to : %s", settings.output_graph)  # retrain.py's line
    graph_def = output_graph(frozen, settings, head, labels)
    write_graph(beside(settings.output_graph), graph_def)
    result = retrained(frozen, graph_def, settings.final_tensor_name)
    folder = settings.saved_model_dir
    if Path(folder).name.isdecimal() and Path(folder).exists() and any(Path(folder).iterdir()):
        folder = next_version(str(Path(folder).parent))  # another training was faster
    write_saved_model(beside(folder), result, labels)
    written = [folder]
    if settings.tflite_output_file:
        lite = export_frozen(result, beside(settings.tflite_output_file), "tflite")
        log.info(dataclasses.replace(lite, path=settings.tflite_output_file).summary())
        written.append(settings.tflite_output_file)
    return written
