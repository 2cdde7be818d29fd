"""Tasks in processes of this machine."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from retrain_tools.errors import InputError
from retrain_tools.runners.local import run_tasks
from tests.runners.works import Scripted, Sleeping, Unopened, Unsendable, is_alive, wait_until

# Without `if __name__ == "__main__"`, and from no file that could be imported again.
PLAIN_SCRIPT = """
from pathlib import Path
from retrain_tools.runners.local import run_tasks
from tests.runners.works import Sleeping

outcomes = run_tasks(Sleeping(Path({folder!r})), [0.0, 600.0, 600.0], workers=2)
print(next(outcomes).result)
"""


@settings(max_examples=12, deadline=None)
@given(st.lists(st.sampled_from(["ok", "ok", "raise", 1, 2, 3]), max_size=7), st.integers(1, 3))
def test_each_task_ends_once_whatever_becomes_of_it(whats: list[str | int], workers: int) -> None:
    tasks = [*enumerate(whats)]
    with tempfile.TemporaryDirectory() as folder:
        work = Scripted(Path(folder))
        outcomes = {outcome.task: outcome for outcome in run_tasks(work, tasks, workers)}
        attempts = work.attempts()
    assert sorted(outcomes) == tasks
    for (number, what), outcome in outcomes.items():
        deaths = what if isinstance(what, int) else 0
        assert outcome.deaths == deaths
        assert (outcome.failure is None) == (what in ("ok", 1, 2))
        assert attempts[number] == deaths + (deaths < 3)


def test_as_many_processes_as_there_are_tasks(tmp_path: Path) -> None:
    results = {outcome.result for outcome in run_tasks(Sleeping(tmp_path), [0.0], workers=50)}
    assert len(results) == 1
    assert not any(map(is_alive, results))


def test_workers_that_die_at_the_start_end_the_job() -> None:
    with pytest.raises(InputError) as error:
        list(run_tasks(Unopened(dies=True), range(9), workers=2))
    assert str(error.value) == (
        "3 workers died before they could do anything (killed, as the system does where memory is "
        "short). Where memory is short, fewer workers may fit."
    )


def test_a_result_that_cannot_be_sent_is_a_failure(tmp_path: Path) -> None:
    [outcome] = run_tasks(Unsendable(), [1], workers=1)
    assert outcome.failure is not None
    assert "local object" in outcome.failure
    assert outcome.deaths == 0


def test_a_script_without_a_main_block_may_use_it_and_end(tmp_path: Path) -> None:
    code = PLAIN_SCRIPT.format(folder=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-"], input=code, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert wait_until(lambda: not is_alive(int(done.stdout)))
    assert Sleeping(tmp_path).processes() == []
