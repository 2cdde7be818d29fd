"""Progress: plain lines off a terminal, and not too many of them."""

from __future__ import annotations

import logging
import re
import sys
import time

from retrain_tools.progress import long_progress, progress


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


def told(monkeypatch, caplog, total, steps):
    """The lines about steps of 20 seconds, each called as `advance` is."""
    caplog.set_level(logging.INFO)
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    with long_progress(total, "images") as advance:
        for count, more in steps:
            now += 20.0
            advance(count, **more)
    return [record.getMessage() for record in caplog.records]


def test_a_long_job_tells_failures_and_when_it_may_end(monkeypatch, caplog):
    lines = told(monkeypatch, caplog, lambda: 400, [(40, {}), (40, {"failed": 2})])
    assert [line.partition(", until about ")[0] for line in lines] == [
        "40 of 400 images (2.0 images/s)",
        "80 of 400 images (2.0 images/s, 2 failed)",
    ]
    assert all(re.search(r", until about (\d{4}-\d\d-\d\d )?\d\d:\d\d$", line) for line in lines)


def test_the_end_of_days_has_a_date(monkeypatch, caplog):
    [line] = told(monkeypatch, caplog, lambda: 10**8, [(40, {})])
    assert re.search(r", until about \d{4}-\d\d-\d\d \d\d:\d\d$", line)


def test_what_was_there_says_nothing_of_the_speed(monkeypatch, caplog):
    lines = told(monkeypatch, caplog, lambda: None, [(1000, {"there": 1000}), (40, {})])
    assert lines == ["1000 images (0.0 images/s)", "1040 images (2.0 images/s)"]


def test_a_total_may_become_known(monkeypatch, caplog):
    totals = iter([None, 400])
    lines = told(monkeypatch, caplog, lambda: next(totals), [(40, {}), (40, {})])
    assert lines[0] == "40 images (2.0 images/s)"
    assert lines[1].startswith("80 of 400 images (2.0 images/s), until about ")


def test_a_long_job_has_a_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with long_progress(lambda: 5, "images") as advance:
        advance(2, there=2)
        advance(3, failed=1)
    out, err = capsys.readouterr()
    assert out == ""
    assert "/5" in err
    assert err.endswith("\r")
