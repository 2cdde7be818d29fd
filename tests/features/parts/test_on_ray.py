"""`fetch_many` on a Ray cluster of three machines, of which one goes, and one loses a worker."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.features import tiny
from tests.features.parts.many import (
    TENSOR,
    read_failures,
    read_rows,
    same_rows,
    write_list,
    write_photos,
)
from tests.head.scripts import run_script
from tests.ray_cluster import RayCluster
from tests.runners.works import command_of, descendants, wait_until


def at_work() -> list[int]:
    """The processes of this test's cluster that do a task of this package."""
    return [one for one in descendants(os.getpid()) if command_of(one).startswith(b"ray::_run")]


def test_a_job_outlives_a_worker_and_a_machine(ray_cluster: RayCluster, tmp_path: Path) -> None:
    machine = ray_cluster.with_three_machines()
    tiny.write_2015_graph(tmp_path / "tiny.pb")
    photos = [path.relative_to(tmp_path) for path in write_photos(tmp_path / "slow", 60)]
    write_list(tmp_path / "list.txt", [*photos[:20], "slow/missing.jpg", *photos[20:]])
    images = ("--graph=tiny.pb", "--image_list=list.txt")
    alone = run_script("retrain_tools.fetch_tensors", *images, "--output=f.npz", cwd=tmp_path)
    assert alone.status == 1
    found = np.load(tmp_path / "f.npz")

    command = [sys.executable, "-m", "retrain_tools.fetch_many", *images, "--output=parts"]
    command += ["--shard_size=4", "--runner=ray", f"--address={ray_cluster.address}"]
    job = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )

    def parts(count: int) -> bool:
        there = len([*(tmp_path / "parts").glob("part-*[0-9].json")]) >= count
        return there or job.poll() is not None

    assert wait_until(lambda: parts(1), 120.0)
    assert wait_until(lambda: bool(at_work()) or job.poll() is not None)
    assert job.poll() is None, job.communicate()
    os.kill(at_work()[0], signal.SIGKILL)
    assert wait_until(lambda: parts(3), 120.0)
    ray_cluster.remove(machine)
    assert job.poll() is None, job.communicate()
    out, err = job.communicate()

    assert job.returncode == 1, err
    assert re.match(r"58 computed, 0 reused, 3 failed", out), out
    assert len(out.splitlines()) == 1
    assert same_rows(
        read_rows(tmp_path / "parts"), dict(zip(found["images"], found[TENSOR], strict=True))
    )
    assert len(read_failures(tmp_path / "parts")) == 3
    assert "warning: A worker died (killed, or crashed); another takes its place." in err
