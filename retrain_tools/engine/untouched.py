"""An untouched graph run on one image at a time, by which plans and exports are checked.

TensorFlow rewrites nothing of it, either. A large graph is run in a process of its own, so that its
memory, some ten times its size, is not the job's: that process is this module, run as a script.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.engine.session import EngineError, naming
from retrain_tools.engine.untouched_graph import UntouchedGraph
from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from retrain_tools.graphdef.navigate import copy_nodes, nodes_by_name, upstream
from retrain_tools.graphdef.save import write_graph
from retrain_tools.graphdef.weights import size_of_constants
from retrain_tools.leftovers import scratch_folder
from retrain_tools.safety.running import refuse_unsafe

Feeds = Mapping[str, bytes | npt.NDArray[np.float32]]
"""What is fed: an encoded image, or prepared pixels."""

_LARGE = 1 << 20  # bytes of constants
_GRAPH, _JOB, _VALUES = "graph.pb", "job.json", "values.npz"


def run_untouched(
    graph_def: Any,
    tensors: Sequence[str],
    feeds: Feeds,
    where: str,
    allow_unsafe_graph: bool = False,
) -> list[npt.NDArray[np.float32]]:
    """Run a graph on one image, as it is, and return the values of tensors as float32.

    Args:
        graph_def: a graph without variables.
        tensors: full names.
        feeds: what to feed, by full name.
        where: the graph's file, for error messages.
        allow_unsafe_graph: run it whatever it does beside computing, control inputs included.

    Raises:
        UnsafeGraphError: it does more than compute, and that is not allowed.
        InputError: TensorFlow refuses the graph.
        EngineError: the graph fails, or the process that ran it.
    """
    return run_untouched_on_each(graph_def, tensors, [feeds], where, allow_unsafe_graph)[0]


def run_untouched_on_each(
    graph_def: Any,
    tensors: Sequence[str],
    each: Sequence[Feeds],
    where: str,
    allow_unsafe_graph: bool = False,
) -> list[list[npt.NDArray[np.float32]]]:
    """Run a graph as `run_untouched` does, on several images one after the other.

    `each` is what to feed for every one of them, under the same names.
    """
    names = list(each[0]) if each else []
    wanted = upstream(nodes_by_name(graph_def), [*tensors, *names])
    part = copy_nodes(graph_def, lambda node: node.name in wanted)
    with naming(where):
        refuse_unsafe(part, allow_unsafe_graph)  # before it is handed to another process
    if size_of_constants(part) < _LARGE:
        return _run_here(part, tensors, each, where, allow_unsafe_graph)
    with scratch_folder() as place:
        write_graph(str(place / _GRAPH), part)
        fed = [
            {
                name: _written(place / f"{number}_{index}", feeds[name])
                for index, name in enumerate(names)
            }
            for number, feeds in enumerate(each)
        ]
        job = {"tensors": list(tensors), "feeds": fed, "where": where, "allow": allow_unsafe_graph}
        (place / _JOB).write_text(json.dumps(job))
        del part
        command = [sys.executable, "-m", __name__, str(place)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise EngineError(lines[-1])
        with np.load(place / _VALUES, allow_pickle=False) as held:
            values = [held[str(number)] for number in range(len(tensors) * len(each))]
        return [values[i : i + len(tensors)] for i in range(0, len(values), len(tensors))]


def _written(path: Path, value: bytes | npt.NDArray[np.float32]) -> str:
    """Write what is fed to a file, and return its name."""
    if isinstance(value, np.ndarray):
        path = path.with_suffix(".npy")
        np.save(path, value)
    else:
        path = path.with_suffix(".image")
        path.write_bytes(value)
    return path.name


def _run_here(
    graph_def: Any,
    tensors: Sequence[str],
    each: Sequence[Feeds],
    where: str,
    allow_unsafe_graph: bool,
) -> list[list[npt.NDArray[np.float32]]]:
    names = list(dict.fromkeys([*(each[0] if each else ()), *tensors]))
    results = []
    with UntouchedGraph(graph_def, names, where, allow_unsafe_graph) as graph:
        for feeds in each:
            values = graph.run(list(dict.fromkeys(tensors)), feeds)
            results.append([np.asarray(values[name], np.float32) for name in tensors])
    return results


def _main(folder: str) -> None:
    place = Path(folder)
    job = json.loads((place / _JOB).read_text())
    graph_def = schema.GraphDef.FromString((place / _GRAPH).read_bytes())
    each = [
        {
            name: np.load(place / file) if file.endswith(".npy") else (place / file).read_bytes()
            for name, file in feeds.items()
        }
        for feeds in job["feeds"]
    ]
    results = _run_here(graph_def, job["tensors"], each, job["where"], job["allow"])
    values = [value for one in results for value in one]
    np.savez(place / _VALUES, **{str(number): value for number, value in enumerate(values)})  # type: ignore[arg-type]


if __name__ == "__main__":
    try:
        _main(sys.argv[1])
    except (InputError, EngineError) as error:
        sys.exit(str(error))
