"""A Ray cluster for tests, all on this machine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

ROOT = Path(__file__).resolve().parents[1]
# In each process of the cluster: what lies in a folder `slow` is read slowly.
_SLOW = """
import sys, time

def hook(event, arguments):
    if event == "open" and "/slow/" in str(arguments[0]):
        time.sleep(0.2)

sys.addaudithook(hook)
"""


class RayCluster:
    """A head, which has a CPU, and machines of one CPU, which tests add and remove."""

    def __init__(self, folder: Path) -> None:
        pytest.importorskip("ray", reason="Ray is not installed: pip install 'ray[default]'")
        from ray.cluster_utils import Cluster

        (folder / "sitecustomize.py").write_text(_SLOW)
        self._folder = folder
        head = {"num_cpus": 1, "include_dashboard": False}
        with self._environment():
            self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self.address: str = self._cluster.address

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._cluster.shutdown()

    def with_three_machines(self) -> Any:
        """Add machines until there are three, and return one that may go."""
        with self._environment():
            while len(self._cluster.list_all_nodes()) < 3:
                self._cluster.add_node(num_cpus=1)
        return self._cluster.list_all_nodes()[-1]

    @contextlib.contextmanager
    def _environment(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
            # The work of tests is theirs, and is not sent.
            patch.setenv("PYTHONPATH", f"{self._folder}{os.pathsep}{ROOT}")
            yield

    def remove(self, machine: Any) -> None:
        """Take a machine away, with all that runs on it."""
        self._cluster.remove_node(machine)
