"""README and the pages of docs/: the commands, links and names in them are real."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from retrain_tools.slim.networks import plan_network

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
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
