"""The self-check: a plan that gives other values than the untouched graph stops the job."""

from __future__ import annotations

import logging
import re
from typing import Any

import numpy as np
import pytest

from retrain_tools.engine import plan as planning, untouched
from retrain_tools.engine.settings import RunSettings
from retrain_tools.engine.untouched import run_untouched
from retrain_tools.errors import InputError
from retrain_tools.features import self_check
from retrain_tools.features.extractor import Extractor
from retrain_tools.features.self_check import _difference
from retrain_tools.quiet_tensorflow import tf

from . import tiny


@pytest.fixture
def wrong_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folding that goes wrong by one part in a hundred."""
    fold = planning.fold_batch_norms

    def wrong(light: Any, weights: Any, keep: Any) -> Any:
        light, weights = fold(light, weights, keep)
        return light, {name: value * np.float32(1.01) for name, value in weights.items()}

    monkeypatch.setattr(planning, "fold_batch_norms", wrong)


@pytest.mark.parametrize(
    ("graph", "tensor"),
    [("graph_2015", tiny.BOTTLENECK_2015), ("pixel_graph", tiny.BOTTLENECK_PIXELS)],
)
@pytest.mark.usefixtures("wrong_plan")
def test_a_plan_that_gives_other_values_stops_the_job_and_shows_both(
    graph: str, tensor: str, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(graph)
    frozen = tiny.opened(path, tensor)
    with pytest.raises(InputError) as error:
        Extractor(frozen, [tensor])
    text = str(error.value)
    assert text.startswith(
        f"{path} gives other values than the untouched graph, as this program runs it: value "
    )
    assert f" of '{tensor}' is " in text
    assert text.endswith("Please report it; self_check=false goes on nevertheless.")
    own, other = map(float, re.findall(r" is (\S+) instead of (\S+)\. ", text)[0])
    assert own != pytest.approx(other, rel=1e-4)
    assert own == pytest.approx(other, rel=0.1)
    with Extractor(frozen, [tensor], running=RunSettings(self_check=False)):
        pass


def test_it_is_done_once_for_each_opened_graph_and_what_it_found_is_known(
    graph_2015: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []

    def watched(graph_def: Any, tensors: Any, feeds: Any, where: str, allowed: bool) -> Any:
        seen.append(dict(feeds))
        return run_untouched(graph_def, tensors, feeds, where, allowed)

    monkeypatch.setattr(self_check, "run_untouched", watched)
    frozen = tiny.opened(graph_2015, tiny.BOTTLENECK_2015)
    with Extractor(frozen, [tiny.BOTTLENECK_2015]) as extractor:
        checked = extractor._body.known.checked
    assert checked is not None
    assert 0 <= checked < 1e-5
    [feeds] = seen
    assert list(feeds) == [frozen.spec.encoded_input]
    assert feeds[str(frozen.spec.encoded_input)].startswith(b"\xff\xd8"), "the graph decodes it"


def test_a_large_graph_is_run_in_a_process_of_its_own_with_the_same_values(
    graph_2015: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = tiny.opened(graph_2015, tiny.BOTTLENECK_2015)
    feeds = {
        "encoded": {str(frozen.spec.encoded_input): self_check._photo()},
        "pixels": {frozen.spec.pixel_input: np.ones((1, tiny.SIZE, tiny.SIZE, 3), np.float32)},
    }
    for fed in feeds.values():
        here = run_untouched(frozen.graph_def, [tiny.BOTTLENECK_2015], fed, "g.pb")
        monkeypatch.setattr(untouched, "_LARGE", 0)
        there = run_untouched(frozen.graph_def, [tiny.BOTTLENECK_2015], fed, "g.pb")
        monkeypatch.undo()
        assert here[0].shape == (1, 256)
        assert there[0].tobytes() == here[0].tobytes()


def test_what_goes_wrong_in_the_other_process_is_told(
    graph_2015: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(untouched, "_LARGE", 0)
    monkeypatch.setattr(self_check, "_photo", lambda: b"no image")
    frozen = tiny.opened(graph_2015, tiny.BOTTLENECK_2015)
    with pytest.raises(untouched.EngineError, match=r"^Unknown image|JPEG|expected"):
        feeds = {str(frozen.spec.encoded_input): b"no image"}
        run_untouched(frozen.graph_def, [tiny.BOTTLENECK_2015], feeds, "g.pb")
    with Extractor(frozen, [tiny.BOTTLENECK_2015]) as extractor:
        assert extractor._body.known.checked is None
    assert f"{graph_2015} could not be compared with the untouched graph: " in caplog.text


def test_a_random_graph_goes_on_with_a_warning(
    tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def noisy(pooled: Any, images: Any) -> Any:
        return pooled + tf.random.normal(tf.shape(pooled))

    path = tiny.write_pixel_graph(tmp_path / "graph.pb", noisy)
    with Extractor(tiny.opened(path, tiny.BOTTLENECK_PIXELS), [tiny.BOTTLENECK_PIXELS]):
        pass
    assert f"{path} is random: it gives other values every time" in caplog.text


@pytest.mark.parametrize(
    ("own", "other", "difference"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.0], [1.0, 2.5], 0.2),  # of the largest
        ([0.1, 0.2], [0.1, 0.3], 0.1),  # absolute where all are small
        ([np.nan, 2.0], [np.nan, 2.0], 0.0),
        ([np.nan, 2.0], [1.0, 2.0], np.inf),
        ([np.inf], [np.inf], 0.0),
        ([np.inf], [1.0], np.inf),
        ([1.0, 2.0], [1.0], np.inf),
    ],
)
def test_the_difference_is_relative_to_the_largest_value(
    own: list[float], other: list[float], difference: float
) -> None:
    found = _difference(np.array(own, np.float32), np.array(other, np.float32))
    assert found == pytest.approx(difference, abs=1e-6)
