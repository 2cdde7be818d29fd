"""Photos with bad ones among them, and what a folder of parts has, for tests of `fetch_many`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.dataset
import pyarrow.parquet

from tests.features import tiny

TENSOR = "pool/_reshape:0"


def write_photos(folder: Path, count: int) -> list[Path]:
    """Write photos in three classes, the second one of random bytes, the third one empty."""
    paths = []
    for number in range(count):
        path = folder / "abc"[number % 3] / f"{number:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo = tiny.photo(20 + number % 40, 60 - number % 30, seed=number)
        path.write_bytes(tiny.encoded(photo, "JPEG", quality=95))
        paths.append(path)
    paths[1].write_bytes(np.random.default_rng(0).bytes(500))
    paths[2].write_bytes(b"")
    return sorted(paths)


def write_list(path: Path, images: list[Path | str]) -> Path:
    path.write_text("".join(f"{image}\n" for image in images))
    return path


def parts_of(output: Path) -> list[Path]:
    return sorted(output.glob("part-*[0-9].parquet"))


def read_rows(output: Path, tensor: str = TENSOR) -> dict[str, np.ndarray]:
    """Every row of the parts, by its image; read without any code of ours."""
    table = pyarrow.dataset.dataset(list(map(str, parts_of(output)))).to_table()
    images = table["image"].to_pylist()
    assert len(set(images)) == len(images)
    values = table[tensor].combine_chunks().flatten().to_numpy()
    return dict(zip(images, values.reshape(len(images), -1), strict=True))


def read_failures(output: Path) -> dict[str, tuple[str, str]]:
    """Reason and kind of every image that failed."""
    files = sorted(output.glob("part-*.failures.parquet"))
    rows = [row for file in files for row in pyarrow.parquet.read_table(file).to_pylist()]
    assert len({row["uri"] for row in rows}) == len(rows)
    return {row["uri"]: (row["reason"], row["kind"]) for row in rows}


def bytes_of(output: Path) -> dict[str, bytes]:
    """The files of the output but for the records, which tell seconds."""
    found = [path for path in output.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in found
        if path.name != "manifest.json" and not path.name.endswith(".json")
    }


def record(output: Path, number: int) -> dict[str, object]:
    return json.loads((output / f"part-{number:05d}.json").read_text())


def same_rows(some: dict[str, np.ndarray], others: dict[str, np.ndarray]) -> bool:
    """Bit by bit."""
    return some.keys() == others.keys() and all(
        some[image].tobytes() == others[image].tobytes() for image in some
    )
