"""Progress: plain lines off a terminal, and not too many of them."""

from __future__ import annotations

import logging
import sys
import time

from retrain_tools.progress import progress


def test_off_a_terminal_a_line_now_and_then(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    with progress(1000, "images") as advance:
        for _ in range(100):
            now += 1.0
            advance(10)
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [f"{200 * n} of 1000 images (10.0 images/s)" for n in range(1, 6)]


def test_a_short_job_is_silent(capsys, caplog):
    caplog.set_level(logging.INFO)
    with progress(5, "images") as advance:
        advance(5)
    assert not caplog.records
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_a_bar_that_goes_away(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress(5, "images") as advance:
        advance(5)
    out, err = capsys.readouterr()
    assert out == ""
    assert "0/5" in err
    assert err.endswith("\r")
