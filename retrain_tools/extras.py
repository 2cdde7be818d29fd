"""Optional packages: importing one, or saying how to install it."""

from __future__ import annotations

import importlib
from typing import Any

from retrain_tools.errors import InputError


def import_extra(module: str, purpose: str) -> Any:
    """Import a package that is installed on demand, as one of the extras of setup.cfg.

    Args:
        module: what to import; the package has the name of its topmost module.
        purpose: what needs it, for the message.

    Raises:
        InputError: it is not installed; the message has the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise InputError(f"{purpose} needs {package}: pip install {package}") from error
