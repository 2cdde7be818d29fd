"""A frozen convolutional network as a functional Keras 3 model, layer by layer.

1. The part from the pixel input to the wanted tensors is taken, for batches of any size. Nodes that
   only pass values on go, arithmetic on constants is done; batch norms stay layers of their own.
2. Each node, in topological order, becomes a layer (`keras_layers`): a bias goes into the layer
   before it, a chain of scalings becomes one layer (`keras_scalings`).
3. Nodes that no layer computes are all named in one error.
4. A layer has its node's name with `_` for `/`, for which Keras allows no `/`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from retrain_tools.engine.plan import cut_body
from retrain_tools.engine.shapes import tensor_shapes
from retrain_tools.errors import InputError, argument
from retrain_tools.export.keras_layers import LAYERS, LayerMaker, sources
from retrain_tools.export.keras_nodes import Body, NoLayerError
from retrain_tools.graphdef.navigate import node_name, unique_name
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.graphdef.toposort import topological_order
from retrain_tools.sources.freezing.freeze import valid_name
from retrain_tools.sources.readers.keras_library import keras_3

_MOST_NAMED = 3  # nodes of one op in a message


@dataclasses.dataclass(frozen=True)
class KerasModel:
    """A network as Keras has it.

    Attributes:
        model: the `keras.Model`: float32 [N, h, w, channels], pixels as the graph's pixel input
            takes them, to the wanted tensors, in their order; one of them without a list.
        layers: the name of the layer that makes each tensor of the graph, by the tensor's name.
    """

    model: Any
    layers: Mapping[str, str]


def to_keras(frozen: FrozenGraph, tensors: Sequence[str]) -> KerasModel:
    """Rebuild a network from prepared pixels to tensors as a functional Keras model.

    Args:
        frozen: the graph, with its spec.
        tensors: full names of what the model gives.

    Raises:
        InputError: a tensor is not computed from images; some node has no Keras layer; or the
            Keras that is installed does not run on TensorFlow.

    Example:
        >>> import retrain_tools as rt
        >>> frozen = rt.load("graph.pb").frozen()
        >>> to_keras(frozen, ["pool_3:0"]).model.output_shape
        (None, 1, 1, 2048)
    """
    keras = keras_3(str(frozen.path))
    spec = frozen.spec
    light, weights = cut_body(frozen.graph_def, spec, tensors)
    body = Body(light, weights, tensor_shapes(light), {node_name(name) for name in tensors})
    start = node_name(spec.pixel_input)
    names = _layer_names(body.nodes)
    shape = (*spec.image_size, spec.channels)
    pixels = keras.Input(shape, name=names[start], dtype="float32")
    made, layers = {f"{start}:0": pixels}, {f"{start}:0": names[start]}
    missing: dict[str, list[str]] = {}
    done: set[str] = set()
    for name in _in_order(body, tensors, start):
        node = body.nodes[name]
        if name in done:  # with a node before it
            continue
        taken = [made[source] for source in sources(body, node) if source in made]
        try:
            if len(taken) != len(sources(body, node)):
                raise NoLayerError("takes another output than the first of a node")
            maker = LayerMaker(keras, names[name], body, node, taken)
            result = _made(maker)
            last = f"{maker.last.name}:0"
            done.update(body.chain(node, maker.last))
        except NoLayerError as error:
            missing.setdefault(node.op, []).append(f"{name} {error}".strip())
            last = f"{name}:0"
            result = _stand_in(keras, body.shapes.get(last))
            if result is None:
                break
        made[last], layers[last] = result, names[name]
    if missing:
        raise InputError(_told(missing, frozen))
    outputs = [made[tensor] for tensor in tensors]
    name = valid_name(Path(frozen.path).stem)
    model = keras.Model(pixels, outputs if len(outputs) > 1 else outputs[0], name=name)
    return KerasModel(model, layers)


def _made(maker: LayerMaker) -> Any:
    make = LAYERS.get(maker.node.op)
    if make is None or not maker.inputs:
        raise NoLayerError("")
    try:
        return make(maker)
    except ValueError as error:  # Keras's, for what a layer cannot be
        raise NoLayerError(f"is refused by Keras: {str(error).splitlines()[0]}") from error


def _in_order(body: Body, tensors: Sequence[str], start: str) -> list[str]:
    """Return the names of the nodes that layers are made of, each after its inputs."""
    wanted: dict[str, list[str]] = {start: []}
    waiting = [node_name(tensor) for tensor in tensors]
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted[name] = [node_name(source) for source in sources(body, body.nodes[name])]
            waiting.extend(wanted[name])
    return [name for name in topological_order(wanted) if name != start]


def _layer_names(nodes: Collection[str]) -> dict[str, str]:
    """Return a name for the layer of each node, every one of its own."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for node in nodes:
        names[node] = unique_name(node.replace("/", "_"), taken)
        taken.add(names[node])
    return names


def _stand_in(keras: Any, shape: Any) -> Any | None:
    """Return an input in place of a missing layer, to find the others; None for unknown ranks."""
    return keras.Input(shape[1:], dtype="float32") if shape else None


def _told(missing: Mapping[str, Sequence[str]], frozen: FrozenGraph) -> str:
    parts = []
    for op, nodes in missing.items():
        more = f" and {len(nodes) - _MOST_NAMED} more" if len(nodes) > _MOST_NAMED else ""
        parts.append(f"{op} ({', '.join(nodes[:_MOST_NAMED])}{more})")
    return (
        f"{frozen.path} cannot become a Keras model, which has no layer for {'; '.join(parts)}. "
        f"Take a tensor before them with {argument('outputs')}, or another form: saved_model."
    )
