"""What the jobs work on: a small graph, drawn photos, two that are broken, a checkpoint of slim.

All is made once in the work folder.
"""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from benchmarks.subjects import drawn_variable

from retrain_tools.graphdef.save import write_graph
from retrain_tools.slim.networks import plan_network
from retrain_tools.standin.inception_2015 import make_reference_graph
from retrain_tools.standin.photos import CLASSES, draw_photos
from soaking.processes import environment

_WIDTH = 0.1  # of the stand-in for the graph of 2015: 1.8 MB, of which a plan is kept
_PER_CLASS = 4
_CLASSES = 3
_MOBILENET, _MOBILENET_WIDTH = "mobilenet_v1", 0.25

GRAPH, PHOTOS, CHECKPOINT, ARCHIVE = "graph.pb", "photos", "slim/model.ckpt", "graph.tar.gz"
RETRAINED, CACHE, FEATURES = "retrained/output_graph.pb", "cache", "features/features.npz"


def make(folder: Path, names: Iterable[str]) -> None:
    """Make what is missing of `names`, and what it is made of; each is there whole, or not."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        part, wanted = folder / Path(name).parts[0], PARTS[name]
        if part.exists():
            continue
        make(folder, wanted.of)
        scratch = folder / "making" / name
        shutil.rmtree(folder / "making", ignore_errors=True)
        scratch.parent.mkdir(parents=True)
        wanted.make(folder, scratch)
        (folder / "making" / part.name).rename(part)
        shutil.rmtree(folder / "making")


def _graph(_: Path, path: Path) -> None:
    write_graph(str(path), make_reference_graph(_WIDTH))


def _draw(_: Path, path: Path) -> None:
    photos = draw_photos(path, _PER_CLASS, classes=CLASSES[:_CLASSES])
    photos[0].with_name("cut.jpg").write_bytes(photos[0].read_bytes()[:300])
    photos[-1].with_name("text.jpg").write_text("no image")


def _archive(folder: Path, path: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder / GRAPH, GRAPH)


def _cache(folder: Path, path: Path) -> None:
    _run("bottlenecks", *_given(folder), f"--bottleneck_dir={path}")


def _features(folder: Path, path: Path) -> None:
    _run("fetch_tensors", *_given(folder), f"--output={path}")


def _retrained(folder: Path, path: Path) -> None:
    _run(
        "retrain",
        *_given(folder),
        f"--bottleneck_dir={folder / CACHE}",
        f"--output_dir={path.parent}",
        "--how_many_training_steps=60",
        "--testing_percentage=20",
        "--validation_percentage=20",
        "--split_key=basename",
    )


def _given(folder: Path) -> list[str]:
    return [f"--graph={folder / GRAPH}", f"--image_dir={folder / PHOTOS}"]


def images(folder: Path) -> list[str]:
    """Return the paths of all photos, below their folder."""
    return sorted(path.relative_to(folder / PHOTOS).as_posix() for path in _photos(folder))


def _photos(folder: Path) -> list[Path]:
    return list((folder / PHOTOS).rglob("*.jpg"))


def catalogue_entry(url: str, archive: Path) -> str:
    """Return a catalogue's entry for the graph, to be downloaded in its archive."""
    return f"""
description = "The soak's"

[archive]
url = "{url}"
name = "{archive.name}"
bytes = {archive.stat().st_size}

[graph]
path = "{GRAPH}"

[input]
pixel = "Mul:0"
image_size = [299, 299]
mean = 128
std = 128

[output]
bottleneck = "pool_3/_reshape:0"
depth = 203
"""


def _run(script: str, *arguments: str) -> None:
    """Run a script for material: images that fail are meant to."""
    command = [sys.executable, "-m", f"retrain_tools.{script}", *arguments]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{script} cannot make the material: {done.stderr}")


def _checkpoint(_: Path, prefix: Path) -> None:
    """Write random weights of a small network of slim, as slim does."""
    from retrain_tools.quiet_tensorflow import tf

    shapes = plan_network(_MOBILENET, width=_MOBILENET_WIDTH).variables
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(shapes),
        shape_and_slices=[""] * len(shapes),
        tensors=[tf.constant(drawn_variable(name, shape)) for name, shape in shapes.items()],
    )


@dataclasses.dataclass(frozen=True)
class _Part:
    """Something of the material: what makes it, and of what."""

    make: Callable[[Path, Path], None]
    of: Sequence[str] = ()


PARTS = {
    GRAPH: _Part(_graph),
    PHOTOS: _Part(_draw),
    CHECKPOINT: _Part(_checkpoint),
    ARCHIVE: _Part(_archive, [GRAPH]),
    CACHE: _Part(_cache, [GRAPH, PHOTOS]),
    FEATURES: _Part(_features, [GRAPH, PHOTOS]),
    RETRAINED: _Part(_retrained, [GRAPH, PHOTOS, CACHE]),
}
"""All of it, by the names below its folder."""
