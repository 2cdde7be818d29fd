"""What the driver of `fetch_many` sees of its workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import retrain_tools as rt
from retrain_tools.errors import InputError
from retrain_tools.features.parts.shard import ShardDone
from retrain_tools.runners import ray_cluster
from retrain_tools.runners.work import Outcome
from tests.features import tiny
from tests.features.parts.many import TENSOR, write_photos


def elsewhere(_: Any, tasks: Any, *__: object) -> Iterator[Outcome[Any, ShardDone]]:
    """Machines that say what is done, and have written it where nobody else looks."""
    for task in tasks:
        yield Outcome(task, ShardDone("0" * 64, len(task.entries), 0, {}), None, 0)


def test_a_part_on_another_machines_disk_ends_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photos(tmp_path / "photos", 6)
    model = rt.load(tiny.write_2015_graph(tmp_path / "tiny.pb"))
    monkeypatch.setattr(ray_cluster, "run_tasks", elsewhere)
    folder, output = str(tmp_path / "photos"), str(tmp_path / "parts")
    options = rt.ManyOptions(output=output, image_dir=folder, runner="ray", address="auto")
    with pytest.raises(InputError) as raised:
        rt.fetch_many(model, TENSOR, options)
    assert str(raised.value) == (
        f"part-00000.parquet is done, and not in {output} of this machine: another one wrote it to "
        "its own disk. Name an output at a URI, or a folder that all machines mount at the same "
        "path."
    )
