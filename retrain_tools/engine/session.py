"""TensorFlow sessions that run graphs: parallel, thrifty, with readable errors."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.engine.cpu import usable_cores
from retrain_tools.engine.importing import import_light
from retrain_tools.errors import InputError
from retrain_tools.graphdef.weights import Weights
from retrain_tools.quiet_tensorflow import stderr_held_back, tf
from retrain_tools.safety.running import UnsafeGraphError

_HELD_AS_VARIABLE = 1 << 16  # bytes
# In TensorFlow's messages: a node; where it failed, again; this computer's name, and advice about
# packages that are gone.
_NODE = re.compile(r"\{\{node ([^}]*)\}\}(?: = \w+\[.*?\]\([^()]*\))?")
_FAILED_NODE = re.compile(r"\s*\[\[\{\{.*|\{\{function_node [^}]*\}\}\s*")
_HOST_AND_ADVICE = re.compile(r" in binary running on .*")


class EngineError(Exception):
    """A graph failed on what it was fed; the message is the engine's reason, on one line."""


class TensorFlowEngine(contextlib.AbstractContextManager["TensorFlowEngine"]):
    """A light graph open in a session of its own. Safe to use from several threads."""

    def __init__(
        self,
        light: Any,
        weights: Weights,
        feed: str,
        fetches: Sequence[str],
        where: str,
        allow_unsafe_graph: bool = False,
    ) -> None:
        """Open a light graph and its weights; neither is kept.

        `feed` and `fetches` are the full names of the tensors that `run` feeds and fetches, `where`
        is the graph's file, for messages.

        Raises:
            UnsafeGraphError: it does more than compute, and `allow_unsafe_graph` is not set.
            InputError: TensorFlow does not accept the graph, or a fetch is not of numbers.
        """
        graph, tensors = tf.Graph(), {}
        assignments, values = list[Any](), dict[Any, Any]()
        with naming(where), graph.as_default():
            for name, array in weights.items():
                if array.nbytes < _HELD_AS_VARIABLE:
                    tensors[name] = tf.constant(array)
                else:
                    tensors[name], assign, fed = _variable(name, array)
                    assignments.append(assign)
                    values[fed] = array
            # By what the import gives: a name may have been changed to keep it unique.
            self._feed, *self._fetches = import_light(
                light, tensors, [feed, *fetches], allow_unsafe_graph=allow_unsafe_graph
            )
        for fetch, tensor in zip(fetches, self._fetches, strict=True):
            kind = tensor.dtype
            if not (kind.is_floating or kind.is_integer or kind.is_bool):
                no_numbers = f"is of type {kind.name}, and no real numbers"
                raise InputError(f"{fetch!r} {no_numbers}; choose another tensor.")
        self._closing = contextlib.ExitStack()
        self._session = self._closing.enter_context(session_on(graph))
        # All at once: each set of fetches takes TensorFlow an executor of its own.
        self._session.run(assignments, values)

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def run(self, fed: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
        """Feed one array and return the fetches' values as float32, of whatever shape they are.

        Raises:
            EngineError: the graph fails.
        """
        values = run(self._session, self._fetches, {self._feed: fed})
        return [np.asarray(value, np.float32) for value in values]


def gpu_memory() -> int:
    """Return how much memory the largest GPU has that TensorFlow uses, in bytes; 0 without one."""
    with session_on(tf.Graph()) as session:
        devices = session.list_devices()
    return max((d.memory_limit_bytes for d in devices if d.device_type == "GPU"), default=0)


@contextlib.contextmanager
def session_on(graph: Any) -> Iterator[Any]:
    """Yield a session to be run from a thread for each usable core; close it after use.

    One thread per operation and one batch per core: no core waits for another inside an operation,
    which is worth 10 % over TensorFlow's default on two cores.
    """
    config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=1, inter_op_parallelism_threads=usable_cores()
    )
    config.gpu_options.allow_growth = True
    with graph.as_default():
        nothing = tf.no_op()
    session = tf.compat.v1.Session(graph=graph, config=config)
    try:
        with stderr_held_back():  # TensorFlow 2.18 tells of its first run, at any log level
            session.run(nothing)
        yield session  # entering it would make it the caller's default session
    finally:
        session.close()


def run(session: Any, fetches: Any, feeds: dict[Any, Any]) -> Any:
    """Run a session.

    Raises:
        EngineError: the graph fails, or does not take what is fed.
    """
    try:
        return session.run(fetches, feeds)
    except (ValueError, tf.errors.OpError) as error:
        raise EngineError(first_sentence(error)) from error


def _variable(name: str, array: npt.NDArray[Any]) -> tuple[Any, Any, Any]:
    """Return the value of a new variable, the op that assigns it, and the placeholder of that.

    TensorFlow copies a graph's constants half a dozen times before the first run (900 MB and 3 s
    for the 2015 graph). Variables are outside the graph, and as fast.
    """
    shape, dtype = array.shape, array.dtype
    handle = tf.raw_ops.VarHandleOp(dtype=dtype, shape=shape, shared_name=name)
    fed = tf.compat.v1.placeholder(dtype, shape)
    assign = tf.raw_ops.AssignVariableOp(resource=handle, value=fed)
    return tf.raw_ops.ReadVariableOp(resource=handle, dtype=dtype), assign, fed


@contextlib.contextmanager
def naming(where: str) -> Iterator[None]:
    """Turn a refusal of a graph, TensorFlow's or ours, into an InputError that names the file."""
    try:
        yield
    except UnsafeGraphError as error:
        raise UnsafeGraphError(where, error.findings) from None
    except (KeyError, ValueError, tf.errors.OpError) as error:
        reason = first_sentence(error)
        raise InputError(f"{where} cannot be opened by TensorFlow: {reason}") from error


def first_sentence(error: Exception) -> str:
    """Return what TensorFlow says, whole and in one line, without node listings and stack.

    A session puts "Graph execution error:", the Python stack and "Node: 'NAME'" before it, and if
    several nodes failed at once also "2 root error(s) found." and a number. A node in it is
    `{{node NAME}} = OP[ATTRIBUTES](INPUTS)`, of which the name is left.
    """
    lines = str(getattr(error, "message", error)).strip().splitlines()
    after = [
        i + 1 for i, line in enumerate(lines) if line.startswith("Node: ") or "root error" in line
    ]
    text = lines[after[-1]] if after and after[-1] < len(lines) else lines[0]
    for noise in (_FAILED_NODE, _HOST_AND_ADVICE):
        text = noise.sub("", text)
    return re.sub(r"^\(\d+\) ", "", _NODE.sub(r"\1", text).strip())
