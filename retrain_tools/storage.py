"""Where images and results lie: local paths, and URIs of object stores by way of fsspec.

Local paths and `file://` need no extra package. A URI's path is taken as it stands there: `%20` in
it is three characters. Credentials come from where the store's own package looks for them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat as stat_rules
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn, TypeVar

from retrain_tools import files
from retrain_tools.errors import InputError
from retrain_tools.object_stores import Entry, in_words, open_store
from retrain_tools.uris import is_uri, join, scheme_of, shown

__all__ = [
    "ChangedError",
    "Stored",
    "delete",
    "exists",
    "is_uri",
    "join",
    "list_names",
    "read",
    "shown",
    "stat",
    "walk",
    "write",
]

_WAITS = (0.5, 2.0)  # seconds before the second try and the third, which is the last
_MAY_PASS = {
    *(errno.EIO, errno.EBUSY, errno.EAGAIN, errno.EINTR, errno.ESTALE, errno.ETIMEDOUT),
    *(errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED, errno.EPIPE, errno.ENETUNREACH),
    *(errno.EHOSTUNREACH, errno.ENETDOWN, getattr(errno, "EREMOTEIO", errno.EIO), socket.EAI_AGAIN),
}
_BUGS = (TypeError, AttributeError, NameError, AssertionError, MemoryError)

Result = TypeVar("Result")


class ChangedError(OSError):
    """A file is no more what it was expected to be."""


class Stored(NamedTuple):
    """A file or object as it is at one time.

    Attributes:
        uri: where it is, as the user wrote it or its folder; may hold credentials (see `shown`).
        size: bytes; -1 where the store does not say.
        version: its generation or etag where there is one, else the time of its last change in
            nanoseconds; '' where the store says neither.
    """

    uri: str
    size: int
    version: str


def stat(uri: str) -> Stored:
    """Look at a file.

    Raises:
        InputError: the package for such URIs is not installed, or nobody knows such URIs.
        FileNotFoundError: there is none.
        IsADirectoryError: it is a folder.
        OSError: it cannot be looked at; the message names the URI without credentials.
    """
    path = _local(uri)
    if path is None:
        return _patiently(uri, lambda: _stored(uri, open_store(uri).look()))
    with _naming(uri):
        return _local_stored(uri, path)


def read(uri: str, limit: int | None = None, expected: Stored | None = None) -> bytes:
    """Return what a file holds, all of one version.

    The size is checked before anything is read. One that changes meanwhile is read again. What may
    pass is tried three times.

    Args:
        uri: a path or URI; locally only a regular file, which ends and does not wait.
        limit: the most bytes.
        expected: what it should still be, as `stat` or `walk` found it.

    Raises:
        InputError, FileNotFoundError, IsADirectoryError: see `stat`.
        OSError: it cannot be read, is larger than `limit` (EFBIG), keeps changing, or is no more
            what was expected (ChangedError).
    """
    path = _local(uri)
    if path is not None:
        return _patiently(uri, lambda: _read_local(uri, path, limit, expected))
    return _patiently(uri, lambda: _read_object(uri, limit, expected))


def write(uri: str, data: bytes) -> None:
    """Write a file so that nobody sees half of it: by a rename, on object stores by one put.

    Its folders are made.

    Raises:
        InputError: see `stat`.
        OSError: it cannot be written.
    """
    path = _local(uri)
    if path is None:
        _patiently(uri, lambda: open_store(uri).write(data))
        return
    with _naming(uri), files.replacing(path) as file:
        file.write(data)


def exists(uri: str) -> bool:
    """Whether there is a file or folder.

    Raises:
        InputError, OSError: see `stat`; that it cannot be told.
    """
    try:
        stat(uri)
    except IsADirectoryError:
        return True
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def delete(uri: str) -> None:
    """Remove a file; one that is not there is no error.

    Raises:
        InputError, OSError: see `stat`.
    """
    path = _local(uri)
    try:
        if path is None:
            _patiently(uri, lambda: open_store(uri).delete())
        else:
            with _naming(uri):
                path.unlink()
    except FileNotFoundError:
        return


def list_names(folder: str) -> list[str]:
    """Return the names of the files directly in a folder, sorted; none where there is no folder.

    Raises:
        InputError, OSError: see `stat`.
    """
    path = _local(folder)
    try:
        if path is None:
            entries = _patiently(folder, lambda: open_store(folder).list(""))
            return sorted(entry.name for entry in entries if not entry.is_folder)
        with _naming(folder), os.scandir(path) as found:
            return sorted(entry.name for entry in found if entry.is_file())
    except FileNotFoundError:
        return []


def walk(folder: str) -> Iterator[Stored]:
    """Yield the files below a folder at any depth, hidden ones too, sorted by their URIs.

    One folder is listed at a time: what is held in memory is what one folder and those above it
    have. Locally only regular files count, and links to folders are followed, each real folder
    once.

    Raises:
        InputError, FileNotFoundError: see `stat`.
        NotADirectoryError: it is a file.
        OSError: some folder cannot be listed.
    """
    path = _local(folder)
    if path is None:
        yield from _walk_store(folder, "")
    else:
        with _naming(folder):
            number = _number(path.stat())
        yield from _walk_local(folder, path, {number})


def _walk_store(folder: str, below: str) -> Iterator[Stored]:
    entries = _patiently(folder, lambda: open_store(folder).list(below))
    # As whole paths are sorted: `a.jpg` before what is in the folder `a`.
    for entry in sorted(entries, key=lambda one: f"{one.name}/" if one.is_folder else one.name):
        relative = join(below, entry.name)
        if entry.is_folder:
            yield from _walk_store(folder, relative)
        else:
            yield _stored(join(folder, relative), entry)


def _walk_local(folder: str, path: Path, known: set[tuple[int, int]]) -> Iterator[Stored]:
    with _naming(folder), os.scandir(path) as found:
        entries = sorted(found, key=lambda one: f"{one.name}/" if one.is_dir() else one.name)
    folders = [entry for entry in entries if entry.is_dir()]
    taken = set()
    # Beside a link to it, the folder itself counts.
    for entry in sorted(folders, key=lambda one: one.is_symlink()):
        if (number := _number(entry.stat())) not in known:
            known.add(number)
            taken.add(entry.name)
    for entry in entries:
        place = join(folder, entry.name)
        if entry.name in taken:
            yield from _walk_local(place, path / entry.name, known)
        elif not entry.is_dir():
            yield _local_stored(place, path / entry.name)


def _number(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _local(uri: str) -> Path | None:
    """Return the path that a local path or `file://` URI stands for, None for other URIs."""
    if not is_uri(uri):
        return Path(uri)
    if scheme_of(uri) != "file":
        return None
    path = uri.partition("://")[2].removeprefix("localhost")
    if not path.startswith("/"):
        raise InputError(f"{uri} names another computer, or no whole path: write file:///folder.")
    return Path(path)


def _local_stored(uri: str, path: Path) -> Stored:
    """Look at a local file; a link that leads nowhere is there, and cannot be read."""
    try:
        found = path.stat()
    except FileNotFoundError:
        if path.is_symlink():
            return Stored(uri, -1, "")
        raise
    if stat_rules.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), uri)
    return Stored(uri, found.st_size, str(found.st_mtime_ns))


def _read_local(uri: str, path: Path, limit: int | None, expected: Stored | None) -> bytes:
    with _naming(uri):
        before = _local_stored(uri, path)
        _check(before, limit, expected)
        data = files.read_regular(path, limit)
        if _local_stored(uri, path) != before or len(data) != before.size:
            raise OSError(errno.ESTALE, "it changed while it was read", uri)
    return data


def _read_object(uri: str, limit: int | None, expected: Stored | None) -> bytes:
    def check(entry: Entry) -> None:
        _check(_stored(uri, entry), limit, expected)

    data = open_store(uri).read(check, limit)
    if limit is not None and len(data) > limit:  # the store did not say how large it is
        _refuse_size(uri, len(data), limit)
    return data


def _check(found: Stored, limit: int | None, expected: Stored | None) -> None:
    if expected is not None and found != expected:
        raise ChangedError(errno.ESTALE, "it changed since it was listed", shown(found.uri))
    if limit is not None and found.size > limit:
        _refuse_size(found.uri, found.size, limit)


def _refuse_size(uri: str, size: int, limit: int) -> NoReturn:
    reason = f"it has {size:,} bytes, and {limit:,} are the most"
    raise OSError(errno.EFBIG, reason, shown(uri))


def _stored(uri: str, entry: Entry) -> Stored:
    return Stored(uri, entry.size, entry.version)


def _patiently(uri: str, action: Callable[[], Result]) -> Result:
    """Do something with a file; where it fails for what may pass, up to three times."""
    for wait in (*_WAITS, None):
        try:
            return action()
        except (InputError, ChangedError, *_BUGS):
            raise
        except Exception as error:  # stores raise errors of their packages' own
            said = in_words(uri, error)
            if isinstance(error, OSError) and error.filename in (uri, shown(uri)):
                said = error  # told already
            if wait is None or said.errno not in _MAY_PASS:
                raise said from error
        time.sleep(wait)
    raise AssertionError("unreachable")


@contextlib.contextmanager
def _naming(uri: str) -> Iterator[None]:
    """Let an error of the system be about the place as the user wrote it."""
    try:
        yield
    except ChangedError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, uri) from error
