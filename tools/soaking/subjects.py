"""The jobs that are struck: every script and format, each with what it leaves behind."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from soaking import material

TEXT, MATRIX, STORE, OTHER = "text", "matrix", "store", "other"
"""What a job keeps of images: text files, a matrix, one file of features; or nothing of each."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """A job.

    Attributes:
        name: how tables call it.
        script: of the package.
        arguments: its flags and words; `M/` is the material's folder.
        keeps: what it keeps of images.
        place_of: the cache or the file of features that it keeps, below its folder.
        own_home: whether it has to make the plan and what else is kept for the next time.
        downloads: whether it fetches the graph from a server.
        tells: whether what it prints is its result.
        statuses: those of a run that nothing strikes.
    """

    name: str
    script: str
    arguments: Sequence[str]
    keeps: str = OTHER
    place_of: str = ""
    own_home: bool = False
    downloads: bool = False
    tells: bool = False
    statuses: Sequence[int] = (0,)

    @property
    def module(self) -> str:
        """The script's module."""
        return f"retrain_tools.{self.script}"

    @property
    def takes(self) -> list[str]:
        """What it takes of the material."""
        texts = [text.rpartition("M/")[2] for text in self.arguments if "M/" in text]
        parts = [name for name in material.PARTS if any(_is_in(text, name) for text in texts)]
        return [*parts, material.ARCHIVE] if self.downloads else parts

    def given(self, folder: Path) -> list[str]:
        """Return the flags and words, with the material where it is."""
        return [text.replace("M/", f"{folder}/") for text in self.arguments]


def _is_in(text: str, name: str) -> bool:
    return text == name or text.startswith(f"{name}/")


_GRAPH = f"--graph=M/{material.GRAPH}"
_PHOTOS = f"--image_dir=M/{material.PHOTOS}"
_ON_IMAGES = (_GRAPH, _PHOTOS, "--log_json")
_TWO_FAIL = (1,)  # the two broken photos
_TRAINING = (
    *_ON_IMAGES,
    "--bottleneck_dir=cache",
    "--output_dir=out",
    "--testing_percentage=20",
    "--validation_percentage=20",
    "--split_key=basename",
    "--train_batch_size=8",
)


def _fetching(end: str) -> Subject:
    output = f"features.{end}"
    flags = (*_ON_IMAGES, "--tensors=pool_3/_reshape:0,softmax:0", f"--output={output}")
    return Subject(
        f"fetch_tensors {end}", "fetch_tensors", flags, STORE, output, statuses=_TWO_FAIL
    )


SUBJECTS = [
    Subject(
        "bottlenecks text", "bottlenecks", (*_ON_IMAGES, "--bottleneck_dir=cache"), TEXT, "cache",
        statuses=_TWO_FAIL,
    ),
    Subject(
        "bottlenecks npy", "bottlenecks",
        (*_ON_IMAGES, "--bottleneck_dir=cache", "--cache_format=npy"), MATRIX, "cache",
        statuses=_TWO_FAIL,
    ),
    *map(_fetching, ("npz", "npy", "parquet", "h5", "pkl")),
    Subject(
        "retrain", "retrain", (*_TRAINING, "--how_many_training_steps=40"), TEXT, "cache",
        statuses=_TWO_FAIL,
    ),
    Subject(
        "retrain --resume", "retrain",
        (*_TRAINING, "--how_many_training_steps=40", "--resume", "--checkpoint_minutes=1e-9"),
        TEXT, "cache", statuses=_TWO_FAIL,
    ),
    Subject(
        "retrain distorted", "retrain",
        (*_TRAINING, "--how_many_training_steps=3", "--train_batch_size=4", "--flip_left_right"),
        TEXT, "cache", statuses=_TWO_FAIL,
    ),
    Subject(
        "retrain on bottlenecks", "retrain",
        (
            f"--bottleneck_dir=M/{material.CACHE}", "--output_dir=out", "--log_json",
            "--testing_percentage=20", "--validation_percentage=20", "--train_batch_size=8",
            "--how_many_training_steps=40", "--checkpoint_path=out/head.ckpt",
        ),
    ),
    Subject(
        "label_image", "label_image",
        (f"--graph=M/{material.RETRAINED}", _PHOTOS, "--output=labels.csv", "--log_json"),
        statuses=_TWO_FAIL,
    ),
    Subject(
        "label_image --evaluate", "label_image",
        (f"--graph=M/{material.RETRAINED}", _PHOTOS, "--evaluate", "--output=labels.json"),
        statuses=_TWO_FAIL,
    ),
    Subject(
        "freeze_graph", "freeze_graph",
        (f"--checkpoint=M/{material.CHECKPOINT}", "--output=frozen.pb"),
    ),
    Subject(
        "transform_graph", "transform_graph", (_GRAPH, "--recipe=deploy", "--output=small.pb"),
    ),
    Subject(
        "export_graph saved_model", "export_graph",
        (_GRAPH, "--to=saved_model", "--output=served/1"),
    ),
    Subject("export_graph graphdef", "export_graph", (_GRAPH, "--to=graphdef", "--output=one.pb")),
    Subject(
        "compare_features", "compare_features",
        (_PHOTOS, f"M/{material.CACHE}", f"M/{material.FEATURES}", "--html=why.html"),
    ),
    Subject(
        "list_tensors", "list_tensors", (_GRAPH, "--html=page.html"),
    ),
    Subject(
        "scan of an archive", "scan", (f"M/{material.ARCHIVE}",), tells=True,
    ),
    Subject(
        "classify_image", "classify_image",
        (_GRAPH, f"--image_file=M/{material.PHOTOS}/brick wall/brick_wall_0_000.jpg"), tells=True,
    ),
    Subject(
        "download", "list_tensors", ("--graph=of_the_soak", "--model_dir=models"), downloads=True,
        tells=True,
    ),
    Subject(
        "kept graphs and plans", "bottlenecks",
        (
            f"--graph=M/{material.CHECKPOINT}", _PHOTOS, "--bottleneck_dir=cache", "--log_json",
            "--cache_format=npy",
        ),
        MATRIX, "cache", own_home=True, statuses=_TWO_FAIL,
    ),
]  # fmt: skip
"""All of them, in the order in which they are struck."""
