"""What a job of many images is asked for, and what became of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from retrain_tools import files
from retrain_tools.engine.settings import DEFAULTS, RunSettings
from retrain_tools.errors import InputError, argument
from retrain_tools.extras import import_extra
from retrain_tools.features.failures import check_max_failures
from retrain_tools.features.outcome import closing_line
from retrain_tools.features.parts.tables import check_installed
from retrain_tools.text_tables import counted
from retrain_tools.uris import is_uri, shown

Runner = Literal["local", "ray"]
RUNNERS: tuple[Runner, ...] = ("local", "ray")


@dataclasses.dataclass(frozen=True)
class ManyOptions:
    """How to fetch for many images. The fields are called as the script's flags.

    Attributes:
        output: the folder or URI of the parts.
        image_dir: a folder or URI of images, searched at any depth; its topmost folders are labels.
        image_list: or a list of them, see `listing.listed_images`.
        runner: who has the workers: `local`, this machine, or `ray`, a cluster.
        address: of the cluster; None starts one on this machine.
        workers: processes with one thread each; None for one on each core.
        shard_size: images in a part; rows of as many are held in a worker's memory.
        pooling: how values of rank above 2 become a vector; None to keep their shape.
        retry_failed: compute again what failed for a reason that may pass.
        max_failures: how many images may fail, or which part of them (`2%`), before the job ends.
        overwrite: replace parts of images that are not in the list.
        running: how the graph is run; its `threads` do not count.
    """

    output: str
    image_dir: str | None = None
    image_list: str | None = None
    runner: Runner = "local"
    address: str | None = None
    workers: int | None = None
    shard_size: int = 4096
    pooling: str | None = None
    retry_failed: bool = False
    max_failures: str | int | None = None
    overwrite: bool = False
    running: RunSettings = DEFAULTS


@dataclasses.dataclass(frozen=True)
class FetchedMany:
    """What became of the images.

    Attributes:
        computed: images whose values were not there.
        reused: images whose values were there already.
        failed: how many have no row, by the kind of failure.
        shards: how many parts there are.
        seconds: that it took.
        output: the folder or URI of the parts.
        tensors: the columns.
    """

    computed: int
    reused: int
    failed: Mapping[str, int]
    shards: int
    seconds: float
    output: str
    tensors: tuple[str, ...]

    def summary(self) -> str:
        """One line for people."""
        failed = sum(self.failed.values())
        counts = {"computed": self.computed, "reused": self.reused, "failed": failed}
        place = f"{shown(self.output)}: {counted(self.shards, 'part')}, {', '.join(self.tensors)}"
        return closing_line(counts, self.computed, self.seconds, place)

    def figures(self) -> dict[str, Any]:
        """Return the counts and the seconds, for `--log_json`."""
        counts = {"computed": self.computed, "reused": self.reused, "shards": self.shards}
        return {**counts, "failures": dict(self.failed), "seconds": round(self.seconds, 3)}


def check_options(options: ManyOptions) -> None:
    """Check what takes no graph and no images.

    Raises:
        InputError: a value is wrong, the output cannot be written, or a package is missing.
    """
    for name in ("workers", "shard_size"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise InputError(f"{argument(name)}={value} must be at least 1.")
    if options.runner not in RUNNERS:
        raise InputError(f"{argument('runner')}={options.runner} must be {' or '.join(RUNNERS)}.")
    if options.address and options.runner != "ray":
        raise InputError(f"{argument('address')} is of a Ray cluster: {argument('runner')}=ray.")
    check_max_failures(options.max_failures)
    check_installed()
    if options.runner == "ray":
        import_extra("ray", f"{argument('runner')}=ray")
    if is_uri(options.output):
        return
    if Path(options.output).is_file():
        raise InputError(f"{options.output} is a file; {argument('output')} takes a folder.")
    files.check_writable(Path(options.output))
