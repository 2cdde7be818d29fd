"""README and the pages of docs/: the commands, links and names in them are real."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from head.scripts import run_commands

from retrain_tools.slim.networks import plan_network

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
DATA = ROOT.parent / "shared" / "data"
_OF_ABSL = {"help", "helpfull", "version", "flagfile", "logging_verbosity"}


def flags_of(script: str) -> set[str]:
    """The flags that a script and graph_flags.py define, and their negations."""
    texts = [(ROOT / f"retrain_tools/{name}.py").read_text() for name in (script, "graph_flags")]
    names = re.findall(r'"(\w+)"\s*[,:]', "".join(texts))  # of a call, or a table of flags
    return {*names, *(f"no{name}" for name in names)} | _OF_ABSL


def commands_in(page: Path) -> list[tuple[str, list[str]]]:
    """Each `python -m retrain_tools.X` in a page, with the names of the flags it has."""
    text = page.read_text().replace("\\\n", " ")
    found = re.findall(r"python -m retrain_tools\.(\w+)([^\n`]*)", text)
    return [(script, re.findall(r"--(\w+)", rest)) for script, rest in found]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_is_a_script_with_these_flags(page: Path) -> None:
    found = commands_in(page)
    assert found
    for script, flags in found:
        assert set(flags) <= flags_of(script), script


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    for link in links:
        assert link.startswith("https://") or (page.parent / link).exists(), link


def test_every_page_is_linked_by_the_readme() -> None:
    text = PAGES[0].read_text()
    for page in PAGES[1:]:
        assert f"](docs/{page.name})" in text


def test_the_end_points_of_compute_features_are_ours() -> None:
    text = (ROOT / "docs/from_compute_features.md").read_text()
    rows = re.findall(r"^\| (`[a-z].*?`) \|.*\| (`--tensors.*) \|$", text, re.M)
    found = {}
    for models, here in rows:
        [tensor] = re.findall(r"--tensors=([\w/]+)", here)
        for model in re.findall(r"`(\w+)`", models):
            name = tensor.replace("vgg_16", model)
            found[model] = plan_network(model).end_points[name].shape[-1]
    assert found == {
        "inception_v1": 1024, "inception_v2": 1024, "inception_v3": 2048,
        "inception_resnet_v2": 1536, "resnet_v1_50": 2048, "resnet_v1_101": 2048,
        "vgg_16": 1000, "vgg_19": 1000,
    }  # fmt: skip
    assert plan_network("vgg_16").end_points["vgg_16/fc7"].shape[-1] == 4096


# Running what a page shows


def shown_after(page: str, line: str) -> list[str]:
    """The lines of output that a page shows below a line."""
    block = page.partition(f"{line}\n\n")[2].partition("\n\n")[0].splitlines()
    assert block
    assert all(text.startswith("    ") for text in block)
    return [text.strip() for text in block]


def assert_shows(shown: list[str], output: str) -> None:
    """Each line is in the output, in this order; … stands for anything."""
    real = iter(re.sub(r" {2,}", "  ", line.strip()) for line in output.splitlines())
    for line in shown:
        wanted = re.sub(r" {2,}", "  ", line)
        start = wanted.removesuffix("…")
        assert any(r.startswith(start) if start != wanted else r == wanted for r in real), line


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no {DATA}")
def test_what_the_page_on_pooling_shows_is_real(tmp_path: Path) -> None:
    page = (ROOT / "docs/global_average_pooling.md").read_text()
    making, without, twice = re.findall(r"```python\n(.*?)```", page, re.S)
    caught = f"try:\n    {twice}except ValueError as error:\n    print('ValueError:', error)\n"
    code = f"{making}\n{without}\n{caught}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert_shows(shown_after(page, f"{without}```"), done.stdout)
    assert_shows(shown_after(page, f"{twice}```"), done.stdout)
    shown = re.findall(r"^    python -m retrain_tools.list_tensors (.*)$", page, re.M)
    assert len(shown) == 4
    real = f"--graph={DATA / 'inception-2015-12-05/near_real_graph_def.pb'}"
    commands = [s.replace("--graph=inception-2015-12-05", real).split() for s in shown]
    results = run_commands("retrain_tools.list_tensors", commands, cwd=tmp_path)
    for command, result in zip(shown, results, strict=True):
        assert result.status == 0
        line = f"    python -m retrain_tools.list_tensors {command}"
        assert_shows(shown_after(page, line), result.out)
