"""Archives and packed files: unpacked into a temporary folder, within limits."""

from __future__ import annotations

import contextlib
import gzip
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import IO, cast

from retrain_tools.errors import InputError
from retrain_tools.leftovers import OwnedFolder, owned_folder
from retrain_tools.sources.kinds import ZIP_DAMAGE, Kind, Place

# More than any published network takes (a GraphDef cannot have 2 GiB). Weights hardly pack, text
# does ten times; a small archive may be of zeros.
_MOST_BYTES, _SMALL, _TIMES = 8 << 30, 1 << 28, 50
_MOST_FILES = 20_000
_CHUNK = 2**20
_DAMAGE = (*ZIP_DAMAGE, tarfile.TarError, ValueError)


def unpack(archive: Place, kind: Kind) -> OwnedFolder:
    """Unpack an archive into a new temporary folder, which is deleted with the result.

    Links, devices, absolute names and names that lead out of the folder are refused; of a `.gz`
    file the name without the ending is kept.

    Args:
        archive: the file.
        kind: TAR, ZIP or GZIP.

    Raises:
        InputError: it is damaged or unsafe, or unpacks to more than 20,000 files, 8 GiB, 50 times
            its size (and 256 MiB), or half of the space that is free.
    """
    with contextlib.ExitStack() as stack:
        # Without the stack, a failure would leave the folder to the garbage collector.
        holder = owned_folder(Path(tempfile.gettempdir()))
        stack.callback(holder.cleanup)
        folder = Path(holder.name)
        try:
            if kind is Kind.TAR:
                _unpack_tar(archive, folder)
            elif kind is Kind.ZIP:
                _unpack_zip(archive, folder)
            else:
                name = archive.named.name.removesuffix(".gz") or "unpacked"
                with gzip.open(archive.path) as packed:
                    _copy(cast(IO[bytes], packed), folder / name, 0, _most_bytes(archive), archive)
        except _DAMAGE as error:
            reason = str(error).splitlines()[0].rstrip(".") if str(error) else "it ends too early"
            raise InputError(
                f"{archive} cannot be unpacked: {reason}; download or copy it again."
            ) from error
        stack.pop_all()
        return holder


def _unpack_tar(archive: Place, folder: Path) -> None:
    size, most = 0, _most_bytes(archive)
    with tarfile.open(archive.path, "r:*") as tar:
        for count, member in enumerate(tar):
            size += member.size
            _check_limits(count, size, most, archive)
            tar.extract(member, folder, filter="data")


def _unpack_zip(archive: Place, folder: Path) -> None:
    size, most = 0, _most_bytes(archive)
    with zipfile.ZipFile(archive.path) as packed_files:
        for count, info in enumerate(packed_files.infolist()):
            _check_limits(count, size + info.file_size, most, archive)
            name = PurePosixPath(info.filename.replace("\\", "/"))
            if name.is_absolute() or ".." in name.parts:
                raise InputError(f"{archive} is unsafe: {info.filename!r} leads out of its folder.")
            if info.filename.endswith("/"):
                continue
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with packed_files.open(info) as packed:
                size = _copy(packed, target, size, most, archive)


def _copy(packed: IO[bytes], target: Path, size: int, most: int, archive: Place) -> int:
    """Write what is unpacked, and count it: what an archive says of its sizes may be wrong."""
    with target.open("wb") as file:
        while chunk := packed.read(_CHUNK):
            size += len(chunk)
            _check_limits(0, size, most, archive)
            file.write(chunk)
    return size


def _most_bytes(archive: Place) -> int:
    """Return how much an archive may unpack to, by its size and by the space that is free."""
    in_proportion = max(_SMALL, _TIMES * archive.path.stat().st_size)
    return min(_MOST_BYTES, in_proportion, shutil.disk_usage(tempfile.gettempdir()).free // 2)


def _check_limits(count: int, size: int, most: int, archive: Place) -> None:
    if size > most or count >= _MOST_FILES:
        raise InputError(
            f"{archive} unpacks to more than {most:,} bytes or {_MOST_FILES:,} files; "
            "unpack it yourself and pass the model inside."
        )
