"""What has to be fed beside images: finding it, and folding values for it into the graph."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from retrain_tools.errors import InputError, argument, did_you_mean
from retrain_tools.graphdef.dtypes import dtype_number, dtype_of, numpy_dtype
from retrain_tools.graphdef.navigate import (
    check_tensor,
    copy_nodes,
    node_name,
    nodes_by_name,
    upstream,
)
from retrain_tools.graphdef.op_sets import PLACEHOLDERS
from retrain_tools.graphdef.purposes import feed_flags, purpose
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.graphdef.tensors import Tensor, list_tensors, shape_text
from retrain_tools.graphdef.view import view_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_HAVE_TO_BE_FED = ("Placeholder", "PlaceholderV2")


def unfed(nodes: dict[str, Any], tensors: Iterable[str], fed: Collection[str]) -> list[str]:
    """Return the placeholders that tensors need beside those that are fed, by full name.

    Args:
        nodes: the graph's nodes by name.
        tensors: what is fetched.
        fed: the names of the nodes that are fed; a way through one of them needs nothing more.
    """
    above = upstream(nodes, tensors, stop=fed)
    needed = (n for n in nodes if n in above and n not in fed)
    return [f"{name}:0" for name in needed if nodes[name].op in _HAVE_TO_BE_FED]


def check_fed(frozen: FrozenGraph, tensors: Sequence[str]) -> None:
    """Raise InputError where tensors cannot be had from images alone; they are full names."""
    nodes, spec = nodes_by_name(frozen.graph_def), frozen.spec
    pixels = node_name(spec.pixel_input)
    missing = unfed(nodes, tensors, {pixels})
    if spec.encoded_input is not None:
        missing += unfed(nodes, [pixels], {node_name(spec.encoded_input)})
    if not missing:
        return
    view = view_of(frozen.graph_def)
    names = " and ".join(map(repr, missing))
    texts = [purpose(view, nodes, name).text for name in missing]
    told = f" ({'; '.join(filter(None, texts))})" if any(texts) else ""
    flags = " ".join(f"{argument('feed')}={flag}" for flag in feed_flags(view, nodes, missing))
    raise InputError(
        f"{', '.join(map(repr, tensors))} of {frozen.path} needs {names}{told} beside images; give "
        f"{'it' if len(missing) == 1 else 'them'} with {flags}, or choose a tensor that is "
        "computed from images alone."
    )


def fold_feeds(graph_def: Any, feeds: Mapping[str, Any], where: str) -> Any:
    """Return a copy of a graph in which values stand for placeholders, as constants.

    Args:
        graph_def: the graph.
        feeds: numbers, truth values or lists of them by the names of placeholders.
        where: its file, for error messages.

    Raises:
        InputError: there is no such placeholder, or it does not take that value.
    """
    from retrain_tools.graphdef.build import new_constant  # with NumPy

    nodes, values = nodes_by_name(graph_def), {}
    for name, value in check_feeds(graph_def, feeds, where).items():
        op = nodes[node_name(name)].op
        if op not in PLACEHOLDERS:
            known = [f"{node.name}:0" for node in graph_def.node if node.op in PLACEHOLDERS]
            raise InputError(
                f"{name!r} of {where} is computed by a {op}, and no placeholder, of which it has: "
                f"{', '.join(known) or 'none'}.{did_you_mean(name, known)}"
            )
        values[node_name(name)] = value
    result = copy_nodes(graph_def, lambda _: True)
    for node in result.node:
        if node.name in values:
            node.CopyFrom(new_constant(node.name, values[node.name]))
    return result


def check_feeds(
    graph_def: Any, feeds: Mapping[str, Any], where: str
) -> dict[str, npt.NDArray[Any]]:
    """Return the values to feed as arrays of their tensors' types, by full tensor name.

    Raises:
        InputError: there is no such tensor, or it does not take that value.
    """
    view = view_of(graph_def)
    nodes = nodes_by_name(view)
    tensors = {tensor.name: tensor for tensor in list_tensors(view)}
    names = {name: check_tensor(name, nodes, where) for name in feeds}
    if unknown := [name for name in names.values() if name not in tensors]:
        raise InputError(f"No tensor {unknown[0]!r} in {where}.{did_you_mean(unknown[0], tensors)}")
    return {full: _checked(tensors[full], feeds[name], where) for name, full in names.items()}


def _checked(tensor: Tensor, value: Any, where: str) -> npt.NDArray[Any]:
    """Return a value as an array that can be fed to a tensor."""
    import numpy as np

    shape = tensor.shape
    sized = "" if shape is None else f" {tensor.shape_text}"
    takes = f"{tensor.name!r} of {where} takes {tensor.dtype}{sized}"
    kind = dtype_of(dtype_number(tensor.dtype) or 0)
    dtype = None if kind is None else numpy_dtype(kind)
    if dtype is None:
        raise InputError(f"{takes}, for which no value can be given.")
    try:
        given = np.asarray(value)
    except ValueError as error:
        raise InputError(f"{takes}, and not lists of different lengths.") from error
    if not _can_be(given, dtype):
        raise InputError(f"{takes}, and not {given.dtype} {_short(given)}.")
    if shape is not None:
        pairs = zip(shape, given.shape, strict=False)
        if len(shape) != given.ndim or any(size not in (None, other) for size, other in pairs):
            raise InputError(f"{takes}, and not what has the shape {shape_text(given.shape)}.")
    return given.astype(dtype)


def _can_be(given: npt.NDArray[Any], dtype: np.dtype[Any]) -> bool:
    """Tell whether values can become a type: text only text, numbers without loss of a fraction."""
    is_text = given.dtype.kind in "USO"
    if is_text or dtype.kind == "O":
        return is_text and dtype.kind == "O"
    if given.dtype.kind in "fc" and dtype.kind in "iub":
        return bool((given == given.astype(dtype)).all())
    return True


def _short(given: npt.NDArray[Any]) -> str:
    return str(given.item()) if given.size == 1 else shape_text(given.shape)
