"""Small graphs of TensorFlow's messages, with ops that do what they should not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from retrain_tools.graphdef import schema

STRING, FLOAT = 7, 1


def constant(name: str, *values: bytes) -> Any:
    """A constant of strings."""
    made = schema.NodeDef(name=name, op="Const")
    made.attr["dtype"].type = STRING
    tensor = made.attr["value"].tensor
    tensor.dtype = STRING
    tensor.string_val.extend(values)
    if len(values) != 1:
        tensor.tensor_shape.dim.add().size = len(values)
    else:
        tensor.tensor_shape.SetInParent()
    return made


def node(op: str, *inputs: str, name: str = "bad", **attributes: Any) -> Any:
    """A node; attributes are bytes, lists of bytes, or names of functions."""
    made = schema.NodeDef(name=name, op=op, input=inputs)
    for key, value in attributes.items():
        if isinstance(value, bytes):
            made.attr[key].s = value
        elif isinstance(value, list):
            made.attr[key].list.s.extend(value)
        elif isinstance(value, int):
            made.attr[key].type = value
        else:
            made.attr[key].func.name = value
    return made


def graph(*nodes: Any, functions: dict[str, list[Any]] | None = None) -> Any:
    """A graph that also computes something, so that it is one."""
    made = schema.GraphDef()
    made.versions.producer = 27
    made.node.append(node("Placeholder", name="input", dtype=FLOAT))
    made.node.append(node("Identity", "input", name="result", T=FLOAT))
    made.node.extend(nodes)
    for name, body in (functions or {}).items():
        function = made.library.function.add()
        function.signature.name = name
        function.node_def.extend(body)
    return made


def write_file(name: str = "bad") -> list[Any]:
    """WriteFile with its constants."""
    place = [constant(f"{name}_file", b"/tmp/written"), constant(f"{name}_data", b"data")]
    return [*place, node("WriteFile", f"{name}_file", f"{name}_data", name=name)]


def written(message: Any, path: Path) -> Path:
    """A message in a file."""
    path.write_bytes(message.SerializeToString())
    return path


def meta_graph(graph_def: Any, change: Callable[[Any], None] = lambda _: None) -> Any:
    """A MetaGraph with a graph."""
    made = schema.MetaGraphDef(graph_def=graph_def)
    made.meta_info_def.tags.append("serve")
    made.meta_info_def.tensorflow_version = "2.12.0"
    change(made)
    return made


def saved_model(*metas: Any) -> Any:
    """A SavedModel of MetaGraphs."""
    return schema.SavedModel(saved_model_schema_version=1, meta_graphs=metas)


def init_op(name: str, form: str) -> Callable[[Any], None]:
    """Make a MetaGraph run a node when it is loaded, in one of TensorFlow's ways to say so."""

    def change(meta: Any) -> None:
        if form == "signature":
            outputs = meta.signature_def["__saved_model_init_op"].outputs
            outputs["__saved_model_init_op"].name = f"{name}:0"
        else:
            meta.collection_def[form].node_list.value.append(name)

    return change


def saver() -> list[Any]:
    """The nodes of a Saver of one variable, as TensorFlow 1 writes them."""
    return [
        node("VariableV2", name="v", dtype=FLOAT),
        constant("save/Const", b"model"),
        constant("save/names", b"v"),
        constant("save/slices", b""),
        node("SaveV2", "save/Const", "save/names", "save/slices", "v", name="save/SaveV2"),
        node("Identity", "save/Const", "^save/SaveV2", name="save/control", T=STRING),
        node("RestoreV2", "save/Const", "save/names", "save/slices", name="save/RestoreV2"),
        node("Assign", "v", "save/RestoreV2", name="save/Assign"),
        node("NoOp", "^save/Assign", name="save/restore_all"),
    ]


def named_saver(meta: Any) -> None:
    """Name the nodes of `saver` in the SaverDef."""
    meta.saver_def.filename_tensor_name = "save/Const:0"
    meta.saver_def.save_tensor_name = "save/control:0"
    meta.saver_def.restore_op_name = "save/restore_all"
