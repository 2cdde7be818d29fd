"""A `.keras` file unpacked: what it says of the model, and its weights as HDF5 files."""

from __future__ import annotations

import contextlib
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from retrain_tools.errors import InputError
from retrain_tools.files import json_of
from retrain_tools.leftovers import scratch_folder
from retrain_tools.sources.kinds import ZIP_DAMAGE, Place

_MOST_BYTES = 2**31  # of weights: a GraphDef cannot hold more
_MOST_TEXT = 32 << 20  # of what goes into memory; the largest networks take a few megabytes


@contextlib.contextmanager
def unzipped(place: Place) -> Iterator[tuple[bytes, Mapping[str, Any], Sequence[Path]]]:
    """Yield a `.keras` file's description, its metadata, and its weights as files."""
    with scratch_folder() as folder:
        try:
            with zipfile.ZipFile(place.path) as archive:
                infos = [i for i in archive.infolist() if i.filename.endswith(".h5")]
                if sum(info.file_size for info in archive.infolist()) > _MOST_BYTES:
                    raise InputError(
                        f"{place} would unpack to more than {_MOST_BYTES:,} bytes, which no graph "
                        "can hold."
                    )
                for name in ("config.json", "metadata.json"):
                    if archive.getinfo(name).file_size > _MOST_TEXT:
                        raise InputError(
                            f"{place} is damaged: its {name} would unpack to more than "
                            f"{_MOST_TEXT:,} bytes; download or copy it again."
                        )
                config = archive.read("config.json")
                metadata = json_of(archive.read("metadata.json"))
                if not isinstance(metadata, dict) or "keras_version" not in metadata:
                    raise ValueError("its metadata are not those of a model")
                weights = []
                for number, info in enumerate(infos):
                    target = folder / f"{number}.h5"  # never a name out of the archive
                    with archive.open(info) as packed, target.open("wb") as file:
                        shutil.copyfileobj(packed, file)
                    weights.append(target)
        except (*ZIP_DAMAGE, ValueError) as error:
            raise InputError(
                f"{place} is damaged or cut off: {error}; download or copy it again."
            ) from error
        yield config, metadata, weights
