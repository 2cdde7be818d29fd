"""A second run into the same file: what is reused, what is computed, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from retrain_tools.features import fetch as module
from retrain_tools.quiet_tensorflow import tf

from . import tiny
from .fetching import FETCHES, check, counts, fetch, jpegs, refusal, seen, set_time

WAY_OUT = "Choose another output, or replace it with overwrite."
SUFFIXES = [".npz", ".npy", ".parquet", ".h5", ".pkl"]


@pytest.fixture(scope="module")
def frozen(graph_2015):
    return tiny.opened(graph_2015, tiny.BOTTLENECK_2015)


@pytest.fixture
def paths(photos):
    return jpegs(photos)


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out/features.npz"


# --- the same again ---


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_second_run_computes_nothing_and_touches_nothing(
    frozen, paths, output, suffix, monkeypatch
):
    output = output.with_suffix(suffix)
    first = fetch(frozen, paths, output)
    before = seen(output.parent)
    monkeypatch.delattr(module, "Extractor")  # nor is the graph opened
    second = fetch(frozen, paths, output)
    assert (counts(first), counts(second)) == ((12, 0, 0), (0, 12, 0))
    assert second.columns == first.columns
    assert second.summary().startswith(f"0 computed, 12 reused, 0 failed: {output}: ")
    assert seen(output.parent) == before


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_bad_image_does_not_make_a_second_run_write_all_again(frozen, paths, output, suffix):
    """It is tried again, as it may have been the network drive; the others stay where they are."""
    output = output.with_suffix(suffix)
    Path(paths[4]).write_bytes(b"")
    assert counts(fetch(frozen, paths, output)) == (11, 0, 1)
    before = {k: v for k, v in seen(output.parent).items() if not k.endswith("failures.csv")}
    assert counts(fetch(frozen, paths, output)) == (0, 11, 1)
    after = seen(output.parent)
    assert (
        after.pop(f"{output}.failures.csv")[2]
        == f"image,reason,kind\n{paths[4]},is empty,image\n".encode()
    )
    assert after == before
    Path(paths[4]).write_bytes(Path(paths[3]).read_bytes())
    fetch(frozen, paths, output)
    assert not Path(f"{output}.failures.csv").exists()


def test_a_list_of_failures_goes_with_the_images_that_failed(frozen, paths, output):
    Path(paths[4]).write_bytes(b"")
    fetch(frozen, paths, output)
    rest = [path for path in paths if path != paths[4]]
    assert counts(fetch(frozen, rest, output)) == (0, 11, 0)
    assert not Path(f"{output}.failures.csv").exists()


def test_the_output_is_known_by_another_name_of_its_folder(frozen, paths, output, monkeypatch):
    fetch(frozen, paths, output)
    before = seen(output.parent)
    monkeypatch.chdir(output.parent)
    assert counts(fetch(frozen, paths, "features.npz")) == (0, 12, 0)
    monkeypatch.chdir("/")
    assert counts(fetch(frozen, paths, output)) == (0, 12, 0)
    assert seen(output.parent) == before
    moved = output.parent.rename(output.parent.with_name("moved"))
    assert counts(fetch(frozen, paths, moved / "features.npz")) == (0, 12, 0)
    assert refusal(frozen, paths, moved / "features.npz", ["softmax"]).endswith(WAY_OUT)


def test_a_mean_for_each_colour_is_known_again(pixel_graph, paths, output):
    """VGG's. JSON knows no tuples."""
    frozen = tiny.opened(pixel_graph, tiny.BOTTLENECK_PIXELS)
    spec = dataclasses.replace(frozen.spec, mean=(123.68, 116.78, 103.94), std=1.0)
    frozen = dataclasses.replace(frozen, spec=spec)
    fetch(frozen, paths[:2], output, ["features"])
    assert counts(fetch(frozen, paths[:2], output, ["features"])) == (0, 2, 0)


# --- other images ---


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_added_and_changed_images(frozen, graph_2015, paths, output, suffix):
    store = output.with_suffix(suffix)
    first = paths[:6]
    fetch(frozen, first, store)
    remade = suffix == ".pkl"  # which is never read

    def again(asked, new):
        report = fetch(frozen, asked, store)
        assert counts(report) == ((len(asked), 0, 0) if remade else (new, len(asked) - new, 0))
        assert report.kept == 0
        if suffix == ".npz":
            check(store, graph_2015, asked)

    again([paths[8], *first], 1)  # one more, before the others
    set_time(paths[8], 1_000_000_000)  # only touched
    again([paths[8], *first], 1)
    status = Path(paths[2]).stat()
    data = Path(paths[9]).read_bytes()
    Path(paths[2]).write_bytes(data)  # other bytes, the same time
    os.utime(paths[2], ns=(status.st_atime_ns, status.st_mtime_ns))
    again([paths[8], *first], 1)
    again([*first[::-1], paths[8]], 0)  # in another order
    again([paths[11], *first, paths[8], paths[10]], 2)
    assert not Path(f"{store}.part").exists()


def test_what_was_good_stays_if_no_image_can_be_used_now(frozen, paths, output):
    fetch(frozen, paths[:3], output)
    before = seen(output.parent)
    for path in paths[:3]:
        Path(path).write_bytes(b"text")
    assert refusal(frozen, paths[:3], output) == (
        f"None of the 3 images can be used; the reasons are in {output}.failures.csv."
    )
    assert {k: v for k, v in seen(output.parent).items() if "failures" not in k} == before


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".parquet", ".h5"])
def test_an_output_that_cannot_be_read_is_computed_again(
    frozen, graph_2015, paths, output, suffix, caplog
):
    output = output.with_suffix(suffix)
    fetch(frozen, paths[:3], output, ["softmax"])
    status = output.stat()
    output.write_bytes(b"\0" * status.st_size)  # rot: neither size nor time tell
    os.utime(output, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert counts(fetch(frozen, paths[:4], output, ["softmax"])) == (4, 0, 0)
    [line] = [m for m in caplog.messages if "cannot be read" in m]
    assert line.startswith("the output cannot be read (")
    assert line.endswith("); its images are computed again")
    if suffix == ".npz":
        check(output, graph_2015, paths[:4], ["softmax"])


def test_a_pickle_is_written_for_one_and_for_several_tensors(frozen, paths, output):
    store = output.with_suffix(".pkl")
    fetch(frozen, paths[:2], store)
    several = pickle.loads(store.read_bytes())
    fetch(frozen, paths[:2], store, ["softmax"], overwrite=True)
    one = pickle.loads(store.read_bytes())
    assert list(one) == list(several) == paths[:2]
    assert list(several[paths[0]]) == FETCHES
    np.testing.assert_allclose(one[paths[0]], several[paths[0]]["softmax"], atol=1e-6)


# --- what is refused ---


def another_graph(path: Path, folder: Path) -> Path:
    graph_def = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    for node in graph_def.node:
        if node.name == "conv/batchnorm/beta":
            array = tf.make_ndarray(node.attr["value"].tensor)
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(array + 1))
    (folder / "another.pb").write_bytes(graph_def.SerializeToString())
    return folder / "another.pb"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"names": ["softmax"]}, "holds pool/_reshape:0, conv/relu:0, softmax, not softmax"),
        (
            {"names": [FETCHES[1], FETCHES[0], "softmax"]},
            f"holds {', '.join(FETCHES)}, not conv/relu:0, pool/_reshape:0, softmax",
        ),
        ({"pooling": "avg"}, "was made in another way: 'pool/_reshape:0' differs in pooling"),
        (
            {"raw_pixels": True},
            "was made in another way: 'pool/_reshape:0' differs in preprocessing",
        ),
        (
            {"graph": "another"},
            "was made by another graph ({graph}): 'pool/_reshape:0' differs in fingerprint",
        ),
    ],
)
def test_an_output_made_in_another_way(frozen, graph_2015, paths, output, change, reason, tmp_path):
    change = dict(change)
    fetch(frozen, paths[:2], output)
    before = seen(output.parent)
    if change.pop("graph", None):
        frozen = tiny.opened(another_graph(graph_2015, tmp_path), tiny.BOTTLENECK_2015)
    if change.pop("raw_pixels", None):
        frozen = tiny.fed_raw(frozen)
    reason = reason.replace("{graph}", str(graph_2015))
    assert refusal(frozen, paths[:2], output, **change) == f"{output} {reason}. {WAY_OUT}"
    assert seen(output.parent) == before
    assert counts(fetch(frozen, paths[:2], output, overwrite=True, **change)) == (2, 0, 0)
    assert seen(output.parent) != before
    assert counts(fetch(frozen, paths[:2], output, **change)) == (0, 2, 0)
    # Where nothing is different, overwrite does no work again.
    assert counts(fetch(frozen, paths[:2], output, overwrite=True, **change)) == (0, 2, 0)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_output_that_was_changed(frozen, paths, output, suffix):
    output = output.with_suffix(suffix)
    names = FETCHES[:1]
    fetch(frozen, paths[:2], output, names)
    with output.open("ab") as file:
        file.write(b"x")
    message = f"{output} was changed since it was written. {WAY_OUT}"
    assert refusal(frozen, paths[:2], output, names) == message
    assert counts(fetch(frozen, paths[:2], output, names, overwrite=True)) == (2, 0, 0)


@pytest.mark.parametrize("gone", ["features.softmax.npy", "features.images.txt"])
def test_one_file_of_several_is_missing(frozen, paths, output, gone):
    store = output.with_suffix(".npy")
    fetch(frozen, paths[:2], store)
    (output.parent / gone).unlink()
    assert "features.npy was changed since it was written" in refusal(frozen, paths[:2], store)
    assert counts(fetch(frozen, paths[:2], store, overwrite=True)) == (2, 0, 0)
    assert (output.parent / gone).exists()


@pytest.mark.parametrize("name", ["features.npy", "features.softmax.npy", "features.images.txt"])
def test_a_file_of_another_program_is_not_replaced(frozen, paths, output, name):
    output.parent.mkdir()
    (output.parent / name).write_bytes(b"precious")
    before = seen(output.parent)
    store = output.with_suffix(".npy")
    names = ["softmax"] if name == "features.npy" else FETCHES
    message = f"{store} has no record of how it was made. {WAY_OUT}"
    assert refusal(frozen, paths[:2], store, names) == message
    assert seen(output.parent) == before
    fetch(frozen, paths[:2], store, names, overwrite=True)
    assert (output.parent / name).read_bytes() != b"precious"


@pytest.mark.parametrize(
    "record",
    [b"", b"[]", b"{}", b"\xff\xfe", b'{"format": 1}', b'{"format": 2, "tensors": {}}',
     b'{"format": 1, "tensors": {"a": {}}, "images": [], "files": []}',
     b'{"format": 1, "tensors": {}, "images": [], "files": [[5, 1, 1]]}', b"null"],
)  # fmt: skip
def test_a_record_that_cannot_be_read(frozen, paths, output, record):
    fetch(frozen, paths[:2], output)
    Path(f"{output}.json").write_bytes(record)
    message = f"{output} has a record that cannot be read. {WAY_OUT}"
    assert refusal(frozen, paths[:2], output) == message
    output.unlink()
    assert counts(fetch(frozen, paths[:2], output)) == (2, 0, 0)


def test_the_record_is_for_people_to_read_too(frozen, graph_2015, paths, output):
    fetch(frozen, paths[:2], output)
    record = json.loads(Path(f"{output}.json").read_text())
    assert record["graph"] == str(graph_2015)
    assert record["tensors"]["conv/relu:0"]["shape"] == [8, 8, 8]
    assert [path for path, _, _ in record["images"]] == paths[:2]


def test_an_unfinished_run_with_other_settings_is_refused(frozen, paths, output, monkeypatch):
    def stopped(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "Table", stopped)
        with pytest.raises(KeyboardInterrupt):
            fetch(frozen, paths[:3], output)
    before = seen(output.parent)
    for options in (
        {"names": ["softmax"]},
        {"pooling": "max"},
        {"names": ["softmax"], "overwrite": True},
    ):
        assert refusal(frozen, paths[:3], output, **options) == (
            f"{output}.part holds what an unfinished run has fetched with other tensors, another "
            "graph or other settings. Finish that run, remove the folder, or choose another "
            "output."
        )
    assert seen(output.parent) == before
    assert counts(fetch(frozen, paths[:4], output)) == (1, 3, 0)  # the same settings go on
