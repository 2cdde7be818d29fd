"""Colour and paging: on a real pseudo-terminal, in a process of its own."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from graphdef.tiny_graphs import inception_like, write

from retrain_tools.listing.terminal import Style

ROOT = Path(__file__).resolve().parents[2]


def on_a_terminal(*arguments: str, pager: str = "cat", **environment: str) -> tuple[int, str]:
    """Run list_tensors with a pseudo-terminal as its stdout; its exit status and what it wrote."""
    leader, follower = pty.openpty()
    names = {k: v for k, v in os.environ.items() if k not in ("PAGER", "LESS", "NO_COLOR")}
    names |= {"TERM": "xterm", "LINES": "24", "COLUMNS": "200", "PAGER": pager, **environment}
    with subprocess.Popen(
        [sys.executable, "-m", "retrain_tools.list_tensors", *arguments],
        stdout=follower,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        env=names,
        cwd=ROOT,
    ) as process:
        os.close(follower)
        chunks = []
        try:
            while chunk := os.read(leader, 65536):
                chunks.append(chunk)
        except OSError:  # the other side is closed
            pass
    os.close(leader)
    return process.returncode, b"".join(chunks).decode().replace("\r\n", "\n")


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write(inception_like(), tmp_path_factory.mktemp("graph") / "g.pb"))


def test_a_long_list_goes_through_the_pager_with_colours(graph: str) -> None:
    status, text = on_a_terminal(f"--graph={graph}", pager="sed s/^/PAGED:/")
    assert status == 0
    lines = text.splitlines()
    assert len(lines) > 24
    assert all(line.startswith("PAGED:") for line in lines)
    assert lines[0].startswith("PAGED:\x1b[1mname")
    assert "\x1b" not in "".join(lines[1:])


def test_a_short_list_does_not(graph: str) -> None:
    status, text = on_a_terminal(f"--graph={graph}", "--pattern=pool_3", pager="sed s/^/PAGED:/")
    assert (status, text.count("\n"), "PAGED" in text) == (0, 4, False)
    assert text.startswith("\x1b[1m")


def test_no_color(graph: str) -> None:
    _, text = on_a_terminal(f"--graph={graph}", NO_COLOR="1")
    assert "\x1b" not in text


def test_a_pager_that_is_not_there(graph: str) -> None:
    status, text = on_a_terminal(f"--graph={graph}", pager="/no/such/pager")
    assert status == 0
    assert text.count("\n") > 24


def test_a_reader_that_has_seen_enough(graph: str) -> None:
    status, text = on_a_terminal(f"--graph={graph}", pager="head -n 1")
    assert status == 0
    assert text.count("\n") == 1


def test_elsewhere_all_is_plain(graph: str) -> None:
    command = [sys.executable, "-m", "retrain_tools.list_tensors", f"--graph={graph}"]
    environment = {**os.environ, "PAGER": "sed s/^/PAGED:/", "LINES": "5"}
    result = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment
    )
    assert "\x1b" not in result.stdout
    assert "PAGED" not in result.stdout


def test_marks() -> None:
    on, off = Style(True), Style()
    assert on.bold("a") == "\x1b[1ma\x1b[0m"
    assert (on.red("a"), on.green("a")) == ("\x1b[31ma\x1b[0m", "\x1b[32ma\x1b[0m")
    assert off.bold("a") + off.red("b") + off.green("c") == "abc"
