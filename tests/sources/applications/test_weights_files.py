"""`--weights=FILE`: the file decides the width, and is refused in time where it does not fit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import retrain_tools as rt
from retrain_tools.sources.applications.seeded import seed_weights

from ..weight_files import as_theano, named_file, numbered_file, shapes_of


def shapes(name: str, **arguments: Any) -> Any:
    with keras.StatelessScope(initialize_variables=False):
        return shapes_of(getattr(keras.applications, name)(weights=None, **arguments))


def run(script: str, *flags: str, without_keras: bool = False) -> Any:
    program = f"from retrain_tools import {script} as s; s.script()"
    if without_keras:
        program = f"import sys; sys.modules['tensorflow'] = None; {program}"
    return subprocess.run(
        [sys.executable, "-c", program, *flags], capture_output=True, text=True, check=False
    )


def one_photo(folder: Path) -> tuple[Path, Any]:
    photo = folder / "photos" / "one.png"
    photo.parent.mkdir()
    pixels = np.random.default_rng(4).integers(0, 256, (32, 32, 3), np.uint8)
    keras.utils.save_img(photo, pixels, scale=False)
    return photo, pixels


def test_the_file_says_how_wide_the_network_is(tmp_path: Path) -> None:
    """MobileNet has one name for four widths; the command is the one that list_tensors prints."""
    said: Mapping[str, Any] = {"alpha": 0.25, "include_top": False, "input_shape": (32, 32, 3)}
    model = keras.applications.MobileNet(weights=None, **said)
    seed_weights(model, 0)
    path = tmp_path / "mine.weights.h5"
    model.save_weights(path)
    photo, pixels = one_photo(tmp_path)
    told = run("list_tensors", f"--graph={path}", "--summary").stdout
    command = next(line for line in told.splitlines() if line.startswith("To use it"))
    flags = command.partition("retrain_tools.bottlenecks ")[2].split()
    assert flags == ["--graph=keras:MobileNet", f"--weights={path}", "--image_dir=FOLDER"]
    flags[2:] = [f"--image_dir={photo.parent}", f"--bottleneck_dir={tmp_path / 'b'}"]
    flags += ["--input_height=32", f"--model_dir={tmp_path / 'm'}", "--pooling=avg"]
    done = run("bottlenecks", *flags)
    assert done.returncode == 0, done.stderr
    ours = rt.read_bottlenecks(tmp_path / "b").vectors
    theirs = model.predict(keras.applications.mobilenet.preprocess_input(pixels[None] * 1.0))
    np.testing.assert_allclose(np.ravel(ours), theirs.mean((1, 2))[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("write", [named_file, numbered_file])
def test_a_file_of_another_network_is_refused_before_keras_is_imported(
    write: Any, tmp_path: Path
) -> None:
    path = write(tmp_path / "w.h5", as_theano(shapes("VGG19")))
    done = run(
        "bottlenecks",
        "--graph=keras:VGG16",
        f"--weights={path}",
        f"--image_dir={one_photo(tmp_path)[0].parent}",
        f"--bottleneck_dir={tmp_path / 'b'}",
        f"--model_dir={tmp_path}",
        without_keras=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        f"error: {path} holds the weights of VGG19, not of VGG16: --graph=keras:VGG19\n",
    )


def test_a_file_without_the_top_is_refused_with_include_top(tmp_path: Path) -> None:
    path = named_file(tmp_path / "w.h5", shapes("VGG16", include_top=False))
    with pytest.raises(rt.InputError) as error:
        rt.load("keras:VGG16", weights=path, include_top=True, model_dir=tmp_path).frozen()
    assert str(error.value) == (
        f"{path} holds VGG16 without its top: leave out include_top, or pass the weights of the "
        "whole network."
    )
