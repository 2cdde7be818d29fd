"""What a reader is given: a few small files and the path to open; kept in one file."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

ENDING = ".input"
"""Of the file that an input is kept in: a zip archive of its files."""


@dataclasses.dataclass(frozen=True)
class Input:
    """Files by their names below a folder, and the path in it that the reader is given.

    Attributes:
        files: their contents.
        entry: a file's name, a folder's, a checkpoint's prefix, or '' for the folder of them all.
    """

    files: Mapping[str, bytes]
    entry: str

    def write(self, folder: Path) -> Path:
        """Write the files into an empty folder, and return the path to open."""
        for name, data in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return folder / self.entry if self.entry else folder

    @property
    def name(self) -> str:
        """What stands for its content: 12 hexadecimal digits."""
        digest = hashlib.sha256(repr((sorted(self.files.items()), self.entry)).encode())
        return digest.hexdigest()[:12]

    def keep(self, folder: Path) -> Path:
        """Write the input into one file of a folder, and return that."""
        folder.mkdir(parents=True, exist_ok=True)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.comment = self.entry.encode()
            for name, data in self.files.items():
                archive.writestr(zipfile.ZipInfo(name), data)
        path = folder / f"{self.name}{ENDING}"
        path.write_bytes(packed.getvalue())
        return path

    @classmethod
    def of(cls, path: Path, entry: str = "") -> Input:
        """Return a file, a folder of files with an entry, or an input that was kept."""
        if path.suffix == ENDING:
            with zipfile.ZipFile(path) as archive:
                kept = {name: archive.read(name) for name in archive.namelist()}
                return cls(kept, archive.comment.decode())
        if path.is_file():
            return cls({path.name: path.read_bytes()}, path.name)
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return cls({str(file.relative_to(path)): file.read_bytes() for file in files}, entry)
