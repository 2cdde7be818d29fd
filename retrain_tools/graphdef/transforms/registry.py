"""The transforms by their names, those of TensorFlow 1's Graph Transform Tool first, and recipes.

Each line says where a transform lives; its module is imported when it is asked for. What a function
takes and does is told by itself: its arguments are keywords with annotations (`int`, `float`,
`str`, `bool`, `Sequence[str]`, or one of them or None), its first sentence is its help.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Callable
from typing import Any

from retrain_tools.errors import InputError, argument, did_you_mean
from retrain_tools.graphdef.transforms.parse import Call, parse_transforms

_PACKAGE = "retrain_tools.graphdef.transforms"

_PLACES = {
    "add_default_attributes": "node_attributes:add_default_attributes",
    "fold_batch_norms": "fold_batch_norms:fold_batch_norms",
    "fold_constants": "fold_constants:fold_constants",
    "insert_logging": "insert_logging:insert_logging",
    "merge_duplicate_nodes": "merge_duplicate_nodes:merge_duplicate_nodes",
    "obfuscate_names": "renaming:obfuscate_names",
    "remove_attribute": "node_attributes:remove_attribute",
    "remove_control_dependencies": "control_dependencies:remove_control_dependencies",
    "remove_device": "devices:remove_device",
    "remove_nodes": "remove_nodes:remove_nodes",
    "rename_attribute": "node_attributes:rename_attribute",
    "rename_node": "renaming:rename_node",
    "rename_op": "rename_op:rename_op",
    "set_device": "devices:set_device",
    "sort_by_execution_order": "sort_by_execution_order:sort_by_execution_order",
    "strip_unused_nodes": "strip_unused_nodes:strip_unused_nodes",
}
"""For each transform its module in this folder, and its function there."""

_OLD_SPELLINGS = {"obsfucate_names": "obfuscate_names"}  # the Graph Transform Tool's README


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A named list of transforms.

    Attributes:
        text: the list, as --transforms takes it.
        help: what it is for.
    """

    text: str
    help: str


RECIPES = {
    "deploy": Recipe(
        "strip_unused_nodes fold_constants(ignore_errors=true) fold_batch_norms",
        "what only computes the outputs, batch norms folded into the layers before",
    ),
}


def transform_names() -> list[str]:
    """Return the names of all transforms, sorted."""
    return sorted(_PLACES)


def transform_named(name: str) -> Callable[..., Any]:
    """Return the function of the transform with this name.

    Raises:
        InputError: there is none.
    """
    name = _OLD_SPELLINGS.get(name, name)
    if name not in _PLACES:
        raise InputError(
            f"No transform {name!r}.{did_you_mean(name, _PLACES)} "
            f"There are: {', '.join(transform_names())}."
        )
    module, _, function = _PLACES[name].partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(f"{_PACKAGE}.{module}"), function)
    return found


def recipe_named(name: str) -> Recipe:
    """Return the recipe with this name.

    Raises:
        InputError: there is none.
    """
    if name not in RECIPES:
        raise InputError(
            f"No recipe {name!r}.{did_you_mean(name, RECIPES)} There are: {', '.join(RECIPES)}."
        )
    return RECIPES[name]


def named_calls(recipe: str | None, transforms: str | None) -> list[Call]:
    """Return the transforms of a recipe, then those of a text; see `parse_transforms`.

    Raises:
        InputError: neither is given, or one cannot be read.
    """
    if recipe is None and transforms is None:
        raise InputError(
            f"Say what to do, with {argument('transforms')} or {argument('recipe')}; the script's "
            "--list lists both."
        )
    texts = [] if recipe is None else [recipe_named(recipe).text]
    texts += [] if transforms is None else [transforms]
    return [call for text in texts for call in parse_transforms(text)]


def help_of(function: Callable[..., Any]) -> str:
    """Return the first sentence of a transform's docstring, in one line."""
    paragraph = (inspect.getdoc(function) or "").partition("\n\n")[0]
    return " ".join(paragraph.split()).partition(";")[0].removesuffix(".")
