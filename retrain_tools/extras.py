"""Optional packages: importing one, or saying how to install it."""

from __future__ import annotations

import importlib
from typing import Any

from retrain_tools.errors import InputError


def import_extra(module: str, purpose: str, install: str | None = None) -> Any:
    """Import a package that is installed on demand, as one of the extras of setup.cfg.

    Args:
        module: what to import.
        purpose: what needs it, for the message.
        install: what pip installs; by default the package has the name of the topmost module.

    Raises:
        InputError: it is not installed; the message has the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        command = f"pip install {install or package}"
        raise InputError(f"{purpose} needs {package}: {command}") from error
