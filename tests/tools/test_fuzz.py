"""Fuzzing: what is planted is found, and a short seeded run of all readers finds nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
from fuzzing.changing import changed
from fuzzing.findings import read_findings
from fuzzing.inputs import ENDING, Input
from fuzzing.readers import PLANTED, READERS
from fuzzing.seeds import write_seeds
from fuzzing.supervising import Limits, Tally, Workers

_ROOT = Path(__file__).resolve().parents[2]
_SEED = 20_261_130
# CPU seconds are few: what takes long is read less often; Keras is left to the long form.
_EXECUTIONS = {
    **{
        "graph_def": 25,
        "meta_graph": 12,
        "saved_model": 20,
        "saved_model_text": 6,
        "hdf5_model": 2,
    },
    **{"graph_def_text": 30, "hdf5_features": 3, "keras": 4, "keras_loaded": 0},
}
_USUAL = 60

_FAULTS = {
    "planted_exception": "exception KeyError at ",
    "planted_hang": "hang at planted.",
    "planted_wait": "wait, or killed for its memory at ",
    "planted_crash": "crash SIGABRT at planted._crashes",
    "planted_memory": "exception MemoryError at ",
    "planted_hidden_memory": "memory",
    "planted_writing": "escape open",
    "planted_program": "escape subprocess.Popen",
    "planted_left_over": "left over",
}


@pytest.fixture(scope="module")
def seeds(
    frozen: Path,
    training: Any,
    training_v1: Any,
    saved_model_1: Any,
    saved_model_2: Any,
    keras_files: Mapping[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    from tests.sources import corpus

    folder = tmp_path_factory.mktemp("fuzz")
    kinds = {
        "graph": frozen,
        "text graph": frozen.with_suffix(".pbtxt"),
        "graph with variables": training.path.with_name("unfrozen.pb"),
        "meta": training.path,
        "checkpoint alone": training.path.with_suffix(""),
        "checkpoint v1": training_v1.path.with_suffix(""),
        "saved model 1": saved_model_1.path,
        "saved model 2": saved_model_2.path,
        "keras": keras_files["keras"],
        "keras h5": keras_files["h5"],
        "tflite": keras_files["tflite"],
        "tgz": corpus.tar_of(frozen, folder / "a.tgz"),
        "zip": corpus.zip_of(frozen, folder / "a.zip"),
        "gz": corpus.gzip_of(frozen, folder / "frozen.pb.gz"),
    }
    write_seeds(folder / "seeds", kinds)
    return folder / "seeds"


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers(Limits()) as running:
        yield running


@pytest.fixture(scope="module")
def planted_workers() -> Iterator[Workers]:
    with Workers(Limits(input_seconds=0.5, wait_seconds=2.0, extra_bytes=1 << 28)) as running:
        yield running


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_found_and_shown_again(
    name: str, planted_workers: Workers, tmp_path: Path
) -> None:
    if name == "planted_hidden_memory" and not hasattr(sys, "monitoring"):
        pytest.skip("Python 3.11 does not tell of an exception that is caught")
    Input({"a.txt": b"abc"}, "a.txt").keep(tmp_path / "seeds" / name)
    tally, keep = Tally(), tmp_path / "findings"
    folders = (tmp_path / "seeds", tmp_path / "work", keep)
    for _ in range(20):
        planted_workers.fuzz(name, tally, folders, _SEED, (60.0, 10))
        if found := read_findings(keep, name):
            break
    assert [one.fault[: len(_FAULTS[name])] for one in found] == [_FAULTS[name]]
    shown = planted_workers.open_findings(name, tmp_path / "work", keep)
    assert [one.path for one in shown] == [one.path for one in found]


@pytest.mark.parametrize("name", READERS)
def test_a_short_run_of_a_reader_finds_nothing(
    name: str, seeds: Path, workers: Workers, tmp_path: Path
) -> None:
    tally, keep = Tally(), tmp_path / "findings"
    count = _EXECUTIONS.get(name, _USUAL)
    workers.fuzz(name, tally, (seeds, tmp_path / "work", keep), _SEED, (1e9, count))
    found = [f"{one.fault}\n{one.details}" for one in read_findings(keep, name)]
    assert not found, "\n".join(found)
    assert tally.executions == count
    assert tally.refused_seeds == []  # what a reader refuses at once is no seed


def test_what_is_read_follows_from_the_seed_and_the_number(tmp_path: Path) -> None:
    seed = Input({"a.pb": b"\x0a\x02\x0a\x00" * 9, "b.json": b'{"a": [1, 2]}'}, "a.pb")
    first, second = (
        [changed(seed, [seed], Random(f"7 {number}")) for number in range(50)] for _ in range(2)
    )
    assert first == second
    assert len({made.name for made in first}) > 25
    path = first[3].keep(tmp_path)
    assert path.suffix == ENDING
    assert Input.of(path) == Input(dict(first[3].files), first[3].entry)


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "tools/fuzz.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=_ROOT)


def test_the_script_adds_up_over_runs_and_shows_a_finding_again(tmp_path: Path) -> None:
    for name in ("planted_exception", "labels"):
        text = b"a\nb\nc\nd\ne\n"
        Input({"labels.txt": text}, "labels.txt").keep(tmp_path / "seeds" / name)
    flags = (f"--work_dir={tmp_path}", "--readers=labels,planted_exception", "--executions=60")
    _run(*flags)
    done = _run(*flags)
    tallies = json.loads((tmp_path / "tallies.json").read_text())
    assert {name: tally["executions"] for name, tally in tallies.items()} == {
        "labels": 120,
        "planted_exception": 120,
    }
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0][:3] == ["reader", "executions", "CPU"]
    assert [(row[0], row[1], row[-2:]) for row in rows[1:3]] == [
        ("labels", "120", ["0", "0"]),
        ("planted_exception", "120", ["1", "1"]),
    ]
    assert done.returncode == 1
    found = next((tmp_path / "findings" / "planted_exception").glob(f"*{ENDING}"))
    shown = _run(f"--work_dir={tmp_path}", f"--replay={found}", "--reader=planted_exception")
    assert (shown.returncode, shown.stdout.splitlines()[0]) == (
        1,
        "exception KeyError at nowhere",
    )
    sound = tmp_path / "sound.txt"
    sound.write_bytes(b"abc")
    shown = _run(f"--work_dir={tmp_path}", f"--replay={sound}", "--reader=planted_exception")
    assert shown.returncode == 0
    assert shown.stdout == f"planted_exception reads {sound} without a finding\n"


def test_a_reader_that_is_none_is_a_message(tmp_path: Path) -> None:
    done = _run(f"--work_dir={tmp_path}", "--readers=labels,nothing")
    assert done.returncode == 2
    assert "There is no reader 'nothing'; there is graph_def, " in done.stderr
