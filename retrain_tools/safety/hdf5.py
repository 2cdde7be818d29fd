"""The findings in HDF5 files: Keras models in them, and data that lies in other files.

The HDF5 library can crash on a damaged file, or read it without end. So it does its work in a
process of its own, which is this module, run as a script, and has a limit of time.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retrain_tools.errors import InputError
from retrain_tools.safety.findings import Finding, Severity
from retrain_tools.safety.graphs import has_control
from retrain_tools.safety.keras_config import config_findings, count_of
from retrain_tools.safety.messages import Looked
from retrain_tools.sources.kinds import Place
from retrain_tools.sources.readers.hdf5 import h5py, opened, text_of

_ELSEWHERE = "takes its data from another file of this computer, which loading would read"
_TERMINAL = "has control characters in its name, which may be commands for a terminal"
_DEEPEST = 100
_MOST_SECONDS = 20.0


def hdf5_findings(place: Place) -> Looked:
    """Return the findings in an HDF5 file; no array of it is read.

    Raises:
        InputError: it is damaged.
    """
    command = [sys.executable, "-m", __name__, str(place.path), str(place)]
    too_long = f"reading it takes more than {_MOST_SECONDS:g} s"
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=_MOST_SECONDS, check=False
        )
        said = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        reason = "it cannot be read to its end" if isinstance(error, ValueError) else too_long
        raise InputError(f"{place} is damaged: {reason}; download or copy it again.") from error
    if "error" in said:
        raise InputError(said["error"])
    found = [Finding(**{**one, "severity": Severity(one["severity"])}) for one in said["findings"]]
    return Looked(found, said["looked_at"])


def _main(path: str, named: str) -> None:
    try:
        looked = _looked(Place(Path(path), Path(named)))
        said = dataclasses.asdict(looked)
    except InputError as error:
        said = {"error": str(error)}
    sys.stdout.write(json.dumps(said))


def _looked(place: Place) -> Looked:
    path = str(place)
    with opened(place.path, path, is_tried=True) as file:
        found = list(_links(file, path, "", 0, set()))
        looked_at = len(file)
        for key in ("model_config", "training_config"):
            if key not in file.attrs:
                continue
            try:
                config = json.loads(text_of(file.attrs[key]))
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path} is damaged: its {key} is no JSON.") from error
            written = text_of(file.attrs["keras_version"]) if "keras_version" in file.attrs else "2"
            listed = config_findings(config, path, written)
            if key == "training_config":  # names of losses and metrics, which loading may leave out
                listed = [finding for finding in listed if finding.rule == "keras-lambda"]
            found += listed
            looked_at += count_of(config)
    return Looked(found, looked_at)


def _links(group: Any, path: str, name: str, depth: int, seen: set[Any]) -> Iterator[Finding]:
    """Yield links and arrays that lead to other files; each group is looked at once."""
    library = h5py()
    if depth > _DEEPEST:
        return
    for key in group:
        full = f"{name}/{key}".lstrip("/") if isinstance(key, str) else repr(key)
        if has_control(full):
            yield Finding(Severity.MEDIUM, "terminal-escape", "HDF5", _TERMINAL, path, full)
        link = group.get(key, getlink=True)
        if isinstance(link, library.ExternalLink):
            yield Finding(Severity.HIGH, "other-file", "external link", _ELSEWHERE, path, full)
        elif isinstance(link, library.HardLink):
            item = group[key]
            if isinstance(item, library.Dataset):
                if item.external or item.is_virtual:
                    yield Finding(
                        Severity.HIGH, "other-file", "external data", _ELSEWHERE, path, full
                    )
            elif isinstance(item, library.Group):
                address = library.h5o.get_info(item.id).addr
                if address not in seen:
                    seen.add(address)
                    yield from _links(item, path, full, depth + 1, seen)


if __name__ == "__main__":
    _main(*sys.argv[1:3])
