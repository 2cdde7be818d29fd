"""Downloading: what a server, an archive or a network can do wrong, and what is left then."""

from __future__ import annotations

import hashlib
import http.server
import logging
import os
import re
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from retrain_tools import catalog, download
from retrain_tools.errors import InputError
from retrain_tools.leftovers import owned_prefix
from tests.catalog.toys import (
    GRAPH,
    LABELS,
    TOY,
    Server,
    archive_of,
    describe,
    entry_text,
    files_in,
)

INCEPTION_2015 = "inception-2015-12-05"


def test_fetch_once(
    own: Path, server: Server, models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.body = TOY
    describe(
        own,
        server,
        f'bytes = {len(TOY)}\nsha256 = "{hashlib.sha256(TOY).hexdigest()}"',
        f'bytes = {len(GRAPH)}\nsha256 = "{hashlib.sha256(GRAPH).hexdigest()}"',
    )
    with caplog.at_level(logging.INFO, logger="retrain_tools.download"):
        path, entry = catalog.find_graph("toy_alias", models)
    assert path == models / "toy" / "frozen_graph.pb"
    assert path.read_bytes() == GRAPH
    assert entry == catalog.entries()["toy"]
    assert catalog.label_paths(entry, path) == [models / "toy" / "labels.txt"]
    assert (models / "toy" / "labels.txt").read_bytes() == LABELS
    assert files_in(models) == ["toy/frozen_graph.pb", "toy/labels.txt"]
    assert caplog.messages == [f"Downloading {server.url} ({len(TOY)} bytes) to {models}"]
    assert catalog.find_graph("toy", str(models)) == (path, entry)
    assert server.ranges == [None]


def test_what_a_killed_run_left_when_the_file_was_there_goes_with_the_next(
    own: Path, server: Server, models: Path
) -> None:
    server.body = TOY
    describe(own, server, f"bytes = {len(TOY)}")
    catalog.find_graph("toy", models)
    download.clean_once.cache_clear()  # the next run is another process
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    owner = re.sub(r"(.*-)\d+-s\d+-", rf"\g<1>{dead.pid}-", owned_prefix())
    (models / f"{owner}scratch").mkdir()
    (models / "toy.tgz.part").write_bytes(TOY)
    catalog.find_graph("toy", models)
    assert files_in(models) == ["toy/frozen_graph.pb", "toy/labels.txt"]
    assert not (models / f"{owner}scratch").exists()
    (models / "toy.tgz.part").write_bytes(TOY[:100])  # of another file in the same archive
    catalog.find_graph("toy", models)
    assert (models / "toy.tgz.part").read_bytes() == TOY[:100]


def test_what_cannot_be_put_in_its_place_is_named(own: Path, server: Server, models: Path) -> None:
    server.body = TOY
    describe(own, server)
    (models / "toy" / "labels.txt").mkdir(parents=True)
    with pytest.raises(IsADirectoryError) as raised:
        catalog.find_graph("toy", models)
    assert raised.value.filename == str(models / "toy" / "labels.txt")
    assert not [path for path in models.iterdir() if path.name.startswith(".retrain_tools")]


_NO_ROOM = """
import resource, sys
from retrain_tools import catalog
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # as on a full disk
try:
    catalog.find_graph("toy", sys.argv[1])
except OSError as error:
    print(error)
"""


@pytest.mark.parametrize("is_there", [True, False])
def test_what_finds_no_room_is_named(
    own: Path, server: Server, models: Path, is_there: bool
) -> None:
    server.body = archive_of(("./toy/frozen_graph.pb", os.urandom(5000)), ("./toy/labels.txt", b""))
    describe(own, server)
    models.mkdir()
    if is_there:  # and only has to be unpacked
        (models / "toy.tgz").write_bytes(server.body)
    command = [sys.executable, "-c", _NO_ROOM, models]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    name = "toy/frozen_graph.pb" if is_there else "toy.tgz.part"
    assert done.stdout == f"[Errno 27] File too large: '{models / name}'\n"


def test_default_folder(
    own: Path, server: Server, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.body = TOY
    describe(own, server)
    monkeypatch.setenv("RETRAIN_TOOLS_HOME", str(models))
    assert catalog.find_graph("toy")[0] == models / "toy" / "frozen_graph.pb"


def break_download(own: Path, server: Server, models: Path, after: int = 100) -> None:
    describe(own, server)
    server.body, server.break_after = TOY, after
    with pytest.raises(InputError) as raised:
        catalog.find_graph("toy", models)
    assert str(raised.value) == (
        f"Cannot download {server.url}: the connection broke after {after} of {len(TOY)} bytes; "
        "run again to resume. Get toy/frozen_graph.pb from elsewhere and pass it: "
        "--graph=/path/to/frozen_graph.pb"
    )
    assert files_in(models) == ["toy.tgz.part"]
    server.break_after = None


def test_resume(own: Path, server: Server, models: Path) -> None:
    break_download(own, server, models)
    path, _ = catalog.find_graph("toy", models)
    assert server.ranges == [None, "bytes=100-"]
    assert path.read_bytes() == GRAPH
    assert files_in(models) == ["toy/frozen_graph.pb", "toy/labels.txt"]


def test_server_without_ranges_starts_over(own: Path, server: Server, models: Path) -> None:
    break_download(own, server, models)
    server.knows_ranges = False
    assert catalog.find_graph("toy", models)[0].read_bytes() == GRAPH
    assert server.ranges == [None, "bytes=100-"]


@pytest.mark.parametrize("tells_total", [True, False])
def test_whole_part_needs_no_more(
    own: Path, server: Server, models: Path, tells_total: bool
) -> None:
    describe(own, server, f"bytes = {len(TOY)}")
    server.body, server.tells_total = TOY, tells_total
    models.mkdir()
    (models / "toy.tgz.part").write_bytes(TOY)
    assert catalog.find_graph("toy", models)[0].read_bytes() == GRAPH
    assert server.ranges == [f"bytes={len(TOY)}-"]


def test_part_longer_than_the_file_starts_over(own: Path, server: Server, models: Path) -> None:
    describe(own, server)
    server.body = TOY
    models.mkdir()
    (models / "toy.tgz.part").write_bytes(TOY + b"?")
    assert catalog.find_graph("toy", models)[0].read_bytes() == GRAPH
    assert server.ranges == [f"bytes={len(TOY) + 1}-", None]


def test_connection_broken_inside_a_chunk(own: Path, server: Server, models: Path) -> None:
    describe(own, server)
    server.body, server.chunked, server.break_after = TOY, True, 100
    with pytest.raises(InputError) as raised:
        catalog.find_graph("toy", models)
    assert str(raised.value).startswith(f"Cannot download {server.url}: IncompleteRead(")
    assert "; run again to resume. Get toy/frozen_graph.pb from elsewhere" in str(raised.value)


def assert_refused(models: Path, message: str) -> None:
    with pytest.raises(InputError) as raised:
        catalog.find_graph("toy", models)
    assert str(raised.value) == f"{message} The download was deleted."
    assert files_in(models) == []


def test_an_archive_that_is_too_small(own: Path, server: Server, models: Path) -> None:
    server.body = TOY
    describe(own, server, f"bytes = {len(TOY) + 1}")
    assert_refused(models, f"toy.tgz.part: expected {len(TOY) + 1} bytes, got {len(TOY)}.")


def test_wrong_archive_checksum(own: Path, server: Server, models: Path) -> None:
    server.body = TOY
    describe(own, server, f'sha256 = "{"0" * 64}"')
    actual = hashlib.sha256(TOY).hexdigest()
    assert_refused(models, f"toy.tgz.part: expected SHA-256 {'0' * 64}, got {actual}.")


def test_wrong_graph_size(own: Path, server: Server, models: Path) -> None:
    server.body = TOY
    describe(own, server, graph="bytes = 7")
    assert_refused(models, f"frozen_graph.pb: expected 7 bytes, got {len(GRAPH)}.")


def test_wrong_graph_checksum(own: Path, server: Server, models: Path) -> None:
    server.body = TOY
    describe(own, server, graph=f'sha256 = "{"0" * 64}"')
    actual = hashlib.sha256(GRAPH).hexdigest()
    assert_refused(models, f"frozen_graph.pb: expected SHA-256 {'0' * 64}, got {actual}.")


@pytest.mark.parametrize("body", [b"<!DOCTYPE html><title>Log in</title>", b""])
def test_answer_that_is_no_archive(own: Path, server: Server, models: Path, body: bytes) -> None:
    server.body = body
    describe(own, server, f"bytes = {len(TOY)}")
    assert_refused(
        models,
        f"{server.url} did not give a gzip archive: {models / 'toy.tgz.part'} begins with {body!r}."
        " A proxy or a login page may have answered instead.",
    )


def test_truncated_archive(own: Path, server: Server, models: Path) -> None:
    server.body = TOY[: len(TOY) // 2]
    describe(own, server)
    assert_refused(
        models,
        f"{models / 'toy.tgz.part'} is damaged or cut short: Compressed file ended before the "
        "end-of-stream marker was reached.",
    )


def test_flipped_byte(own: Path, server: Server, models: Path) -> None:
    # The last eight bytes of gzip are its checksum and length: tar alone never reads them.
    server.body = TOY[:-8] + bytes([TOY[-8] ^ 1]) + TOY[-7:]
    describe(own, server)
    with pytest.raises(InputError, match=r"toy\.tgz\.part is damaged or cut short: CRC check fail"):
        catalog.find_graph("toy", models)
    assert files_in(models) == []


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("../evil", b"!")], "{part} holds '../evil', which would lie outside its folder."),
        ([("toy/../../evil", b"!")], "{part} holds 'toy/../../evil', which would lie outside"),
        ([("{outside}/evil", b"!")], "{part} holds '{outside}/evil', which would lie outside"),
        ([link("toy/frozen_graph.pb", "/etc/passwd")], "'toy/frozen_graph.pb' in {part} is a link"),
        (
            [link("toy/frozen_graph.pb", "toy/labels.txt", tarfile.LNKTYPE)],
            "'toy/frozen_graph.pb' in {part} is a link or a folder, not a file.",
        ),
        ([("toy/other.pb", b"!")], "{part} holds no 'toy/frozen_graph.pb'."),
    ],
)
def test_hostile_archive(
    own: Path,
    server: Server,
    models: Path,
    tmp_path: Path,
    members: list[tuple[str, bytes] | tarfile.TarInfo],
    message: str,
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    hostile = [
        m if isinstance(m, tarfile.TarInfo) else (m[0].format(outside=outside), m[1])
        for m in members
    ]
    good = [] if "frozen_graph" in message else [("toy/frozen_graph.pb", GRAPH)]
    server.body = archive_of(("toy/labels.txt", LABELS), *good, *hostile)
    describe(own, server)
    expected = message.format(part=models / "toy.tgz.part", outside=outside)
    with pytest.raises(InputError, match=f"^{re.escape(expected)}"):
        catalog.find_graph("toy", models)
    assert files_in(tmp_path) == ["catalog/toy.toml"]


def test_folder_link_in_the_archive_is_not_followed(
    own: Path, server: Server, models: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    server.body = archive_of(
        link("toy", str(outside)), ("toy/labels.txt", LABELS), ("toy/frozen_graph.pb", GRAPH)
    )
    describe(own, server)
    path, _ = catalog.find_graph("toy", models)
    assert path.read_bytes() == GRAPH
    assert not path.parent.is_symlink()
    assert files_in(outside) == []


@pytest.mark.parametrize("status", [404, 403, 503])
def test_http_error(own: Path, server: Server, models: Path, status: int) -> None:
    server.body, server.status = b"no", status
    describe(own, server, graph=f"bytes = {len(GRAPH)}")
    with pytest.raises(InputError) as raised:
        catalog.find_graph("toy", models)
    reason = http.HTTPStatus(status).phrase
    assert str(raised.value) == (
        f"Cannot download {server.url}: HTTP {status} {reason}. Get toy/frozen_graph.pb "
        f"({len(GRAPH)} bytes) from elsewhere and pass it: --graph=/path/to/frozen_graph.pb"
    )
    assert files_in(models) == []


def test_refused_connection(own: Path, models: Path) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unheard.getsockname()[1]}/toy.tgz"
        (own / "toy.toml").write_text(entry_text(url, graph_path="classify_image_graph_def.pb"))
        with pytest.raises(InputError) as raised:
            catalog.find_graph("toy", models)
    assert re.fullmatch(
        rf"Cannot download {url}: \[Errno \d+\] Connection refused\. "
        r"Get classify_image_graph_def\.pb from elsewhere and pass it: "
        r"--graph=/path/to/classify_image_graph_def\.pb",
        str(raised.value),
    )


def test_silent_server(
    own: Path, server: Server, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.body, server.pause = TOY, 1.0
    describe(own, server)
    monkeypatch.setattr(download, "_NETWORK_TIMEOUT", 0.1)
    with pytest.raises(InputError, match=f"^Cannot download {server.url}: timed out. Get toy/"):
        catalog.find_graph("toy", models)


def test_archive_left_by_retrain_py(own: Path, server: Server, models: Path) -> None:
    describe(own, server)
    models.mkdir()
    (models / "toy.tgz").write_bytes(TOY)
    assert catalog.find_graph("toy", models)[0].read_bytes() == GRAPH
    assert server.ranges == []
    assert files_in(models) == ["toy.tgz", "toy/frozen_graph.pb", "toy/labels.txt"]


def test_bad_archive_left_by_retrain_py_is_kept(own: Path, server: Server, models: Path) -> None:
    describe(own, server, f"bytes = {len(TOY)}")
    models.mkdir()
    left = models / "toy.tgz"
    left.write_bytes(TOY[:100])
    with pytest.raises(InputError) as raised:
        catalog.find_graph("toy", models)
    assert str(raised.value) == (
        f"toy.tgz: expected {len(TOY)} bytes, got 100. Delete {left} to fetch it again."
    )
    assert files_in(models) == ["toy.tgz"]


def test_quantized_graph_of_the_same_archive(own: Path, server: Server, models: Path) -> None:
    name = "mobilenet_v1_0.25_128"
    server.body = archive_of(
        (f"{name}/frozen_graph.pb", GRAPH),
        (f"{name}/quantized_graph.pb", GRAPH[:100]),
        ("toy/labels.txt", LABELS),
    )
    (own / f"{name}.toml").write_text(
        entry_text(
            server.url, graph_path=f"{name}/frozen_graph.pb", aliases='["mobilenet_0.25_128"]'
        )
    )
    path, entry = catalog.find_graph("mobilenet_0.25_128_quantized", models)
    assert path == models / name / "quantized_graph.pb"
    assert path.read_bytes() == GRAPH[:100]
    assert entry is not None
    assert entry.name == "mobilenet_v1_0.25_128_quantized"


def test_two_processes_make_one_download(own: Path, server: Server, models: Path) -> None:
    server.body, server.pause = TOY, 0.5
    describe(own, server)
    code = f"from retrain_tools import catalog; catalog.find_graph('toy', {str(models)!r})"
    root = Path(catalog.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    both = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert server.ranges == [None]
    assert files_in(models) == ["toy/frozen_graph.pb", "toy/labels.txt"]
