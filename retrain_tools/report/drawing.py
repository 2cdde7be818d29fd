"""A model drawn into a page, on disk or in the browser."""

from __future__ import annotations

import shlex
import tempfile
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from retrain_tools import files
from retrain_tools.errors import InputError
from retrain_tools.graphdef.navigate import node_name
from retrain_tools.graphdef.walks import shortest_path, successors
from retrain_tools.report.graph_page import graph_page
from retrain_tools.sources.model import Model


def draw(model: Model, path: str) -> str:
    """Write the page of a network's graph, and return where it is.

    Raises:
        InputError: the file has no graph.
    """
    files.write_text(path, page(model))
    return path


def browse(model: Model) -> str:
    """Write the page to a new temporary file, open it in the browser, and return where it is.

    Raises:
        InputError: the file has no graph.
    """
    text = page(model)
    with tempfile.NamedTemporaryFile(
        "w", prefix="graph-", suffix=".html", delete=False, encoding="utf-8"
    ) as file:
        file.write(text)
    webbrowser.open(Path(file.name).as_uri())
    return file.name


def page(model: Model) -> str:
    """Return the page of a network's graph, the path from the image to the bottleneck marked.

    Raises:
        InputError: the file has no graph.
    """
    graph_def = model.graph
    if graph_def is None:
        raise InputError(f"{model.path} has no graph to draw: it is a {model.description}.")
    summary = model.summary()
    tensors = model.all_tensors
    bottleneck = summary.bottlenecks[0].tensor if summary.bottlenecks else None
    path: list[str] = []
    if bottleneck is not None and summary.inputs:
        start = node_name(summary.inputs[0].tensor.name)
        path = shortest_path(successors(graph_def), start, node_name(bottleneck)) or []
    inputs = ", ".join(guess.tensor.name for guess in summary.inputs[:3])
    outputs = ", ".join(guess.tensor.name for guess in summary.outputs[:3])
    facts = {
        "Kind": summary.kind,
        "Network": summary.network or "",
        "Input": inputs,
        "Output": outputs,
        "Bottleneck": bottleneck or "",
        "Parameters": f"{summary.parameters:,}",
        "Operations": f"{summary.flops:,}" if summary.flops else "",
    }
    return graph_page(
        graph_def,
        model.path.name,
        {tensor.name: tensor.shape for tensor in tensors},
        {tensor.name: tensor.dtype for tensor in tensors},
        path,
        bottleneck,
        {label: text for label, text in facts.items() if text},
        summary.commands,
        _of_tensor(model, summary.commands),
    )


def _of_tensor(model: Model, commands: Sequence[str]) -> tuple[str, str]:
    """Return what stands before and after the name in the command for a tensor of the page.

    It fetches the tensor for images, where the graph takes any; else it lists what the tensor is
    computed from.
    """
    words = next((shlex.split(c) for c in commands if "--image_dir=" in c), None)
    if words is None:
        graph = shlex.quote(f"--graph={model.path}")
        return f"retrain_tools.list_tensors {graph} --upstream=", ""
    said = [word for word in words[1:] if not word.startswith(("--bottleneck_", "--image_dir="))]
    return (
        f"retrain_tools.fetch_tensors {shlex.join(said)} --tensors=",
        " --image_dir=FOLDER --output=features.npz",
    )
