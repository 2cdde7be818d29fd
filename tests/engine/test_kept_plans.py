"""Plans on disk: made once, read the next time, never believed when damaged."""

from __future__ import annotations

import dataclasses
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrain_tools.engine import kept_plans
from retrain_tools.engine.body import Body
from retrain_tools.engine.kept_plans import Known, is_known, open_plan
from retrain_tools.engine.settings import RunSettings
from retrain_tools.graphdef.save import write_graph
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.standin.inception_2015 import make_reference_graph
from tests.features import tiny
from tests.opening import load_graph

BOTTLENECK = "pool_3/_reshape:0"


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> FrozenGraph:
    path = tmp_path_factory.mktemp("standin") / "graph.pb"
    write_graph(str(path), make_reference_graph(width=0.25))
    return load_graph(path)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The precision of each plan that is made anew."""
    done: list[str] = []
    plan_body = kept_plans.planning.plan_body

    def watched(graph_def: Any, spec: Any, fetches: Any, precision: str) -> Any:
        done.append(precision)
        return plan_body(graph_def, spec, fetches, precision)

    monkeypatch.setattr(kept_plans.planning, "plan_body", watched)
    return done


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_second_time_a_plan_is_read_with_the_same_nodes_and_bits(
    standin: FrozenGraph, tmp_path: Path, made: list[str], precision: str
) -> None:
    first, second = (open_plan(standin, [BOTTLENECK], precision, str(tmp_path)) for _ in range(2))
    assert made == [precision]
    assert second.light == first.light
    assert second.weights.keys() == first.weights.keys()
    for name, array in first.weights.items():
        assert second.weights[name].dtype == array.dtype
        assert second.weights[name].tobytes() == array.tobytes()


def test_other_tensors_precisions_and_sizes_have_plans_of_their_own(
    standin: FrozenGraph, tmp_path: Path, made: list[str]
) -> None:
    larger = dataclasses.replace(standin.spec, image_size=(331, 331))
    for frozen, fetch, precision in (
        (standin, BOTTLENECK, "float32"),
        (standin, "pool_3:0", "float32"),
        (standin, BOTTLENECK, "bfloat16"),
        (dataclasses.replace(standin, spec=larger), BOTTLENECK, "float32"),
    ):
        open_plan(frozen, [fetch], precision, str(tmp_path))
    assert len(made) == len(list((tmp_path / "plans").glob("*.npz"))) == 4


def test_what_was_found_by_running_is_there_the_next_time(
    standin: FrozenGraph, tmp_path: Path
) -> None:
    running = RunSettings(model_dir=str(tmp_path))
    with Body(standin, [BOTTLENECK], running) as body:
        body.learn(fastest=2, checked=1e-7)
        known = body.known
    assert open_plan(standin, [BOTTLENECK], "float32", str(tmp_path)).known == known
    with Body(standin, [BOTTLENECK], running) as again:
        assert (again.known, again.batch_size) == (known, 2)


def test_a_graph_is_new_until_it_was_run_and_checked_here(
    standin: FrozenGraph, tmp_path: Path
) -> None:
    running = RunSettings(model_dir=str(tmp_path))
    unchecked = dataclasses.replace(running, self_check=False)
    assert not is_known(standin, [BOTTLENECK], running)
    plan = open_plan(standin, [BOTTLENECK], running.precision, str(tmp_path))
    assert not is_known(standin, [BOTTLENECK], unchecked)
    plan.keep(Known(((64,),), (2, 4), False))
    assert is_known(standin, [BOTTLENECK], unchecked)
    assert not is_known(standin, [BOTTLENECK], running)
    plan.keep(Known(((64,),), (2, 4), False, checked=0.0))
    assert is_known(standin, [BOTTLENECK], running)
    small = tiny.write_2015_graph(tmp_path / "small.pb")
    assert is_known(tiny.opened(small, tiny.BOTTLENECK_2015), [tiny.BOTTLENECK_2015], running)


def test_the_size_of_batches_that_is_asked_for_counts_more_than_the_fastest(
    standin: FrozenGraph, tmp_path: Path
) -> None:
    running = RunSettings(model_dir=str(tmp_path))
    with Body(standin, [BOTTLENECK], running) as body:
        body.learn(fastest=4)
    with Body(standin, [BOTTLENECK], dataclasses.replace(running, batch_size=3)) as body:
        assert body.batch_size == 3
        assert len(body.run(np.zeros((3, *standin.spec.image_size, 3), np.float32))[0]) == 3


def test_values_of_a_plan_that_was_read_are_those_of_the_one_that_was_made(
    standin: FrozenGraph, tmp_path: Path
) -> None:
    size = (3, *standin.spec.image_size, 3)
    pixels = np.random.default_rng(1).uniform(-1, 1, size).astype(np.float32)
    running = RunSettings(model_dir=str(tmp_path))
    values = []
    for _ in range(2):
        with Body(standin, [BOTTLENECK], running) as body:
            values.append(body.run(pixels)[0].tobytes())
    assert values[0] == values[1]


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("damage", [_cut, _flip, lambda file: file.write_bytes(b"")])
def test_a_damaged_plan_is_made_again(
    standin: FrozenGraph, tmp_path: Path, made: list[str], damage: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.INFO)
    first = open_plan(standin, [BOTTLENECK], "float32", str(tmp_path))
    [file] = (tmp_path / "plans").glob("*.npz")
    damage(file)
    second = open_plan(standin, [BOTTLENECK], "float32", str(tmp_path))
    assert made == ["float32"] * 2
    assert f"{file} is damaged (" in caplog.text
    assert "it is made again" in caplog.text
    for name, array in first.weights.items():
        assert second.weights[name].tobytes() == array.tobytes()
    open_plan(standin, [BOTTLENECK], "float32", str(tmp_path))
    assert len(made) == 2


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"shapes": 3, "sizes": [1]}', "\x00"])
def test_what_is_known_is_found_again_where_its_file_is_damaged(
    standin: FrozenGraph, tmp_path: Path, text: str
) -> None:
    plan = open_plan(standin, [BOTTLENECK], "float32", str(tmp_path))
    assert plan.file is not None
    plan.keep(Known(((4,),), (2, 4), by_onednn=True))
    assert open_plan(standin, [BOTTLENECK], "float32", str(tmp_path)).known is not None
    plan.file.write_text(text)
    assert open_plan(standin, [BOTTLENECK], "float32", str(tmp_path)).known is None


def test_a_folder_that_cannot_be_written_keeps_nothing_and_stops_nothing(
    standin: FrozenGraph, tmp_path: Path, made: list[str]
) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("")
    for _ in range(2):
        with Body(standin, [BOTTLENECK], RunSettings(model_dir=str(blocked))) as body:
            assert body.batch_size == 4
    assert len(made) == 2


def test_plans_that_were_not_used_for_longest_make_room(
    standin: FrozenGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "plans"
    folder.mkdir()
    for age, name in enumerate(("new", "old", "oldest")):
        (folder / f"{name}.npz").write_bytes(b"0" * 1000)
        (folder / f"{name}.0.json").write_text("{}")
        os.utime(folder / f"{name}.npz", (1e9 - age, 1e9 - age))
    open_plan(standin, [BOTTLENECK], "float32", str(tmp_path))
    [own] = (path for path in folder.glob("*.npz") if len(path.stem) > 10)
    monkeypatch.setattr(kept_plans, "_MOST_KEPT", own.stat().st_size + 2500)
    own.unlink()
    open_plan(standin, [BOTTLENECK], "float32", str(tmp_path))
    assert {path.stem for path in folder.glob("*.npz")} == {own.stem, "new", "old"}
    assert {path.name for path in folder.glob("*.0.json")} == {"new.0.json", "old.0.json"}


def test_plans_of_small_graphs_are_not_kept(tmp_path: Path) -> None:
    path = tiny.write_pixel_graph(tmp_path / "graph.pb")
    plan = open_plan(
        tiny.opened(path, tiny.BOTTLENECK_PIXELS), [tiny.BOTTLENECK_PIXELS], "float32",
        str(tmp_path),
    )  # fmt: skip
    assert plan.file is None
    assert not (tmp_path / "plans").exists()
