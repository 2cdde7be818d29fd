"""Writing files so that nobody ever sees half of one; and whether they can be written at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from retrain_tools.disk_space import needing
from retrain_tools.errors import InputError
from retrain_tools.leftovers import clean_once, owned_folder, owned_prefix

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

# mkstemp makes private files whatever the umask says. Reading the umask takes setting it, which is
# only safe while there is one thread: at import.
_UMASK = os.umask(0o077)
os.umask(_UMASK)


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Open a temporary file in the folder of `path` that takes its place when the block succeeds.

    The folder is made if it is missing. If the block fails, `path` stays as it was.

    Raises:
        OSError: the file cannot be written; it names `path`, not the temporary file.
    """
    path = Path(path)
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        clean_once(path.parent)
        # Not named after `path`, whose name may be as long as the file system allows already.
        handle, name = tempfile.mkstemp(prefix=owned_prefix(), suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        with naming(path):
            Path(name).chmod(0o666 & ~_UMASK)
            Path(name).replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):  # where nothing can be removed, the next run does it
            Path(name).unlink()
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error  # of writing to it
        raise


@contextlib.contextmanager
def together() -> Iterator[Callable[[str | Path], str]]:
    """Yield what gives a place beside each of several results, to write it to.

    A result is a file, a folder, or the prefix of several files. When the block succeeds, all are
    put where they belong, one right after the other; if it fails, what was there stays.

    Example:
        >>> with together() as beside:
        ...     write_text(beside("a.txt"), "one")
        ...     write_text(beside("b.txt"), "two")
    """
    with contextlib.ExitStack() as stack:
        places: dict[Path, Path] = {}

        def beside(path: str | Path) -> str:
            folder = Path(path).parent
            if folder not in places:
                with naming(folder):
                    folder.mkdir(parents=True, exist_ok=True)
                    made = owned_folder(folder)
                places[folder] = Path(stack.enter_context(made))
            return str(places[folder] / Path(path).name)

        try:
            yield beside
        except OSError as error:
            there = Path(os.fsdecode(error.filename or ""))
            for folder, place in places.items():
                if there.is_relative_to(place):
                    named = folder / there.relative_to(place)
                    raise OSError(error.errno, error.strerror, str(named)) from error
            raise
        for folder, place in places.items():
            for result in sorted(place.iterdir()):
                with naming(folder / result.name):
                    result.replace(folder / result.name)


@contextlib.contextmanager
def alone_in(folder: Path, wait: bool = True) -> Iterator[None]:
    """Wait until no other process is in such a block on the same folder, which is made.

    Raises:
        BlockingIOError: another process is, and `wait` is not set.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if fcntl is None:  # on Windows, where a folder cannot be locked
        yield
        return
    handle = os.open(folder, os.O_RDONLY)  # of the folder itself: no file is left in it
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error of the system be about `path`, which the user knows."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # a library's own
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def read_regular(path: str | Path, most: int | None = None) -> bytes:
    """Return what a file holds; see `open_regular`."""
    with open_regular(path, most) as file:
        return file.read()


@contextlib.contextmanager
def open_regular(path: str | Path, most: int | None = None) -> Iterator[BinaryIO]:
    """Open a file to read, if it is a regular one, which ends and does not wait.

    Raises:
        OSError: it cannot be read, is a pipe, socket or device, or larger than `most`.
    """
    found = Path(path).stat()
    for is_one, what in _NOT_REGULAR.items():
        if is_one(found.st_mode):
            raise OSError(errno.EINVAL, f"it is {what}", str(path))
    if most is not None and found.st_size > most:
        size = f"it has {found.st_size:,} bytes, and {most:,} are the most"
        raise OSError(errno.EFBIG, size, str(path))
    with Path(path).open("rb") as file:
        yield file


_NOT_REGULAR = {
    stat.S_ISFIFO: "a named pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


def json_of(text: str | bytes) -> Any:
    """Return what a JSON text says.

    Raises:
        ValueError: it is none, or is nested more deeply than Python reads.
    """
    try:
        return json.loads(text)
    except RecursionError:  # without its thousand lines
        raise ValueError("it is nested more deeply than JSON can be") from None


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file in one step; file names in it that are no UTF-8 keep their bytes."""
    data = text.encode("utf-8", "surrogateescape")
    with needing(path, lambda: len(data)), replacing(path) as file:
        file.write(data)


def write_lines(path: str | Path, lines: Iterable[str]) -> None:
    """Write a UTF-8 text file as `write_text` does, of lines that need not be in memory at once."""
    with replacing(path) as file:
        for line in lines:
            file.write(line.encode("utf-8", "surrogateescape"))


def check_writable(folder: Path) -> None:
    """Raise InputError if results cannot be written to a folder, which need not be there yet."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        raise InputError(f"{there} is a file; results cannot be written to {folder}.")
    try:  # asking is not enough: root is allowed everything, and yet /proc takes nothing
        with tempfile.TemporaryFile(prefix=owned_prefix(), dir=there):  # it may have a name
            pass
    except OSError as error:
        message = f"{there} is not writable; results cannot be written to {folder}."
        raise InputError(message) from error


def check_file(path: str | Path) -> None:
    """Raise InputError if a file of results cannot be written."""
    if Path(path).is_dir():
        raise InputError(f"{path} is a folder; it should be a file to write.")
    check_writable(Path(path).parent)
