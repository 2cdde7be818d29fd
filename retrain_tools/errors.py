"""The one kind of error that a user can mend: scripts print it as an `error:` line and exit 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """Something the user gave is wrong; the message names the thing, the rule and the way out."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'X'?` for the known name nearest to `name`, or an empty string."""
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""
