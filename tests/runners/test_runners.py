"""What both runners promise: each task ends once, and nothing outlives the loop or the driver."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from retrain_tools.errors import InputError
from retrain_tools.runners import local, ray_cluster
from retrain_tools.runners.work import MOST_LOSSES, Outcome, Queue
from tests.runners.works import (
    Scripted,
    Sleeping,
    Unopened,
    command_of,
    descendants,
    is_alive,
    wait_until,
)

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., Iterator[Outcome[Any, Any]]]
# A driver that is to be killed: prints a line when its workers are at work.
DRIVER = """
import itertools, sys
from pathlib import Path
from retrain_tools import command_line
from retrain_tools.runners.{runner} import run_tasks
from tests.runners.works import Sleeping

def main(_):
    tasks = itertools.chain([0.0], itertools.repeat(600.0))
    for outcome in run_tasks(Sleeping(Path(sys.argv[1])), tasks, workers=2):
        print(outcome.result, flush=True)

command_line.run(main, takes_words=True)
"""


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """A Ray of two CPUs, that the tests of a file share."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'ray[default]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(ROOT))  # for the work, which is of the tests
        ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level="ERROR")
        yield ray
        ray.shutdown()


@pytest.fixture(params=["local", "ray"])
def run_tasks(request: pytest.FixtureRequest) -> Run:
    if request.param == "local":
        return local.run_tasks
    request.getfixturevalue("ray")
    return ray_cluster.run_tasks


def test_each_task_ends_once_with_what_it_came_to(run_tasks: Run, tmp_path: Path) -> None:
    work = Scripted(tmp_path)
    tasks: list[tuple[int, str | int]] = [*enumerate(["ok", "ok", 1, "raise", "ok", 3, 2, "ok"])]
    outcomes = sorted(run_tasks(work, tasks, workers=2), key=lambda outcome: outcome.task)
    assert [outcome.task for outcome in outcomes] == tasks
    assert [outcome.deaths for outcome in outcomes] == [0, 0, 1, 0, 0, 3, 2, 0]
    assert work.attempts() == {0: 1, 1: 1, 2: 2, 3: 1, 4: 1, 5: 3, 6: 3, 7: 1}
    failures = {outcome.task[0]: outcome.failure for outcome in outcomes if outcome.failure}
    how = "killed, as the system does where memory is short"
    how = how if run_tasks is local.run_tasks else "killed, or crashed"
    assert failures.pop(5) == f"its worker died 3 times: {how}"
    assert set(failures) == {3}
    assert failures[3].startswith("ValueError: no 3 (works.py, line ")
    for outcome in outcomes:
        expected = None if outcome.failure else f"result of {outcome.task[0]}"
        assert outcome.result == expected


def test_a_task_may_kill_fewer_workers_if_that_is_asked_for(run_tasks: Run, tmp_path: Path) -> None:
    work = Scripted(tmp_path)
    [outcome] = run_tasks(work, [(0, 1)], workers=1, max_deaths=1)
    assert outcome.failure is not None
    assert outcome.failure.startswith("its worker died once: killed")
    assert (outcome.deaths, work.attempts()) == (1, {0: 1})


def test_no_tasks_are_no_outcomes(run_tasks: Run, tmp_path: Path) -> None:
    assert list(run_tasks(Scripted(tmp_path), [], workers=2)) == []


@pytest.mark.parametrize("window", [None, 1])
def test_tasks_are_taken_as_others_end(run_tasks: Run, window: int | None, tmp_path: Path) -> None:
    taken = 0

    def tasks() -> Iterator[tuple[int, str]]:
        nonlocal taken
        for number in range(250_000):
            taken += 1
            yield number, "ok"

    ended = 0
    with contextlib.closing(run_tasks(Scripted(tmp_path), tasks(), 2, window=window)) as outcomes:
        for _ in itertools.islice(outcomes, 60):
            ended += 1
            assert taken - ended <= (window or 8)
    work_done = Scripted(tmp_path).attempts()
    assert 60 <= len(work_done) <= 60 + (window or 8)
    assert set(work_done.values()) <= {0, 1}  # one that was ended as it began has said nothing


def test_what_opening_the_work_raises_is_raised(run_tasks: Run) -> None:
    with pytest.raises(InputError) as error:
        list(run_tasks(Unopened(dies=False), range(9), workers=2))
    assert str(error.value) == "graph is not a graph."
    assert error.value.with_arguments_as(lambda name: f"--{name}") == "--graph is not a graph."
    [note] = error.value.__notes__
    assert "works.py" in note


def test_killed_workers_lose_nothing(run_tasks: Run, tmp_path: Path) -> None:
    work, chance = Sleeping(tmp_path), random.Random(0)
    kills = 20 if run_tasks is local.run_tasks else 3  # of Ray's, each costs a second
    tasks = [0.02 + number / 1e6 for number in range(5 * kills)]
    ended = []
    for outcome in run_tasks(work, tasks, workers=2):
        ended.append(outcome.task)
        assert (outcome.failure is None) == (outcome.deaths < 3)
        if kills and (alive := [*filter(is_alive, work.processes())]) and len(ended) > 1:
            os.kill(chance.choice(alive), signal.SIGKILL)
            kills -= 1
    assert sorted(ended) == tasks
    assert kills == 0


def test_leaving_the_loop_ends_what_runs(run_tasks: Run, tmp_path: Path) -> None:
    work = Sleeping(tmp_path)
    tasks = itertools.chain([0.0], itertools.repeat(600.0))
    with contextlib.closing(run_tasks(work, tasks, workers=2)) as outcomes:
        assert next(outcomes).failure is None
        assert wait_until(lambda: len(work.at_work()) == 2)
        processes = work.at_work()
    assert wait_until(lambda: not any(map(is_alive, processes)))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("runner", ["local", "ray_cluster"])
def test_no_process_outlives_the_driver(runner: str, how: signal.Signals, tmp_path: Path) -> None:
    if runner == "ray_cluster":
        pytest.importorskip("ray", reason="Ray is not installed: pip install 'ray[default]'")
        if how == signal.SIGINT:
            pytest.skip("Ray does with it what it does with SIGTERM, and starting it is slow")
    work = Sleeping(tmp_path)
    (temporary := tmp_path / "t").mkdir()
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER.format(runner=runner), str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert driver.stdout is not None
    assert driver.stdout.readline().strip().isdecimal()
    assert wait_until(lambda: len(work.at_work()) == 2)
    processes = {one for one in descendants(driver.pid) if not watches_ray(one)}
    assert processes >= {*work.at_work()}
    driver.send_signal(how)
    out, err = driver.communicate()
    assert wait_until(lambda: not any(map(is_alive, processes)))
    said = {signal.SIGTERM: (143, "terminated"), signal.SIGINT: (130, "interrupted")}
    assert (driver.returncode, err.strip()) == said.get(how, (-how, ""))
    assert out == ""
    if runner == "local":
        assert work.processes() == []  # what was open is closed
    if how != signal.SIGKILL:
        assert [*temporary.iterdir()] == []


def watches_ray(process: int) -> bool:
    """Whether it is one of two idle processes that find out a minute later that Ray was killed."""
    return command_of(process).startswith((b"ray::DashboardAgent", b"ray::RuntimeEnvAgent"))


def test_a_task_whose_machines_are_lost_again_and_again_has_failed() -> None:
    queue = Queue(["task"], max_deaths=3)
    for _ in range(MOST_LOSSES - 1):
        assert (attempt := queue.take()) is not None
        assert queue.lost(attempt) is None
    assert (attempt := queue.take()) is not None
    assert queue.lost(attempt) == Outcome(
        "task", None, "the machine it was on was lost 10 times", deaths=0
    )
    assert queue.take() is None
