"""Files that would do what no model has to, by name: how each is made, and what has to be found."""

from __future__ import annotations

import io
import json
import marshal
import os
import pickle
import tarfile
import zipfile
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from tests.safety.graphs import (
    constant,
    graph,
    init_op,
    meta_graph,
    named_saver,
    node,
    saved_model,
    saver,
    write_file,
    written,
)

FORBIDDEN = "posix.system" if os.name == "posix" else "nt.system"


class Hostile(NamedTuple):
    """A file: how it is made in a folder, and the rule and name of a finding in it."""

    make: Callable[[Path], Path]
    rule: str
    name: str
    severity: str = "high"


class Payload:
    """An object whose pickle would make a file when it is loaded."""

    def __reduce__(self) -> Any:
        return os.system, ("touch ran",)


def graph_file(*nodes: Any, name: str = "model.pb", **more: Any) -> Callable[[Path], Path]:
    return lambda folder: written(graph(*nodes, **more), folder / name)


def message_file(message: Any, name: str) -> Callable[[Path], Path]:
    return lambda folder: written(message, folder / name)


def bytes_file(data: bytes, name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return make


def in_functions(depth: int) -> Any:
    functions = {
        f"f{n}": [node("PartitionedCall", name="call", f=f"f{n + 1}")] for n in range(depth)
    }
    functions[f"f{depth}"] = write_file()
    return graph(node("PartitionedCall", name="call", f="f0"), functions=functions)


def hidden_graph(depth: int) -> Any:
    made = graph(*write_file())
    for _ in range(depth):
        made = graph(constant("hidden", made.SerializeToString()))
    return made


def in_attribute() -> Any:
    inner = graph(*write_file()).SerializeToString()
    return graph(node("ReduceDataset", name="data", dataset_graph=inner))


def in_listed_attribute() -> Any:
    inner = graph(*write_file()).SerializeToString()
    return graph(node("NoOp", name="data", several=[b"nothing", inner]))


def saved_model_folder(message: Any, name: str = "saved_model.pb") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / "model").mkdir()
        (folder / "model" / name).write_bytes(message.SerializeToString())
        return folder / "model"

    return make


def tar_file(name: str, inner: bytes, mode: str = "w:gz") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / "archive.tgz"
        with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
            info = tarfile.TarInfo(name)
            info.size = len(inner)
            tar.addfile(info, io.BytesIO(inner))
        return path

    return make


def tar_entry(**fields: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        with tarfile.open(folder / "archive.tar", "w") as tar:
            info = tarfile.TarInfo(fields.get("name", "entry"))
            for key, value in fields.items():
                setattr(info, key, value)
            tar.addfile(info)
        return folder / "archive.tar"

    return make


def zip_file(members: dict[str, bytes], name: str = "archive.zip") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        with zipfile.ZipFile(folder / name, "w") as archive:
            for member, data in members.items():
                archive.writestr(member, data)
        return folder / name

    return make


def polyglot(folder: Path) -> Path:
    """A harmless graph, with a zip archive behind it that TensorFlow does not see."""
    inner = zip_file({"data.pkl": pickle.dumps(Payload())})(folder).read_bytes()
    harmless = graph(constant("text", b"a")).SerializeToString()
    # As a last field, which no version of TensorFlow knows.
    (folder / "both.pb").write_bytes(harmless + field(15, inner))
    return folder / "both.pb"


def keras_file(*layers: Any, version: str = "3.15.1") -> Callable[[Path], Path]:
    config = json.dumps({"module": "keras", "class_name": "Sequential", "config": {
        "name": "model", "layers": list(layers)}, "registered_name": None}).encode()  # fmt: skip
    metadata = json.dumps({"keras_version": version}).encode()
    return zip_file({"config.json": config, "metadata.json": metadata}, "model.keras")


def hdf5_file(*layers: Any, key: str = "model_config") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        with h5py.File(folder / "model.h5", "w") as file:
            file.attrs["keras_version"] = "2.12.0"
            config = {"class_name": "Sequential", "config": {"name": "m", "layers": list(layers)}}
            file.attrs[key] = json.dumps(config)
        return folder / "model.h5"

    return make


def layer(kind: str, module: str | None = "keras.layers", **more: Any) -> dict[str, Any]:
    return {"module": module, "class_name": kind, "config": {"name": "hidden"}, **more}


def lambda_layer(**more: Any) -> dict[str, Any]:
    code = compile("lambda x: x", "it", "eval").co_consts[0]
    made = layer("Lambda", registered_name=None, **more)
    made["config"]["function"] = [b64encode(marshal.dumps(code)).decode(), None, None]
    return made


def hdf5_behind(folder: Path) -> Path:
    """An HDF5 file that begins behind 4096 other bytes, as the format allows."""
    with h5py.File(folder / "model.h5", "w", userblock_size=4096) as file:
        file.attrs["model_config"] = json.dumps({**lambda_layer(), "module": None})
    with (folder / "model.h5").open("r+b") as opened:
        opened.write(b"nothing of interest\n")
    return folder / "model.h5"


def hdf5_link(folder: Path) -> Path:
    with h5py.File(folder / "weights.h5", "w") as file:
        file["layer"] = h5py.ExternalLink("/etc/other.h5", "/data")
    return folder / "weights.h5"


def hdf5_external(folder: Path) -> Path:
    with h5py.File(folder / "weights.h5", "w") as file:
        file.create_dataset("w", (4,), "u1", external=[("/etc/hostname", 0, 4)])
    return folder / "weights.h5"


def npy_file(folder: Path) -> Path:
    np.save(folder / "a.npy", np.array([Payload(), 1], object), allow_pickle=True)
    return folder / "a.npy"


def npz_file(folder: Path) -> Path:
    np.savez(folder / "a.npz", good=np.zeros(3), bad=np.array([Payload()], object))
    return folder / "a.npz"


def npy_header(described: str) -> Callable[[Path], Path]:
    """A `.npy` file of a dtype, with a pickle for its values."""
    header = f"{{'descr': {described}, 'fortran_order': False, 'shape': (1,), }}\n".encode()
    start = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
    return bytes_file(start + header + pickle.dumps(Payload()), "a.npy")


def npy_of_objects(folder: Path) -> Path:
    np.save(folder / "a.npy", np.array(["text", 1], object), allow_pickle=True)
    return folder / "a.npy"


def keras_metadata(folder: Path) -> Path:
    """A SavedModel of tf.keras, whose Lambda layer is described beside the graph."""
    path = saved_model_folder(saved_model(meta_graph(graph())))(folder)
    text = json.dumps(
        {"class_name": "Lambda", "name": "hidden", "config": lambda_layer()["config"]}
    )
    saved = field(2, b"root.layer-1") + field(3, b"_tf_keras_layer") + field(4, text.encode())
    (path / "keras_metadata.pb").write_bytes(field(1, saved))
    return path


def field(number: int, data: bytes) -> bytes:
    size, length = b"", len(data)
    while length > 127:
        size, length = size + bytes([length & 127 | 128]), length >> 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + data


def saver_behind(form: str) -> Any:
    """A Saver whose SaveV2 runs on loading as well."""
    nodes = [*saver(), node("NoOp", "^save/SaveV2", name="init")]

    def change(meta: Any) -> None:
        named_saver(meta)
        init_op("init", form)(meta)

    return saved_model(meta_graph(graph(*nodes), change))


def bad_asset(meta: Any) -> None:
    meta.asset_file_def.add(filename="../../etc/passwd").tensor_info.name = "asset:0"


def function_on_loading() -> Any:
    functions = {"load": [*write_file()]}
    called = graph(node("StatefulPartitionedCall", name="init", f="load"), functions=functions)
    return saved_model(meta_graph(called, init_op("init", "signature")))


def collection(meta: Any) -> None:
    hidden = graph(*write_file()).SerializeToString()
    meta.collection_def["more"].bytes_list.value.append(hidden)
