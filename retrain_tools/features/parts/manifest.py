"""manifest.json of an output of many parts: how all of it was made, and what list it is of."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from typing import Any

from retrain_tools import __version__, storage
from retrain_tools.errors import InputError, argument
from retrain_tools.features.cache import Identity
from retrain_tools.features.manifest import differences
from retrain_tools.features.parts.layout import MANIFEST
from retrain_tools.uris import join, shown

_FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Listed:
    """The list that all parts are of, once the run that made the last of them has ended.

    Attributes:
        sha256: the sum, modulo 2^256, of the SHA-256 of each shard's number and the digest of its
            list: it does not depend on the order in which shards end.
        images: how many it names.
        shards: how many parts there are.
        failed: how many of its images have no row.
    """

    sha256: str
    images: int
    shards: int
    failed: int


@dataclasses.dataclass(frozen=True)
class PartsManifest:
    """How an output was made.

    Attributes:
        graph: the graph's file, for people to read.
        tensors: what the values of each tensor depend on, by its name in the parts.
        shard_size: images in a shard; the last may have fewer.
        list: what all parts are of; None while a run is under way, or was stopped.
        differences: from the exact way, by tensor, where values were computed in another.
    """

    graph: str
    tensors: Mapping[str, Identity]
    shard_size: int
    list: Listed | None = None
    differences: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def digest(self) -> str:
        """Return the SHA-256 of what values depend on."""
        made = {name: dataclasses.asdict(identity) for name, identity in self.tensors.items()}
        return hashlib.sha256(json.dumps([made, self.shard_size]).encode()).hexdigest()


def read_manifest(output: str) -> PartsManifest | None:
    """Return the manifest of an output, None where there is none.

    Raises:
        InputError: the file is none.
    """
    place = join(output, MANIFEST)
    try:
        told = json.loads(storage.read(place, None))
        if told["format"] != _FORMAT:
            raise ValueError
        listed = told["list"] and Listed(**told["list"])
        tensors = {name: Identity(**one) for name, one in told["tensors"].items()}
        graph, size, found = str(told["graph"]), int(told["shard_size"]), told["differences"]
        return PartsManifest(graph, tensors, size, listed, found)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{shown(place)} is no manifest of features in parts of this version. Choose another "
            f"{argument('output')}."
        ) from error


def write_manifest(output: str, manifest: PartsManifest) -> None:
    """Write the manifest of an output in one step."""
    versions = {
        "retrain_tools": __version__,
        "tensorflow": importlib.metadata.version("tensorflow"),
    }
    content = {"format": _FORMAT, **dataclasses.asdict(manifest), "versions": versions}
    storage.write(join(output, MANIFEST), (json.dumps(content, indent=1) + "\n").encode())


def refuse_another(output: str, there: PartsManifest | None, now: PartsManifest) -> None:
    """Raise InputError if an output was made in another way, and say in what it differs."""
    if there is None:
        return
    if list(there.tensors) != list(now.tensors):
        differs = f"it holds {', '.join(there.tensors)}, not {', '.join(now.tensors)}"
    elif there.shard_size != now.shard_size:
        differs = f"{argument('shard_size')}={there.shard_size} there, {now.shard_size} now"
    else:
        pairs = [(name, there.tensors[name], now.tensors[name]) for name in now.tensors]
        said = [f"{name!r}: {differences(a, b)}" for name, a, b in pairs if a != b]
        if not said:
            return
        differs = "; ".join(said)
    raise InputError(
        f"{shown(output)} was made in another way ({there.graph}; {MANIFEST}): {differs}. Choose "
        f"another {argument('output')}."
    )


def add_up(digest: int, number: int, shard_digest: str) -> int:
    """Add a shard's list to the digest of the whole list, see `Listed`."""
    one = hashlib.sha256(f"{number} {shard_digest}".encode()).digest()
    return (digest + int.from_bytes(one, "big")) % (1 << 256)
