"""What transforms did to a graph, and which there are, as text."""

from __future__ import annotations

from retrain_tools.features.transforming import TransformResult
from retrain_tools.features.verification import Verified
from retrain_tools.graphdef.transforms import registry
from retrain_tools.graphdef.transforms.arguments import described
from retrain_tools.text_tables import Style, aligned, counted

_WORST_SHOWN = 5  # outputs of a graph that differ


def transformed_text(made: TransformResult, tolerance: float) -> str:
    """Return how many nodes each transform left, what was written, and how far it is from before.

    Args:
        made: what was changed and written.
        tolerance: the largest difference that passes.
    """
    lines = [("", counted(made.nodes_before, "node"), "")]
    for step in made.steps:
        failure = "" if step.failure is None else f"left out: {step.failure}"
        lines.append((str(step.call), counted(step.nodes, "node"), failure))
    size = f"{made.path.stat().st_size:,} bytes"
    ends = f"{', '.join(made.inputs) or 'nothing'} in, {', '.join(made.outputs)} out"
    text = aligned(lines, Style(), heading=False) + f"{made.path} ({size}): {ends}\n"
    return text if made.verified is None else text + verified_text(made.verified, tolerance)


def verified_text(found: Verified, tolerance: float) -> str:
    """Return what a comparison of a graph with what it was came to."""
    lines = [f"left out: {name} {reason}" for name, reason in found.left_out.items()]
    on = counted(found.examples, "image" if found.on_images else "draw")
    if found.seed is not None:
        on += f" {'and' if found.on_images else 'of'} random values (seed {found.seed})"
    worst = max(found.differences, key=found.differences.__getitem__)
    passes = "within" if found.largest <= tolerance else "above"
    lines.append(
        f"Compared on {on}: largest difference {found.largest:.2g}, at {worst} (values up to "
        f"{found.largest_values[worst]:.3g}), {passes} the tolerance of {tolerance:g}"
    )
    return "".join(f"{line}\n" for line in lines)


def transforms_text() -> str:
    """Return all transforms with their arguments and what they do, and all recipes."""
    lines = ["Transforms"]
    for name in registry.transform_names():
        function = registry.transform_named(name)
        lines += [f"  {described(name, function)}", f"      {registry.help_of(function)}"]
    lines += ["", "Recipes"]
    for name, recipe in registry.RECIPES.items():
        lines += [f"  {name}: {recipe.help}", f"      {recipe.text}"]
    return "\n".join(lines) + "\n"
