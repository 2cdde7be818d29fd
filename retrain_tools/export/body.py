"""The part of a graph that is exported, and it as a function that TensorFlow 2 can export."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from retrain_tools.engine.importing import import_light
from retrain_tools.engine.plan import plan_body
from retrain_tools.graphdef.build import new_node
from retrain_tools.graphdef.navigate import node_name
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.graphdef.transforms.cut import cut
from retrain_tools.graphdef.transforms.fold_batch_norms import fold_batch_norms
from retrain_tools.graphdef.weights import Weights, large_constants, light_copy
from retrain_tools.quiet_tensorflow import tf

PIXELS = "pixels"
"""The key of the input of a network that takes images."""

_HELD_AS_VARIABLE = 1 << 16  # bytes
_NOT_IN_KEYS = re.compile(r"\W")


@dataclasses.dataclass(frozen=True)
class Body:
    """What is computed between some tensors, ready to be exported.

    Attributes:
        light, weights: the light graph, of today's GraphDef version, and its weights.
        inputs, outputs: full names of tensors by the keys that the export has for them.
        allow_unsafe_graph: run it whatever it does beside computing.
    """

    light: Any
    weights: Weights
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    allow_unsafe_graph: bool = False


def keys_of(tensors: Iterable[str]) -> dict[str, str]:
    """Return what signatures call tensors: a node's name with `_` for all but letters and digits.

    Example:
        >>> keys_of(["a/b:0", "a_b:0", "a/b:1"])
        {'a_b': 'a/b:0', 'a_b_1': 'a_b:0', 'a_b_2': 'a/b:1'}
    """
    keys: dict[str, str] = {}
    for name in tensors:
        base = _NOT_IN_KEYS.sub("_", node_name(name))
        key = next(
            k for n in range(len(keys) + 1) if (k := f"{base}_{n}" if n else base) not in keys
        )
        keys[key] = name
    return keys


def output_keys(frozen: FrozenGraph, tensors: Sequence[str]) -> dict[str, str]:
    """Return what signatures call the outputs of a network: as `keys_of`, or what they are."""
    known = {frozen.spec.bottleneck: "bottleneck", frozen.spec.final: "scores"}
    return {known.get(name, key): name for key, name in keys_of(tensors).items()}


def body_of_network(frozen: FrozenGraph, outputs: Mapping[str, str]) -> Body:
    """Return the part from prepared pixels to tensors, by the keys of these: `plan_body`'s.

    Raises:
        InputError: a tensor is not computed from images.
    """
    light, weights = plan_body(frozen.graph_def, frozen.spec, list(outputs.values()))
    inputs = {PIXELS: frozen.spec.pixel_input}
    return _as_today(Body(light, weights, inputs, outputs, frozen.allow_unsafe_graph))


def body_between(
    graph_def: Any,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    allow_unsafe_graph: bool = False,
) -> Body:
    """Return the part between any tensors, by their keys, with batch norms folded.

    Raises:
        InputError: see `cut`.
    """
    light, weights = light_copy(graph_def), large_constants(graph_def)
    ends = list(outputs.values())
    light, weights = cut(light, weights, inputs=list(inputs.values()), outputs=ends)
    keep = [node_name(name) for name in (*ends, *inputs.values())]
    light, weights = fold_batch_norms(light, weights, keep)
    return _as_today(Body(light, weights, inputs, outputs, allow_unsafe_graph))


def _as_today(body: Body) -> Body:
    """Change a body to what today's functions take.

    A placeholder with a default, as the one of a retrained graph that can be fed bottlenecks, only
    passes its default on, unless it is an input.
    """
    fed = set(map(node_name, body.inputs.values()))
    for node in body.light.node:
        node.attr.pop("_class", None)  # to be near a node that may be a variable now
        if node.op == "PlaceholderWithDefault" and node.name not in fed:
            node.CopyFrom(new_node(node.name, "Identity", node.input, T=node.attr["dtype"].type))
    body.light.versions.producer = tf.version.GRAPH_DEF_VERSION
    return body


class BodyFunction:
    """A body, to be called while TensorFlow traces a function.

    Attributes:
        body: it.
    """

    def __init__(self, module: Any, body: Body) -> None:
        """Give the large weights of a body to `module`, a `tf.Module`, as variables."""
        self._module, self.body = module, body
        # A variable takes TensorFlow some milliseconds, however small it is.
        large = {n: array for n, array in body.weights.items() if array.nbytes >= _HELD_AS_VARIABLE}
        module.weights = {n: tf.Variable(w, trainable=False, name=n) for n, w in large.items()}
        self._small = {n: array for n, array in body.weights.items() if n not in large}

    def traced(self, takes: Sequence[Any]) -> Any:
        """Return it as a `tf.function` of inputs with these TensorSpecs, in the order of the body.

        Their names are what signatures call the inputs.
        """

        def function(*given: Any) -> dict[str, Any]:
            return self.values(dict(zip(self.body.inputs, given, strict=True)))

        return tf.function(function, input_signature=list(takes), autograph=False)

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the outputs for inputs, all by their keys."""
        held = {**self._module.weights, **self._small}
        tensors = {name: tf.convert_to_tensor(value) for name, value in held.items()}
        tensors |= {node_name(name): given[key] for key, name in self.body.inputs.items()}
        names = list(self.body.outputs.values())
        found = import_light(
            self.body.light, tensors, names, allow_unsafe_graph=self.body.allow_unsafe_graph
        )
        return dict(zip(self.body.outputs, found, strict=True))
