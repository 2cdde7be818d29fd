"""Tasks on a Ray cluster: machines that go, code that is sent, addresses that lead nowhere."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrain_tools.errors import InputError
from retrain_tools.runners.ray_cluster import run_tasks
from tests.ray_cluster import RayCluster
from tests.runners.works import Placed

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'ray[default]'")
OTHERWISE = (
    "It is auto on a machine of the cluster, HOST:6379 of its head, or ray://HOST:10001; where the "
    "cluster has a token, RAY_AUTH_MODE=token and RAY_AUTH_TOKEN are set here, too. Without an "
    "address Ray is started on this machine."
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


def test_a_machine_that_is_removed_loses_no_task(
    ray_cluster: RayCluster,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)  # Ray's workers look for modules in the folder of the driver
    monkeypatch.setattr(logging.getLogger("retrain_tools"), "propagate", True)
    machine = ray_cluster.with_three_machines()
    (folder := tmp_path / "attempts").mkdir()
    work, removed, taken = Placed(folder, machine.node_id), False, []

    def tasks() -> Iterator[tuple[int, str]]:
        while not removed:
            taken.append((len(taken), "ok"))
            yield taken[-1]

    capfd.readouterr()
    outcomes = []
    for outcome in run_tasks(work, tasks(), address=ray_cluster.address):
        outcomes.append(outcome)
        if not removed and (tmp_path / machine.node_id).exists():
            ray_cluster.remove(machine)
            removed = True
    assert removed
    assert sorted(outcome.task for outcome in outcomes) == taken
    assert {(outcome.failure, outcome.deaths) for outcome in outcomes} == {(None, 0)}
    assert all("/py_modules_files/" in outcome.result for outcome in outcomes)  # as it was sent
    assert sum(work.attempts().values()) > len(taken)  # something was done again
    assert "A machine was lost (Task failed because the node it was running on" in caplog.text
    assert not ray.is_initialized()
    assert capfd.readouterr() == ("", "")


def test_a_cluster_of_another_version_is_refused(ray_cluster: RayCluster) -> None:
    from ray._raylet import GcsClient

    client = GcsClient(address=ray_cluster.address)
    key, space = b"CLUSTER_METADATA", b"cluster"
    real = client.internal_kv_get(key, space)
    other = json.dumps({**json.loads(real), "ray_version": "2.9.0", "python_version": "3.8.10"})
    client.internal_kv_put(key, other.encode(), True, space)
    try:
        with pytest.raises(InputError) as error:
            list(run_tasks(None, [1], address=ray_cluster.address))
    finally:
        client.internal_kv_put(key, real, True, space)
    said = str(error.value)
    assert said.startswith(
        f"No Ray cluster can be used at address={ray_cluster.address}: Version mismatch"
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
