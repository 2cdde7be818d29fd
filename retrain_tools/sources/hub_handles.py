"""Handles of TensorFlow Hub: the folders that tensorflow_hub and kagglehub keep modules in."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from retrain_tools.errors import InputError

_SCHEMES = ("https://", "http://", "gs://")
_COMPRESSED = "?tf-hub-format=compressed"
_KAGGLE = re.compile(r"(www\.)?kaggle\.com")
# The size in a handle, as google/imagenet/mobilenet_v2_100_224/feature_vector/5 has it.
_SIZE = re.compile(r"[_-](\d{3})(?=[/_-](feature[_-]vector|classification)\b)", re.IGNORECASE)


def is_handle(graph: str) -> bool:
    """Tell whether a graph is named by an address, as Hub's modules are.

    Example:
        >>> is_handle("https://tfhub.dev/google/imagenet/inception_v3/feature_vector/5")
        True
    """
    return graph.startswith(_SCHEMES)


def find_module(handle: str) -> Path:
    """Return the folder in which tensorflow_hub, or kagglehub, keeps the module of a handle.

    tensorflow_hub keeps it under the SHA-1 of the handle as it was given, in TFHUB_CACHE_DIR or in
    `tfhub_modules` of the folder for temporary files (resolver.py, compressed_module_resolver.py).
    kagglehub keeps models of kaggle.com in KAGGLEHUB_CACHE, or `~/.cache/kagglehub`.

    Raises:
        InputError: it is not there; nothing is fetched.

    Example:
        >>> find_module("https://tfhub.dev/google/imagenet/inception_v3/feature_vector/5")
        PosixPath('/tmp/tfhub_modules/d30c685f31c2a953a48eeb6695c0f7a77298ea8b')
    """
    folder = cache_folder()
    bare = handle.removesuffix("/").removesuffix(_COMPRESSED).removesuffix("/")
    spellings = dict.fromkeys((handle, bare, f"{bare}/", f"{bare}{_COMPRESSED}"))
    kept = [folder / _digest(spelling) for spelling in spellings]
    kept += _kaggle_folders(bare)
    for place in kept:
        if place.is_dir() and any(place.iterdir()):
            return place
    raise InputError(
        f"{handle} is not in {folder}, where tensorflow_hub keeps it as {kept[0].name}. Fetch it "
        f"where there is a network (python -c 'import tensorflow_hub; tensorflow_hub.resolve("
        f'"{handle}")\'), or set TFHUB_CACHE_DIR to the folder that has it{_uncompressed()}.'
    )


def cache_folder() -> Path:
    """Return the folder in which tensorflow_hub keeps modules."""
    named = os.environ.get("TFHUB_CACHE_DIR", "")
    return Path(named).expanduser() if named else Path(tempfile.gettempdir()) / "tfhub_modules"


def handle_of(folder: Path) -> str | None:
    """Return the handle of a module in tensorflow_hub's folder; None for any other folder.

    tensorflow_hub writes it into `HASH.descriptor.txt` beside the module.
    """
    descriptor = folder.with_name(f"{folder.name}.descriptor.txt")
    try:
        first = descriptor.read_text("utf-8").partition("\n")[0]
    except (OSError, ValueError):
        return None
    handle = first.removeprefix("Module: ").strip()
    return handle if is_handle(handle) else None


def size_in(handle: str) -> tuple[int, int] | None:
    """Return the (height, width) that a handle says its images have; None where it does not.

    Example:
        >>> size_in("https://tfhub.dev/google/imagenet/mobilenet_v2_100_224/feature_vector/5")
        (224, 224)
    """
    found = _SIZE.search(urlsplit(handle).path)
    return (int(found[1]), int(found[1])) if found else None


def _digest(handle: str) -> str:
    return hashlib.sha1(handle.encode(), usedforsecurity=False).hexdigest()


def _kaggle_folders(handle: str) -> list[Path]:
    """Return where kagglehub would keep a model: models/OWNER/MODEL/FRAMEWORK/VARIATION/VERSION."""
    address = urlsplit(handle)
    parts = address.path.strip("/").split("/")
    if not _KAGGLE.fullmatch(address.netloc) or parts[0] != "models" or ".." in parts:
        return []
    named = os.environ.get("KAGGLEHUB_CACHE", "")
    root = Path(named).expanduser() if named else Path.home() / ".cache" / "kagglehub"
    found = [root / "models"]
    for part in (
        p for p in parts[1:] if p != "frameworks"
    ):  # in any case: TensorFlow2, tensorFlow2
        found = [child for place in found if place.is_dir() for child in place.iterdir()
                 if child.name.lower() == part.lower()]  # fmt: skip
    return found


def _uncompressed() -> str:
    if os.environ.get("TFHUB_MODEL_LOAD_FORMAT") == "UNCOMPRESSED":
        return "; TFHUB_MODEL_LOAD_FORMAT=UNCOMPRESSED keeps nothing on disk, so leave that out"
    return ""
