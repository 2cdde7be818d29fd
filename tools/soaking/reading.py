"""What the files of a place say: what of it counts, and which images are done."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from retrain_tools.features.checksums import read_checksums
from retrain_tools.features.row_index import npy_header, read_blocks
from retrain_tools.graphdef import schema
from soaking.subjects import MATRIX, OTHER, STORE, TEXT, Subject

_COUNTS = ("settings", "bottlenecks")  # of metrics.json: where, and how often it was begun


def content(path: Path) -> Any:
    """Return what of a file has to be the same, however often the job was begun.

    That is all of it, but for times of files in records, counts in metrics, numbers that TensorFlow
    gives to functions, and the order of checksums and of a matrix's rows.
    """
    if path.suffix == ".crc32":
        return read_checksums(path)
    if path.name.startswith("bottlenecks") and path.suffix in (".npy", ".index"):
        return matrix_rows(path.with_suffix(".index"))
    if path.name == "saved_model.pb":
        return saved_model_text(path)
    data = path.read_bytes()
    if path.suffix == ".json" and path.name.startswith(("features", "metrics")):
        try:
            told = json.loads(data)
        except ValueError:
            return data
        if isinstance(told, dict):
            told["files"] = [file[:2] for file in told.get("files", ())]
            return {name: value for name, value in told.items() if name not in _COUNTS}
    return data


def saved_model_text(path: Path) -> str:
    """Return a SavedModel as sorted lines, without the numbers that TensorFlow gives functions.

    They are numbered, and ordered by that, as a process happened to make them.
    """
    text = str(schema.SavedModel.FromString(path.read_bytes()))
    return "\n".join(sorted(re.sub(r"_\d\d+", "_N", text).splitlines()))


def matrix_rows(index: Path) -> dict[str, bytes]:
    """Return the bytes of each image's row, read without the package's own class."""
    if not index.exists():
        return {}
    depth, blocks, _ = read_blocks(index.read_bytes())
    rows: dict[str, int] = {}
    for block in blocks:
        for name, row in zip(block.names, block.rows.tolist(), strict=True):
            if row < 0:
                rows.pop(name, None)
            else:
                rows[name] = row
    if depth is None:
        return {}
    start = len(npy_header(0, depth))
    matrix = index.with_suffix(".npy")
    data = matrix.read_bytes() if matrix.exists() else b""
    places = {name: start + row * depth * 4 for name, row in rows.items()}
    return {name: data[place : place + depth * 4] for name, place in places.items()}


def images_done(subject: Subject, place: Path, reference: Path) -> tuple[frozenset[str], list[str]]:
    """Return the images that have a value in a place, and those whose value is not the right one.

    They are named by their paths below the folder of images.
    """
    there, wanted = place / subject.place_of, reference / subject.place_of
    if subject.keeps == TEXT:
        names = {
            path.relative_to(there).as_posix().removesuffix(".txt"): path
            for path in there.rglob("*.jpg.txt")
        }
        wrong = [n for n, path in names.items() if not _same_text(path, wanted / f"{n}.txt")]
        return frozenset(names) - frozenset(wrong), wrong
    if subject.keeps == MATRIX:
        rows, right = (matrix_rows(folder / "bottlenecks.index") for folder in (there, wanted))
        wrong = [name for name, row in rows.items() if row != right.get(name)]
        return frozenset(rows) - frozenset(wrong), wrong
    if subject.keeps == STORE:
        return frozenset(_rows_of_store(there)), []
    assert subject.keeps == OTHER
    return frozenset(), []


def _same_text(path: Path, other: Path) -> bool:
    return other.exists() and path.read_bytes() == other.read_bytes()


def _rows_of_store(output: Path) -> set[str]:
    """Return the images of a file of features, by its record, and of its unfinished run."""
    paths = []
    record, unfinished = Path(f"{output}.json"), Path(f"{output}.part", "sources")
    if record.exists():
        paths += [source[0] for source in json.loads(record.read_bytes())["images"]]
    if unfinished.exists():
        lines = unfinished.read_bytes().split(b"\n")[:-1]
        paths += [json.loads(line)[0] for line in lines]
    return {"/".join(Path(path).parts[-2:]) for path in paths}
