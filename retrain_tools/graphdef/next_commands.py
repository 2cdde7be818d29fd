"""What to run next on a graph, for its summary: the scripts for images, or a line of Python."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retrain_tools.graphdef.bottleneck import Candidate
from retrain_tools.graphdef.feeds import unfed
from retrain_tools.graphdef.image_inputs import ImageInput
from retrain_tools.graphdef.navigate import full_name, node_name, nodes_by_name, upstream
from retrain_tools.graphdef.op_sets import MATRIX_PRODUCTS, VARIABLES
from retrain_tools.graphdef.pixel_flow import CHANNELS
from retrain_tools.graphdef.purposes import feed_flags, purpose
from retrain_tools.graphdef.shapes.call import Shape
from retrain_tools.graphdef.summary import Guess
from retrain_tools.graphdef.tensors import Tensor, consumers_by_tensor
from retrain_tools.graphdef.versions import op_counts, unavailable_ops

# What most networks take, and what whoever runs the command has to look at.
_PIXELS_UNKNOWN = " --input_mean=127.5 --input_std=127.5"
_SCALING = {"input_mean", "input_std", "preprocess"}

_OUTPUTS_FETCHED = 3
# Parts of the names of ops whose state is not in the graph.
_STATES = ("Queue", "Iterator", "Dataset", "Table", "Reader", "Barrier", "StagingArea")


@dataclasses.dataclass(frozen=True)
class Given:
    """What a next command has to say of a graph.

    Attributes:
        path: its file.
        said: what the user said of it, by the names of `retrain_tools.load`'s arguments.
        is_known: whether the scaling of pixels need not be said.
        has_size: whether the size of images need not be said.
    """

    path: Path
    said: Mapping[str, Any]
    is_known: bool
    has_size: bool

    def flags(self) -> str:
        """Return the graph and what was said of it as flags."""
        flags = f"--graph={shlex.quote(str(self.path))}"
        for name, value in self.said.items():
            if name == "feed":
                flags += _feed_flags([f"{key}={json.dumps(fed)}" for key, fed in value.items()])
            else:
                text = ",".join(value) if name == "tags" else str(value)
                flags += f" --{name}={shlex.quote(text)}"
        return flags

    def load(self) -> str:
        """Return the Python that opens the graph."""
        said = "".join(f", {name}={_literal(value)}" for name, value in self.said.items())
        return f"rt.load({_literal(str(self.path))}{said})"


def next_commands(
    graph_def: Any,
    by_name: Mapping[str, Tensor],
    given: Given,
    images: ImageInput | None,
    outputs: Sequence[Guess],
    bottlenecks: Sequence[Candidate],
) -> tuple[str, ...]:
    """Return what to run next: for images what caches, retrains and labels, else a line of Python.

    Args:
        graph_def: the graph.
        by_name: its tensors by full name.
        given: what the user said of it.
        images: where images enter; None in a graph that takes none.
        outputs: what to fetch, the main one first.
        bottlenecks: what is worth caching, best first.
    """
    if images is not None and images.channels in CHANNELS and bottlenecks:
        return _for_images(graph_def, given, images, outputs, bottlenecks[0].tensor)
    line = _in_python(graph_def, by_name, given, outputs)
    return () if line is None else (line,)


def _feed_flags(feeds: Sequence[str]) -> str:
    return "".join(f" --feed={shlex.quote(feed)}" for feed in feeds)


def _for_images(
    graph_def: Any, given: Given, images: ImageInput, outputs: Sequence[Guess], best: str
) -> tuple[str, ...]:
    nodes, graph = nodes_by_name(graph_def), given.flags()
    scaled = given.is_known or images.encoded is not None or _SCALING & set(given.said)
    pixels = "" if scaled else _PIXELS_UNKNOWN
    if not given.has_size and "input_height" not in given.said:
        pixels += " --input_height=HEIGHT --input_width=WIDTH"

    def fed(tensor: str) -> str:
        missing = unfed(nodes, [tensor], {node_name(images.pixels)})
        return _feed_flags(feed_flags(graph_def, nodes, missing))

    how = f"{graph} --bottleneck_tensor={shlex.quote(best)}{fed(best)}{pixels} --image_dir=FOLDER"
    commands = [
        f"retrain_tools.bottlenecks {how} --bottleneck_dir=CACHE",
        f"retrain_tools.retrain {how}",
    ]
    if outputs:
        name = outputs[0].tensor.name
        commands.append(
            f"retrain_tools.label_image {graph} --output_layer={shlex.quote(name)}{fed(name)}"
            f"{pixels} --image=IMAGE.jpg"
        )
    return tuple(commands)


def _in_python(
    graph_def: Any, by_name: Mapping[str, Tensor], given: Given, outputs: Sequence[Guess]
) -> str | None:
    """Return the line of Python that fetches the main outputs; it runs as it stands, on zeros.

    None where the graph cannot run by itself: where it would need ops that TensorFlow does not
    have, or the values of variables, queues and the like.
    """
    nodes = nodes_by_name(graph_def)
    names = [guess.tensor.name for guess in outputs[:_OUTPUTS_FETCHED]]
    needed = {nodes[name].op for name in upstream(nodes, names)}
    has_state = any(op in VARIABLES or any(part in op for part in _STATES) for op in needed)
    unavailable = unavailable_ops(graph_def, op_counts(graph_def))
    if not names or has_state or needed & set(unavailable):
        return None
    feeds = [
        f"{_literal(name)}: {_value(graph_def, nodes, by_name, by_name[name])}"
        for name in unfed(nodes, names, ())
    ]
    imports = "numpy as np, retrain_tools as rt"
    run = f"rt.run({given.load()}, {_literal(names)}, {{{', '.join(feeds)}}})"
    return f"python -c {shlex.quote(f'import {imports}; print({run})')}"


def _literal(value: Any) -> str:
    """Return a value in Python, texts in double quotes, which a shell's single ones can hold."""
    match value:
        case str():
            return json.dumps(value, ensure_ascii=False)
        case list() | tuple():
            return f"[{', '.join(map(_literal, value))}]"
        case dict():
            return f"{{{', '.join(f'{_literal(k)}: {_literal(v)}' for k, v in value.items())}}}"
        case _:
            return repr(value)


def _value(
    graph_def: Any, nodes: Mapping[str, Any], by_name: Mapping[str, Tensor], tensor: Tensor
) -> str:
    """Return what to feed, in Python: what is right outside of training, or zeros."""
    usual = purpose(graph_def, nodes, tensor.name).value
    shape = tensor.shape
    if shape is None:
        shape = () if usual else _by_matrix_product(graph_def, nodes, by_name, tensor.name)
    shape = tuple(1 if size is None else size for size in shape)
    value = {"false": "False", None: "0"}.get(usual, usual)
    if shape == () and "int" in tensor.dtype:
        value = "1"  # most often the number of rows
    if tensor.dtype == "string":
        value = '""'
    if shape == ():
        return str(value)
    return f"np.full({shape}, {value})" if value != "0" else f"np.zeros({shape})"


def _by_matrix_product(
    graph_def: Any, nodes: Mapping[str, Any], by_name: Mapping[str, Tensor], name: str
) -> Shape:
    """Return the shape that a product asks for; that of a scalar where nothing does."""
    for user in consumers_by_tensor(graph_def).get(name, ()):
        node = nodes[user]
        if node.op in MATRIX_PRODUCTS and full_name(node.input[0]) == name:
            other = by_name[full_name(node.input[1])].shape
            if other is not None and len(other) == 2:
                return (1, other[0])
    return ()
