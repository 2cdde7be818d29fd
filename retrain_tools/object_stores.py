"""What lies behind a URI, by way of fsspec: looking, listing, reading, writing, each tried once."""

from __future__ import annotations

import datetime
import errno
import logging
import os
import uuid
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from retrain_tools.errors import InputError, did_you_mean
from retrain_tools.extras import import_extra
from retrain_tools.uris import scheme_of, shown

log = logging.getLogger(__name__)

_S3, _GOOGLE = ("s3", "s3a"), ("gs", "gcs")
_AZURE, _WEB = ("az", "abfs", "abfss", "adl"), ("http", "https")
_PACKAGES = {
    **dict.fromkeys(_S3, "s3fs"),
    **dict.fromkeys(_GOOGLE, "gcsfs"),
    **dict.fromkeys(_AZURE, "adlfs"),
    **dict.fromkeys(_WEB, "aiohttp"),
    **dict.fromkeys(("sftp", "ssh"), "paramiko"),
    "hdfs": "pyarrow",
    "oss": "ossfs",
    "smb": "smbprotocol",
}
"""What fsspec needs for a scheme; those of the big object stores bring fsspec itself."""

_ONE_PUT = {*_S3, *_GOOGLE, *_AZURE, *_WEB, "oss", "oci", "memory"}
"""Stores where an object is there once all of it is; elsewhere a file grows before all eyes."""

_VERSIONS = ("generation", "ETag", "etag")
_TIMES = ("mtime", "LastModified", "last_modified", "modified", "created")
_REFUSED = {400, 401, 403, 405, 410, 451}  # another try does not help
_NUMBERS: dict[type[BaseException], int] = {
    FileNotFoundError: errno.ENOENT,
    PermissionError: errno.EACCES,
    IsADirectoryError: errno.EISDIR,
    NotADirectoryError: errno.ENOTDIR,
    FileExistsError: errno.EEXIST,
    NotImplementedError: errno.EROFS,
    TimeoutError: errno.ETIMEDOUT,
    ValueError: errno.EINVAL,
}


class Entry(NamedTuple):
    """What a store says of one thing: its name, bytes (-1: unknown) and version ('': unknown)."""

    name: str
    is_folder: bool
    size: int
    version: str


class Opened(NamedTuple):
    """A place in a store; `files` is fsspec's file system."""

    uri: str
    files: Any
    path: str

    def look(self) -> Entry:
        """Look at the object; a folder is an IsADirectoryError."""
        return self._entry(self.files.info(self.path))

    def read(self, check: Callable[[Entry], None], most: int | None = None) -> bytes:
        """Return what the object holds, all of one version, once `check` passed what it is.

        Of one whose size the store does not say, not many more bytes than `most` are read.
        """
        if scheme_of(self.uri) in _S3:  # where the request names the version that was looked at
            with self.files.open(self.path, "rb", cache_type="none") as file:
                before = after = self._entry(file.details)
                check(before)
                try:
                    data = file.read()
                except import_extra("s3fs.utils", self.uri).FileExpired as error:
                    raise self._changed() from error
        else:
            before = self.look()
            check(before)
            if before.size < 0 and most is not None:
                with self.files.open(self.path, "rb") as file:
                    data = file.read(most + 1)
            else:
                data = self.files.cat_file(self.path)
            after = self.look()
        if after != before or before.size not in (-1, len(data)):
            raise self._changed()
        return bytes(data)

    def _changed(self) -> OSError:
        return OSError(errno.ESTALE, "it changed while it was read", shown(self.uri))

    def write(self, data: bytes) -> None:
        """Write the object: with one put, or where that is seen growing, by a rename."""
        if scheme_of(self.uri) in _ONE_PUT:
            self.files.pipe_file(self.path, data)
            return
        folder = self.path.rpartition("/")[0]
        temporary = f"{folder}/.{uuid.uuid4().hex}.tmp"
        self.files.makedirs(folder, exist_ok=True)
        try:
            self.files.pipe_file(temporary, data)
            if self.files.exists(self.path):  # not every system replaces
                self.files.rm_file(self.path)
            self.files.mv(temporary, self.path)
        except BaseException:
            if self.files.exists(temporary):
                self.files.rm_file(temporary)
            raise

    def delete(self) -> None:
        """Remove the object."""
        self.files.rm_file(self.path)

    def list(self, below: str) -> list[Entry]:
        """Return what is directly in the folder `below` this place, in any order."""
        path = f"{self.path}/{below}" if below else self.path
        found = []
        for info in self.files.ls(path, detail=True):
            is_folder = info["type"] == "directory"
            name = info["name"].removeprefix(path).removeprefix("/")
            name = name.removesuffix("/") if is_folder else name
            if not name and not is_folder and not info["name"].endswith("/"):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            if not name and is_folder:
                log.warning("%s/%s: objects with // in their names are left out",
                            shown(self.uri).rstrip("/"), below)  # fmt: skip
            elif name and "/" not in name:  # else the folder's own mark, or a link to elsewhere
                found.append(Entry(name, is_folder, _size(info), _version(info)))
        return found

    def _entry(self, info: Mapping[str, Any]) -> Entry:
        if info["type"] == "directory":
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        return Entry(self.path.rpartition("/")[2], False, _size(info), _version(info))


def open_store(uri: str) -> Opened:
    """Return the place of a URI that is not local.

    Raises:
        InputError: the package for it is not installed, or nobody knows such URIs.
    """
    scheme = scheme_of(uri)
    import_extra(_PACKAGES.get(scheme, "fsspec"), shown(uri))
    fsspec = import_extra("fsspec", shown(uri))
    try:
        kind = fsspec.get_filesystem_class(scheme)
    except ValueError as error:
        known = fsspec.available_protocols()
        hint = did_you_mean(scheme, known)
        message = f"{shown(uri)}: fsspec knows no URIs that begin with {scheme}://.{hint}"
        raise InputError(message) from error
    except ImportError as error:
        raise InputError(f"{shown(uri)} needs another package: {error}") from error
    # Not `fsspec.url_to_fs`, to which `::` in a name means a file inside another.
    store = kind(**kind._get_kwargs_from_urls(uri))
    store.dircache.use_listings_cache = False  # a list that is kept would hide what changes
    return Opened(uri, store, kind._strip_protocol(uri))


def in_words(uri: str, error: Exception) -> OSError:
    """Return an error of a store as the system's errors are, about the URI without credentials."""
    cause = error.__cause__
    if scheme_of(uri) in _WEB and isinstance(error, FileNotFoundError) and cause is not None:
        error = cause if isinstance(cause, Exception) else error  # of any status it says: not found
    status = _status(error)
    number = getattr(error, "errno", None) or next(
        (number for kind, number in _NUMBERS.items() if isinstance(error, kind)),
        errno.EACCES if status in _REFUSED else errno.EIO,
    )
    if isinstance(error, FileNotFoundError) or status == 404:
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), shown(uri))
    if isinstance(error, NotImplementedError):
        reason = "nothing can be written or changed there"
    elif status is not None and not isinstance(error, OSError):
        reason = f"the server answered with status {status}"
    elif shown(uri) != uri:  # what the package says may repeat what has to be hidden
        reason = type(error).__name__
    else:
        said = getattr(error, "strerror", None) or str(error)
        reason = " ".join(str(said).split()) or type(error).__name__
    return OSError(number, reason.rstrip("."), shown(uri))


def _status(error: Exception) -> int | None:
    """Return the status of the server's answer, by the names that the packages have for it."""
    for name in ("status", "status_code", "code"):
        if type(value := getattr(error, name, None)) is int:
            return value
    return None


def _size(info: Mapping[str, Any]) -> int:
    size = info.get("size")
    return -1 if size is None else int(size)


def _version(info: Mapping[str, Any]) -> str:
    """Return the generation or etag of an object, else when it was changed, in nanoseconds."""
    for name in _VERSIONS:
        if value := info.get(name):
            return str(value).strip('"')
    for name in _TIMES:
        value = info.get(name)
        if isinstance(value, datetime.datetime):
            value = value.timestamp()
        if isinstance(value, (int, float)):
            return str(round(value * 1e6) * 1000)  # no store tells more than microseconds
    return ""
