"""Tasks on a Ray cluster: machines that go, code that is sent, addresses that lead nowhere."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from retrain_tools.errors import InputError
from retrain_tools.runners.ray_cluster import run_tasks
from tests.runners.works import Placed

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'ray[default]'")
ROOT = Path(__file__).resolve().parents[2]
OTHERWISE = (
    "It is auto on a machine of the cluster, HOST:6379 of its head, or ray://HOST:10001; without "
    "it Ray is started on this machine."
)
# In a process of its own: as on a machine where Ray was never installed.
WITHOUT_RAY = """
import sys
sys.modules["ray"] = None
from retrain_tools.errors import InputError
from retrain_tools.runners.ray_cluster import run_tasks
try:
    list(run_tasks(None, []))
except InputError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three machines of one CPU, as Ray pretends to have them."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(ROOT))  # for the work, which is of the tests
        head = {"num_cpus": 1, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        yield cluster
        cluster.shutdown()


def test_a_machine_that_is_removed_loses_no_task(
    cluster: Any,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)  # Ray's workers look for modules in the folder of the driver
    monkeypatch.setattr(logging.getLogger("retrain_tools"), "propagate", True)
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    (folder := tmp_path / "attempts").mkdir()
    work, tasks = Placed(folder), [*enumerate(["ok"] * 12)]
    outcomes = []
    for outcome in run_tasks(work, tasks, address=cluster.address):
        outcomes.append(outcome)
        if len(outcomes) == 4:
            cluster.remove_node(nodes[1])
    assert sorted(outcome.task for outcome in outcomes) == tasks
    assert {(outcome.failure, outcome.deaths) for outcome in outcomes} == {(None, 0)}
    machines, code = zip(*(outcome.result.split() for outcome in outcomes), strict=True)
    assert len(set(machines)) == 3
    assert all("/py_modules_files/" in file for file in code)  # this package, as it was sent
    assert sum(work.attempts().values()) > len(tasks)  # something was done again
    assert "A machine was lost (Task failed because the node it was running on" in caplog.text
    assert not ray.is_initialized()
    assert capfd.readouterr() == ("", "")


def test_a_cluster_of_another_version_is_refused(cluster: Any) -> None:
    from ray._raylet import GcsClient

    client = GcsClient(address=cluster.address)
    key, space = b"CLUSTER_METADATA", b"cluster"
    real = client.internal_kv_get(key, space)
    other = json.dumps({**json.loads(real), "ray_version": "2.9.0", "python_version": "3.8.10"})
    client.internal_kv_put(key, other.encode(), True, space)
    try:
        with pytest.raises(InputError) as error:
            list(run_tasks(None, [1], address=cluster.address))
    finally:
        client.internal_kv_put(key, real, True, space)
    said = str(error.value)
    assert said.startswith(
        f"No Ray cluster can be used at address={cluster.address}: Version mismatch"
    )
    assert "Ray: 2.9.0 Python: 3.8.10" in said
    assert said.endswith(OTHERWISE)
    assert "\n" not in said


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_where_nobody_listens_is_refused_at_once(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"{scheme}127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(InputError) as error:
        list(run_tasks(None, [1], address=address))
    refused = "[Errno 111] Connection refused"
    assert str(error.value) == (
        f"No Ray cluster can be used at address={address}: {refused}. {OTHERWISE}"
    )


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("nonsense", "Invalid address format: nonsense"),
        ("http://127.0.0.1:8265", "Invalid Ray address: 'http://127.0.0.1:8265'."),
    ],
)
def test_what_is_no_address_is_refused(address: str, why: str) -> None:
    with pytest.raises(InputError) as error:
        list(run_tasks(None, [1], address=address))
    said = str(error.value)
    assert said.startswith(f"No Ray cluster can be used at address={address}: {why}")
    assert said.endswith(OTHERWISE)


def test_a_missing_ray_is_named_with_its_installation() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_RAY], capture_output=True, text=True, check=False
    )
    assert done.stdout == "The runner ray needs ray: pip install 'ray[default]'\n", done.stderr
