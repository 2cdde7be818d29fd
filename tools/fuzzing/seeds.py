"""The seeds: small files as TensorFlow, Keras and this package write them, an input for each."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fuzzing.inputs import Input
from fuzzing.readers_of_features import COLUMNS, IDENTITY, IMAGES
from fuzzing.readers_of_texts import DEPENDS_ON
from retrain_tools import catalog
from retrain_tools.engine import kept_plans
from retrain_tools.features import packed
from retrain_tools.features.cache import Cache
from retrain_tools.features.fetch_record import Record, write_record
from retrain_tools.features.manifest import Manifest, write_manifest
from retrain_tools.features.matrix_cache import MatrixCache
from retrain_tools.features.row_index import Block, block_bytes, checksum, npy_header
from retrain_tools.features.rows import RowFiles, Source
from retrain_tools.features.stores import Table, store_format
from retrain_tools.graphdef import schema
from retrain_tools.graphdef.build import new_node
from retrain_tools.images.folders import ImageFile

_MOST_BYTES, _MOST_TEXT = 3 << 20, 150_000  # what is larger is fuzzed too slowly

_STRANGERS = 2  # of an ending, from each folder: each seed is read at every start

Seeds = Iterator[tuple[str, Input]]
"""Names of readers, and inputs of theirs."""


def write_seeds(folder: Path, kinds: Mapping[str, Path], more: Sequence[Path] = ()) -> None:
    """Write the seeds of all readers, each into the folder of its reader's name.

    Args:
        folder: where they go.
        kinds: small files by kind, as the fixture `kinds` of the tests has them.
        more: folders of other people's files; those of a known ending are seeds as well.
    """
    scratch = folder / "scratch"
    made = [*_models(kinds), *_strangers(more), *_features(scratch), *_texts(scratch)]
    made += [(f"planted_{name}", _file("a.txt", b"abc")) for name in _PLANTED]
    for reader, seed in made:
        is_text = reader.endswith("_text")  # which takes a hundred times as long
        if sum(map(len, seed.files.values())) <= (_MOST_TEXT if is_text else _MOST_BYTES):
            seed.keep(folder / reader)


_PLANTED = ("exception", "hang", "wait", "crash", "memory", "hidden_memory", "writing", "program",
            "left_over")  # fmt: skip

_READER_OF_KIND = {
    "graph": "graph_def", "graph with variables": "graph_def", "text graph": "graph_def_text",
    "meta": "meta_graph", "saved model 1": "saved_model", "hub 1": "saved_model",
    "saved model 2": "saved_model", "hub 2": "saved_model", "keras export": "saved_model",
    "checkpoint alone": "checkpoint_v2", "checkpoint v1": "checkpoint_v1",
    "keras": "keras", "keras h5": "hdf5_model", "keras weights": "hdf5_model", "tflite": "tflite",
    "tgz": "tar", "zip": "zip", "gz": "gzip",
}  # fmt: skip
_READER_OF_ENDING = {
    ".pb": "graph_def", ".pbtxt": "graph_def_text", ".h5": "hdf5_model", ".tflite": "tflite",
    ".keras": "keras",
}  # fmt: skip


def _file(name: str, data: bytes) -> Input:
    return Input({name: data}, name)


def _models(kinds: Mapping[str, Path]) -> Seeds:
    for kind, reader in _READER_OF_KIND.items():
        if kind not in kinds:
            continue
        path = kinds[kind]
        if path.is_dir():
            yield reader, Input.of(path)
        elif reader in ("meta_graph", "checkpoint_v1", "checkpoint_v2"):
            stem = path.name.removesuffix(".meta")
            beside = [file for file in path.parent.glob(f"{stem}*") if file.is_file()]
            if reader != "meta_graph":  # alone: with its .meta it is that one's
                beside = [file for file in beside if file.suffix != ".meta"]
            files = {file.name: file.read_bytes() for file in beside}
            yield reader, Input(files, path.name)
        else:
            name = "graph.pbtxt" if reader == "graph_def_text" else path.name
            yield reader, _file(name, path.read_bytes())
    if "saved model 1" in kinds:
        yield from _as_text(kinds["saved model 1"])
    for kind in ("keras", "keras h5"):
        if kind in kinds:
            yield "keras_loaded", _file(kinds[kind].name, kinds[kind].read_bytes())


def _as_text(folder: Path) -> Seeds:
    """Write a SavedModel as text."""
    from google.protobuf import text_format

    files = dict(Input.of(folder).files)
    message = schema.SavedModel.FromString(files.pop("saved_model.pb"))
    del message.meta_graphs[1:]  # text is read a hundred times as slowly
    for graph in message.meta_graphs:
        graph.meta_info_def.ClearField("stripped_op_list")
    files["saved_model.pbtxt"] = text_format.MessageToString(message).encode()
    yield "saved_model_text", Input(files, "")


def _strangers(folders: Sequence[Path]) -> Seeds:
    for folder in folders:
        smallest: dict[str, list[Path]] = {}
        for path in sorted(folder.rglob("*"), key=lambda path: path.stat().st_size):
            if path.suffix in _READER_OF_ENDING and path.is_file():
                smallest.setdefault(path.suffix, []).append(path)
        for ending, paths in smallest.items():
            for path in paths[:_STRANGERS]:
                name = "graph.pbtxt" if ending == ".pbtxt" else path.name
                yield _READER_OF_ENDING[ending], _file(name, path.read_bytes())
        for meta in folder.rglob("*/export.meta"):  # a session bundle
            yield "meta_graph", Input.of(meta.parent, meta.name)


def _vectors(column: int) -> Any:
    shape = (len(IMAGES), *COLUMNS[column].shape)
    return np.random.default_rng(column).random(shape, np.float32)


def _features(scratch: Path) -> Seeds:
    scratch.mkdir(parents=True, exist_ok=True)
    endings = {"npz": ".npz", "npy": ".npy", "parquet": ".parquet", "hdf5_features": ".h5",
               "pickle": ".pkl"}  # fmt: skip
    for reader, ending in endings.items():
        for columns in (COLUMNS, COLUMNS[:1]):
            folder = scratch / f"{reader}{len(columns)}"
            folder.mkdir(exist_ok=True)
            path = folder / f"f{ending}"
            table = Table(IMAGES, columns, lambda c, a, b: _vectors(c)[a:b], ["a", "a", "b"])
            store_format(path).write(path, table)
            sources = [Source(image, 7, 8, "a") for image in IMAGES]
            identities = {column.name: IDENTITY for column in columns}
            write_record(path, Record(identities, list(columns), sources), "graph.pb")
            yield reader, Input.of(folder, path.name)
            if reader == "npz":
                yield "fetch_record", Input.of(folder, path.name)
    yield "npy", _file("f.npy", _npy(np.arange(6, dtype=np.int16).reshape(3, 2)))
    yield from _caches(scratch)
    part = scratch / "part"
    rows = RowFiles(part, [column.shape for column in COLUMNS])
    for row, image in enumerate(IMAGES):
        rows.append(Source(image, 7, 8, "é"), [_vectors(0)[row], _vectors(1)[row]])
    rows.close()
    yield "stopped_fetch", Input.of(part)


def _npy(array: Any) -> bytes:
    held = io.BytesIO()
    np.save(held, array)
    return held.getvalue()


def _caches(scratch: Path) -> Seeds:
    images = [ImageFile(image, image) for image in IMAGES]
    caches = {"text_cache": Cache(scratch / "text", "", 5),
              "matrix_cache": MatrixCache(scratch / "matrix", "", 5)}  # fmt: skip
    for reader, cache in caches.items():
        for image, vector in zip(images, _vectors(0), strict=True):
            cache.write(image, vector)
        manifest = Manifest(IDENTITY, 5, "graph.pb").with_computed(
            dataclasses.replace(IDENTITY, precision="bfloat16"), "other.pb", IMAGES[:1]
        )
        write_manifest(cache.folder, "", manifest)
        yield reader, Input.of(cache.folder)
    vectors = _vectors(0)
    sums = np.array([checksum(vector) for vector in vectors], np.int64)
    block = Block(list(IMAGES), np.arange(len(IMAGES)), sums, np.ones((len(IMAGES), 4), np.int64))
    index = block_bytes(5, block)
    held = npy_header(len(IMAGES), 5) + vectors.tobytes() + index
    name = packed.packed_path(Path(), "").name
    yield "packed_copy", _file(name, held + len(index).to_bytes(8, "little"))


def _texts(scratch: Path) -> Seeds:
    folder = Path(catalog.__file__).resolve().parents[1] / "graphs"
    for path in sorted(folder.rglob("*.toml"))[::4]:
        yield "catalogue", _file(path.name, path.read_bytes())
    entries = "".join(f"entry {{ target_class: {n} target_class_string: 'n0{n}' }}\n"
                      for n in range(5))  # fmt: skip
    names = "".join(f"n0{n}\tname {n}\n" for n in range(5))
    beside = "imagenet_synset_to_human_label_map.txt"
    files = {"map.pbtxt": entries.replace("'", '"').encode(), beside: names.encode()}
    yield "label_map", Input(files, "map.pbtxt")
    yield "labels", _file("labels.txt", "daisy\nrose\ntulip é\na b\nlast\n".encode())
    yield "labels", _file("labels.txt", "a\r\nb\r\nc\r\nd\r\ne".encode("utf-16"))
    yield "image_list", _file("images.txt", b"a/1.jpg\n\nb/2 3.jpg\r\n")
    yield from _plans(scratch / "plans")
    curves = {"steps": {"accuracy": [0.5], "cross_entropy": [1.0]}, "evaluations": []}
    random = np.random.default_rng(1).bit_generator.state
    record = {"part": "head", "steps": 3, "random": random, "curves": curves, "format": 1,
              "depends_on": DEPENDS_ON}  # fmt: skip
    held = io.BytesIO()
    arrays = {"record": np.frombuffer(json.dumps(record).encode(), np.uint8)}
    np.savez(held, **arrays, weights=np.ones((3, 2), np.float32), biases=np.zeros(2, np.float32))
    yield "training_checkpoint", _file("checkpoint.npz", held.getvalue())
    yield from _images()


def _plans(folder: Path) -> Seeds:
    folder.mkdir(parents=True, exist_ok=True)
    stand_in = new_node("w", "Placeholder", dtype=1, shape=(3, 2))
    light = schema.GraphDef(node=[stand_in, new_node("y", "Identity", ["w"], T=1)])
    kept_plans._write(folder / "plan.npz", light, {"w": np.ones((3, 2), np.float32)})
    known = kept_plans.Known(((2,),), (2, 4), True, 4, 4, 0.0)
    (folder / "plan.json").write_text(json.dumps(dataclasses.asdict(known)))
    yield "plan", Input.of(folder, "plan.npz")


def _images() -> Seeds:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 9, 3), np.uint8)
    image = Image.fromarray(pixels)
    kinds = {"JPEG": image, "PNG": image, "GIF": image.convert("P"), "BMP": image, "WEBP": image}
    kinds["BMP"] = image.convert("P")
    for name, one in kinds.items():
        held = io.BytesIO()
        one.save(held, name)
        yield "image", _file(f"1.{name.lower()}", held.getvalue())
    held = io.BytesIO()
    image.save(held, "GIF", save_all=True, append_images=[Image.fromarray(pixels[::-1])])
    yield "image", _file("2.gif", held.getvalue())
