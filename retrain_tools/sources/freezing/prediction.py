"""What a training graph predicts, and from what: what is frozen where nothing states it."""

from __future__ import annotations

import collections
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from retrain_tools.errors import InputError, argument
from retrain_tools.graphdef.edges import Edges
from retrain_tools.graphdef.navigate import (
    check_tensor,
    is_variable_read,
    node_name,
)
from retrain_tools.graphdef.op_sets import VARIABLES
from retrain_tools.graphdef.tensors import Tensor, list_tensors, shape_text
from retrain_tools.graphdef.training_parts import training_parts
from retrain_tools.graphdef.view import GraphView, view_of
from retrain_tools.sources.contents import Signature, TensorInfo
from retrain_tools.sources.freezing.feeds import Feeds, inputs_of

# What losses and figures are written with: from their value back to what they judge.
_ARITHMETIC = re.compile(
    r"Mean|Sum|Prod|Max|Min|Neg|Square|SquaredDifference|Sub|Add|AddV2|AddN|Mul|MulNoNan|Div"
    r"|RealDiv|DivNoNan|Abs|Log|Log1p|Exp|Expm1|Sqrt|Rsqrt|Pow|Maximum|Minimum|Select(V2)?|Cast"
    r"|Greater(Equal)?|Less(Equal)?|Equal|NotEqual|ArgMax|ArgMin|Identity|L2Loss|ClipByValue"
    r"|Softplus|Xlogy|Xdivy|Sign|CheckNumerics|Fill|All|Any|Round|LogicalAnd|LogicalNot"
)
_OF_SHAPES = re.compile(r"Shape(N)?|Size|Rank|ZerosLike|OnesLike|VariableShape")
_CONTROL = re.compile(
    r"(Ref)?(Switch|Merge|Enter|Exit|NextIteration)|LoopCond|(Stateless)?(While|If|Case)"
)
_CHOOSING = re.compile(r"Gather(V2|Nd)?|(Batch)?MatMul(V2)?|DynamicPartition")
_SUMS = ("Add", "AddV2", "AddN")
# What TensorFlow itself puts before its losses, and people before they choose from all values.
_ADDED_RESHAPE = re.compile(r"(.*/)?Reshape(_\d+)?")
_ADDED_CAST = re.compile(r"(.*/)?(Cast|ToFloat|ToInt32)(_\d+)?")
_ADDED_BEST = re.compile(r"(.*/)?ArgMax(_\d+)?")  # for the accuracy, under no name of its own
_GRADIENTS = re.compile(r"(.*/)?gradients[^/]*/")
_OUTPUT_NAMES = "output_node_names"


class _Found(NamedTuple):
    """Tensors that may be the prediction, and whether the graph shows that they are."""

    tensors: list[str]
    is_told: bool


def forward_signature(
    graph_def: Any, where: str, outputs: Sequence[str] | None = None
) -> Signature:
    """Return the path from the data to the prediction, in a graph that states no signature.

    1. What the loss and the accuracy judge is a prediction: their arithmetic is followed back to
       the first value that is more than arithmetic, or that a variable is added to.
    2. So is what is computed from data and by variables, and goes nowhere else but to the training.
    3. Of two of which one is computed from the other, the later is taken: the probabilities, not
       the logits.
    4. What placeholders feed comes before what queues and data sets feed.

    The inputs are all placeholders that the results need. Where data come from a queue or a data
    set, what is taken from it is the input.

    Args:
        graph_def: a `schema.GraphDef`, with or without its training.
        where: its file, for messages.
        outputs: the results by name, if the user says so; then nothing is guessed.

    Raises:
        InputError: nothing is computed from data, a named tensor does not exist, or there are
            several predictions of different data, of which none can be said to be the one.
    """
    graph = _Graph(graph_def)
    if outputs is not None:
        tensors = [check_tensor(name, graph.edges.nodes, where) for name in outputs]
    else:
        found = graph.predictions()
        if not found.tensors:
            raise InputError(
                f"{where} cannot be frozen: no result is computed from a placeholder, a queue or a "
                f"data set; name the results with {argument(_OUTPUT_NAMES)}."
            )
        if not found.is_told:
            listed = "; ".join(map(graph.described, found.tensors))
            raise InputError(
                f"{where} cannot be frozen: which of its results is meant cannot be told. Name one "
                f"or more with {argument(_OUTPUT_NAMES)}: {listed}."
            )
        tensors = found.tensors
    return Signature(
        {
            tensor.removesuffix(":0"): graph.feeds.info(tensor)
            for tensor in graph.feeds.inputs(tensors)
        },
        {tensor.removesuffix(":0"): TensorInfo(tensor, "?", None) for tensor in tensors},
    )


class _Graph:
    """A graph, and what is asked of it here."""

    def __init__(self, graph_def: Any) -> None:
        view = view_of(graph_def)
        self.edges = Edges(view)
        self._tensors: dict[str, Tensor] = {t.name: t for t in list_tensors(view)}
        self.feeds = Feeds(self.edges, list(self._tensors.values()))
        nodes = self.edges.nodes
        self._parts = _parts_of(view, self.edges)
        self._apart = {n for n in nodes if _OF_SHAPES.fullmatch(nodes[n].op)} | self._parts.keys()
        # What a queue hands out is data; what labels alone go into is the loss.
        parts = self._parts
        sources = {n for n in nodes if self.edges.is_source(n) and parts.get(n) != "loss"}
        self._values = self.edges.downstream(sources, stop=self._apart - sources) - self._apart
        self._values &= self.edges.results

    def predictions(self) -> _Found:
        """Return the tensors that may be the prediction."""
        ends: list[str] = []
        losses: list[str] = []
        is_training = not {"gradients", "loss"}.isdisjoint(self._parts.values())
        for tensor in self._tensors.values():
            if self._is_last(node_name(tensor.name)) and tensor.op != "ReadVariableOp":
                is_loss = is_training and self._may_be_loss(tensor)
                name = self._before_shown(tensor.name) if is_training else tensor.name
                (losses if is_loss else ends).append(name)
        judged = [tensor for taker in self._judges() for tensor in self._walked(taker)]
        judged += [tensor for end in losses for tensor in self._back(end)]
        found = self._last([*ends, *judged])
        found = [t for t in found if not self._is_left_over(t, found)]
        fed = [tensor for tensor in found if not self.feeds.is_queued(tensor)]
        found = fed or found
        drawn = self.edges.downstream(n for n, node in self.edges.nodes.items() if _draws(node))
        if not drawn.isdisjoint(map(node_name, found)):  # only losses draw classes at random
            return _Found(sorted(self._before(drawn), key=self.feeds.place), False)
        data = [self.feeds.data(tensor) for tensor in found]
        if not found or frozenset().union(*data) in data:
            return _Found(found, True)
        return _Found(sorted({*found, *self._before_shared(found)}, key=self.feeds.place), False)

    def _is_last(self, name: str) -> bool:
        """Tell whether a value goes nowhere but to the training."""
        return name in self._values and self._apart.issuperset(self.edges.after[name])

    def _before_shown(self, tensor: str) -> str:
        """Return what is made other numbers of, where these are only drawn."""
        name = node_name(tensor)
        is_shown = _ADDED_CAST.fullmatch(name) is not None and bool(self.edges.after[name])
        return inputs_of(self.edges.nodes[name])[0] if is_shown else tensor

    def _may_be_loss(self, tensor: Tensor) -> bool:
        """Tell whether an end is one number, or may be one for all that is known of its shape."""
        if tensor.shape is not None:
            return tensor.shape == ()
        return _ARITHMETIC.fullmatch(tensor.op) is not None

    def _judges(self) -> Iterator[str]:
        """Yield the nodes of losses and figures that take a value of the network."""
        for name, part in self._parts.items():
            is_shape = _OF_SHAPES.fullmatch(self.edges.nodes[name].op)
            if part == "loss" and not is_shape and self._taken(name):
                yield name

    def _taken(self, name: str) -> list[str]:
        return [t for t in inputs_of(self.edges.nodes[name]) if node_name(t) in self._values]

    def _walked(self, judge: str) -> Iterator[str]:
        for tensor in self._taken(judge):
            is_followed = self._is_followed(judge)
            yield from self._back(tensor) if is_followed else [tensor]
            op = self.edges.nodes[node_name(tensor)].op
            if op in ("ArgMax", "ArgMin") and not _ADDED_BEST.fullmatch(node_name(tensor)):
                yield tensor

    def _back(self, tensor: str) -> Iterator[str]:
        """Follow arithmetic back to the values that it judges."""
        waiting, seen = [tensor], set()
        while waiting:
            tensor = waiting.pop()
            if tensor in seen or node_name(tensor) not in self._values:
                continue
            seen.add(tensor)
            if not self._is_followed(node_name(tensor)):
                yield tensor
            else:
                waiting += inputs_of(self.edges.nodes[node_name(tensor)])

    def _is_followed(self, name: str) -> bool:
        """Tell whether a node is a part of a loss or figure, and no value that these judge."""
        node, before = self.edges.nodes[name], self.edges.before[name]
        values = [tensor for tensor in inputs_of(node) if node_name(tensor) in self._values]
        if _CHOOSING.fullmatch(node.op):  # by labels, as the chance of the action that was taken
            return any(self.feeds.data(tensor) != self.feeds.data(f"{name}:0") for tensor in values)
        if node.op == "Reshape" and _ADDED_RESHAPE.fullmatch(name):
            return all(
                user in self._apart or _CHOOSING.fullmatch(self.edges.nodes[user].op)
                for user in self.edges.after[name]
            )
        if not _ARITHMETIC.fullmatch(node.op) or any(map(self._is_variable, before)):
            return False
        if node.op in ("Identity", "Cast") and values:
            return self._is_followed(node_name(values[0]))
        return not self._is_residual(node, before)

    def _is_residual(self, node: Any, before: Sequence[str]) -> bool:
        """Tell whether a layer's result and what went into it are added, as in many networks."""
        tensor = self._tensors.get(f"{node.name}:0")
        if node.op not in _SUMS or tensor is None or len(tensor.shape or ()) < 2:
            return False
        is_layer = [name in self._values and not self._is_followed(name) for name in before]
        data = {self.feeds.data(f"{name}:0") for name in before}
        return any(is_layer) and len(data) == 1

    def _is_variable(self, name: str) -> bool:
        return self.edges.nodes[name].op in VARIABLES or is_variable_read(self.edges.nodes, name)

    def _last(self, tensors: Iterable[str]) -> list[str]:
        """Return the tensors that no other one is computed from, in file order.

        A class that somebody gave a name is no reason to leave out its scores.
        """
        found = sorted(set(tensors), key=self.feeds.place)
        classes = {t for t in found if self.edges.nodes[node_name(t)].op in ("ArgMax", "ArgMin")}
        later = [node_name(tensor) for tensor in found if tensor not in classes]
        before: set[str] = set()
        for name in later:
            before |= self.edges.upstream([name]) - {name}
        scores = {node_name(t) for t in found if t not in classes}
        return [
            tensor
            for tensor in found
            if node_name(tensor) not in before
            and (
                tensor not in classes
                or not _ADDED_BEST.fullmatch(node_name(tensor))
                or scores.isdisjoint(self.edges.upstream([tensor]))
            )
        ]

    def _is_left_over(self, tensor: str, found: Sequence[str]) -> bool:
        """Tell whether it is a loop's or condition's result that nobody asked for."""
        name = node_name(tensor)
        node = self.edges.nodes[name]
        before = self.edges.before[name]
        source = before[0] if node.op == "Identity" and before else name
        if not _CONTROL.fullmatch(self.edges.nodes[source].op):
            return False
        return any(_CONTROL.fullmatch(self._op_behind(t)) is None for t in found)

    def _op_behind(self, tensor: str) -> str:
        name = node_name(tensor)
        before = self.edges.before[name]
        is_passed = self.edges.nodes[name].op == "Identity" and before
        return str(self.edges.nodes[before[0] if is_passed else name].op)

    def described(self, tensor: str) -> str:
        """Say of a candidate what it is computed from."""
        known = self._tensors[tensor]
        needed = ", ".join(source for source in self.feeds.inputs([tensor]))
        return f"{tensor} ({known.op}, {known.dtype} {shape_text(known.shape)}, from {needed})"

    def _before_shared(self, found: Sequence[str]) -> set[str]:
        """Return what goes from one network into another that also takes something else."""
        edges = self.edges
        before = [edges.upstream([node_name(tensor)]) for tensor in found]
        counts = collections.Counter(name for names in before for name in names)
        shared = [n for n, count in counts.items() if count > 1 and self._is_variable(n)]
        return self._before(edges.downstream(shared) & counts.keys())

    def _before(self, inside: set[str]) -> set[str]:
        """Return the values that go into a part of the graph from outside of it."""
        sources = {t for name in inside for t in inputs_of(self.edges.nodes[name])}
        return {t for t in sources if node_name(t) in self._values - inside}


def _draws(node: Any) -> bool:
    """Tell whether a node draws some of the classes at random, for a loss over these alone."""
    return str(node.op).endswith("CandidateSampler")


def _parts_of(view: GraphView, edges: Edges) -> dict[str, str]:
    """Return the parts of the training, without what the way back only looks at.

    The way back is in a scope that TensorFlow calls `gradients`; what it looks at outside of that
    is the network or its loss.
    """
    parts = dict(training_parts(view))
    back = {name for name in parts if _GRADIENTS.match(name)}
    forward = edges.upstream(back) - back
    looked_at = {n for n, p in parts.items() if p in ("gradients", "summaries") and n in forward}
    looked_at |= {
        name
        for name, part in parts.items()
        if part == "summaries"
        and name in edges.results
        and _ARITHMETIC.fullmatch(edges.nodes[name].op)
    }
    return {n: p for n, p in parts.items() if n not in looked_at} | dict.fromkeys(back, "gradients")
