"""The size of the images that a SavedModel is meant for, where its graph takes any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from retrain_tools.graphdef.shapes.call import Shape, shape_in
from retrain_tools.sources.contents import Signature
from retrain_tools.sources.hub_handles import handle_of, size_in
from retrain_tools.sources.messages import message_items

# tensorflow_hub 0.12: saved_model_lib.py and image_util.py.
_ATTACHMENTS, _IMAGE_INFO = "hub_module_attachments", b"image_module_info"


def stated_size(
    meta_graph: Any, signatures: Mapping[str, Signature], folder: Path
) -> tuple[int, int] | None:
    """Return the (height, width) that something beside the input's own shape says.

    In this order: what a TF1 Hub module attaches for it (`ImageModuleInfo`), the inputs of other
    signatures and of the traces of the saved object's functions, if all that say a size say the
    same, and the handle under which tensorflow_hub keeps the module.

    Args:
        meta_graph: a `schema.MetaGraphDef`.
        signatures: its signatures.
        folder: the SavedModel's.
    """
    if (size := _attached(meta_graph)) is not None:
        return size
    infos = [info for stated in signatures.values() for info in stated.inputs.values()]
    shapes = [info.shape for info in infos if info.dtype == "float32"]
    tree = meta_graph.object_graph_def
    for function in tree.concrete_functions.values():
        shapes += map(shape_in, _tensor_shapes(function.canonicalized_input_signature))
    sizes = {size for size in map(_image_size, shapes) if size is not None}
    if len(sizes) == 1:
        return sizes.pop()
    handle = handle_of(folder)
    return None if handle is None else size_in(handle)


def _image_size(shape: Shape | None) -> tuple[int, int] | None:
    if shape is None or len(shape) != 4 or shape[3] != 3 or not shape[1] or not shape[2]:
        return None
    return shape[1], shape[2]


def _tensor_shapes(value: Any) -> Iterator[Any]:
    """Yield the shapes of all tensors in a structured value."""
    match value.WhichOneof("kind"):
        case "tensor_spec_value":
            yield value.tensor_spec_value.shape
        case "bounded_tensor_spec_value":
            yield value.bounded_tensor_spec_value.shape
        case "tuple_value" | "list_value" as kind:
            for item in getattr(value, kind).values:
                yield from _tensor_shapes(item)
        case "dict_value":
            for item in value.dict_value.fields.values():
                yield from _tensor_shapes(item)


def _attached(meta_graph: Any) -> tuple[int, int] | None:
    """Return what a module_fn attached with `hub.attach_image_module_info`."""
    held = meta_graph.collection_def.get(_ATTACHMENTS)
    for attachment in () if held is None else held.bytes_list.value:
        fields = dict(message_items(attachment))  # 1: the key, 2: the message
        info = fields.get(2)
        if fields.get(1) == _IMAGE_INFO and isinstance(info, bytes):
            size = dict(message_items(info)).get(1)  # default_image_size: 1 height, 2 width
            sides = dict(message_items(size)) if isinstance(size, bytes) else {}
            height, width = sides.get(1), sides.get(2)
            if isinstance(height, int) and isinstance(width, int) and height and width:
                return height, width
    return None
