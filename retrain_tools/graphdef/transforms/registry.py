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
    "backport_concatv2": "backport_concatv2:backport_concatv2",
    "batchable": "batchable:batchable",
    "cut": "cut:cut",
    "flatten_atrous_conv": "flatten_atrous_conv:flatten_atrous_conv",
    "fold_batch_norms": "fold_batch_norms:fold_batch_norms",
    "fold_constants": "fold_constants:fold_constants",
    "fold_old_batch_norms": "fold_batch_norms:fold_old_batch_norms",
    "insert_logging": "insert_logging:insert_logging",
    "legacy": "legacy:legacy",
    "merge_duplicate_nodes": "merge_duplicate_nodes:merge_duplicate_nodes",
    "merge_sibling_convolutions": "merge_sibling_convolutions:merge_sibling_convolutions",
    "modernize": "modernize:modernize",
    "obfuscate_names": "renaming:obfuscate_names",
    "quantize_weights": "quantize_weights:quantize_weights",
    "remove_attribute": "node_attributes:remove_attribute",
    "remove_control_dependencies": "control_dependencies:remove_control_dependencies",
    "remove_device": "devices:remove_device",
    "remove_nodes": "remove_nodes:remove_nodes",
    "rename_attribute": "node_attributes:rename_attribute",
    "rename_node": "renaming:rename_node",
    "rename_op": "rename_op:rename_op",
    "round_weights": "round_weights:round_weights",
    "set_device": "devices:set_device",
    "sort_by_execution_order": "sort_by_execution_order:sort_by_execution_order",
    "sparsify_gather": "sparsify_gather:sparsify_gather",
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


# The way from the inputs to the outputs.
_PASSED = (
    "strip_unused_nodes remove_nodes(op=Identity, op=CheckNumerics, op=StopGradient) "
    "fold_constants(ignore_errors=true)"
)
_FOLDED = f"{_PASSED} fold_batch_norms merge_duplicate_nodes"
RECIPES = {
    "deploy": Recipe(
        f"{_PASSED} fold_batch_norms merge_sibling_convolutions merge_duplicate_nodes",
        "what computes the outputs, and nothing else, in as few nodes as it takes",
    ),
    "serve": Recipe(
        f"{_FOLDED} batchable(ignore_errors=true) modernize remove_device sort_by_execution_order",
        "for a server of today: any batch, no deprecated ops, no devices, batch norms folded",
    ),
    # Batch norms stay, but for those of 2015: folded, they stretch the range of a kernel's values,
    # which 8 bits cut into steps. Scores of MobileNet v1 0.25 move by up to 0.65 then, not 0.2.
    "mobile": Recipe(
        f"{_PASSED} fold_old_batch_norms merge_duplicate_nodes remove_device quantize_weights "
        "obfuscate_names",
        "for a phone, a quarter of the size: weights of 8 bits, which change values; short names",
    ),
    "train": Recipe(
        "strip_unused_nodes remove_nodes(op=CheckNumerics) "
        "batchable(ignore_errors=true) modernize remove_device",
        "to be trained further: batch norms stay, as ops that have gradients today",
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
