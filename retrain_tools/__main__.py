"""Lists the scripts, or runs the one that the first word names.

python -m retrain_tools
python -m retrain_tools list_tensors --graph=classify_image_graph_def.pb
"""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path

from retrain_tools import __version__
from retrain_tools.command_line import SCRIPTS
from retrain_tools.errors import did_you_mean
from retrain_tools.text_tables import Style, aligned


def script() -> None:
    """Run as a console script."""
    word = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if word in SCRIPTS:
        sys.argv[:2] = [f"retrain_tools {word}"]
        importlib.import_module(f"retrain_tools.{word}").script()
    elif word == "--version":
        print(f"retrain_tools {__version__}")
    elif word in ("--help", "-h"):
        print("Usage: retrain_tools SCRIPT --flag=value …; retrain_tools SCRIPT --help\n")
        print(
            aligned([(f"  {name}", _first_line(name)) for name in SCRIPTS], Style(), heading=False)
        )
    else:
        hint = did_you_mean(word, SCRIPTS)
        print(f"error: No script {word!r}.{hint} Scripts: {', '.join(SCRIPTS)}", file=sys.stderr)
        sys.exit(2)


def _first_line(name: str) -> str:
    """Return what a script says of itself, without importing it and what it needs."""
    source = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


if __name__ == "__main__":
    script()
