"""A cache that another program filled: checked and adopted, refused, or taken as it is."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.features import fill
from retrain_tools.features.cache import format_bottleneck, parse_bottleneck
from retrain_tools.features.checksums import checksums_path
from retrain_tools.features.manifest import manifest_path
from retrain_tools.features.read_cache import read_bottlenecks
from retrain_tools.images.folders import find_images
from retrain_tools.quiet_tensorflow import tf
from tests.head.scripts import run_commands

from . import tiny
from .filling import counts, run, texts


@pytest.fixture(scope="module")
def frozen(graph_2015):
    return tiny.opened(graph_2015, tiny.BOTTLENECK_2015)


@pytest.fixture
def legacy(frozen, images, folder):
    """What retrain.py of 2016 would have left: six digits, no manifest."""
    run(frozen, images, folder)
    manifest_path(folder, "").unlink()
    checksums_path(folder, "").unlink()
    for path in folder.rglob("*.txt"):
        vector = parse_bottleneck(path.read_bytes())
        path.write_text(",".join(f"{value:.6g}" for value in vector))
    return folder


def test_a_cache_that_agrees_is_adopted(frozen, images, legacy, no_extractor, caplog):
    caplog.set_level("INFO")
    before = texts(legacy)
    (legacy / "a/0.jpg.txt").write_text("damaged")
    report = run(frozen, images, legacy)
    assert counts(report) == (0, 11, 1, 0)
    after = texts(legacy)
    assert {k: v for k, v in after.items() if k != "a/0.jpg.txt"} == {
        k: v for k, v in before.items() if k != "a/0.jpg.txt"
    }, "good files are left as they are"
    assert "11 bottlenecks adopted; 5 computed again, worst difference" in caplog.text
    adopted = json.loads(manifest_path(legacy, "").read_text())["adopted"]
    assert (adopted["bottlenecks"], adopted["checked"]) == (11, 5)
    assert adopted["worst_relative_error"] < 1e-4
    no_extractor()
    assert counts(run(frozen, images, legacy)) == (0, 12, 0, 0)


@pytest.fixture
def disagreeing(legacy):
    for path in legacy.rglob("*.txt"):
        path.write_text(format_bottleneck(1.1 * parse_bottleneck(path.read_bytes())))
    return legacy


def test_a_cache_that_disagrees_is_refused_with_numbers(frozen, images, disagreeing):
    before = texts(disagreeing)
    with pytest.raises(InputError) as error:
        run(frozen, images, disagreeing)
    message = str(error.value)
    assert "The 12 bottlenecks in" in message
    assert "differ by more than 5%" in message
    number = r"[-\d.e]+"
    line = rf"a/0\.jpg: 9\.1% \(cached {number}, {number}, {number}, …; now {number}, {number}"
    assert re.search(line, message)
    assert "or pass trust_cache to take them" in message
    assert texts(disagreeing) == before
    assert not manifest_path(disagreeing, "").exists()


def test_trust_takes_it_unchecked(frozen, images, disagreeing, caplog):
    caplog.set_level("INFO")
    assert counts(run(frozen, images, disagreeing, trust_cache=True)) == (0, 12, 0, 0)
    assert "12 bottlenecks without a manifest are taken unchecked" in caplog.text
    manifest = json.loads(manifest_path(disagreeing, "").read_text())
    assert manifest["adopted"] == {"bottlenecks": 12, "checked": 0}


def test_a_cache_whose_images_are_gone_cannot_be_checked(frozen, images, legacy):
    for image in images:
        with open(image.path, "wb"):  # noqa: PTH123
            pass
    with pytest.raises(InputError, match=r"cannot be checked: none .* Pass trust_cache"):
        run(frozen, images, legacy)
    assert counts(run(frozen, images, legacy, trust_cache=True)) == (0, 12, 0, 0)


# --- the wrong graph first, and then the right one ---


@pytest.fixture(scope="module")
def wrong(graph_2015, tmp_path_factory):
    """The same nodes and shapes, other weights."""
    graph_def = tf.compat.v1.GraphDef.FromString(graph_2015.read_bytes())
    for node in graph_def.node:
        if node.name == "conv_1/batchnorm/beta":
            array = tf.make_ndarray(node.attr["value"].tensor)
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(array[::-1] + 1))
    path = tmp_path_factory.mktemp("wrong") / "wrong.pb"
    path.write_bytes(graph_def.SerializeToString())
    return path


@pytest.fixture
def open_wrong(wrong):
    return tiny.opened(wrong, tiny.BOTTLENECK_2015)


NEW = ["a/10.jpg.txt", "b/11.jpg.txt", "b/9.jpg.txt"]  # as the wrong graph finds them missing


@pytest.fixture
def trusted(legacy, open_wrong, images):
    """A cache of old in which three images were missing, and the wrong graph with trust_cache."""
    right = texts(legacy)
    for name in NEW:
        (legacy / name).unlink()
    assert counts(run(open_wrong, images, legacy, trust_cache=True)) == (3, 9, 0, 0)
    return right


def manifest_of(folder):
    return json.loads(manifest_path(folder, "").read_text())


def same_values(found, expected):
    assert found.keys() == expected.keys()
    for name, text in found.items():
        np.testing.assert_allclose(
            parse_bottleneck(text.encode()), parse_bottleneck(expected[name].encode()), atol=1e-4
        )


def test_what_was_taken_unchecked_says_so_and_counts_what_it_computed(
    open_wrong, images, legacy, wrong, caplog
):
    for name in NEW:
        (legacy / name).unlink()
    run(open_wrong, images, legacy, trust_cache=True)
    assert (
        f"3 bottlenecks were computed into {legacy}, whose other bottlenecks were never checked; "
        f"{legacy}/manifest.json lists those of this graph"
    ) in caplog.messages
    manifest = manifest_of(legacy)
    assert manifest["note"].endswith("nobody has checked which graph made them.")
    assert manifest["identity"] is None
    assert manifest["adopted"] == {"bottlenecks": 9, "checked": 0}
    [computed] = manifest["computed"]
    assert computed["graph"] == str(wrong)
    assert computed["images"] == [name.removesuffix(".txt") for name in NEW]


def test_the_right_graph_is_not_refused_and_takes_nothing_of_the_wrong_one(
    frozen, images, legacy, trusted, wrong, caplog, no_extractor
):
    caplog.set_level("INFO")
    report = run(frozen, images, legacy)
    assert counts(report) == (3, 9, 0, 0)
    same_values(texts(legacy), trusted)
    assert (
        f"3 bottlenecks in {legacy} were computed by another graph ({wrong}) and are computed again"
    ) in caplog.messages
    manifest = manifest_of(legacy)
    assert manifest["identity"]["fingerprint"] == report.identity.fingerprint
    assert (manifest["adopted"]["checked"], manifest["computed"]) == (5, [])
    no_extractor()
    assert counts(run(frozen, images, legacy)) == (0, 12, 0, 0)


def test_after_that_the_wrong_graph_is_refused(frozen, open_wrong, images, legacy, trusted):
    run(frozen, images, legacy)
    before = texts(legacy)
    for trust in (False, True):
        with pytest.raises(InputError) as error:
            run(open_wrong, images, legacy, trust_cache=trust)
        way_out = f"If they are of this graph after all, remove {legacy}/manifest.json:"
        assert way_out in str(error.value)
    assert texts(legacy) == before
    manifest_path(legacy, "").unlink()  # as the message says
    with pytest.raises(InputError, match="have no manifest and do not agree with this graph"):
        run(open_wrong, images, legacy)
    assert counts(run(frozen, images, legacy)) == (0, 12, 0, 0)


def test_the_wrong_graph_without_trust_is_told_what_was_never_checked(
    open_wrong, images, legacy, trusted
):
    before = texts(legacy)
    with pytest.raises(InputError) as error:
        run(open_wrong, images, legacy)
    assert str(error.value).startswith(
        f"The 9 bottlenecks in {legacy} were taken unchecked and do not agree with this graph; "
    )
    assert str(error.value).endswith(
        ". Use the graph that made them or another bottleneck_dir, or pass trust_cache to take "
        "them as they are."
    )
    assert texts(legacy) == before
    assert manifest_of(legacy)["identity"] is None


def test_each_graph_that_is_trusted_keeps_its_own(
    frozen, open_wrong, images, legacy, trusted, caplog
):
    """Trust is in what nobody knows; what another graph computed is known."""
    caplog.set_level("INFO")
    wrong_ones = {name: texts(legacy)[name] for name in NEW}
    assert counts(run(open_wrong, images, legacy, trust_cache=True)) == (0, 12, 0, 0)
    assert "9 bottlenecks that were never checked are taken unchecked" in caplog.messages
    assert counts(run(frozen, images, legacy, trust_cache=True)) == (3, 9, 0, 0)
    same_values(texts(legacy), trusted)
    assert counts(run(open_wrong, images, legacy, trust_cache=True)) == (3, 9, 0, 0)
    assert {name: texts(legacy)[name] for name in NEW} == wrong_ones


def test_what_another_graph_computed_stays_known_where_it_is_not_asked_for(
    frozen, images, legacy, trusted, caplog
):
    asked = [image for image in images if f"{image.relative}.txt" not in NEW[1:]]
    assert counts(run(frozen, asked, legacy)) == (1, 9, 0, 0)
    [left] = manifest_of(legacy)["computed"]
    assert left["images"] == [name.removesuffix(".txt") for name in NEW[1:]]
    found = read_bottlenecks(legacy)
    assert found.images == sorted(image.relative for image in asked)
    assert (
        f"2 bottlenecks in {legacy} were computed by another graph than the others "
        f"({legacy}/manifest.json) and are left out"
    ) in caplog.messages
    assert counts(run(frozen, images, legacy)) == (2, 10, 0, 0)
    same_values(texts(legacy), trusted)
    assert len(read_bottlenecks(legacy).images) == 12


def test_reading_a_cache_of_perhaps_several_graphs_warns(legacy, trusted, caplog):
    assert len(read_bottlenecks(legacy).images) == 12
    assert (
        f"the bottlenecks in {legacy} may be of several graphs: some were taken unchecked, others "
        f"computed ({legacy}/manifest.json)"
    ) in caplog.messages


def test_other_images_do_not_give_a_cache_of_old_to_a_graph(
    frozen, open_wrong, images, legacy, photos, caplog
):
    """Nothing can be checked there; the old bottlenecks stay what nobody knows."""
    new = photos.parent / "more/c"
    new.mkdir(parents=True)
    (new / "1.jpg").write_bytes((photos / "a/0.jpg").read_bytes())
    more = find_images(str(new.parent))
    assert counts(run(open_wrong, more, legacy)) == (1, 0, 0, 0)
    assert f"1 bottlenecks were computed into {legacy}" in caplog.text
    assert counts(run(open_wrong, more, legacy)) == (0, 1, 0, 0)
    assert counts(run(frozen, images, legacy)) == (0, 12, 0, 0)
    assert counts(run(frozen, more, legacy)) == (1, 0, 0, 0)


def test_a_run_beside_another_one_on_other_images_keeps_its_manifest(
    frozen, images, folder, monkeypatch
):
    """The other began after this one had looked for a manifest, and has computed some by now."""
    opened = fill.Extractor

    def slowly(*arguments):
        monkeypatch.setattr(fill, "Extractor", opened)
        assert counts(run(frozen, images[6:], folder)) == (6, 0, 0, 0)
        return opened(*arguments)

    monkeypatch.setattr(fill, "Extractor", slowly)
    assert counts(run(frozen, images[:6], folder)) == (6, 0, 0, 0)
    assert manifest_of(folder)["identity"] is not None
    assert manifest_of(folder)["adopted"] is None


def test_a_run_that_is_stopped_leaves_nothing_under_another_graph_s_name(
    frozen, open_wrong, images, legacy, trusted, monkeypatch
):
    def stopped(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fill, "compute", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(frozen, images, legacy, trust_cache=True)
    assert not set(NEW) & set(texts(legacy))
    assert counts(run(open_wrong, images, legacy, trust_cache=True)) == (3, 9, 0, 0)
    assert counts(run(frozen, images, legacy)) == (3, 9, 0, 0)
    same_values(texts(legacy), trusted)


def test_the_same_on_the_command_line(graph_2015, wrong, photos, legacy, tmp_path):
    right = texts(legacy)
    (legacy / NEW[0]).unlink()
    flags = [f"--image_dir={photos}", f"--bottleneck_dir={legacy}"]
    flags.append(f"--bottleneck_tensor={tiny.BOTTLENECK_2015}")
    refused, trusted, done, other = run_commands(
        "retrain_tools.bottlenecks",
        [
            [f"--graph={wrong}", *flags],
            [f"--graph={wrong}", *flags, "--trust_cache"],
            [f"--graph={graph_2015}", *flags],
            [f"--graph={wrong}", *flags, "--trust_cache"],
        ],
        tmp_path,
    )
    assert refused.status == 2
    assert refused.err.startswith(f"error: The 11 bottlenecks in {legacy} have no manifest and ")
    assert refused.err.endswith("or pass --trust_cache to take them as they are.\n")
    assert re.match(r"1 computed, 11 reused, 0 repaired, 0 failed", trusted.out), trusted.err
    assert trusted.err.splitlines() == [
        "11 bottlenecks without a manifest are taken unchecked",
        f"warning: 1 bottlenecks were computed into {legacy}, whose other bottlenecks were never "
        f"checked; {legacy}/manifest.json lists those of this graph",
    ]
    assert re.match(r"1 computed, 11 reused, 0 repaired, 0 failed", done.out), done.err
    assert done.err.splitlines()[1] == (
        f"1 bottlenecks in {legacy} were computed by another graph ({wrong}) and are computed again"
    )
    same_values(texts(legacy), right)
    assert other.status == 2
    assert "Use another --bottleneck_dir or another --bottleneck_suffix. If" in other.err
