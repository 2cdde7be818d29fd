"""Downloads of the catalogue: fetching an archive, resuming it, checking and unpacking it."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import logging
import sys
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NoReturn

import filelock
from tqdm import tqdm

from retrain_tools import files
from retrain_tools.catalog_entry import CatalogEntry, Published, stays_inside
from retrain_tools.disk_space import needing
from retrain_tools.errors import InputError, argument
from retrain_tools.leftovers import clean_once, owned_folder

log = logging.getLogger(__name__)

_NETWORK_TIMEOUT = 30.0  # seconds without a byte
_CHUNK = 1 << 18  # bytes
# A server that sends less than this for as long is given up, and so is any after a day.
_SLOWEST, _SLOW_FOR = 1000, 60.0  # bytes a second, seconds
_LONGEST = 86_400.0  # seconds
# The largest that is taken of which the catalogue does not know the size; and how many times its
# size an archive may unpack to: weights hardly pack, and text ten times.
_LARGEST, _UNPACKED = 4 << 30, 16


def fetch(entry: Published, folder: Path) -> Path:
    """Return the file that `entry` stands for, in `folder`, downloading its archive if needed.

    Raises:
        InputError: it cannot be downloaded, or what is there or arrives is not the published file.
    """
    if not _is_present(entry, folder):
        _check_writable(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / f".{entry.archive}.lock"):
            if not _is_present(entry, folder):  # else another process was faster
                _fetch(entry, folder)
    else:
        _tidy(entry, folder)
    return folder / entry.file.path


def _tidy(entry: Published, folder: Path) -> None:
    """Remove what a run has left that was killed when the file was there, but not yet the end."""
    clean_once(folder)
    part = _part(entry, folder)
    with contextlib.suppress(OSError):  # also where another process has the lock
        # A part of the archive stays: another file may be wanted of it.
        if entry.archive_bytes in (None, part.stat().st_size):
            with filelock.FileLock(folder / f".{entry.archive}.lock", timeout=0):
                part.unlink()


def _part(entry: Published, folder: Path) -> Path:
    """Return where an archive is as long as it is not whole and unpacked."""
    return folder / f"{entry.archive}.part"


def _check_writable(folder: Path) -> None:
    try:
        files.check_writable(folder)
    except InputError as error:
        raise InputError(f"{error} Name another folder with {argument('model_dir')}.") from error


def _is_present(entry: Published, folder: Path) -> bool:
    path, expected = folder / entry.file.path, entry.file.bytes
    if not path.exists():
        return False
    actual = path.stat().st_size
    if expected not in (None, actual):
        raise InputError(
            f"{path} is not the published {entry.name}: expected {expected} bytes, got {actual}. "
            "Delete it to fetch it again."
        )
    return True


def _fetch(entry: Published, folder: Path) -> None:
    kept, part = folder / entry.archive, _part(entry, folder)
    if kept.exists():  # retrain.py left its archives there
        try:
            _unpack(entry, kept, folder)
        except InputError as error:
            raise InputError(f"{error} Delete {kept} to fetch it again.") from error
        return
    _download(entry, part)
    try:
        _unpack(entry, part, folder)
    except InputError as error:
        part.unlink()
        raise InputError(f"{error} The download was deleted.") from error
    part.unlink(missing_ok=True)


def _download(entry: Published, part: Path) -> None:
    start = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={start}-"} if start else {}
    # The catalogue takes http and https only, hence the two noqa.
    request = urllib.request.Request(entry.url, headers=headers)  # noqa: S310
    try:
        response = urllib.request.urlopen(request, timeout=_NETWORK_TIMEOUT)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not start:
            raise _unreachable(entry, f"HTTP {error.code} {error.reason}") from error
        if error.headers.get("Content-Range") == f"bytes */{start}" or start == entry.archive_bytes:
            return  # nothing is missing
        part.unlink()
        _download(entry, part)
        return
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(entry, f"{getattr(error, 'reason', error)}") from error
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            start = 0  # the server sends everything again
        total = _announced(entry, response, start)
        if not sys.stderr.isatty():
            log.info("Downloading %s (%s bytes) to %s", entry.url, total or "unknown", part.parent)
        with (
            needing(part.with_suffix(""), lambda: total and total - part.stat().st_size),
            files.naming(part),  # of what is read from the network, `_read` tells
            part.open("ab" if start else "wb") as file,
            tqdm(
                total=total, initial=start, unit="B", unit_scale=True, desc=part.stem, disable=None
            ) as bar,
        ):
            _copy(entry, response, file, bar, start)
    size = part.stat().st_size
    if total is not None and size < total:
        reason = f"the connection broke after {size} of {total} bytes; run again to resume"
        raise _unreachable(entry, reason)


def _announced(entry: Published, response: http.client.HTTPResponse, start: int) -> int | None:
    """Return how many bytes there will be by the server's word, if it says; not too many."""
    length = response.headers.get("Content-Length")
    if length is None:
        return None
    if not length.strip().isascii() or not length.strip().isdecimal():
        raise _unreachable(entry, f"the server says Content-Length: {length!r}")
    total = start + int(length)
    _check_size(entry, total)
    return total


def _check_size(entry: Published, size: int) -> None:
    most = entry.archive_bytes or _LARGEST
    if size > most:
        raise _unreachable(entry, f"the server sends more than the {most:,} bytes that it can have")


def _copy(
    entry: Published,
    response: http.client.HTTPResponse,
    file: BinaryIO,
    bar: tqdm[NoReturn],
    size: int,
) -> None:
    """Write what a server sends, as long as it is neither too much nor too slow."""
    begun = since = time.monotonic()
    got = 0
    while chunk := _read(entry, response):
        size += len(chunk)
        got += len(chunk)
        _check_size(entry, size)
        file.write(chunk)
        bar.update(len(chunk))
        now = time.monotonic()
        if now - since > _SLOW_FOR:
            if got < _SLOWEST * (now - since) or now - begun > _LONGEST:
                speed = f"{got / (now - since):,.0f} bytes a second"
                raise _unreachable(entry, f"it is too slow, {speed}; run again to go on")
            since, got = now, 0


def _read(entry: Published, response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(_CHUNK)  # what is there, where `read` would wait for all
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(entry, f"{error}; run again to resume") from error


def _unreachable(entry: Published, reason: str) -> InputError:
    size = f" ({entry.file.bytes} bytes)" if entry.file.bytes else ""
    file_name = PurePosixPath(entry.file.path).name
    return InputError(
        f"Cannot download {entry.url}: {reason}. Get {entry.file.path}{size} from elsewhere and "
        f"pass it: --graph=/path/to/{file_name}"
    )


def _unpack(entry: Published, archive: Path, folder: Path) -> None:
    """Check an archive and take out of it what is wanted; of a checkpoint, that is all of it."""
    with archive.open("rb") as file:
        head = file.read(40)
    if not head.startswith(b"\x1f\x8b"):
        raise InputError(
            f"{entry.url} did not give a gzip archive: {archive} begins with {head!r}. "
            "A proxy or a login page may have answered instead."
        )
    _check(archive, entry.archive_bytes, entry.archive_sha256)
    # The graph comes last: where it is, the labels are.
    wanted = (*entry.labels, entry.graph) if isinstance(entry, CatalogEntry) else ()
    paths = [member.path for member in wanted]
    packed, sizes = archive.stat().st_size, [member.bytes or 0 for member in wanted]
    with (
        needing(folder, lambda: max(packed, sum(sizes))),
        owned_folder(folder) as scratch,
    ):
        try:
            with gzip.open(archive) as stream:
                _read_through(stream, archive)  # to the checksum at the end, which tar does not
                stream.seek(0)
                with tarfile.open(fileobj=stream, mode="r:") as tar:
                    _extract_members(tar, archive, paths, scratch, folder)
        except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError(f"{archive} is damaged or cut short: {error}.") from error
        for member in wanted:
            _check(Path(scratch, member.path), member.bytes, member.sha256)
        for member in wanted:
            target = folder / member.path
            with files.naming(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                Path(scratch, member.path).replace(target)
    if not wanted:
        archive.replace(folder / entry.archive)


def _read_through(stream: gzip.GzipFile, archive: Path) -> None:
    """Read to the end of what is unpacked; an archive that has no end is refused."""
    most = _UNPACKED * archive.stat().st_size + _CHUNK
    size = 0
    while chunk := stream.read(_CHUNK):
        size += len(chunk)
        if size > most:
            raise InputError(
                f"{archive} unpacks to more than {_UNPACKED} times its size; no network does."
            )


def _extract_members(
    tar: tarfile.TarFile, archive: Path, paths: list[str], target: str, folder: Path
) -> None:
    """Unpack files of an archive to `target`, on their way to `folder`."""
    found = {info.name.removeprefix("./"): info for info in tar}
    for name in found:
        if not stays_inside(name):
            raise InputError(f"{archive} holds {name!r}, which would lie outside its folder.")
    for path in paths:
        if path not in found:
            raise InputError(f"{archive} holds no {path!r}.")
        if not found[path].isreg():
            raise InputError(f"{path!r} in {archive} is a link or a folder, not a file.")
        with files.naming(folder / path):
            tar.extract(found[path], target, filter="data")


def _check(path: Path, size: int | None, sha256: str | None) -> None:
    actual_size = path.stat().st_size
    if size not in (None, actual_size):
        raise InputError(f"{path.name}: expected {size} bytes, got {actual_size}.")
    if sha256 is None:
        return
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != sha256:
        raise InputError(f"{path.name}: expected SHA-256 {sha256}, got {actual}.")
