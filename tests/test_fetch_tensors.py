"""The command line of `fetch_tensors`, in processes of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.features import tiny
from tests.features.fetching import alone, check, jpegs
from tests.head.scripts import run_script
from tests.opening import freeze_checkpoint
from tests.slim.golden import run
from tests.slim.test_freezing import save
from tests.sources.checkpoints import drawn

MODULE = "retrain_tools.fetch_tensors"
SIZE = 32
_MANY = 5000  # images, which take seconds
SPEED = r" \([\d.]+ images/s\)"


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    return tiny.write_2015_graph(tmp_path_factory.mktemp("graph") / "tiny.pb")


@pytest.fixture(scope="module")
def pixel_graph(tmp_path_factory):
    return tiny.write_pixel_graph(tmp_path_factory.mktemp("graph") / "pixels.pb")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save(drawn(), tmp_path_factory.mktemp("checkpoint") / "model.ckpt")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RETRAIN_TOOLS_HOME", str(tmp_path / "home"))


@pytest.fixture
def photos(tmp_path):
    """Ten images below the working folder."""
    for number in range(10):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = tiny.photo(20 + number, 40 - number, seed=number)
        path.write_bytes(tiny.encoded(image, "JPEG", quality=95))
    return tmp_path / "photos"


def png(path: Path, seed: int) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (50, 40, 3), np.uint8)
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def errors(run_commands, tmp_path, commands: list[list[str]]) -> list[str]:
    """Run what must fail: nothing on stdout, one `error:` line at the end, exit status 2."""
    found = []
    for done in run_commands(MODULE, commands, tmp_path):
        assert (done.status, done.out) == (2, ""), done
        assert "Traceback" not in done.err
        line = done.err.splitlines()[-1]
        assert line.startswith("error: ")
        found.append(line.removeprefix("error: "))
    return found


def test_first_second_and_other_runs(run_commands, graph, photos, tmp_path):
    (photos / "b/7.jpg").write_bytes(b"<html>404</html>")
    flags = [f"--graph={graph}", "--image_dir=photos", "--output=out/f.npz"]
    flags.append("--tensors=pool/_reshape:0, conv/relu")
    first, second, other, replaced, default = run_commands(
        MODULE,
        [flags, flags, [*flags, "--pooling=max"], [*flags, "--pooling=max", "--overwrite"],
         [*flags[:2], "--output=bottleneck.npy"]],
        tmp_path,
    )  # fmt: skip
    shapes = r"out/f\.npz: pool/_reshape:0 \[256\], conv/relu \[8, 8, 8\]\n"
    warning = "warning: photos/b/7.jpg is not a JPEG, PNG, GIF, BMP or WebP image\n"
    assert re.fullmatch(rf"9 computed, 0 reused, 1 failed{SPEED}: {shapes}", first.out), first
    assert (first.status, first.err) == (1, warning)
    assert re.fullmatch(rf"0 computed, 9 reused, 1 failed: {shapes}", second.out), second
    assert (second.status, second.err) == (1, warning)
    assert (other.status, other.out) == (2, "")
    assert other.err == (
        "error: out/f.npz was made in another way: 'pool/_reshape:0' differs in pooling. "
        "Choose another --output, or replace it with --overwrite.\n"
    )
    assert replaced.status == 1
    assert replaced.out.endswith("out/f.npz: pool/_reshape:0 [256], conv/relu [8]\n")
    assert default.status == 1
    assert default.out.endswith("bottleneck.npy: pool/_reshape:0 [256]\n")
    good = [path for path in jpegs(photos) if "7.jpg" not in path]
    values = np.load(tmp_path / "bottleneck.npy")
    for value, path in zip(values, good, strict=True):
        np.testing.assert_allclose(value, alone(graph, "pool/_reshape:0", path), atol=1e-4)


def test_images_from_a_folder_a_list_and_the_command_line(
    run_commands, graph, photos, tmp_path, monkeypatch
):
    (tmp_path / "list.txt").write_bytes(b"photos/b/5.jpg\r\n\r\nphotos/a/4.jpg\r\nphotos/b/5.jpg")
    paths = [str(path.relative_to(tmp_path)) for path in map(Path, jpegs(photos / "a"))]
    flags = [f"--graph={graph}", "--tensors=softmax", "--output=f.npz"]
    [done] = run_commands(
        MODULE,
        [[*flags, "--image_list=list.txt", "--image_dir=photos/a", "photos/b/1.jpg", "photos/b"]],
        tmp_path,
    )
    assert done.status == 0, done.err
    with np.load(tmp_path / "f.npz") as arrays:
        asked = arrays["images"].tolist()
    numbers = [5, 1, 3, 7, 9]
    assert asked == [*paths, *(f"photos/b/{number}.jpg" for number in numbers)]
    monkeypatch.chdir(tmp_path)  # as the script saw the paths
    check(tmp_path / "f.npz", graph, asked, ["softmax"])


def test_a_second_run_for_one_image_keeps_the_others_and_their_labels(
    run_commands, run_script, graph, photos, tmp_path
):
    """Ten rows became one without a word."""
    (photos / "notes.txt").write_text("")
    (tmp_path / "new.jpg").write_bytes((photos / "a/0.jpg").read_bytes())
    flags = [f"--graph={graph}", "--tensors=softmax", "--output=f.npz"]
    pickled = [*flags[:2], "--output=f.pkl"]
    first, one, new, _, refused = run_commands(
        MODULE,
        [
            [*flags, "--image_dir=photos"],
            [*flags, "photos/a/4.jpg"],
            [*flags, "new.jpg", "photos/b/3.jpg"],
            [*pickled, "photos"],
            [*pickled, "new.jpg"],
        ],
        tmp_path,
    )
    assert first.err == "1 file of other kinds left out: .txt 1\n"
    assert one.out == (
        "0 computed, 1 reused, 0 failed: f.npz: softmax [5]; 9 rows of other images kept\n"
    )
    assert new.out.endswith(": f.npz: softmax [5]; 9 rows of other images kept\n")
    with np.load(tmp_path / "f.npz") as arrays:
        images, labels = arrays["images"].tolist(), arrays["labels"].tolist()
    assert images == [*(f"photos/{one}" for one in in_folders(range(10))), "new.jpg"]
    assert labels == [*"aaaaabbbbb", ""]
    assert (refused.status, refused.out) == (2, "")
    assert refused.err == (
        "error: f.pkl holds 10 images that were not asked for, whose rows cannot be taken over (a "
        "pickle is a program, which is never read). Ask for them too, choose another --output, or "
        "drop them with --overwrite.\n"
    )
    done = run_script(MODULE, *flags, "--overwrite", "photos/b/3.jpg", cwd=tmp_path)
    assert done.out == "0 computed, 1 reused, 0 failed: f.npz: softmax [5]\n", done.err
    with np.load(tmp_path / "f.npz") as arrays:
        assert arrays["images"].tolist() == ["photos/b/3.jpg"]
        assert arrays["labels"].tolist() == ["b"]


def in_folders(numbers) -> list[str]:
    return sorted(f"{'ab'[number % 2]}/{number}.jpg" for number in numbers)


def test_raw_pixels_are_fed_as_they_are(run_script, pixel_graph, photos, tmp_path):
    paths = jpegs(photos)
    done = run_script(
        MODULE, f"--graph={pixel_graph}", "--tensors=maps:0", "--output=raw.npy",
        "--preprocess=none", *paths, cwd=tmp_path,
    )  # fmt: skip
    assert done.status == 0, done.err
    for value, path in zip(np.load(tmp_path / "raw.npy"), paths, strict=True):
        with Image.open(path) as image:
            resized = image.convert("RGB").resize((16, 16), Image.Resampling.BILINEAR)
        feed = {"input:0": np.asarray(resized, np.float32)[np.newaxis]}
        expected = tiny.run_untouched(pixel_graph, "maps:0", feed)[0]
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-4)


def test_end_points_of_a_checkpoint_and_of_the_graph_frozen_from_it(
    run_commands, checkpoint, tmp_path
):
    paths = [str(png(tmp_path / "photos" / f"{n}.png", n)) for n in range(5)]
    names = ["Conv2d_5_pointwise", "AvgPool_1a", "MobilenetV1/Logits/SpatialSqueeze:0"]
    common = [f"--tensors={','.join(names)}", *paths]
    frozen, commands = {}, []
    for side in ("resize", "slim"):
        frozen[side] = freeze_checkpoint(checkpoint, image_size=SIZE, preprocess=side)
        (tmp_path / f"{side}.pb").write_bytes(frozen[side].graph_def.SerializeToString())
        use = [f"--graph={checkpoint}", f"--preprocess={side}", f"--output={side}.npz", *common]
        commands += [
            [f"--input_height={SIZE}", *use],
            [f"--input_height={SIZE}", f"--input_width={SIZE}", *use],
            [f"--graph={side}.pb", f"--output={side}_pb.npz", *common],
        ]
    for number, done in enumerate(run_commands(MODULE, commands, tmp_path)):
        assert done.status == 0, done.err
        counts = "0 computed, 5 reused, 0 failed" if number % 3 == 1 else "5 computed, 0 reused"
        assert done.out.startswith(counts)
        assert ("mobilenet_v1, frozen as " in done.err) == (number % 3 == 0)
    for side, one in frozen.items():
        tensors = {name: one.spec.end_points.get(name, name) for name in names}
        assert tensors["AvgPool_1a"] != "AvgPool_1a"
        with np.load(tmp_path / f"{side}.npz") as ours, np.load(tmp_path / f"{side}_pb.npz") as pb:
            assert ours["images"].tolist() == pb["images"].tolist() == paths
            for name in names:
                np.testing.assert_array_equal(ours[name], pb[name])
            for row, path in enumerate(paths):
                data = Path(path).read_bytes()
                expected = run(one.graph_def, tensors, data, "DecodeJpeg/contents:0")
                for name in names:
                    np.testing.assert_allclose(ours[name][row], expected[name][0], atol=1e-4)


def test_errors(run_commands, graph, checkpoint, photos, tmp_path):
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "theirs.npz").write_text("")
    use = [f"--graph={graph}", "--output=f.npz"]
    one = "photos/a/0.jpg"
    wanted = {
        "--graph and --output must be given; see --help.": [],
        "--output must be given; see --help.": [f"--graph={graph}", one],
        "Name images with --image_dir, with --image_list, or after the flags.": use,
        "gone.txt (--image_list) cannot be read: No such file or directory": [
            *use, "--image_list=gone.txt"],
        "empty.txt (--image_list) names no images.": [*use, "--image_list=empty.txt"],
        "No such folder: gone (--image_dir)": [*use, "--image_dir=gone"],
        "None of the 1 images can be used; the reasons are in f.npz.failures.csv.": [
            *use, "gone.jpg"],
        "--output=f.csv: the end of the name chooses the kind of file: "
        ".npz, .npy, .parquet, .h5, .hdf5, .pkl.": [f"--graph={graph}", "--output=f.csv", one],
        "theirs.npz has no record of how it was made. Choose another --output, or replace it "
        "with --overwrite.": [f"--graph={graph}", "--output=theirs.npz", one],
        f"--preprocess=slim is for slim checkpoints; {graph} is a graph, which has its own way of "
        "preparing images.": [*use, "--preprocess=slim", one],
        "'Cast:0' is not computed from 'Mul:0', where images enter the network, so it is not a "
        "feature of an image; choose a tensor further on.": [*use, "--tensors=Cast", one],
        "Width, classes and image size of mobilenet_v1 have to be above 0, not 0.25, 5 and 0×0.":
            [f"--graph={checkpoint}", "--output=f.npz", "--input_height=0", one],
    }  # fmt: skip
    several = [
        ([*use, "--tensors=softmax,sofmax", one], r"No tensor 'sofmax:0' in .* Did you mean "
         r"'softmax:0'\? List them: list_tensors --graph="),
        ([*use, "--tensors=softmax,,softmax", one], r"No tensor ':0' in "),
        ([f"--graph={checkpoint}", "--output=f.npz", "--tensors=AvgPool", one],
         r"No tensor or end point 'AvgPool' in .*model\.ckpt\. Did you mean 'AvgPool_1a'\?"),
        ([*use, "--preprocess=none", "--input_std=0", one], r"does not scale: leave out --input_m"),
        ([*use, "--pooling=median", one], "--pooling=median"),
        ([*use, "--max_image_pixels=0", one], "--max_image_pixels"),
        (["--graph=gone.pb", "--output=f.npz", one], r"No such file: gone\.pb"),
        ([f"--graph={graph}", "--output=photos/a/0.jpg/f.npz", one],
         r"^photos/a/0\.jpg is a file; results cannot be written to"),
    ]  # fmt: skip
    found = errors(run_commands, tmp_path, [*wanted.values(), *(command for command, _ in several)])
    assert found[: len(wanted)] == list(wanted)
    for text, (_, pattern) in zip(found[len(wanted) :], several, strict=True):
        assert re.search(pattern, text), text
    assert not (tmp_path / "f.npz").exists()
    assert not (tmp_path / "f.npz.part").exists()


def test_names_of_any_bytes_and_a_bad_image_among_them(graph, photos, tmp_path):
    (photos / os.fsdecode(b"a/\xfe.jpg")).write_bytes(b"")
    (photos / "a/8.jpg").rename(photos / os.fsdecode(b"a/\xff\n .jpg"))
    output = os.fsdecode(b"f\xff.npz")
    command = [sys.executable, "-m", MODULE, f"--graph={graph}", "--image_dir=photos"]
    done = subprocess.run(
        [*command, f"--output={output}"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert b"10 computed, 0 reused, 1 failed" in done.stdout
    with np.load(tmp_path / output) as arrays:
        assert os.fsdecode(b"photos/a/\xff\n .jpg") in arrays["images"].tolist()
    failures = (tmp_path / f"{output}.failures.csv").read_bytes()
    assert failures == b"image,reason,kind\nphotos/a/\xfe.jpg,is empty,image\n"


def test_ctrl_c_stops_with_130_and_the_next_run_goes_on(run_script, graph, photos, tmp_path):
    """Of more images than are computed until we have seen some and pressed Ctrl-C."""
    one = Path(jpegs(photos)[0])
    (photos / "many").mkdir()
    for number in range(_MANY):
        os.link(one, photos / f"many/{number}.jpg")
    command = [sys.executable, "-m", MODULE, f"--graph={graph}", "--output=f.npz"]
    process = subprocess.Popen(
        [*command, "--image_dir=photos/many"], cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    done = tmp_path / "f.npz.part/sources"
    while not done.exists() or done.read_bytes().count(b"\n") < 8:
        assert process.poll() is None, process.communicate()
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out) == (130, "")
    stopped, last = err.splitlines()[-2:]
    counted = re.fullmatch(rf"stopped after (\d+) of {_MANY} images; run again to go on", stopped)
    assert last == "interrupted"
    assert not (tmp_path / "f.npz").exists()
    kept = done.read_bytes().count(b"\n")
    assert 8 <= kept == int(counted[1]) < _MANY
    again = run_script(MODULE, *command[3:], "--image_dir=photos/many", cwd=tmp_path)
    assert again.status == 0, again.err
    assert again.out.startswith(f"{_MANY - kept} computed, {kept} reused, 0 failed")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.npz", "f.npz.json", "photos"]


def test_help_lists_every_flag_and_kind_of_file():
    done = run_script(MODULE, "--help", cwd=".")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("Fetch named tensors of a graph for images")
    flags = set(re.findall(r"^  --(?:\[no\])?(\w+)", done.out, re.MULTILINE))
    assert flags == {
        *("graph", "tensors", "output", "image_dir", "image_list", "pooling", "preprocess"),
        *("precision", "batch_size", "threads", "self_check"),
        *(
            "overwrite",
            "max_image_pixels",
            "model_dir",
            "on_error",
            "max_failures",
            "log_json",
            "allow_unsafe_graph",
            "tags",
            "signature",
        ),
        *("input_layer", "input_height", "input_width", "input_mean", "input_std"),
        *("output_node_names", "feed", "weights", "weights_seed", "include_top", "resize"),
    }
    for suffix in (".npz", ".npy", ".parquet", ".h5", ".pkl"):
        assert f"\n  {suffix} " in done.out
