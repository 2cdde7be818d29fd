"""Looks into a file or folder of any kind, archives in archives included. Nothing is run."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

from retrain_tools.errors import InputError
from retrain_tools.safety import archives, pickles
from retrain_tools.safety.archives import Budget
from retrain_tools.safety.findings import Finding, Report, Severity, worst_first
from retrain_tools.safety.keras_config import config_findings, count_of, metadata_file_findings
from retrain_tools.safety.messages import (
    Looked,
    any_message_findings,
    message_findings,
    message_kind,
)
from retrain_tools.safety.npy import npy_findings
from retrain_tools.sources.kinds import Kind, Place, checkpoint_files, foreign_kind, kind_of

_START = 4096
_DEEPEST = 8  # archives in archives
_MOST_FILES = 20_000
_HDF5 = b"\x89HDF\r\n\x1a\n"
_HDF5_PLACES = (0, 512, 1024, 2048)  # where the format lets it begin, behind anything
_PROGRAMS = (b"\x7fELF", b"MZ\x90", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
_PICKLE_NAMES = (".pkl", ".pickle", ".joblib", ".dill", ".pt", ".pth", ".p", ".ckpt", ".bin")
_PYTHON_TAG = re.compile(rb"!!python/|!<tag:yaml\.org,2002:python/")

_PROGRAM = "is a native program or library, which runs outside of every limit once it is loaded"
_SOURCE = "is a program; nothing here runs it"
_YAML = "makes Python objects when it is loaded, as Keras before 2.6 did with a model's YAML"
_CHUNKS = "is a SavedModel in chunks, which is not looked into"
_DEEP = f"has archives in archives, more than {_DEEPEST} deep; it was not looked into"
_NOTHING = "holds nothing that a scan knows: no graph, model, pickle or archive"


def scan(path: str | Path) -> Report:
    """Say what a file or folder holds that could do more than compute. Nothing of it is run.

    TensorFlow, Keras and pickles are not started: messages are parsed, a pickle's instructions and
    a Keras model's description are read.

    Args:
        path: a GraphDef, MetaGraph, SavedModel, Keras, TensorFlow Lite or NumPy file, a pickle, an
            archive of such, or a folder of them.

    Returns:
        Its findings, the worst first, and how much was looked at.

    Raises:
        InputError: there is no such file, it is damaged, or is nothing that a scan knows.

    Example:
        >>> import retrain_tools as rt
        >>> report = rt.scan("graph.pb")
        >>> report.kind, report.is_clean
        ('GraphDef', True)
    """
    scanner = _Scanner()
    place = Place.of(Path(path).expanduser())
    try:
        kind = scanner.look(place, 0)
    except OSError as error:  # no right to read it, a disk that fails
        raise InputError(f"{place} cannot be read: {error.strerror or error}.") from error
    return Report(str(place), kind, worst_first(scanner.findings), scanner.looked_at)


class _Scanner:
    """What was found so far in one file that was named, and in all that is inside of it."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.looked_at = 0
        self._budget = Budget()

    def look(self, place: Place, depth: int) -> str:
        """Look into a file or folder, and return what it is.

        Raises:
            InputError: it is damaged, or nothing that a scan knows.
        """
        if place.path.is_dir():
            return self._folder(place, depth)
        if not place.path.is_file():
            parts = checkpoint_files(place.path)
            if not parts:
                raise InputError(f"No such file: {place}")
            self.looked_at += len(parts)
            return Kind.CHECKPOINT.value
        with place.path.open("rb") as file:
            start = file.read(_START)
        kind = self._whole_file(place, start, depth)
        if kind is None:
            reason = foreign_kind(start)
            raise InputError(f"{place} {reason or _NOTHING}.")
        # Some formats are read from their beginning, zip from its end: a file can be both.
        if kind != "zip archive" and not _is_tar_or_packed(kind) and zipfile.is_zipfile(place.path):
            self._archive(place, b"PK", depth, "a zip archive behind it")
        return kind

    def _add(self, looked: Looked) -> None:
        self.findings += looked.findings
        self.looked_at += looked.looked_at

    def _whole_file(self, place: Place, start: bytes, depth: int) -> str | None:
        """Look into a file by what it begins with; None where nothing is known of it."""
        path = str(place)
        if start.startswith(b"PK\x03\x04"):
            return self._archive(place, start, depth)
        if archives.is_packed(start) or start[257:262] == b"ustar":
            return self._archive(place, start, depth)
        if pickles.starts_as_pickle(start):
            self._pickle(place, place.path.read_bytes())
            return "pickle"
        if start.startswith(b"\x93NUMPY"):
            self._add(npy_findings(place))
            return "NumPy array"
        if start[4:8] == b"TFL3":
            from retrain_tools.safety.lite import tflite_findings

            self._add(tflite_findings(place))
            return Kind.TFLITE.value
        if _is_hdf5(place.path):
            from retrain_tools.safety.hdf5 import hdf5_findings  # with NumPy and h5py

            self._add(hdf5_findings(place))
            return Kind.HDF5.value
        if start.startswith(_PROGRAMS):
            self._found(Severity.HIGH, "native-program", place, _PROGRAM)
            return "program"
        if start.startswith(b"#!") or place.path.suffix == ".py":
            self._found(Severity.LOW, "program", place, _SOURCE)
            return "program"
        if place.path.name == "keras_metadata.pb":
            self.findings += metadata_file_findings(place.path.read_bytes(), path)
            self.looked_at += 1
            return "Keras metadata"
        return self._message(place, start) or self._text(place, start)

    def _message(self, place: Place, start: bytes) -> str | None:
        """Look into a file that may hold one of TensorFlow's messages, or be of a checkpoint."""
        kind = message_kind(start)
        if kind is not None:
            try:
                self._add(message_findings(place, kind))
            except InputError:
                if _is_checkpoint(place):
                    return Kind.CHECKPOINT.value
                raise
            return kind.value
        if place.path.name.endswith(".cpb"):
            self._found(Severity.MEDIUM, "unreadable", place, _CHUNKS)
            return Kind.SAVED_MODEL.value
        if _is_checkpoint(place):
            self.looked_at += 1
            return Kind.CHECKPOINT.value
        looked = any_message_findings(place)
        if looked is None:
            return None
        self._add(looked)
        return Kind.GRAPH_DEF.value

    def _text(self, place: Place, start: bytes) -> str | None:
        """Look into JSON and YAML that describe Keras models, pickles of protocol 0, and zlib."""
        data = place.path.read_bytes()
        if start.lstrip()[:1] == b"{":
            try:
                config = json.loads(data)
            except (ValueError, RecursionError):
                config = None
            if isinstance(config, dict) and "class_name" in config:
                version = config.get("keras_version")
                self._config(place, config, version if isinstance(version, str) else None)
                return "description of a Keras model"
        if _PYTHON_TAG.search(data) and b"\0" not in data:
            self._found(Severity.HIGH, "yaml", place, _YAML)
            return "YAML"
        if pickles.is_text_pickle(data):
            self._pickle(place, data)
            return "pickle"
        inner = archives.inflated(data)
        if inner is not None and place.path.suffix in _PICKLE_NAMES:
            self._pickle(place, inner)
            return "pickle, compressed"
        return None

    def _config(self, place: Place, config: object, version: str | None) -> None:
        self.findings += config_findings(config, str(place), version)
        self.looked_at += count_of(config)

    def _pickle(self, place: Place, data: bytes) -> None:
        self.findings += pickles.pickle_findings(data, str(place))
        self.looked_at += 1

    def _found(self, severity: Severity, rule: str, place: Place, why: str) -> None:
        name = place.named.name
        self.findings.append(Finding(severity, rule, name, why, str(place)))
        self.looked_at += 1

    def _archive(self, place: Place, start: bytes, depth: int, named: str = "") -> str:
        """Look into all files of an archive."""
        name = place.named.name
        is_zip, is_tar = start.startswith(b"PK"), archives.is_tar(place.path)
        kind = named or ("zip archive" if is_zip else "tar archive" if is_tar else "packed file")
        if depth == _DEEPEST:
            self.findings.append(Finding(Severity.HIGH, "nested-too-deep", name, _DEEP, str(place)))
            return kind
        if is_zip:
            members = archives.zip_members(place, self._budget, self.findings.append)
        elif is_tar:
            members = archives.tar_members(place, self._budget, self.findings.append)
        else:
            members = archives.unpacked(place, start, self._budget)
        try:
            for member in members:
                self._inner(member, depth + 1)
        except archives.TooMuchError:
            self.findings.append(archives.too_much(place))
        except archives.DAMAGE as error:
            reason = str(error).splitlines()[0].rstrip(".") if str(error) else "it ends too early"
            raise InputError(
                f"{place} cannot be unpacked: {reason}; download or copy it again."
            ) from error
        return _keras_or(kind, place) if is_zip and not named else kind

    def _inner(self, place: Place, depth: int) -> None:
        """Look into a file of a folder or archive; what a scan knows nothing of is left alone."""
        try:
            self.look(place, depth)
        except InputError as error:
            if _NOTHING in str(error) or foreign_kind(_beginning(place.path)) is not None:
                return
            self.findings.append(
                Finding(
                    Severity.MEDIUM,
                    "unreadable",
                    place.named.name,
                    f"cannot be looked into: {str(error).rstrip('.')}",
                    str(place),
                )
            )

    def _folder(self, folder: Place, depth: int) -> str:
        files = sorted(path for path in folder.path.rglob("*") if path.is_file())
        if len(files) > _MOST_FILES:
            raise InputError(f"{folder} holds {len(files):,} files; name the model itself.")
        before = self.looked_at
        for path in files:
            self._inner(folder / str(path.relative_to(folder.path)), depth)
        if self.looked_at == before and not self.findings:
            raise InputError(f"{folder} {_NOTHING}.")
        has_graph = any(path.name.startswith("saved_model.") for path in files)
        return Kind.SAVED_MODEL.value if has_graph else Kind.FOLDER.value


def _is_tar_or_packed(kind: str) -> bool:
    return kind in (Kind.KERAS.value, "tar archive", "packed file")


def _keras_or(kind: str, place: Place) -> str:
    return Kind.KERAS.value if kind_of(place) is Kind.KERAS else kind


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        for offset in _HDF5_PLACES:
            file.seek(offset)
            if file.read(len(_HDF5)) == _HDF5:
                return True
    return False


def _is_checkpoint(place: Place) -> bool:
    try:
        return kind_of(place) is Kind.CHECKPOINT
    except InputError:
        return False


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_START)
