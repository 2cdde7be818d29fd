"""The manifest of a cache: what comes back, what is damaged, and what is refused."""

from __future__ import annotations

import json

import pytest

from retrain_tools.errors import InputError
from retrain_tools.features.cache import Identity
from retrain_tools.features.manifest import (
    Computed,
    Manifest,
    manifest_path,
    read_manifest,
    refuse_another,
    write_manifest,
)

IDENTITY = Identity("a" * 64, "pool:0", "none", {"by": "graph", "to": "Mul:0"})
OTHER = Identity("b" * 64, "pool:0", "none", {"by": "graph", "to": "Mul:0"})
UNCHECKED = {"bottlenecks": 7, "checked": 0}


@pytest.mark.parametrize(
    "manifest",
    [
        Manifest(IDENTITY, 2048, "graph.pb"),
        Manifest(IDENTITY, 2048, "graph.pb", {"checked": 5}),
        Manifest(None, 4, "g.pb", UNCHECKED, (Computed("g.pb", IDENTITY, ["a/1.jpg", "é.jpg"]),)),
    ],
)
def test_a_manifest_comes_back(tmp_path, manifest):
    write_manifest(tmp_path, "_m", manifest)
    assert read_manifest(tmp_path, "_m") == manifest
    assert read_manifest(tmp_path, "") is None, "another naming is another cache"


def test_a_manifest_is_for_people_to_read_too(tmp_path):
    write_manifest(tmp_path, "", Manifest(IDENTITY, 2048, "graph.pb"))
    content = json.loads(manifest_path(tmp_path, "").read_text())
    assert Identity(**content["identity"]) == IDENTITY
    assert (content["depth"], content["graph"]) == (2048, "graph.pb")
    assert "note" not in content
    write_manifest(tmp_path, "", Manifest(None, 2048, "graph.pb", UNCHECKED))
    content = json.loads(manifest_path(tmp_path, "").read_text())
    assert content["note"] == (
        "The bottlenecks that are not listed here were taken as they are: nobody has checked "
        "which graph made them."
    )
    assert content["identity"] is None


def test_what_version_0_1_0_took_unchecked_is_nobody_s(tmp_path):
    """It gave such a cache to the graph that took it, right or wrong."""
    write_manifest(tmp_path, "", Manifest(IDENTITY, 2048, "wrong.pb", UNCHECKED))
    found = read_manifest(tmp_path, "")
    assert found == Manifest(None, 2048, "wrong.pb", UNCHECKED)
    refuse_another(found, tmp_path, "", OTHER)  # does not


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '"x"',
        '{"identity": {}}',
        '{"identity": 3}',
        '{"identity": {"fingerprint": 1, "nonsense": 2}, "format": 1, "depth": 4}',
        '{"identity": null, "format": 1, "depth": 4, "computed": [3]}',
    ],
)
def test_a_damaged_manifest_says_what_to_do(tmp_path, text):
    manifest_path(tmp_path, "").write_text(text)
    with pytest.raises(InputError) as error:
        read_manifest(tmp_path, "")
    assert str(error.value) == (
        f"{tmp_path}/manifest.json is not a manifest of this version. If the bottlenecks beside "
        "it are good, remove it: they will be checked and adopted."
    )


@pytest.mark.parametrize(("key", "value"), [("format", 2), ("depth", "2048")])
def test_a_manifest_of_another_version(tmp_path, key, value):
    write_manifest(tmp_path, "", Manifest(IDENTITY, 2048, "graph.pb"))
    path = manifest_path(tmp_path, "")
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(InputError, match="is not a manifest of this version"):
        read_manifest(tmp_path, "")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fingerprint": "b" * 64}, "fingerprint aaaaaaaaaaaa… there, bbbbbbbbbbbb… now"),
        ({"tensor": "logits:0"}, "tensor pool:0 there, logits:0 now"),
        ({"pooling": "max"}, "pooling none there, max now"),
        (
            {"preprocessing": {"by": "retrain_tools"}},
            'preprocessing {"by": "graph", "to": "Mul:0"} there, {"by": "retrain_tools"} now',
        ),
        ({"precision": "float16"}, "precision float32 there, float16 now"),
    ],
)
def test_another_graph_or_way_is_refused_by_what_differs(tmp_path, change, said):
    manifest = Manifest(IDENTITY, 2048, "old.pb")
    refuse_another(manifest, tmp_path, "_m", IDENTITY)  # is the same
    other = Identity(**{**IDENTITY.__dict__, **change})
    with pytest.raises(InputError) as error:
        refuse_another(manifest, tmp_path, "_m", other)
    assert str(error.value) == (
        f"The bottlenecks in {tmp_path} were made by another graph or in another way "
        f"(old.pb; manifest_m.json): {said}. "
        "Use another bottleneck_dir or another bottleneck_suffix. If they are of this graph after "
        f"all, remove {tmp_path}/manifest_m.json: some of them will be computed again and compared "
        "before they are used."
    )


def test_what_is_known_of_single_images():
    manifest = Manifest(None, 4, "g.pb", UNCHECKED).with_computed(OTHER, "w.pb", ["b", "a", "c"])
    assert (manifest.own(OTHER), manifest.others(OTHER)) == ({"a", "b", "c"}, {})
    manifest = manifest.with_computed(IDENTITY, "r.pb", ["c", "d"])
    assert manifest.computed == (
        Computed("w.pb", OTHER, ["a", "b"]),
        Computed("r.pb", IDENTITY, ["c", "d"]),
    )
    assert (manifest.own(OTHER), manifest.others(OTHER)) == (
        {"a", "b"},
        {"c": "r.pb", "d": "r.pb"},
    )
    again = manifest.with_computed(OTHER, "w.pb", ["c", "d"])
    assert again.computed == (Computed("w.pb", OTHER, ["a", "b", "c", "d"]),)


def test_a_cache_of_one_graph_lists_only_what_is_of_another():
    checked = Manifest(IDENTITY, 4, "r.pb", None, (Computed("w.pb", OTHER, ["a", "b"]),))
    assert checked.others(IDENTITY) == {"a": "w.pb", "b": "w.pb"}
    checked = checked.with_computed(IDENTITY, "r.pb", ["b", "new"])
    assert checked.computed == (Computed("w.pb", OTHER, ["a"]),)
    assert checked.with_computed(IDENTITY, "r.pb", ["a"]).computed == ()
