"""How much memory is free: what Linux says, and what control groups leave."""

from __future__ import annotations

import sys

import pytest

from retrain_tools.engine.memory import available_memory

MIB = 1 << 20


def files(root, folder, **texts):
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (root / folder / name.replace("__", ".")).write_text(f"{text}\n")


def linux(root, group, available=1000):
    files(root, "proc", meminfo=f"MemTotal: 9999999 kB\nMemAvailable:   {available << 10} kB")
    files(root, "proc/self", cgroup=group)


def test_nobody_tells(tmp_path):
    assert available_memory(tmp_path) is None


def test_what_linux_says(tmp_path):
    linux(tmp_path, "")
    assert available_memory(tmp_path) == 1000 * MIB


def test_a_group_that_leaves_less(tmp_path):
    linux(tmp_path, "0::/jobs/one")
    files(tmp_path, "sys/fs/cgroup/jobs/one", memory__max="max", memory__current=50 * MIB)
    files(tmp_path, "sys/fs/cgroup/jobs", memory__max=300 * MIB, memory__current=120 * MIB)
    assert available_memory(tmp_path) == 180 * MIB
    stat = f"anon 7\ninactive_file {20 * MIB}\nactive_file 9"
    files(tmp_path, "sys/fs/cgroup/jobs", memory__stat=stat)
    assert available_memory(tmp_path) == 200 * MIB


def test_a_container_sees_its_group_as_the_root(tmp_path):
    linux(tmp_path, "0::/")
    files(tmp_path, "sys/fs/cgroup", memory__max=300 * MIB, memory__current=400 * MIB)
    assert available_memory(tmp_path) == 0


def test_groups_of_the_first_version(tmp_path):
    linux(tmp_path, "5:devices:/x\n4:memory:/a\n0::/")
    used = {"memory__limit_in_bytes": 300 * MIB, "memory__usage_in_bytes": 100 * MIB}
    files(tmp_path, "sys/fs/cgroup/memory/a", **used)
    assert available_memory(tmp_path) == 200 * MIB
    files(tmp_path, "sys/fs/cgroup/memory/a", memory__stat=f"total_inactive_file {MIB}")
    assert available_memory(tmp_path) == 201 * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_this_machine_tells():
    free = available_memory()
    assert free is not None
    assert MIB < free < 1 << 50
