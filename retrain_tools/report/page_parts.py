"""What pages are made of: files of the package, and their hashes for a content security policy."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources


def asset(name: str) -> str:
    """Return the text of a file in `assets`."""
    file = importlib.resources.files("retrain_tools.report").joinpath("assets", name)
    return file.read_text(encoding="utf-8")


def policy_hash(text: str) -> str:
    """Return a text's hash as a content security policy names it."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
