"""The last part of a network with the head behind it, open in TensorFlow to be trained.

One thread works on each operation, and a batch goes through in pieces whose number does not depend
on the machine: so the same steps give the same bits, however many cores there are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from retrain_tools.engine.cpu import usable_cores
from retrain_tools.engine.importing import import_light
from retrain_tools.engine.session import naming, run, session_on
from retrain_tools.errors import InputError, argument
from retrain_tools.graphdef.navigate import copy_nodes, full_name, nodes_by_name
from retrain_tools.graphdef.tail import Tail
from retrain_tools.graphdef.tensors import list_tensors
from retrain_tools.graphdef.weights import Weights
from retrain_tools.head.export import add_pooling
from retrain_tools.head.training import Classes, Head, Vectors
from retrain_tools.quiet_tensorflow import tf

ADAM, SGD = "adam", "sgd"

WITHOUT_ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
"""The environment variable that is 0 where TensorFlow does without oneDNN; it is read once."""
OPTIMIZERS = (ADAM, SGD)

Features = Sequence[npt.NDArray[np.float32]]
"""What enters a tail for some images: float32 [N, …] for each of its entrances, in their order."""
State = dict[str, npt.NDArray[np.float32]]
"""The values of all variables, those of the optimizer too."""

# With a colon, which no node has in its name.
_HEAD_WEIGHTS, _HEAD_BIASES = "head:weights", "head:biases"
_PIECES = 4  # of a batch, which are worked on side by side
_RUN_AT_ONCE = 16  # images that are only run
# Adam's own numbers (Kingma & Ba 2014, section 2), and Keras's epsilon.
_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7


@dataclasses.dataclass(frozen=True)
class FineTuning:
    """How layers are trained together with the head. The fields are called as the script's flags.

    Attributes:
        fine_tune_from: the tensor after which constants are trained.
        fine_tune_steps: batches to train on.
        fine_tune_learning_rate: constant, of the layers and the head; None for 1e-4 with Adam and
            1e-3 with SGD.
        fine_tune_optimizer: one of `OPTIMIZERS`.
        fine_tune_momentum: of SGD; 0 for none.
        fine_tune_batch_size: images per step.
    """

    fine_tune_from: str
    fine_tune_steps: int = 300
    fine_tune_learning_rate: float | None = None
    fine_tune_optimizer: str = ADAM
    fine_tune_momentum: float = 0.9
    fine_tune_batch_size: int = 32

    def __post_init__(self) -> None:
        for name in ("fine_tune_steps", "fine_tune_batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{argument(name)}={getattr(self, name)} must be at least 1.")
        rate = self.fine_tune_learning_rate
        if rate is not None and not 0 < rate < math.inf:
            raise InputError(
                f"{argument('fine_tune_learning_rate')}={rate} must be a number above 0."
            )
        if not 0 <= self.fine_tune_momentum < 1:
            raise InputError(
                f"{argument('fine_tune_momentum')}={self.fine_tune_momentum} must be at least 0 "
                "and below 1."
            )
        if self.fine_tune_optimizer not in OPTIMIZERS:
            raise InputError(
                f"{argument('fine_tune_optimizer')}={self.fine_tune_optimizer} must be "
                f"{' or '.join(OPTIMIZERS)}."
            )

    @property
    def rate(self) -> float:
        """The learning rate."""
        usual = 1e-4 if self.fine_tune_optimizer == ADAM else 1e-3
        return usual if self.fine_tune_learning_rate is None else self.fine_tune_learning_rate


class _Variable(NamedTuple):
    handle: Any
    read: Any
    assign: Any
    fed: Any


class TunedTail(contextlib.AbstractContextManager["TunedTail"]):
    """A tail and the head behind it as variables. Close it after use.

    Attributes:
        batch_size: how many images a step takes.
    """

    def __init__(
        self,
        tail: Tail,
        head: Head,
        settings: FineTuning,
        pooling: str,
        where: str,
        allow_unsafe_graph: bool = False,
    ) -> None:
        """Open a tail and a head, where they are trained from; neither is changed.

        `pooling` makes vectors of an end of rank above 2, `where` is the graph's file, for
        messages.

        Raises:
            InputError: TensorFlow does not accept the tail, or cannot train it.
        """
        if os.environ.get(WITHOUT_ONEDNN) != "0":
            # TensorFlow 2.21's oneDNN kernel of a convolution's gradient (Conv2DBackpropFilter)
            # crashes or gives wrong numbers, by what else the process has in its memory.
            raise InputError(
                "TensorFlow's oneDNN kernels cannot be trusted to train layers: set the "
                f"environment variable {WITHOUT_ONEDNN}=0 before TensorFlow is loaded, as the "
                "script does."
            )
        self.batch_size, self._settings = settings.fine_tune_batch_size, settings
        self._allowed = allow_unsafe_graph
        self._tail, self._light = tail, copy_nodes(tail.light, lambda _: True)
        shape = {tensor.name: tensor.shape for tensor in list_tensors(self._light)}[tail.end]
        self._depth = len(head.weights)
        self._vector = full_name(add_pooling(self._light, tail.end, shape, pooling, self._depth))
        start = {name: tail.weights[name] for name in tail.trained}
        start |= {_HEAD_WEIGHTS: head.weights, _HEAD_BIASES: head.biases}
        graph = tf.Graph()
        with graph.as_default(), naming(where):
            self._variables = {name: _variable(name, value) for name, value in start.items()}
            self._fixed = {
                name: tf.constant(value)
                for name, value in tail.weights.items()
                if name not in start
            }
            self._fed = self._entrances(None)
            self._vectors = self._run_on(self._fed)
            self._batch = self._entrances(self.batch_size)
            self._classes = tf.compat.v1.placeholder(tf.int64, [self.batch_size])
            loss = self._lay_out_batch()
            self._lay_out_updates(loss, where)
        self._closing = contextlib.ExitStack()
        self._session = self._closing.enter_context(session_on(graph))
        slots = {name: np.zeros_like(start[name.partition(":")[2]]) for name in self._slots}
        self.restore(start | slots)

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def step(self, features: Features, classes: Classes, number: int) -> Vectors:
        """Train on a batch, as step `number`, from 0; return the logits that it had before.

        Raises:
            EngineError: the tail fails.
        """
        fed = dict(zip(self._batch, features, strict=True)) | {self._classes: classes}
        if self._settings.fine_tune_optimizer == ADAM:
            powers = np.float32(_BETA_1) ** (number + 1), np.float32(_BETA_2) ** (number + 1)
            fed |= dict(zip(self._powers, powers, strict=True))
        logits, _ = run(self._session, (self._logits, self._updates), fed)
        return np.asarray(logits, np.float32)

    def vectors(self, features: Features) -> Vectors:
        """Return the bottlenecks of some images: float32 [N, depth].

        Raises:
            EngineError: the tail fails.
        """
        starts = range(0, len(features[0]), _RUN_AT_ONCE)

        def part(start: int) -> Vectors:
            rows = [np.asarray(values[start : start + _RUN_AT_ONCE]) for values in features]
            fed = dict(zip(self._fed, rows, strict=True))
            return np.asarray(run(self._session, self._vectors, fed), np.float32)

        with ThreadPoolExecutor(usable_cores()) as workers:
            parts = list(workers.map(part, starts))
        return np.concatenate([np.zeros((0, self._depth), np.float32), *parts])

    def state(self) -> State:
        """Return the values of all variables by name, for `restore`."""
        variables = self._variables | self._slots
        reads = {name: variable.read for name, variable in variables.items()}
        return dict(run(self._session, reads, {}))

    def restore(self, state: Mapping[str, npt.NDArray[np.float32]]) -> None:
        """Set all variables."""
        variables = self._variables | self._slots
        assigns = [variable.assign for variable in variables.values()]
        run(self._session, assigns, {v.fed: state[name] for name, v in variables.items()})

    def head(self) -> Head:
        """Return the head as it is now."""
        names = (_HEAD_WEIGHTS, _HEAD_BIASES)
        return Head(*run(self._session, [self._variables[name].read for name in names], {}))

    def trained(self) -> Weights:
        """Return the tail's trained constants as they are now."""
        reads = {name: self._variables[name].read for name in self._tail.trained}
        return dict(run(self._session, reads, {}))

    def _entrances(self, count: int | None) -> list[Any]:
        nodes, made = nodes_by_name(self._light), []
        for name in self._tail.entrances:
            shape = nodes[name].attr["shape"].shape
            known = (
                None if shape.unknown_rank else [d.size if d.size >= 0 else None for d in shape.dim]
            )
            made.append(tf.compat.v1.placeholder(tf.float32, known and [count, *known[1:]]))
        return made

    def _run_on(self, features: Sequence[Any]) -> Any:
        """Put the tail into the graph, on tensors; return the tensor of its vectors."""
        reads = {name: self._variables[name].read for name in self._tail.trained}
        entering = dict(zip(self._tail.entrances, features, strict=True))
        tensors, allowed = reads | self._fixed | entering, self._allowed
        [vectors] = import_light(self._light, tensors, [self._vector], allow_unsafe_graph=allowed)
        return tf.reshape(vectors, [-1, self._depth])

    def _lay_out_batch(self) -> Any:
        """Put the tail on the pieces of a batch into the graph; return the mean loss."""
        edges = np.linspace(0, self.batch_size, min(_PIECES, self.batch_size) + 1).astype(int)
        logits = []
        for start, stop in itertools.pairwise(edges):
            vectors = self._run_on([values[start:stop] for values in self._batch])
            kernel, biases = (self._variables[n].read for n in (_HEAD_WEIGHTS, _HEAD_BIASES))
            logits.append(vectors @ kernel + biases)
        self._logits = tf.concat(logits, 0)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(self._classes, self._logits)
        return tf.reduce_sum(losses) / self.batch_size

    def _lay_out_updates(self, loss: Any, where: str) -> None:
        """Put gradients and the optimizer into the graph."""
        reads = [variable.read for variable in self._variables.values()]
        start = next(iter(self._tail.entrances.values()))
        cannot = f"{argument('fine_tune_from')}={start!r}: {where} cannot be trained from there"
        try:
            gradients = tf.compat.v1.gradients(loss, reads)
        except LookupError as error:
            raise InputError(
                f"{cannot}, as TensorFlow has no gradient of an operation after it: {error}. "
                "Choose a tensor after that."
            ) from error
        if all(one is None for one in gradients[: len(self._tail.trained)]):
            raise InputError(
                f"{cannot}, as an operation on the way to {self._tail.end!r} has no gradient. "
                "Choose a tensor after that."
            )
        rate, is_adam = self._settings.rate, self._settings.fine_tune_optimizer == ADAM
        self._powers = [tf.compat.v1.placeholder(tf.float32, []) for _ in range(2)]
        self._slots: dict[str, _Variable] = {}
        self._updates = []
        for (name, variable), gradient in zip(self._variables.items(), gradients, strict=True):
            if gradient is None:
                continue
            shape = variable.read.shape
            slots = [f"m:{name}", f"v:{name}"] if is_adam else [f"momentum:{name}"]
            for slot in slots:
                self._slots[slot] = _variable(slot, np.zeros(shape, np.float32))
            handles = [self._slots[slot].handle for slot in slots]
            if is_adam:
                update = tf.raw_ops.ResourceApplyAdam(
                    var=variable.handle, m=handles[0], v=handles[1],
                    beta1_power=self._powers[0], beta2_power=self._powers[1], lr=rate,
                    beta1=_BETA_1, beta2=_BETA_2, epsilon=_EPSILON, grad=gradient,
                )  # fmt: skip
            else:
                update = tf.raw_ops.ResourceApplyMomentum(
                    var=variable.handle, accum=handles[0], lr=rate, grad=gradient,
                    momentum=self._settings.fine_tune_momentum,
                )  # fmt: skip
            self._updates.append(update)


def _variable(name: str, value: npt.NDArray[np.float32]) -> _Variable:
    handle = tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=value.shape, shared_name=name)
    fed = tf.compat.v1.placeholder(tf.float32, value.shape)
    assign = tf.raw_ops.AssignVariableOp(resource=handle, value=fed)
    return _Variable(
        handle, tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32), assign, fed
    )
