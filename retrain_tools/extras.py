"""Optional packages: importing one, or saying how to install it."""

from __future__ import annotations

import importlib
from typing import Any

from retrain_tools.errors import InputError


def import_extra(module: str, extra: str, purpose: str) -> Any:
    """Import a package that comes with an extra of setup.cfg.

    Args:
        module: what to import.
        extra: the extra's name.
        purpose: what needs it, for the message.

    Raises:
        InputError: it is not installed; the message has the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise InputError(
            f"{purpose} needs {package}: pip install 'retrain_tools[{extra}]'"
        ) from error
