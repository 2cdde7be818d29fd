"""Types and shapes as people write them in the arguments of transforms."""

from __future__ import annotations

from retrain_tools.errors import InputError, did_you_mean
from retrain_tools.graphdef.dtypes import dtype_names, dtype_number
from retrain_tools.graphdef.shapes.call import Shape

# The names that types.proto and the Graph Transform Tool have for some types.
_OTHER_NAMES = {"float": "float32", "double": "float64", "half": "float16"}


def type_number(text: str) -> int:
    """Return the number of a type: `float32`, or `float` as the Graph Transform Tool has it.

    Raises:
        InputError: there is no such type.
    """
    lower = text.strip().lower().removeprefix("dt_")
    number = dtype_number(_OTHER_NAMES.get(lower, lower))
    if number is None or lower.endswith("_ref"):
        known = [*dtype_names(), *_OTHER_NAMES]
        raise InputError(
            f"No type {text!r}.{did_you_mean(lower, known)} There are: {', '.join(known)}."
        )
    return number


def shape_of_text(text: str) -> Shape:
    """Return a shape: `1,299,299,3`; -1 or ? is an unknown dimension, an empty text a scalar.

    Raises:
        InputError: it is not a list of whole numbers.
    """
    inner = text.strip().removeprefix("[").removesuffix("]").strip()
    try:
        sizes = [-1 if part.strip() == "?" else int(part) for part in inner.split(",") if inner]
    except ValueError:
        sizes = [-2]
    if any(size < -1 for size in sizes):
        raise InputError(
            f"{text!r} is not a shape: whole numbers with commas between them, and -1 for an "
            "unknown dimension, as -1,299,299,3."
        )
    return tuple(None if size == -1 else size for size in sizes)
