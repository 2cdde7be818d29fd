"""The soak: every kind of fault in its short form; and its checks, which must be able to fail."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from soaking import cases, checks, faults, tally
from soaking.cases import Outcome, Struck
from soaking.checks import LEFT_OVER, LOST, WRONG, Finding
from soaking.faults import Fault
from soaking.processes import Ended, environment
from soaking.subjects import SUBJECTS

from retrain_tools.errors import InputError
from retrain_tools.features.cache import Cache
from retrain_tools.images.folders import ImageFile

_ROOT = Path(__file__).resolve().parents[2]
_TEXT = SUBJECTS[0]
_SOUND = Ended(1, [], "", "", 1.0, 1.0)
# Takes away what removes left-overs: Python imports it at its start.
_SABOTAGE = """
import os
if "SABOTAGE" in os.environ:
    from retrain_tools import leftovers
    leftovers.remove_leftovers = lambda *_, **__: []
"""


def soak(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "tools/soak.py", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=_ROOT, env=environment() | variables
    )


def figures(folder: Path) -> dict:
    return json.loads((folder / "soak.json").read_text())


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("soak")


@pytest.fixture(scope="module")
def short(work: Path) -> subprocess.CompletedProcess[str]:
    return soak(f"--work_dir={work}", "--jobs=download", "--short", "--seed=3")


def test_every_kind_of_fault_strikes_and_nothing_is_lost_wrong_or_left_over(
    short: subprocess.CompletedProcess[str], work: Path
) -> None:
    assert short.returncode == 0, short.stdout + short.stderr
    found = figures(work)
    expected = {label for labels in cases.LABELS.values() for label in labels}
    if found["left_out"]:  # no file system can be mounted here
        expected -= set(faults.PLACES)
        assert f"left out: places: {found['left_out']['places']}\n" in short.stdout
    assert found["by_fault"].keys() == expected
    for row in found["by_fault"].values():
        assert row["injected"] == row["survived"] > 0
        assert (row[LOST], row[WRONG], row[LEFT_OVER]) == (0, 0, 0)
    assert found["kills"] + found["inside"] == found["by_subject"]["download"]["injected"]
    assert not any((work / "cases").iterdir())


def test_a_second_run_goes_on_and_the_figures_add_up(
    short: subprocess.CompletedProcess[str], work: Path
) -> None:
    before = figures(work)
    wanted = before["kills"] + 2
    flags = [f"--work_dir={work}", "--jobs=download", "--seed=3", "--kinds=kills"]
    done = soak(*flags, f"--kills={wanted}")
    assert done.returncode == 0, done.stdout + done.stderr
    after = figures(work)
    assert (after["kills"], after["inside"]) == (wanted, before["inside"])
    assert after["cases"] > before["cases"]
    assert f"{wanted} kills of whole processes and {before['inside']} faults" in done.stdout
    again = soak(*flags, "--minutes=0")
    assert figures(work) == after
    assert again.stdout.endswith(tally.Tally(**after).text())
    other = soak(f"--work_dir={work}", "--seed=4")
    assert (other.returncode, other.stderr) == (
        2,
        f"error: {work}/soak.json is of a soak with --seed=3: go on with that, or name another "
        "--work_dir.\n",
    )


def test_a_script_that_runs_a_network_is_struck_as_well(tmp_path: Path) -> None:
    done = soak(
        f"--work_dir={tmp_path}", "--jobs=bottlenecks text", "--kinds=kills,inside", "--kills=2",
        "--faults=4",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    row = figures(tmp_path)["by_subject"]["bottlenecks text"]
    assert row["injected"] == row["survived"] >= 6


def test_a_hole_in_the_package_is_found(work: Path, tmp_path: Path) -> None:
    """Without what removes left-overs, a script that kills strike leaves some."""
    (tmp_path / "sitecustomize.py").write_text(_SABOTAGE)
    path = f"{tmp_path}:{environment()['PYTHONPATH']}"
    done = soak(
        f"--work_dir={tmp_path / 'work'}", "--jobs=list_tensors", "--kinds=kills", "--kills=12",
        PYTHONPATH=path, SABOTAGE="1",
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert ": left over: .retrain_tools-" in done.stdout
    found = figures(tmp_path / "work")
    assert sum(row[LEFT_OVER] for row in found["by_fault"].values()) > 0
    assert any((tmp_path / "work" / "cases").iterdir())  # to be looked at


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """A place, and one of an undisturbed run, which are the same."""
    there, reference = tmp_path / "there", tmp_path / "reference"
    cache = Cache(reference / "cache", "", 3)
    for number in range(3):
        image = ImageFile(f"photos/a/{number}.jpg", f"a/{number}.jpg")
        cache.write(image, [number, 0.5, 1])
    (reference / "out" / "saved_model" / "1").mkdir(parents=True)
    (reference / "out" / "saved_model" / "1" / "saved_model.pb").write_bytes(b"model")
    (reference / "out" / "metrics.json").write_text('{"test": 1, "bottlenecks": {"computed": 3}}')
    shutil.copytree(reference, there)
    return there, reference


def test_what_may_differ_is_no_finding(places: tuple[Path, Path]) -> None:
    there, reference = places
    (there / "out" / "metrics.json").write_text('{"bottlenecks": {"computed": 1}, "test": 1}')
    (there / "out" / "logs" / "run_2").mkdir(parents=True)
    shutil.copytree(there / "out" / "saved_model" / "1", there / "out" / "saved_model" / "2")
    (there / "tmp").mkdir()
    (reference / "tmp").mkdir()
    (there / "tmp" / "ab_cd123").write_bytes(b"blat")  # Python's own probe
    lines = (there / "cache" / "checksums.crc32").read_text().splitlines(keepends=True)
    (there / "cache" / "checksums.crc32").write_text("".join(reversed(lines)))
    assert checks.of_the_end(there, reference) == []


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (lambda p: (p / "x.tmp").touch(), Finding(LEFT_OVER, "x.tmp")),
        (lambda p: (p / "cache/.retrain_tools-h-1-x").mkdir(),
         Finding(LEFT_OVER, "cache/.retrain_tools-h-1-x/")),
        (lambda p: (p / "cache/a/1.jpg.txt").write_text("1.0,0.5,1.5"),
         Finding(WRONG, "cache/a/1.jpg.txt is not as in an undisturbed run")),
        (lambda p: (p / "cache/a/2.jpg.txt").unlink(),
         Finding(LOST, "cache/a/2.jpg.txt is missing")),
        (lambda p: (p / "out/metrics.json").write_text('{"test": 2}'),
         Finding(WRONG, "out/metrics.json is not as in an undisturbed run")),
        (lambda p: shutil.copytree(p / "cache", p / "out/saved_model/2/x"),
         Finding(LEFT_OVER, "out/saved_model/2/x/")),
        (lambda p: (p / "cache/checksums.crc32").write_text(""),
         Finding(WRONG, "cache/checksums.crc32 is not as in an undisturbed run")),
    ],
)  # fmt: skip
def test_what_may_not_differ_is_found(places: tuple[Path, Path], change, finding) -> None:
    there, reference = places
    change(there)
    assert finding in checks.of_the_end(there, reference)


def test_images_that_were_done_and_are_gone_are_lost(places: tuple[Path, Path]) -> None:
    there, reference = places
    findings, done = checks.of_what_was_done(_TEXT, there, reference, frozenset())
    assert (findings, done) == ([], {"a/0.jpg", "a/1.jpg", "a/2.jpg"})
    (there / "cache/a/0.jpg.txt").unlink()
    (there / "cache/a/1.jpg.txt").write_text("9")
    findings, done = checks.of_what_was_done(_TEXT, there, reference, done)
    assert findings == [
        Finding(WRONG, "a value of a/1.jpg is not right"),
        Finding(LOST, "2 images were done before: ['a/0.jpg', 'a/1.jpg']"),
    ]
    assert done == {"a/2.jpg"}
    images = [f"a/{number}.jpg" for number in range(3)]
    assert checks.not_accounted_for(_TEXT, there, images) == ["a/0.jpg"]
    (there / "cache/failures.csv").write_text("image,reason,kind\nphotos/a/0.jpg,no image,image\n")
    assert checks.not_accounted_for(_TEXT, there, images) == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"status": None}, "it hung, and was killed"),
        ({"status": -11}, "exit status -11"),
        ({"status": 143}, "exit status 143"),
        ({"err": "Traceback (most recent call last):\n  in command_line.py\nKeyError: 1\n"},
         "a traceback: KeyError: 1"),
        ({"err": "error: no room: /x/.retrain_tools-h-1-s2-ab.tmp\n"},
         "a message names what is temporary: error: no room: /x/.retrain_tools-h-1-s2-ab.tmp"),
        ({"err": "error: [Errno 28] No space left on device\n"},
         "a message names no file: error: [Errno 28] No space left on device"),
    ],
)  # fmt: skip
def test_a_bad_end_is_wrong(changes, text: str) -> None:
    assert checks.of_a_process(dataclasses.replace(_SOUND, **changes)) == [Finding(WRONG, text)]


def test_a_good_end_is_not() -> None:
    killed = dataclasses.replace(_SOUND, status=-9, struck=[Fault("SIGKILL", at=3)])
    told = dataclasses.replace(_SOUND, err="error: [Errno 28] No space left on device: '/x'\n")
    for ended in (_SOUND, killed, told):
        assert checks.of_a_process(ended) == []


def test_a_last_run_that_forgets_an_image_or_fails_is_found() -> None:
    def told(computed: int, status: int = 1) -> Ended:
        summary = json.dumps({"computed": computed, "reused": 1, "failed": 2})
        return dataclasses.replace(_SOUND, status=status, err=f"{summary}\n")

    assert checks.of_the_last(_TEXT, told(3), told(3)) == []
    [lost] = checks.of_the_last(_TEXT, told(2), told(3))
    assert lost == Finding(LOST, "5 of 6 images are accounted for")
    [wrong] = checks.of_the_last(_TEXT, told(3, status=2), told(3))
    assert wrong.text.startswith("the last run has status 2: ")


def test_a_fault_survives_where_neither_its_process_nor_the_end_is_bad() -> None:
    found = tally.Tally(0)
    eio, kill = Fault("EIO", "write", 1), Fault("SIGKILL", at=2)
    found.add("a", cases.INSIDE, Outcome([Struck(eio, []), Struck(kill, [])], []))
    lost, wrong = Finding(LOST, "x"), Finding(WRONG, "y")
    lines = found.add("a", cases.KILLS, Outcome([Struck(eio, [wrong]), Struck(kill, [])], [lost]))
    assert lines == [
        "case 1, a, kills (EIO, SIGKILL at a file operation): wrong: y",
        "case 1, a, kills (EIO, SIGKILL at a file operation): lost: x",
    ]
    bad = {"injected": 2, "survived": 1, LOST: 0, WRONG: 0, LEFT_OVER: 0}
    assert found.by_fault == {
        "EIO": {**bad, WRONG: 1}, "SIGKILL at a file operation": {**bad, LOST: 1},
    }  # fmt: skip
    assert (found.kills, found.inside, found.bad) == (2, 2, 2)


def test_a_state_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "soak.json").write_text("[]")
    with pytest.raises(InputError) as raised:
        tally.read(tmp_path / "soak.json", 0)
    assert str(raised.value) == (
        f"{tmp_path}/soak.json is not of a soak; remove it, or name another folder."
    )


def test_unknown_names_are_one_line(tmp_path: Path) -> None:
    done = soak(f"--work_dir={tmp_path}", "--kinds=kill")
    assert (done.returncode, done.stderr) == (
        2,
        "error: --kinds has no 'kill'; there is kills, inside, places, clock, together, line.\n",
    )
