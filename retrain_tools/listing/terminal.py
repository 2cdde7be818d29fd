"""Results on stdout: in colour and paged on a terminal, plain everywhere else."""

from __future__ import annotations

import os
import shlex
import shutil
import sys

from retrain_tools.text_tables import Style, printable_text

_PAGER = "less"
_LESS = "FRX"  # ends by itself where all fits, keeps colours and the screen; as git sets it


def style_of_stdout() -> Style:
    """Return colours for a terminal, unless NO_COLOR is set (https://no-color.org)."""
    return Style(sys.stdout.isatty() and not os.environ.get("NO_COLOR"))


def show(text: str) -> None:
    """Write text to stdout; on a terminal that is too small for it, through $PAGER or `less`."""
    if not sys.stdout.isatty() or text.count("\n") < shutil.get_terminal_size().lines:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    import subprocess  # only here: it takes longer than a small graph

    command = shlex.split(os.environ.get("PAGER") or _PAGER)
    environment = {"LESS": _LESS, **os.environ}
    try:
        pager = subprocess.Popen(  # noqa: S603  (the command is the user's own)
            command, stdin=subprocess.PIPE, text=True, env=environment, errors="replace"
        )
    except OSError:  # no pager here
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    # Who has seen enough leaves before the end.
    try:
        pager.communicate(printable_text(text))
    except KeyboardInterrupt:
        pager.wait()
