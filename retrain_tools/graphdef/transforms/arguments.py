"""Turns the arguments of a transform, as a user wrote them, into those of its function."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from retrain_tools.errors import InputError, did_you_mean
from retrain_tools.graphdef.transforms.parse import Call
from retrain_tools.text_tables import counted

IGNORE_ERRORS = "ignore_errors"
"""The argument that all transforms take: one that fails changes nothing then."""

_TENSORS = ("inputs", "outputs")  # the graph's own, where a transform takes them and none are given
_FIRST = ("light", "weights", "keep")
_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_KINDS = {int: "a whole number", float: "a number", bool: "true or false"}


def ignores_errors(call: Call) -> bool:
    """Tell whether the graph stays as it is if this transform fails.

    Raises:
        InputError: `ignore_errors` is neither true nor false.
    """
    values = [value for key, value in call.arguments if key == IGNORE_ERRORS]
    return bool(values) and _converted(call, IGNORE_ERRORS, bool, values)


def bound(
    call: Call, function: Callable[..., Any], inputs: Sequence[str], outputs: Sequence[str]
) -> dict[str, Any]:
    """Return the keyword arguments with which a transform's function is to be called.

    Args:
        call: what the user wrote.
        function: the transform.
        inputs: the graph's, for a transform that takes them and is not given others.
        outputs: the same.

    Raises:
        InputError: there is no such argument, one is missing or given twice, or a value is of
            another kind.
    """
    kinds, said = _kinds(function), dict[str, list[str]]()
    for key, value in call.arguments:
        if key not in kinds and key != IGNORE_ERRORS:
            takes = f"takes {', '.join([*kinds, IGNORE_ERRORS])}"
            raise InputError(
                f"{call.name} has no argument {key!r}.{did_you_mean(key, kinds)} It {takes}."
            )
        said.setdefault(key, []).append(value)
    said.pop(IGNORE_ERRORS, None)
    keywords = {key: _converted(call, key, kinds[key], values) for key, values in said.items()}
    for key, given in zip(_TENSORS, (inputs, outputs), strict=True):
        if key in kinds and key not in keywords:
            keywords[key] = tuple(given)
    parameters = inspect.signature(function).parameters
    for key in kinds:
        if key not in keywords and parameters[key].default is inspect.Parameter.empty:
            raise InputError(f"{call.name} needs the argument {key}: {call.name}({key}=VALUE)")
    return keywords


def described(name: str, function: Callable[..., Any]) -> str:
    """Return how a transform is called, with what its arguments are where they are not given."""
    parameters = inspect.signature(function).parameters
    texts = []
    for key, kind in _kinds(function).items():
        default = parameters[key].default
        if key in _TENSORS:
            texts.append(f"{key}=--{key}")
        elif kind is tuple:
            texts.append(f"{key}=…[, {key}=…]")
        elif default is inspect.Parameter.empty or default is None:
            texts.append(f"{key}=…")
        else:
            texts.append(f"{key}={_shown(default)}")
    return f"{name}({', '.join(texts)})" if texts else name


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return str(default) or '""'


def _kinds(function: Callable[..., Any]) -> Mapping[str, type]:
    """Return the arguments of a transform, and what each is: int, float, str, bool, or tuple."""
    hints = typing.get_type_hints(function)
    names = [name for name in inspect.signature(function).parameters if name not in _FIRST]
    return {name: _kind(hints[name]) for name in names}


def _kind(hint: Any) -> type:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        [hint] = [option for option in typing.get_args(hint) if option is not types.NoneType]
    kind: type = tuple if typing.get_origin(hint) is Sequence else hint
    return kind


def _converted(call: Call, key: str, kind: type, values: Sequence[str]) -> Any:
    if kind is tuple:
        # Names of tensors hold no comma, and the flags of this name are such lists.
        split = [part.strip() for value in values for part in value.split(",")]
        return tuple(split if key in _TENSORS else values)
    if len(values) > 1:
        raise InputError(
            f"{call.name} takes {key} once, and it is given {counted(len(values), 'time')}: "
            f"{', '.join(values)}."
        )
    [value] = values
    try:
        return _TRUTH[value.lower()] if kind is bool else kind(value)
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{call.name}({key}={value}): {key} takes {_KINDS[kind]}, not {value!r}."
        ) from error
