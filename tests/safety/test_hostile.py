"""Every hostile file is found, with its severity; nothing in any of them is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrain_tools.safety.scanning import scan
from tests.safety.hostile import GRAPHS
from tests.safety.hostile_files import FILES

HOSTILE = GRAPHS | FILES


def test_there_are_enough() -> None:
    assert len(HOSTILE) >= 60


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_found(name: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    hostile = HOSTILE[name]
    report = scan(hostile.make(tmp_path))
    found = {(f.rule, f.name, f.severity.word) for f in report.findings}
    assert (hostile.rule, hostile.name, hostile.severity) in found
    assert not report.is_clean
    assert report.looked_at or report.findings
    assert not (tmp_path / "ran").exists()
    assert all(f.why and f.path.startswith(str(tmp_path)) for f in report.findings)
