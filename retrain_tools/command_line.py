"""How every script starts and ends: flags, help, log lines, and errors as one line with exit 2."""

from __future__ import annotations

import errno
import importlib
import io
import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, NoReturn

# Before NumPy is imported: a head is small, and OpenBLAS's threads, which wait busily for each
# other, make its training thirty times slower on a machine that has anything else to do.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from absl import flags

from retrain_tools import __version__
from retrain_tools.disk_space import NoSpaceError, free_bytes
from retrain_tools.errors import InputError
from retrain_tools.text_tables import printable, printable_text

SCRIPTS = (
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
)
"""The scripts, each a module of this package."""

_OF_ABSL = ";\n    repeat this option to specify a list of values"  # told by each help text itself
_HELP_FLAGS = frozenset({"-h", "-help", "--help", "--helpfull", "--helpshort"})
LOG_LEVELS = ("DEBUG", "INFO", "WARN", "ERROR", "FATAL")
"""The values of retrain.py's --logging_verbosity."""

_NO_MEMORY = (
    "There is not enough memory. Fewer images at a time take less (--batch_size, --threads); what "
    "is done is kept, and the same command goes on."
)
_EXIT_FAILURES = 1
_EXIT_USER_ERROR = 2
_EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
_EXIT_TERMINATED = 143  # 128 + SIGTERM


_MAKE_ROOM = (
    "Make room, or choose another place; what is done is kept, and the same command goes on."
)
_WAYS_OUT = {
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.EACCES: "Let this user do that, or choose another place.",
    errno.EPERM: "Let this user do that, or choose another place.",
    errno.EROFS: "Choose another place.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.EMFILE: "Allow this process more open files (ulimit -n).",
    errno.EIO: "Look at the disk; what is done is kept, and the same command goes on.",
    errno.ESTALE: "Look at the network; what is done is kept, and the same command goes on.",
}


class _Terminated(KeyboardInterrupt):
    """SIGTERM came: what Ctrl-C stops, and lets finish, this does as well."""


def _terminate(*_: object) -> NoReturn:
    raise _Terminated


def _tell_of_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Show a traceback; but not where Ctrl-C comes before `run`, while the script is imported."""
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _tell_of_uncaught


class Summary(NamedTuple):
    """What became of a job, as --log_json prints it.

    Attributes:
        failed: how many images could not be used: the exit status is 1 if there are any.
        figures: everything else, of JSON's types.
    """

    failed: int
    figures: Mapping[str, Any]


class _PlainFormatter(logging.Formatter):
    """Messages as they are; warnings and errors say that they are one."""

    def format(self, record: logging.LogRecord) -> str:
        message = printable(record.getMessage())
        if record.levelno >= logging.WARNING:
            return f"{record.levelname.lower()}: {message}"
        return message


class _Terminal(io.TextIOWrapper):
    """Text for a terminal, which obeys none of the commands in strangers' names."""

    def write(self, text: str) -> int:
        super().write(printable_text(text))
        return len(text)


def set_log_level(level: str) -> None:
    """Show log lines of `level` (DEBUG, INFO, WARN, ERROR, FATAL) and above on stderr."""
    logger = logging.getLogger("retrain_tools")
    logger.handlers[:] = [logging.StreamHandler()]
    logger.handlers[0].setFormatter(_PlainFormatter())
    logger.setLevel(level)
    logger.propagate = False


def describe_flags(main: Callable[[list[str]], Summary | None]) -> str:
    """Return the help text of the script that defines `main`: its docstring, then its flags."""
    module = sys.modules[main.__module__]
    flag_module = sys.argv[0] if main.__module__ == "__main__" else main.__module__
    indent = " " * 6
    lines = [(module.__doc__ or "").strip(), "", "Flags:"]
    for flag in flags.FLAGS.get_key_flags_for_module(flag_module):
        is_boolean = isinstance(flag, flags.BooleanFlag)
        name = f"--[no]{flag.name}" if is_boolean else f"--{flag.name}"
        default = "" if flag.default is None else f" (default: {_shown_default(flag)})"
        lines.append(f"  {name}{default}")
        text = flag.help.removesuffix(_OF_ABSL).rstrip()
        lines.extend(textwrap.wrap(text, 92, initial_indent=indent, subsequent_indent=indent))
    return "\n".join(lines)


def _shown_default(flag: flags.Flag) -> str:
    if isinstance(flag.default, bool):
        return str(flag.default).lower()
    return repr(flag.default) if isinstance(flag.default, str) else str(flag.default)


def run(main: Callable[[list[str]], Summary | None], takes_words: bool = False) -> NoReturn:
    """Parse the flags, call `main` with the words after them, and exit the process.

    The exit status is 0; 1 where `main` tells of images that could not be used; 2 after an error
    that the user can mend (one `error:` line on stderr); 130 after Ctrl-C, 143 after SIGTERM. Any
    other exception is a bug and keeps its traceback.

    Args:
        main: the script; what it returns is for --log_json, of scripts that have this flag.
        takes_words: whether words after the flags mean something to it.
    """
    set_log_level("INFO")
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
    _prepare_output()
    try:
        if _HELP_FLAGS.intersection(sys.argv[1:]):
            print(describe_flags(main))
        elif "--version" in sys.argv[1:]:
            print(f"retrain_tools {__version__}")
        else:
            words = flags.FLAGS(sys.argv)[1:]
            if words and not takes_words:
                raise InputError(_unexpected(words[0]))
            summary = main(words)
            sys.stdout.flush()
            if summary is not None:
                status = _EXIT_FAILURES if summary.failed else 0
                _log_json(status, failed=summary.failed, **summary.figures)
                sys.exit(status)
        sys.stdout.flush()
    except InputError as error:
        text = error.with_arguments_as(lambda name: f"--{name}")
        _exit_with(f"error: {text}", _EXIT_USER_ERROR)
    except flags.UnrecognizedFlagError as error:
        # In a process of its own: two scripts' flags cannot be defined in one.
        code = f"from retrain_tools.command_line import *; print(*scripts_with({error.flagname!r}))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)  # noqa: S603
        others = done.stdout.split()
        where = f". It is a flag of {', '.join(others)}." if others else ""
        _exit_with(f"error: {error}{where}", _EXIT_USER_ERROR)
    except flags.Error as error:
        _exit_with(f"error: {error}", _EXIT_USER_ERROR)
    except BrokenPipeError:
        # The reader (`head`, `less`) has gone. Python would complain again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        _exit_with(f"error: {_told(error)}", _EXIT_USER_ERROR)
    except MemoryError:
        _exit_with(f"error: {_NO_MEMORY}", _EXIT_USER_ERROR)
    except _Terminated:
        _exit_with("terminated", _EXIT_TERMINATED)
    except KeyboardInterrupt:
        _exit_with("interrupted", _EXIT_INTERRUPTED)
    sys.exit(0)


def _prepare_output() -> None:
    # A file name that is no text in this encoding must not end a job that has done its work.
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.isatty():
        encoding, errors = sys.stdout.encoding, sys.stdout.errors
        sys.stdout = _Terminal(sys.stdout.detach(), encoding, errors, line_buffering=True)


def _told(error: OSError) -> str:
    """Return what the system says, of which path, and the way out."""
    if error.errno is None or not error.filename:
        return str(error)
    path = os.fsdecode(error.filename)
    said = f"{error.strerror}: {path}"
    if isinstance(error, NoSpaceError) and error.lacking is not None:
        said = str(error)
    elif error.errno in (errno.ENOSPC, errno.EDQUOT):
        said += f" ({free_bytes(Path(path)):,} bytes are free there)"
    way_out = _WAYS_OUT.get(error.errno)
    return f"{said}. {way_out}" if way_out else said


def _exit_with(message: str, status: int) -> NoReturn:
    line = printable(" ".join(message.split("\n")))
    print(line, file=sys.stderr)
    _log_json(status, message=line)
    sys.exit(status)


def _log_json(status: int, **figures: Any) -> None:
    """Write the last line of stderr with --log_json."""
    if "log_json" in flags.FLAGS and flags.FLAGS.is_parsed() and flags.FLAGS.log_json:
        print(json.dumps({"status": status, **figures}), file=sys.stderr)


def _unexpected(word: str) -> str:
    is_file = Path(word).suffix != "" or Path(word).exists()
    if is_file and "graph" in flags.FLAGS and not flags.FLAGS["graph"].present:
        return f"Unexpected argument {word!r}; name the graph with --graph={word}"
    return (
        f"Unexpected {word!r}: this script takes flags only. A switch is --name or --noname, and a "
        "value with spaces goes in quotes."
    )


def scripts_with(flag: str) -> list[str]:
    """Return the scripts that have a flag. All are imported for it, and this process's flags go."""
    found = []
    for script in SCRIPTS:
        for name in list(flags.FLAGS):
            if name in flags.FLAGS:  # a short name goes with the long one
                delattr(flags.FLAGS, name)
        importlib.import_module(f"retrain_tools.{script}")
        if flag in flags.FLAGS:
            found.append(script)
    return found


def require(*names: str) -> None:
    """Raise InputError naming the flags among `names` that were not given."""
    missing = [f"--{name}" for name in names if not flags.FLAGS[name].value]
    if missing:
        raise InputError(f"{' and '.join(missing)} must be given; see --help.")
