"""Readers with a fault each, which the harness has to find: what cannot fail proves nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from retrain_tools.errors import InputError

_BAD = b"\xff"  # a byte that no seed of theirs has


def _is_hit(path: Path) -> bool:
    data = path.read_bytes()
    if not data:
        raise InputError(f"{path} is empty.")
    return _BAD in data


def _raises(path: Path) -> None:
    if _is_hit(path):
        raise KeyError("planted")


def _hangs(path: Path) -> None:
    while _is_hit(path):
        pass


def _waits(path: Path) -> None:
    if _is_hit(path):
        time.sleep(10_000)


def _crashes(path: Path) -> None:
    if _is_hit(path):
        os.abort()


def _eats_memory(path: Path) -> None:
    if _is_hit(path):
        np.ones(3 << 27)  # 3 GiB


def _hides_memory(path: Path) -> None:
    """Ask for more than there is, and call that a bad file."""
    if _is_hit(path):
        try:
            np.ones(1 << 44)
        except MemoryError as error:
            raise InputError(f"{path} is too large.") from error


def _writes(path: Path) -> None:
    if _is_hit(path):
        path.parents[2].joinpath("planted").write_text("outside")


def _runs(path: Path) -> None:
    if _is_hit(path):
        subprocess.run([sys.executable, "--version"], check=False, capture_output=True)


def _leaves(path: Path) -> None:
    if _is_hit(path):
        Path(os.environ["TMPDIR"], "left").touch()


READERS = {
    "planted_exception": _raises,
    "planted_hang": _hangs,
    "planted_wait": _waits,
    "planted_crash": _crashes,
    "planted_memory": _eats_memory,
    "planted_hidden_memory": _hides_memory,
    "planted_writing": _writes,
    "planted_program": _runs,
    "planted_left_over": _leaves,
}
