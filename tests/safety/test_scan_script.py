"""The script: its forms, its exit status, and nothing on a terminal but text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.head.scripts import run_script as run_once
from tests.safety.graphs import graph, node, write_file, written

SCAN = "retrain_tools.scan"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    written(graph(), folder / "clean.pb")
    written(graph(*write_file(), node("EvilOp", name="evil")), folder / "bad.pb")
    written(graph(node("Timestamp", name="now")), folder / "low.pb")
    written(graph(node("EvilOp", name="e")), folder / "medium.pb")
    written(graph(*(node("ReadFile", name=f"r{n}") for n in range(3))), folder / "many.pb")
    written(graph(node("NoOp", name="x\x1b[2Jy")), folder / "terminal\x1b[2J.pb")
    (folder / "text.txt").write_text("words")
    return folder


def test_the_table_says_what_where_and_why(files: Path) -> None:
    done = run_once(SCAN, "bad.pb", "clean.pb", cwd=files)
    assert (done.status, done.err) == (1, "")
    assert done.out == (
        "bad.pb: GraphDef, 6 parts looked at: 1 high, 1 medium\n"
        "  severity  what       where   why\n"
        "  high      WriteFile  'bad'   writes a file of the graph's choice\n"
        "  medium    EvilOp     'evil'  is no op that TensorFlow knows: a library of its own does "
        "the work, and could do anything\n"
        "\n"
        "clean.pb: GraphDef, 2 parts looked at: nothing found\n"
    )


@pytest.mark.parametrize(
    ("names", "status"),
    [
        (["clean.pb"], 0),
        (["low.pb"], 0),
        (["low.pb", "medium.pb"], 1),
        (["bad.pb"], 1),
        (["bad.pb", "text.txt"], 2),
        (["no.pb"], 2),
        ([], 2),
    ],
)
def test_the_exit_status(names: list[str], status: int, files: Path, run_script) -> None:
    assert run_script(SCAN, *names, cwd=files).status == status


def test_other_files_are_looked_into_after_an_error(files: Path, run_script) -> None:
    done = run_script(SCAN, "--summary", "text.txt", "many.pb", cwd=files)
    assert done.out == "many.pb: GraphDef, 5 parts looked at: 3 high (3 × ReadFile)\n"
    assert done.err == (
        "error: text.txt holds nothing that a scan knows: no graph, model, pickle or archive.\n"
    )
    table = run_script(SCAN, "many.pb", cwd=files).out
    assert table.count("ReadFile") == 1
    assert "'r0' and 2 more" in table


def test_json_has_every_finding(files: Path, run_script) -> None:
    done = run_script(SCAN, "--format=json", "bad.pb", "clean.pb", cwd=files)
    bad, clean = json.loads(done.out)
    assert clean == {
        "path": "clean.pb",
        "kind": "GraphDef",
        "looked_at": 2,
        "clean": True,
        "findings": [],
    }
    assert (bad["clean"], [f["name"] for f in bad["findings"]]) == (False, ["WriteFile", "EvilOp"])
    assert bad["findings"][0] == {
        "severity": "high",
        "rule": "writes-files",
        "name": "WriteFile",
        "why": "writes a file of the graph's choice",
        "path": "bad.pb",
        "node": "bad",
        "function": None,
        "within": None,
    }


def test_sarif_has_every_finding(files: Path, run_script) -> None:
    done = run_script(SCAN, "--format=sarif", "bad.pb", "low.pb", cwd=files)
    assert done.status == 1
    said = json.loads(done.out)
    assert said["version"] == "2.1.0"
    [run] = said["runs"]
    rules = {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    assert rules == {"writes-files", "unknown-op", "host-state"}
    assert [(r["ruleId"], r["level"]) for r in run["results"]] == [
        ("writes-files", "error"),
        ("unknown-op", "warning"),
        ("host-state", "note"),
    ]
    first = run["results"][0]
    assert first["message"]["text"] == "WriteFile 'bad' writes a file of the graph's choice."
    [location] = first["locations"]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == "bad.pb"
    assert location["logicalLocations"][0]["fullyQualifiedName"] == "bad"


def test_what_is_printed_holds_no_commands_for_a_terminal(files: Path, run_script) -> None:
    for form in ([], ["--summary"], ["--format=json"], ["--format=sarif"]):
        done = run_script(SCAN, *form, "terminal\x1b[2J.pb", cwd=files)
        assert "\x1b" not in done.out + done.err
    table = run_script(SCAN, "terminal\x1b[2J.pb", cwd=files).out
    assert r"'x\x1b[2Jy'" in table
    assert "\x1b" not in run_script(SCAN, "no\x1b[2J.pb", cwd=files).err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Name the files or folders to look into, after the flags."),
        (
            ["--summary", "--format=json", "clean.pb"],
            "--summary is a form of its own; leave out --format.",
        ),
    ],
)
def test_wrong_flags(arguments: list[str], message: str, files: Path, run_script) -> None:
    done = run_script(SCAN, *arguments, cwd=files)
    assert (done.status, done.out, done.err) == (2, "", f"error: {message}\n")
