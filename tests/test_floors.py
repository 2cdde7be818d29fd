"""The house: an import goes down, never up, never in a cycle; rooms and functions stay small."""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "retrain_tools"
# From the ground up, as shared/DESIGN.md names the floors. A name stands for a module or a folder.
FLOORS = (
    (
        "errors",
        "leftovers",
        "disk_space",
        "files",
        "numpy_files",
        "array_files",
        "progress",
        "extras",
        "quiet_tensorflow",
        "text_tables",
        "uris",
    ),
    ("images", "download", "storage", "object_stores", "catalog", "catalog_entry", "runners"),
    ("graphdef",),
    ("slim", "standin"),
    ("sources",),
    ("safety",),
    ("engine",),
    ("features",),
    ("export",),
    ("head", "explaining"),
    ("comparing", "metrics"),
    ("listing", "report"),
    ("command_line", "graph_flags"),
    (
        "list_tensors",
        "fetch_tensors",
        "fetch_many",
        "bottlenecks",
        "retrain",
        "label_image",
        "classify_image",
        "freeze_graph",
        "transform_graph",
        "compare_features",
        "evaluate_images",
        "export_graph",
        "scan",
        "demo",
        "api",
        "surgery",
        "__init__",
        "__main__",
    ),
)
FLOOR_OF = {name: number for number, names in enumerate(FLOORS) for name in names}
MODULES = {
    ".".join(("retrain_tools", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 350, 60


def imports(path: Path) -> set[str]:
    """The package's modules that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in MODULES else node.module)
    # Everything may take the version from the package itself, which imports nothing at its top.
    return {name for name in found if name.startswith("retrain_tools.")}


def floor(module: str) -> int:
    parts = module.split(".")
    return FLOOR_OF[parts[1] if len(parts) > 1 else "__init__"]


def test_every_module_has_a_floor() -> None:
    assert {module for module in MODULES if module.count(".")} >= {
        f"retrain_tools.{name}" for name in FLOOR_OF if name not in ("__init__",)
    } - {"retrain_tools.__init__"}
    for module in MODULES:
        floor(module)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module: str) -> None:
    above = {name for name in imports(MODULES[module]) if floor(name) > floor(module)}
    assert not above


def test_no_imports_go_in_a_cycle() -> None:
    graph = {
        module: {name for name in imports(path) if name in MODULES and name != module}
        for module, path in MODULES.items()
    }
    order = list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError
    assert len(order) == len(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_rooms_and_functions_are_small(module: str) -> None:
    text = MODULES[module].read_text(encoding="utf-8")
    assert text.count("\n") <= MOST_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno + 1 <= MOST_LINES_OF_A_FUNCTION, node.name


def test_flags_are_defined_in_scripts_and_graph_flags_only() -> None:
    for module, path in MODULES.items():
        if module.count(".") > 1:
            assert "absl" not in path.read_text(encoding="utf-8"), module


def test_graphdef_needs_no_tensorflow() -> None:
    for module in MODULES:
        if module.startswith("retrain_tools.graphdef"):
            assert "retrain_tools.quiet_tensorflow" not in imports(MODULES[module]), module
