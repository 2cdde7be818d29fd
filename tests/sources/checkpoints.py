"""A small slim checkpoint, MobileNet v1 of a quarter width with five classes, in every form."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import numpy as np

from tests.slim.golden import draw_variables, expected_variables
from tests.slim.test_freezing import save

CLASSES = 5
FORMS = ("V2 prefix", "V2 index", "V1 file", "folder", "V1 in a tar.gz", "V2 in a tgz")


def drawn() -> dict[str, np.ndarray]:
    return draw_variables(expected_variables("mobilenet_v1", CLASSES, 0.25))


def write_forms(folder: Path) -> dict[str, str]:
    variables = drawn()
    v2 = save(variables, folder / "v2" / "model.ckpt-7")
    v1 = save(variables, folder / "v1" / "model.ckpt", v1=True)
    with tarfile.open(folder / "v1.tar.gz", "w:gz") as tar:
        tar.add(v1, "mobilenet.ckpt")
    with tarfile.open(folder / "v2.tgz", "w:gz") as tar:
        for file in Path(v2).parent.glob("model.ckpt*"):
            tar.add(file, f"./{file.name}")
    places = (v2, f"{v2}.index", v1, Path(v2).parent, folder / "v1.tar.gz", folder / "v2.tgz")
    return dict(zip(FORMS, map(str, places), strict=True))


def copied(prefix: str, folder: Path) -> str:
    """Copy a V2 checkpoint, to be changed."""
    shutil.copytree(Path(prefix).parent, folder)
    return str(folder / Path(prefix).name)
