"""The catalogue's checkpoints: what is said of them, and fetching one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from retrain_tools import catalog
from retrain_tools.errors import InputError
from retrain_tools.slim.networks import NETWORKS, plan_network
from tests.catalog.toys import Server, archive_of, files_in

NAMES = sorted(catalog.checkpoints())


def test_every_network_but_alexnet_has_a_checkpoint() -> None:
    published = {entry.network for entry in catalog.checkpoints().values()}
    assert published == set(NETWORKS) - {"alexnet_v2"}


@pytest.mark.parametrize("name", NAMES)
def test_the_catalogue_says_of_a_checkpoint_what_its_network_is(name: str) -> None:
    entry = catalog.checkpoints()[name]
    info = NETWORKS[entry.network]
    plan = plan_network(entry.network, entry.num_classes, entry.width, entry.image_size)
    assert entry.bottleneck == info.bottleneck
    assert entry.depth == plan.end_points[info.bottleneck].shape[-1]
    assert (entry.num_classes, entry.width) in {(info.num_classes, w) for w in info.widths}
    assert entry.image_size == info.image_size or entry.network.startswith("mobilenet")
    assert 40 < entry.top_1 < entry.top_5 < 100
    assert entry.archive == entry.url.rpartition("/")[2]


def test_names_aliases_and_archives_are_all_different() -> None:
    graphs, checkpoints = catalog.entries().values(), catalog.checkpoints().values()
    spellings = [s for e in (*graphs, *checkpoints) for s in (e.name, *e.aliases)]
    assert len(spellings) == len(set(spellings))
    archives = [entry.archive for entry in (*graphs, *checkpoints)]
    assert len(archives) == len(set(archives))


def test_published_sizes_and_checksums() -> None:
    known = {
        name: (entry.archive_bytes, str(entry.archive_sha256)[:8])
        for name, entry in catalog.checkpoints().items()
        if entry.archive_bytes is not None
    }
    assert known == {
        "inception_v1_2016_08_28": (24642554, "7a620c43"),
        "inception_v2_2016_08_28": (41577079, "3b9d2699"),
        "inception_v4_2016_09_09": (171177982, "272a2b24"),
        "mobilenet_v1_1.0_224_2018_08_02": (94321559, "2fadeabb"),
    }


def test_finding_by_name_alias_and_archive() -> None:
    entry = catalog.checkpoints()["resnet_v1_50_2016_08_28"]
    for name in ("resnet_v1_50_2016_08_28", "resnet_v1_50", "resnet_v1_50_2016_08_28.tar.gz"):
        assert catalog.find_checkpoint(name) == entry
    assert catalog.find_checkpoint("resnet_v1_34") is None
    # retrain.py called the graph of 2015 so.
    assert catalog.find_checkpoint("inception_v3") is None


CHECKPOINT = archive_of(("toy.ckpt", b"variables"))


def describe(own: Path, server: Server, archive: str = "") -> None:
    folder = own / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "toy_2016.toml").write_text(
        f"""
description = "A toy"
aliases = ["toy"]
[archive]
url = "{server.url}"
name = "toy_2016.tar.gz"
{archive}
[network]
name = "mobilenet_v1"
width = 0.25
image_size = 128
classes = 1001
[bottleneck]
end_point = "AvgPool_1a"
depth = 256
[accuracy]
top_1 = 41.5
top_5 = 66.3
"""
    )


@pytest.mark.parametrize("name", ["toy_2016", "toy", "toy_2016.tar.gz"])
def test_a_checkpoint_is_fetched_once_and_kept_as_it_was_published(
    own: Path,
    server: Server,
    models: Path,
    name: str,
) -> None:
    server.body = CHECKPOINT
    describe(own, server, f"bytes = {len(CHECKPOINT)}")
    assert catalog.find_graph(name, models) == (models / "toy_2016.tar.gz", None)
    assert catalog.find_graph(name, models) == (models / "toy_2016.tar.gz", None)
    assert server.ranges == [None]
    assert files_in(models) == ["toy_2016.tar.gz"]
    assert (models / "toy_2016.tar.gz").read_bytes() == CHECKPOINT


def test_a_damaged_checkpoint_is_refused_and_deleted(
    own: Path,
    server: Server,
    models: Path,
) -> None:
    server.body = CHECKPOINT[:-9] + bytes([CHECKPOINT[-9] ^ 1]) + CHECKPOINT[-8:]
    describe(own, server)
    with pytest.raises(InputError, match=r"is damaged or cut short: .* The download was deleted\."):
        catalog.find_graph("toy", models)
    assert files_in(models) == []


def test_a_checkpoint_of_another_size_is_refused(
    own: Path,
    server: Server,
    models: Path,
) -> None:
    describe(own, server, "bytes = 7")
    models.mkdir()
    kept = models / "toy_2016.tar.gz"
    kept.write_bytes(CHECKPOINT)
    wanted = (
        f"{kept} is not the published toy_2016: expected 7 bytes, got {len(CHECKPOINT)}. "
        "Delete it to fetch it again."
    )
    with pytest.raises(InputError, match=f"^{re.escape(wanted)}$"):
        catalog.find_graph("toy", models)


def test_an_unknown_name_is_told_the_checkpoints_too() -> None:
    with pytest.raises(InputError, match=r"Did you mean 'resnet_v1_50'\?.*vgg_16, vgg_19"):
        catalog.find_graph("resnet_v1_5O")
