"""Keras models in one file, `.keras` and `.h5`: listed without Keras, frozen with it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from retrain_tools.errors import InputError
from retrain_tools.sources.contents import Frozen
from retrain_tools.sources.freezing.scaling_notes import attach_keras_note
from retrain_tools.sources.freezing.traced import traced_model
from retrain_tools.sources.inside.described import described_model
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
        describe=lambda: (described_model(config, variables, is_zip=True),),
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
        model = functools.partial(
            model, describe=lambda: (described_model(config, variables, is_zip=False),)
        )
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
        traced = traced_model(model, where)
    frozen, signature = traced.freeze(where), traced.signature
    source = f"Keras model {model.name} of {place.named.name}"
    attach_keras_note(frozen, signature, source, has_scaling_layer(config, where))
    return frozen
