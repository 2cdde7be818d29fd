"""Keras models in one file, `.keras` and `.h5`: listed without Keras, frozen with it."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from retrain_tools.graphdef.dtypes import dtype_number
from retrain_tools.graphdef.navigate import node_name
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.sources.contents import Frozen, Signature, TensorInfo
from retrain_tools.sources.freezing.freeze import freeze_signature, valid_name
from retrain_tools.sources.freezing.scaling_notes import attach_keras_note
from retrain_tools.sources.kinds import Kind, Place
from retrain_tools.sources.model import Model
from retrain_tools.sources.readers.hdf5 import list_arrays, read_array, text_of
from retrain_tools.sources.readers.keras_config import (
    has_scaling_layer,
    model_details,
    parse_config,
)
from retrain_tools.sources.readers.keras_library import generation_of, keras_errors, load_model
from retrain_tools.sources.readers.keras_safety import refuse_foreign_code
from retrain_tools.sources.readers.keras_weights_file import read_weights
from retrain_tools.sources.readers.keras_weights_text import use_command, weights_details
from retrain_tools.sources.readers.keras_zip import unzipped
from retrain_tools.sources.readers.theano import turn_kernels, what_differs

_WEIGHTS_ONLY = (
    "it has weights but does not say what is computed with them; load them into the model with "
    "Keras, save that as .keras, and pass it."
)
_OF_A_NETWORK = (
    "it has weights but does not say what is computed with them; they fit {network}, which uses "
    "them: {command}"
)
_KERAS_1 = (
    "the layers of Keras 1 have other arguments, and often kernels in another order, than those of "
    "any Keras that runs on this TensorFlow; load it with Keras 2.2 (pip install 'keras==2.2.5' "
    "'tensorflow<2' 'h5py<3' in Python 3.7), which translates it, save it again, and pass that."
)
_OF_KERAS_1 = ("ordering", "top", "fits", "to use it")
_THEANO = (
    "it ran on Theano, and {differs}; run it with Keras 2.2 on Theano (pip install 'keras==2.2.5' "
    "'theano==1.0.5' 'h5py<3' in Python 3.7)."
)


def open_keras(place: Place) -> Model:
    """Open a `.keras` file: its layers, and the arrays of its weights. Keras is not started.

    Raises:
        InputError: it is damaged, or is no Keras model.
    """
    where = str(place)
    with unzipped(place) as (config_text, metadata, files):
        config = parse_config(config_text, where)
        variables = [v for file in files for v in list_arrays(file, where)[0]]
    version = str(metadata["keras_version"])  # what tells the kind of file
    return Model(
        path=place.named,
        kind=Kind.KERAS,
        description="Keras model (.keras)",
        variables=variables,
        details={"written by Keras": version, **model_details(config)},
        reader=_Weights(place),
        freezer=lambda _: _freeze(place, config, ".keras", version),
    )


class _Weights:
    """Reads the arrays of a `.keras` file; it is unpacked for the first and kept for the rest."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._stack = contextlib.ExitStack()

    def __call__(self, name: str) -> npt.NDArray[Any]:
        return read_array(self._holders[name], name, str(self._place))

    def __del__(self) -> None:
        self._stack.close()

    @functools.cached_property
    def _holders(self) -> dict[str, Path]:
        _, _, files = self._stack.enter_context(unzipped(self._place))
        where = str(self._place)
        return {v.name: file for file in files for v in list_arrays(file, where)[0]}


def open_hdf5(place: Place) -> Model:
    """Open a Keras HDF5 file: a whole model, or weights only. Keras is not started.

    Raises:
        InputError: it is damaged, or Keras did not write it.
    """
    path, where = place.path, str(place)
    variables, attributes = list_arrays(path, where)
    version = text_of(attributes["keras_version"]) if "keras_version" in attributes else None
    details = {} if version is None else {"written by Keras": version}
    model = functools.partial(
        Model,
        path=place.named,
        kind=Kind.HDF5,
        variables=variables,
        reader=lambda name: read_array(path, name, where),
    )
    if "model_config" in attributes:
        config = parse_config(text_of(attributes["model_config"]), where)
        details |= model_details(config)
        if generation_of(version, config, where) == 1:
            weights = read_weights(place)
            details |= {k: v for k, v in weights_details(weights).items() if k in _OF_KERAS_1}
            description, command = "Keras 1 model (HDF5)", use_command(weights)
            more = f" Its weights can be used as they are: {command}" if command else ""
            return model(description=description, details=details, why_not_frozen=_KERAS_1 + more)
        model = functools.partial(model, description="Keras model (HDF5)", details=details)
        ran_on_theano = text_of(attributes.get("backend")) == "theano"
        if ran_on_theano and (differs := what_differs(config, where)) is not None:
            return model(why_not_frozen=_THEANO.format(differs=differs))
        return model(freezer=lambda _: _freeze(place, config, ".h5", version, ran_on_theano))
    weights = read_weights(place)
    command = use_command(weights)
    why = _OF_A_NETWORK.format(network=weights.fits[0], command=command) if command else None
    return model(
        description="Keras weights (HDF5)",
        details=weights_details(weights),
        why_not_frozen=why or _WEIGHTS_ONLY,
    )


def _freeze(
    place: Place,
    config: Mapping[str, Any],
    suffix: str,
    version: str | None,
    ran_on_theano: bool = False,
) -> Frozen:
    where = str(place)
    generation = generation_of(version, config, where)
    refuse_foreign_code(config, where, generation)
    model = load_model(place, suffix, generation, version or "2")
    if not getattr(model, "inputs", None):
        raise InputError(
            f"{place} does not say what its model takes; call the model once with Keras, and save "
            "it again."
        )
    if ran_on_theano:
        turn_kernels(model)
    with keras_errors(f"{place} cannot be run for its graph"):
        graph_def, signature, values, handles = _traced(model, where)
    frozen = freeze_signature(graph_def, signature, values.__getitem__, where, handles)
    source = f"Keras model {model.name} of {place.named.name}"
    attach_keras_note(frozen, signature, source, has_scaling_layer(config, where))
    return frozen


def _traced(
    model: Any, where: str
) -> tuple[Any, Signature, dict[str, npt.NDArray[Any]], dict[str, int]]:
    """Return a model's graph for inference, its signature, and its variables' values and dtypes.

    Variables, which the graph captured as placeholders, get the names that Keras has for them.
    """
    many = len(model.inputs) > 1

    def infer(*tensors: Any) -> Any:
        return model(list(tensors) if many else tensors[0], training=False)

    specs = [tf.TensorSpec(t.shape, t.dtype, name=node_name(t.name)) for t in model.inputs]
    traced = tf.function(infer, autograph=False).get_concrete_function(*specs)
    graph_def = schema.GraphDef.FromString(traced.graph.as_graph_def().SerializeToString())
    named = dict(map(_handle_and_name, model.variables))
    names: dict[str, str] = {}
    values: dict[str, npt.NDArray[Any]] = {}
    handles: dict[str, int] = {}
    taken = {node.name for node in graph_def.node}
    variables = {id(v.handle): v for v in traced.graph.variables}
    for outside, inside in traced.graph.captures:
        variable = variables.get(id(outside))
        if variable is None and outside.dtype == tf.resource:
            raise InputError(
                f"{where} cannot be frozen: it needs a lookup table ({inside.op.name}), which a "
                "frozen graph cannot hold; save the part of the model after it, and pass that."
            )
        path = valid_name(named.get(id(outside), inside.op.name))
        name = path if path not in taken else inside.op.name
        names[inside.op.name] = name
        taken.add(name)
        values[name] = np.asarray((outside if variable is None else variable).numpy())
        handles[name] = dtype_number(values[name].dtype.name) or 0
    for node in graph_def.node:
        node.name = names.get(node.name, node.name)
        for index, source in enumerate(node.input):
            producer, colon, output = source.partition(":")
            node.input[index] = f"{names.get(producer, producer)}{colon}{output}"
    results = tf.nest.flatten(traced.structured_outputs)
    keys = _distinct(list(getattr(model, "output_names", None) or []))
    if len(keys) != len(results):
        keys = [f"output_{number}" for number in range(len(results))]
    fed = traced.inputs[: len(specs)]
    signature = Signature(
        {node_name(t.name): _info(t) for t in fed},
        {key: _info(t) for key, t in zip(keys, results, strict=True)},
    )
    return graph_def, signature, values, handles


def _handle_and_name(variable: Any) -> tuple[int, str]:
    """Return what tells a variable of either generation of Keras apart, and Keras's name for it."""
    if hasattr(variable, "path"):
        return id(variable.value.handle), variable.path
    return id(variable.handle), node_name(variable.name)


def _distinct(names: Sequence[str]) -> list[str]:
    """Return names with numbers where Keras 3 has one for several outputs of a layer."""
    made: dict[str, None] = {}
    for name in names:
        numbered = (f"{name}_{number}" for number in itertools.count(1))
        made[next(n for n in itertools.chain([name], numbered) if n not in made)] = None
    return list(made)


def _info(tensor: Any) -> TensorInfo:
    shape = None if tensor.shape.rank is None else tuple(tensor.shape.as_list())
    return TensorInfo(tensor.name, tensor.dtype.name, shape)
