"""What a download is not allowed to cost: size, time, and what it unpacks to."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from retrain_tools import catalog, download
from retrain_tools.disk_space import NoSpaceError
from retrain_tools.errors import InputError
from tests.catalog.test_download import assert_refused
from tests.catalog.toys import GRAPH, LABELS, TOY, Server, archive_of, describe, files_in


def unreachable(server: Server, models: Path) -> str:
    with pytest.raises(InputError) as raised:
        catalog.find_graph("toy", models)
    message = str(raised.value)
    end = ". Get toy/frozen_graph.pb from elsewhere and pass it: --graph=/path/to/frozen_graph.pb"
    assert message.endswith(end)
    return message.removeprefix(f"Cannot download {server.url}: ").removesuffix(end)


def test_an_archive_that_is_too_large_is_not_fetched(
    own: Path, server: Server, models: Path
) -> None:
    server.body = TOY
    describe(own, server, "bytes = 7")
    reason = unreachable(server, models)
    assert reason == "the server sends more than the 7 bytes that it can have"
    assert files_in(models) == []


def test_a_body_without_end_is_left_at_the_published_size(
    own: Path, server: Server, models: Path
) -> None:
    server.endless = True
    describe(own, server, "bytes = 1000000")
    reason = unreachable(server, models)
    assert reason == "the server sends more than the 1,000,000 bytes that it can have"
    [part] = files_in(models)
    assert (models / part).stat().st_size <= 1_000_000


def test_a_server_that_is_too_slow_is_given_up(
    own: Path, server: Server, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_SLOW_FOR", 0.3)
    server.body, server.between_bytes = TOY, 0.05
    describe(own, server)
    reason = unreachable(server, models)
    assert re.fullmatch(r"it is too slow, \d\d? bytes a second; run again to go on", reason)
    assert files_in(models) == ["toy.tgz.part"]
    server.between_bytes = 0.0
    assert catalog.find_graph("toy", models)[0].read_bytes() == GRAPH


@pytest.mark.parametrize("length", ["abc", "-1"])
def test_a_length_that_is_no_number(own: Path, server: Server, models: Path, length: str) -> None:
    server.body, server.says_length = TOY, length
    describe(own, server)
    assert unreachable(server, models).startswith("the server says Content-Length: ")


def test_an_archive_that_unpacks_to_far_more_than_its_size(
    own: Path, server: Server, models: Path
) -> None:
    server.body = archive_of(("./toy/frozen_graph.pb", bytes(50_000_000)))
    describe(own, server)
    archive = models / "toy.tgz.part"
    assert_refused(models, f"{archive} unpacks to more than 16 times its size; no network does.")


@pytest.mark.parametrize(("size", "place"), [(100, "toy.tgz"), (700, "")])
def test_a_download_that_does_not_fit(
    own: Path, server: Server, small_disk: Callable[[int], Path], size: int, place: str
) -> None:
    """Neither where the archive does not, nor where it does and the graph in it does not."""
    models = small_disk(size) / "models"
    graph = os.urandom(500_000)
    server.body = archive_of(("./toy/frozen_graph.pb", graph), ("./toy/labels.txt", LABELS))
    describe(own, server)
    with pytest.raises(NoSpaceError) as raised:
        catalog.find_graph("toy", models)
    pattern = r"No space left on device: (.+) \(needs about (\d+) kB more\)"
    said = re.fullmatch(pattern, str(raised.value))
    assert said
    assert said[1] == str(models / place)
    needed = (500_000 if place else 1_000_000) - size * 1024
    assert int(said[2]) * 1000 == pytest.approx(needed, abs=30_000)
    small_disk(1100)
    assert catalog.find_graph("toy", models)[0].read_bytes() == graph
