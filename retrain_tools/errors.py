"""The one kind of error that a user can mend: scripts print it as an `error:` line and exit 2."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable

# Around the name of an argument in a message. No path, tensor name or flag can hold it.
_MARK = "\0"
_ARGUMENT = re.compile(f"{_MARK}([a-z_]+){_MARK}")


class InputError(Exception):
    """Something that the user gave is wrong: the message names it, the rule and the way out.

    The message is written once for both kinds of users: what it says through `argument` is a
    Python argument in `str(error)`, and a flag where a script prints it (`with_arguments_as`).

    Example:
        >>> error = InputError(f"{argument('input_std')}=0 would divide by zero.")
        >>> str(error), error.with_arguments_as(lambda name: f"--{name}")
        ('input_std=0 would divide by zero.', '--input_std=0 would divide by zero.')
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self._message = message

    def __str__(self) -> str:
        return self.with_arguments_as(lambda name: name)

    def with_arguments_as(self, shown: Callable[[str], str]) -> str:
        """Return the message with each argument's name as `shown` writes it."""
        return _ARGUMENT.sub(lambda match: shown(match[1]), self._message)


def argument(name: str) -> str:
    """Return the name of an argument for use inside the message of an InputError."""
    return f"{_MARK}{name}{_MARK}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'X'?` for the known name nearest to `name`, or an empty string."""
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""
