"""A graph that stays open, to be run as it is on one example after another."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.engine.importing import import_light
from retrain_tools.engine.session import naming, run
from retrain_tools.quiet_tensorflow import tf


class UntouchedGraph(contextlib.AbstractContextManager["UntouchedGraph"]):
    """A graph open in a session of its own, to be run as it is, on anything. Close it after use."""

    def __init__(
        self, graph_def: Any, tensors: Sequence[str], where: str, allow_unsafe_graph: bool = False
    ) -> None:
        """Open a graph, which is not kept.

        Args:
            graph_def: a graph without variables.
            tensors: the full names of all that will be fed or fetched, each once.
            where: its file, for error messages.
            allow_unsafe_graph: run it whatever it does beside computing.

        Raises:
            UnsafeGraphError: it does more than compute, and that is not allowed.
            InputError: TensorFlow refuses the graph.
        """
        graph = tf.Graph()
        with graph.as_default(), naming(where):
            found = import_light(graph_def, {}, tensors, allow_unsafe_graph=allow_unsafe_graph)
        self._tensors = dict(zip(tensors, found, strict=True))
        config = tf.compat.v1.ConfigProto()
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        self._session = tf.compat.v1.Session(graph=graph, config=config)

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def run(self, tensors: Sequence[str], feeds: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
        """Return the values of tensors in their own types, by their full names.

        Raises:
            EngineError: the graph fails on what is fed.
        """
        feeding = {self._tensors[name]: value for name, value in feeds.items()}
        values = run(self._session, [self._tensors[name] for name in tensors], feeding)
        return {name: np.asarray(v) for name, v in zip(tensors, values, strict=True)}
