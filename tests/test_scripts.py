"""What all scripts have in common: one set of flags, early checks, words, versions, `~`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from retrain_tools import __version__
from retrain_tools.command_line import SCRIPTS
from tests.graphdef.tiny_graphs import inception_like, write

GRAPH_FLAGS = {
    *("graph", "model_dir", "tags", "signature", "preprocess", "allow_unsafe_graph"),
    *("input_layer", "input_height", "input_width", "input_mean", "input_std"),
}
IMAGE_FLAGS = {"image_dir", "max_image_pixels", "on_error"}
RUN_FLAGS = {"precision", "batch_size", "threads", "self_check"}
OPENING = tuple(name for name in SCRIPTS if name not in ("demo", "scan"))
LOOSE = ("fetch_tensors", "label_image", "compare_features", "export_graph")
TAKE_WORDS = (*LOOSE, "scan", "evaluate_images")
# Runs a script, and says at its end whether TensorFlow was imported.
WATCHED = """
import atexit, runpy, sys
atexit.register(lambda: print("tensorflow.python.tf2" in sys.modules, file=sys.stderr))
sys.argv[:] = sys.argv[1:]
runpy.run_module(f"retrain_tools.{sys.argv[0]}", run_name="__main__", alter_sys=True)
"""


def run(*arguments: object, cwd: Path, **environment: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=os.environ | environment,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def helps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """The help text of each flag, by script."""
    folder = tmp_path_factory.mktemp("help")
    found = {}
    for script in SCRIPTS:
        status, text, _ = run("-m", f"retrain_tools.{script}", "--help", cwd=folder)
        assert status == 0
        flags = re.findall(r"^  --(?:\[no\])?(\w+).*\n((?:      .*\n?)+)", text, re.MULTILINE)
        found[script] = {name: " ".join(said.split()) for name, said in flags}
    return found


def test_every_script_that_opens_a_graph_has_all_of_its_flags(helps) -> None:
    for script in OPENING:
        assert set(helps[script]) >= GRAPH_FLAGS, script


def test_scripts_that_take_images_have_the_flags_of_images(helps) -> None:
    for script in (*LOOSE, "bottlenecks", "retrain"):
        assert set(helps[script]) >= IMAGE_FLAGS, script
        assert (set(helps[script]) >= RUN_FLAGS) == (script != "export_graph")
        assert ("image_list" in helps[script]) == (script in LOOSE)


def test_a_shared_flag_has_one_help_text(helps) -> None:
    for flag in (*GRAPH_FLAGS, *IMAGE_FLAGS - {"image_dir"}, *RUN_FLAGS, "log_json"):
        assert len({texts[flag] for texts in helps.values() if flag in texts}) == 1, flag
    for scripts in (LOOSE, ("bottlenecks", "retrain")):
        assert len({helps[script]["image_dir"] for script in scripts}) == 1


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_says_its_version(script: str, tmp_path: Path) -> None:
    said = run("-m", f"retrain_tools.{script}", "--version", cwd=tmp_path)
    assert said == (0, f"retrain_tools {__version__}\n", "")


def test_the_package_lists_its_scripts_and_runs_them(tmp_path: Path) -> None:
    status, text, error = run("-m", "retrain_tools", cwd=tmp_path)
    assert (status, error) == (0, "")
    for script in SCRIPTS:
        assert re.search(rf"^  {script}  +\S", text, re.MULTILINE)
    assert run("-m", "retrain_tools", "--help", cwd=tmp_path) == (0, text, "")
    graph = write(inception_like(), tmp_path / "g.pb")
    by_package = run(
        "-m", "retrain_tools", "list_tensors", f"--graph={graph}", "--format=names", cwd=tmp_path
    )
    by_module = run(
        "-m", "retrain_tools.list_tensors", f"--graph={graph}", "--format=names", cwd=tmp_path
    )
    assert by_package == by_module
    assert "Mul:0" in by_package[1].splitlines()
    assert run("-m", "retrain_tools", "list_tensor", cwd=tmp_path) == (
        2,
        "",
        f"error: No script 'list_tensor'. Did you mean 'list_tensors'? Scripts: "
        f"{', '.join(SCRIPTS)}\n",
    )
    command = Path(sys.executable).with_name("retrain_tools")
    if command.exists():  # where the package is installed
        done = subprocess.run([command], capture_output=True, text=True, check=True)
        assert done.stdout == text


def test_a_flag_of_another_script_is_answered_with_its_name(tmp_path: Path) -> None:
    status, _, error = run("-m", "retrain_tools.list_tensors", "--image_list=x", cwd=tmp_path)
    assert status == 2
    assert error.startswith("error: Unknown command line flag 'image_list'")
    assert error.endswith(
        ". It is a flag of fetch_tensors, fetch_many, label_image, compare_features, "
        "export_graph.\n"
    )
    status, _, error = run("-m", "retrain_tools.bottlenecks", "--learning_rate=1", cwd=tmp_path)
    assert error.endswith(". It is a flag of retrain.\n")
    status, _, error = run("-m", "retrain_tools.bottlenecks", "--no_such_flag=1", cwd=tmp_path)
    assert "It is a flag of" not in error


@pytest.mark.parametrize("script", [name for name in SCRIPTS if name not in TAKE_WORDS])
def test_words_that_a_script_does_not_take_are_an_error(script: str, tmp_path: Path) -> None:
    status, out, error = run("-m", f"retrain_tools.{script}", "word", cwd=tmp_path)
    assert (status, out) == (2, "")
    assert error.startswith("error: Unexpected 'word': this script takes flags only. ")


def test_a_home_is_expanded_in_every_flag_for_a_path(tmp_path: Path) -> None:
    write(inception_like(), tmp_path / "g.pb")
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (20, 20), (200, 10, 10)).save(tmp_path / "photos" / "1.png")
    status, out, error = run(
        *("-m", "retrain_tools.bottlenecks", "--graph=~/g.pb", "--image_dir=~/photos"),
        "--bottleneck_dir=~/cache",
        cwd=tmp_path.parent,
        HOME=str(tmp_path),
    )
    assert (status, error) == (0, "")
    assert out.startswith("1 computed, ")
    assert (tmp_path / "cache" / "1.png.txt").is_file()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph, and photos of two classes; enough for every script but for one mistake."""
    folder = tmp_path_factory.mktemp("early")
    write(inception_like(), folder / "g.pb")
    for number in range(12):
        path = folder / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (number * 20, 90, 90)).save(path)
    (folder / "file").write_text("")
    return folder


USE = ["--graph=g.pb", "--image_dir=photos"]
MISTAKES = {
    "bottlenecks: no folder": (["bottlenecks", USE[0], "--image_dir=no"], "No such folder: no"),
    "fetch_tensors: no folder": (
        ["fetch_tensors", USE[0], "--image_dir=no", "--output=f.npz"],
        "No such folder: no (--image_dir)",
    ),
    "fetch_many: no folder": (
        ["fetch_many", USE[0], "--image_dir=no", "--output=o"],
        "No such folder: no (--image_dir)",
    ),
    "fetch_many: output": (
        ["fetch_many", *USE, "--output=file"],
        "file is a file; --output takes a folder.",
    ),
    "label_image: no folder": (["label_image", USE[0], "--image_dir=no"], "No such folder: no"),
    "retrain: no folder": (["retrain", USE[0], "--image_dir=no"], "No such folder: no"),
    "evaluate_images: no set": (
        ["evaluate_images", USE[0], "photos", "no"],
        "No such file or folder: no",
    ),
    "label_image: no labels": (
        ["label_image", *USE, "--labels=no.txt"],
        "No such label file: no.txt",
    ),
    "label_image: output": (
        ["label_image", *USE, "--output=file/l.csv"],
        "file is a file; results cannot be written to file.",
    ),
    "label_image: evaluated class": (
        ["label_image", USE[0], "--image_dir=photos/a", "--evaluate"],
        "--evaluate takes one folder of images for each label, below --image_dir; there is none.",
    ),
    "classify_image: no image": (
        ["classify_image", USE[0], "--image_file=no.jpg"],
        "No such image: no.jpg (--image_file)",
    ),
    "retrain: percentage": (
        ["retrain", *USE, "--testing_percentage=120"],
        "--testing_percentage=120 and --validation_percentage=10 must not be negative and must "
        "add up to less than 100.",
    ),
    "retrain: one class": (
        ["retrain", USE[0], "--image_dir=photos/a"],
        "Training takes at least two classes, one folder of images each, below --image_dir; there "
        "is none. If these are the images of one class, name the folder above it.",
    ),
    "retrain: output": (
        ["retrain", *USE, "--output_dir=file"],
        "file is a file; results cannot be written to file.",
    ),
    "bottlenecks: output": (
        ["bottlenecks", *USE, "--bottleneck_dir=file"],
        "file is a file; --bottleneck_dir takes a folder.",
    ),
    "fetch_tensors: output": (
        ["fetch_tensors", *USE, "--output=file/f.npz"],
        "file is a file; results cannot be written to file.",
    ),
    "freeze_graph: output": (
        ["freeze_graph", USE[0], "--output=file/f.pb"],
        "file is a file; results cannot be written to file.",
    ),
    "transform_graph: output": (
        ["transform_graph", USE[0], "--recipe=deploy", "--output=file/f.pb"],
        "file is a file; results cannot be written to file.",
    ),
    "transform_graph: no transform": (
        ["transform_graph", USE[0], "--transforms=no", "--output=f.pb"],
        "No transform 'no'. There are: ",
    ),
    "transform_graph: no folder": (
        ["transform_graph", USE[0], "--recipe=deploy", "--verify=no", "--output=f.pb"],
        "No such folder: no (--verify)",
    ),
    "export_graph: output": (
        ["export_graph", USE[0], "--to=keras", "--output=file/f.keras"],
        "file is a file; results cannot be written to file.",
    ),
    "export_graph: a name for Keras": (
        ["export_graph", USE[0], "--to=keras", "--output=f.h5"],
        "--output=f.h5 must end in .keras, by which Keras goes.",
    ),
    "list_tensors: output": (
        ["list_tensors", USE[0], "--html=file/f.html"],
        "file is a file; results cannot be written to file.",
    ),
    "bottlenecks: no graph": (["bottlenecks", "--graph=no.pb", USE[1]], "No such file: no.pb"),
    "retrain: wrong graph": (["retrain", "--graph=file", USE[1]], "file is empty; download or "),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_is_cheap_is_checked_before_tensorflow_is_imported(place: Path, name: str) -> None:
    arguments, message = MISTAKES[name]
    before = sorted(place.rglob("*"))
    status, out, error = run("-c", WATCHED, *arguments, cwd=place)
    said, imported = error.splitlines()
    assert (status, out, imported) == (2, "", "False")
    assert said.startswith(f"error: {message}")
    assert sorted(place.rglob("*")) == before


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder that nobody can write to")
@pytest.mark.parametrize(
    "arguments",
    [
        ("retrain", *USE, "--output_dir=/proc/a"),
        ("freeze_graph", "--graph=g", "--output=/proc/a/b"),
    ],
)
def test_a_folder_that_cannot_be_written_is_told_early(
    place: Path, arguments: tuple[str, ...]
) -> None:
    status, _, error = run("-c", WATCHED, *arguments, cwd=place)
    assert error.splitlines() == [
        "error: /proc is not writable; results cannot be written to /proc/a.",
        "False",
    ]
    assert status == 2


@pytest.mark.parametrize("script", ["bottlenecks", "fetch_tensors", "label_image", "retrain"])
def test_every_script_counts_the_files_that_it_leaves_out(script: str, tmp_path: Path) -> None:
    for number in range(12):
        kind = ("TIF" if number % 2 else "tif") if number < 8 else "heic"
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(f".{kind}").write_bytes(b"")
        Image.new("RGB", (20, 20), (number * 20, 90, 90)).save(path.with_suffix(".png"))
    more = ["--output=f.npz"] if script == "fetch_tensors" else []
    ways = [["--image_dir=photos"]]
    if script in LOOSE:
        ways.append(["photos"])
    for way in ways:
        status, out, error = run(
            "-m", f"retrain_tools.{script}", "--graph=no.pb", *more, *way, cwd=tmp_path
        )
        assert (status, out) == (2, "")
        assert error.splitlines()[0] == "12 files of other kinds left out: .tif 8, .heic 4"


def test_nothing_is_made_in_the_current_folder(tmp_path: Path) -> None:
    """Also where an image fails, which makes a list of failures."""
    write(inception_like(), tmp_path / "g.pb")
    for number in range(4):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (number * 20, 90, 90)).save(path)
    (tmp_path / "photos/a/bad.png").write_bytes(b"")
    here, out = tmp_path / "here", tmp_path / "out"
    here.mkdir()
    graph, images = f"--graph={tmp_path}/g.pb", f"--image_dir={tmp_path}/photos"
    commands = {
        "bottlenecks": [graph, images, f"--bottleneck_dir={out}/cache"],
        "fetch_tensors": [graph, images, f"--output={out}/f.npy"],
        "label_image": [graph, images],  # lacks labels
        "list_tensors": [graph, f"--html={out}/g.html"],
    }
    for script, flags in commands.items():
        status, _, error = run("-m", f"retrain_tools.{script}", *flags, cwd=here)
        assert "Traceback" not in error, error
        assert status == 1 or script in ("label_image", "list_tensors"), error
        assert list(here.iterdir()) == [], script
    assert (out / "f.npy.failures.csv").exists()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder that nobody can write to")
@pytest.mark.parametrize(
    "arguments",
    [
        ("bottlenecks", *USE, "--bottleneck_dir=/proc/a"),
        ("fetch_tensors", *USE, "--output=/proc/a/f.npz"),
        ("list_tensors", USE[0], "--html=/proc/a/g.html"),
        ("demo", "--output_dir=/proc/a"),
    ],
)
def test_what_cannot_be_written_is_told_by_the_user_s_name(
    place: Path, arguments: tuple[str, ...]
) -> None:
    status, out, error = run("-c", WATCHED, *arguments, cwd=place)
    assert (status, out) == (2, "")
    assert error.splitlines()[0] == (
        "error: /proc is not writable; results cannot be written to /proc/a."
    )


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder that nobody can write to")
def test_a_model_folder_that_cannot_be_written_names_the_flag(place: Path) -> None:
    status, _, error = run(
        *("-m", "retrain_tools.list_tensors", "--graph=mobilenet_v1_1.0_224"),
        "--model_dir=/proc/a",
        cwd=place,
    )
    assert (status, error) == (
        2,
        "error: /proc is not writable; results cannot be written to /proc/a. Name another folder "
        "with --model_dir.\n",
    )
