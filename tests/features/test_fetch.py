"""Fetching tensors into a file: the values, their order, bad images, and being stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retrain_tools.engine.settings import RunSettings
from retrain_tools.errors import InputError
from retrain_tools.features import fetch as module
from retrain_tools.features.extractor import Extractor
from retrain_tools.features.fetch import named_tensor
from retrain_tools.features.image_side import ImagePreparation
from retrain_tools.images.decode import ImageError
from retrain_tools.quiet_tensorflow import tf

from . import tiny
from .fetching import EXACT, FETCHES, check, counts, fetch, jpegs

FAILURES = "features.npz.failures.csv"


@pytest.fixture(scope="module")
def frozen(graph_2015):
    return tiny.opened(graph_2015, tiny.BOTTLENECK_2015)


@pytest.fixture
def paths(photos):
    return jpegs(photos)


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out/features.npz"


# --- values ---


def test_several_tensors_have_the_values_of_single_runs(frozen, graph_2015, paths, output):
    report = fetch(frozen, paths, output)
    assert counts(report) == (12, 0, 0)
    assert dict(report.columns) == {
        "pool/_reshape:0": (256,),
        "conv/relu:0": (8, 8, 8),
        "softmax": (5,),
    }
    check(output, graph_2015, paths)
    assert sorted(p.name for p in output.parent.iterdir()) == ["features.npz", "features.npz.json"]


def test_pooling_makes_vectors(frozen, graph_2015, paths, output):
    fetch(frozen, paths[:3], output, pooling="max")
    data = {"DecodeJpeg/contents:0": Path(paths[2]).read_bytes()}
    maps = tiny.run_untouched(graph_2015, "conv/relu:0", data)[0]
    with np.load(output) as arrays:
        assert [arrays[name].shape for name in FETCHES] == [(3, 256), (3, 8), (3, 5)]
        np.testing.assert_allclose(arrays["conv/relu:0"][2], maps.max((0, 1)), atol=EXACT)


def test_rows_are_in_the_order_of_the_images_whatever_finishes_first(
    frozen, graph_2015, paths, output, monkeypatch
):
    monkeypatch.setattr("retrain_tools.engine.body._USUAL_SIZE", 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    finished = []
    prepare = ImagePreparation.prepare

    def slow(self, path):
        time.sleep(0.15 if path == paths[0] else 0)
        pixels = prepare(self, path)
        finished.append(path)
        return pixels

    monkeypatch.setattr(ImagePreparation, "prepare", slow)
    mixed = [paths[i] for i in (0, 7, 3, 11, 1, 2, 10, 4, 9, 5, 8, 6)]
    fetch(frozen, mixed, output)
    assert finished != mixed
    check(output, graph_2015, mixed)


def test_an_image_named_twice_has_one_row(frozen, graph_2015, paths, output):
    assert counts(fetch(frozen, [*paths[:2], paths[0]], output)) == (2, 0, 0)
    check(output, graph_2015, paths[:2])


def test_raw_pixels_are_what_pillow_makes_of_the_image(pixel_graph, photos, tmp_path):
    """As the older tool did: Image.open, imresize (Pillow's bilinear, to uint8), no scaling."""
    Image.open(photos / "a/0.jpg").convert("L").save(photos / "grey.png")
    paths = [*jpegs(photos)[:3], str(photos / "grey.png")]
    frozen = tiny.opened(pixel_graph, "features")
    fetch(tiny.fed_raw(frozen), paths, tmp_path / "raw.npz", ["maps", "features"])
    with np.load(tmp_path / "raw.npz") as arrays:
        for row, path in enumerate(paths):
            image = Image.open(path).convert("RGB").resize((16, 16), Image.Resampling.BILINEAR)
            pixels = np.asarray(image, np.float32)[np.newaxis]
            for name in ("maps", "features"):
                expected = tiny.run_untouched(pixel_graph, f"{name}:0", {"input:0": pixels})[0]
                np.testing.assert_allclose(arrays[name][row], expected, rtol=1e-5, atol=EXACT)


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".parquet", ".h5", ".pkl"])
def test_one_number_for_each_image(tmp_path, photos, suffix):
    path = tiny.write_pixel_graph(tmp_path / "sum.pb", lambda pooled, _: tf.reduce_sum(pooled))
    paths = jpegs(photos)[:3]
    report = fetch(tiny.opened(path, "features"), paths, tmp_path / f"f{suffix}", ["features"])
    assert report.columns == [("features", ())]
    pixels = [tiny.prepared_by_hand(Path(name).read_bytes()) for name in paths]
    expected = [tiny.run_untouched(path, "features:0", {"input:0": one}) for one in pixels]
    found = {
        ".npz": lambda: np.load(tmp_path / "f.npz")["features"],
        ".npy": lambda: np.load(tmp_path / "f.npy"),
        ".parquet": lambda: np.ravel(
            pytest.importorskip("pyarrow.parquet").read_table(tmp_path / "f.parquet")["features"]
            .to_pylist()
        ),
        ".h5": lambda: pytest.importorskip("h5py").File(tmp_path / "f.h5")["features"][:],
        ".pkl": lambda: np.array(list(np.load(tmp_path / "f.pkl", allow_pickle=True).values())),
    }[suffix]()  # fmt: skip
    assert found.shape == (3,)
    np.testing.assert_allclose(found, expected, rtol=0, atol=EXACT)


def test_a_tensor_whose_shape_hangs_on_the_image_is_refused(tmp_path):
    """Rows of one file are of one shape: another length would shift every row after it."""
    bright = tiny.write_pixel_graph(
        tmp_path / "bright.pb",
        lambda pooled, pixels: tf.boolean_mask(pixels[..., 0], pixels[..., 0] > 0),
    )
    for number, value in enumerate((0, 255, 200)):
        Image.new("RGB", (20, 20), (value, 0, 0)).save(tmp_path / f"{number}.png")
    paths = [str(tmp_path / f"{number}.png") for number in range(3)]
    with pytest.raises(InputError, match=r"^None of the 3 images can be used"):
        fetch(tiny.opened(bright, "features"), paths, tmp_path / "f.npz", ["features"])
    reasons = (tmp_path / "f.npz.failures.csv").read_text().splitlines()
    assert reasons[1].startswith(f"{paths[0]},\"gives values of shape [0] for 'features', not [")
    assert not (tmp_path / "f.npz").exists()


# --- names ---


def test_names_of_tensors(frozen):
    assert named_tensor(frozen, "softmax") == "softmax:0"
    assert named_tensor(frozen, "import/softmax:0") == "softmax:0"
    with pytest.raises(InputError, match=r"^No tensor 'sofmax:0' in .*Did you mean 'softmax:0'\?"):
        named_tensor(frozen, "sofmax")


@pytest.mark.parametrize("name", ["Cast:0", "Mul:0"])
def test_what_is_not_computed_from_images_leaves_nothing_behind(frozen, paths, output, name):
    with pytest.raises(InputError, match=f"^'{name}' is not computed from 'Mul:0'"):
        fetch(frozen, paths, output, [name])
    assert list(output.parent.iterdir()) == []


def test_what_cannot_be_a_store_is_said_before_anything_is_computed(frozen, paths, output):
    with pytest.raises(InputError, match="chooses the kind of file"):
        fetch(frozen, paths, "features.csv")
    with pytest.raises(InputError, match="'conv_relu' would have the same name"):
        module.fetch_tensors(
            frozen,
            {"conv/relu": "conv/relu:0", "conv_relu": "conv/relu:0"},
            paths,
            module.FetchOptions(str(output.with_suffix(".npy"))),
        )
    with pytest.raises(InputError, match=r"has a line break in it, and .*features\.images\.txt"):
        fetch(frozen, [*paths, "a\nb.jpg"], output.with_suffix(".npy"), ["softmax"])
    assert not output.parent.exists()


# --- bad images ---


def test_bad_images_are_listed_and_shift_no_other_s_row(
    frozen, graph_2015, photos, paths, output, caplog
):
    bad = {paths[1]: b"", paths[5]: b"text", paths[6]: Path(paths[6]).read_bytes()[:250]}
    for path, data in bad.items():
        Path(path).write_bytes(data)
    asked = [*paths[:3], str(photos / 'gone,"1".jpg'), *paths[3:], str(photos)]
    report = fetch(frozen, asked, output)
    assert counts(report) == (9, 0, 5)
    check(output, graph_2015, [path for path in paths if path not in bad])
    text = (output.parent / FAILURES).read_text()
    lines = text.splitlines()
    assert lines[0] == "image,reason,kind"
    assert f"{paths[1]},is empty,image" in lines
    assert f'{paths[5]},"is not a JPEG, PNG, GIF, BMP or WebP image",image' in lines
    assert f'"{photos}/gone,""1"".jpg",cannot be read: No such file or directory,reading' in lines
    assert f"{photos},cannot be read: Is a directory,reading" in lines
    assert len(lines) == 6
    assert f"{paths[1]} is empty" in caplog.messages


def test_where_no_image_can_be_used_nothing_is_written(frozen, paths, output):
    for path in paths:
        Path(path).write_bytes(b"text")
    with pytest.raises(InputError) as error:
        fetch(frozen, paths, output)
    assert str(error.value) == (
        f"None of the 12 images can be used; the reasons are in {output}.failures.csv."
    )
    assert [path.name for path in output.parent.iterdir()] == [FAILURES]


def test_too_large_an_image_fails(frozen, paths, output):
    report = fetch(frozen, paths, output, running=RunSettings(max_image_pixels=900))
    assert 0 < report.computed < 12
    assert "more than the limit of 900 pixels" in next(iter(report.failed.values()))


# --- being stopped ---

_STOPPING = """
import os, signal, sys
from tests.features import fetching, tiny
from retrain_tools.features.rows import RowFiles
append = RowFiles.append
def stopping(self, source, row):
    append(self, source, row)
    if len(self) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
RowFiles.append = stopping
graph, photos, output = sys.argv[1:]
frozen = tiny.opened(graph, tiny.BOTTLENECK_2015)
fetching.fetch(frozen, fetching.jpegs(fetching.Path(photos)), output)
"""


def test_a_killed_run_goes_on_where_it_was(frozen, graph_2015, photos, paths, output):
    command = [sys.executable, "-c", _STOPPING, str(graph_2015), str(photos), str(output)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    part = Path(f"{output}.part")
    assert not output.exists()
    # Killed inside a row: the values of one tensor are there, the line is cut.
    with (part / "0.rows").open("ab") as file:
        file.write(b"\x7f" * 100)
    with (part / "sources").open("ab") as file:
        file.write(b'["photos/a/')
    os.utime(paths[0])  # meanwhile, one was changed
    report = fetch(frozen, paths, output)
    assert report.computed in (7, 8)
    assert sum(counts(report)) == 12
    check(output, graph_2015, paths)
    assert not part.exists()


def test_stopping_keeps_what_is_done_and_says_how_to_go_on(
    frozen, graph_2015, paths, output, monkeypatch, caplog
):
    caplog.set_level("INFO")
    extract = Extractor.extract

    def stopped(self, asked):
        for count, pair in enumerate(extract(self, asked)):
            if count == 5:
                raise KeyboardInterrupt
            yield pair

    with monkeypatch.context() as patch:
        patch.setattr(Extractor, "extract", stopped)
        with pytest.raises(KeyboardInterrupt):
            fetch(frozen, paths, output)
    assert "stopped after 5 of 12 images; run again to go on" in caplog.messages
    assert Path(f"{output}.part").is_dir()
    assert counts(fetch(frozen, paths, output)) == (7, 5, 0)
    check(output, graph_2015, paths)


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".pkl"])
@pytest.mark.parametrize("earlier", [False, True])
def test_stopped_while_the_output_is_written(frozen, paths, output, monkeypatch, suffix, earlier):
    """Between one file and the next, and the record of them: nothing is refused or lost."""
    output = output.with_suffix(suffix)
    if earlier:
        fetch(frozen, paths[:5], output)
    written = module.write_record

    def stopped(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_record", stopped)
        with pytest.raises(KeyboardInterrupt):
            fetch(frozen, paths, output)
    assert module.write_record is written
    assert counts(fetch(frozen, paths, output)) == (0, 12, 0)
    assert not Path(f"{output}.part").exists()
    assert counts(fetch(frozen, paths, output)) == (0, 12, 0)


def test_stopped_while_another_output_is_written_over_a_good_one(
    frozen, paths, output, monkeypatch
):
    """Going back to the first way finds its output good, and leaves the other's work alone."""
    fetch(frozen, paths[:5], output)

    def stopped(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "Table", stopped)
        with pytest.raises(KeyboardInterrupt):
            fetch(frozen, paths, output, ["softmax"], overwrite=True)
    assert counts(fetch(frozen, paths[:5], output)) == (0, 5, 0)
    assert counts(fetch(frozen, paths, output, ["softmax"], overwrite=True)) == (0, 12, 0)


def test_runs_at_the_same_time_do_the_work_once(frozen, graph_2015, paths, output, caplog):
    """One works, the others wait; the folder that they wait at goes when the first has finished."""
    caplog.set_level("INFO")
    for number in range(3):
        place = output.with_name(f"{number}.npz")
        with ThreadPoolExecutor(3) as pool:
            runs = [pool.submit(fetch, frozen, paths, place) for _ in range(3)]
        done = sorted(counts(run.result()) for run in runs)
        assert done == [(0, 12, 0), (0, 12, 0), (12, 0, 0)]
        check(place, graph_2015, paths, ["softmax"])
        assert not Path(f"{place}.part").exists()
        assert f"waiting for another run that writes {place}" in caplog.messages


def test_an_error_of_the_disk_is_not_an_image_s_fault(frozen, paths, output, monkeypatch):
    def full(self, source, row):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("retrain_tools.features.rows.RowFiles.append", full)
    with pytest.raises(OSError, match="No space left"):
        fetch(frozen, paths, output)
    assert not issubclass(OSError, ImageError)


def test_an_image_that_cannot_be_used_may_end_the_job(frozen, graph_2015, paths, output):
    good = Path(paths[9]).read_bytes()
    Path(paths[9]).write_bytes(b"")
    with pytest.raises(InputError, match=rf"^{paths[9]} is empty\.$"):
        fetch(frozen, paths, output, on_error="fail")
    assert not output.exists()
    Path(paths[9]).write_bytes(good)
    report = fetch(frozen, paths, output, on_error="fail")
    assert counts(report) == (3, 9, 0), "what was done is kept"
    check(output, graph_2015, paths)
