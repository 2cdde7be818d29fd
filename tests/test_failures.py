"""Jobs whose images fail: their exit status, the budget, what is tried again, and --log_json."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import retrain_tools as rt
from retrain_tools.errors import InputError
from retrain_tools.features import image_side
from retrain_tools.features.failures import Budget, Failure
from retrain_tools.features.outcome import Outcome, compute
from retrain_tools.images.decode import ImageError


@pytest.fixture
def photos(tmp_path):
    """Six good photos in two classes, and two that are none."""
    numbers = np.random.default_rng(0)
    for name in ("a/1", "a/2", "a/3", "b/1", "b/2", "b/3"):
        path = tmp_path / "photos" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(numbers.integers(0, 256, (20, 30, 3), np.uint8)).save(path)
    (tmp_path / "photos" / "a" / "bad.png").write_bytes(b"")
    (tmp_path / "photos" / "b" / "gone.png").symlink_to("nowhere")
    return tmp_path / "photos"


SCRIPTS = {
    "bottlenecks": ["--bottleneck_dir=out", "--bottleneck_tensor=mean_colour:0"],
    "fetch_tensors": ["--output=out.npz", "--tensors=mean_colour:0"],
    "label_image": ["--output_layer=mean_colour:0"],
    "retrain": [
        "--output_dir=out", "--bottleneck_tensor=mean_colour:0", "--how_many_training_steps=2",
        "--testing_percentage=0", "--validation_percentage=0",
    ],
}  # fmt: skip


@pytest.fixture
def run(run_script, mean_colour, photos):
    def run(script, *more):
        given = [
            f"--graph={mean_colour}",
            "--image_dir=photos",
            "--input_mean=0",
            "--input_std=255",
        ]
        module = f"retrain_tools.{script}"
        return run_script(module, *given, *SCRIPTS[script], *more, cwd=photos.parent)

    return run


def summary(done):
    return json.loads(done.err.splitlines()[-1])


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_status_is_1_where_images_failed_and_0_where_none_did(run, photos, script):
    done = run(script, "--log_json")
    assert done.status == 1, done.err
    found = summary(done)
    assert (found["status"], found["failed"]) == (1, 2)
    (photos / "a" / "bad.png").unlink()
    (photos / "b" / "gone.png").unlink()
    done = run(script, "--log_json")
    assert done.status == 0, done.err
    assert (summary(done)["status"], summary(done)["failed"]) == (0, 0)
    assert run(script).err.count('"status"') == 0


def test_the_summary_has_the_counts(run):
    found = summary(run("bottlenecks", "--log_json"))
    assert found.pop("seconds") >= 0
    assert found == {
        "status": 1, "failed": 2, "computed": 6, "reused": 0, "repaired": 0,
    }  # fmt: skip
    assert summary(run("bottlenecks", "--log_json"))["reused"] == 6


def test_errors_are_in_the_summary(run):
    done = run("bottlenecks", "--log_json", "--image_dir=nowhere")
    assert done.status == 2
    assert summary(done) == {
        "status": 2, "message": "error: No such folder: nowhere (--image_dir)",
    }  # fmt: skip


FILES = {"bottlenecks": "out/failures.csv", "fetch_tensors": "out.npz.failures.csv"}


@pytest.mark.parametrize(("script", "file"), FILES.items())
def test_the_budget_ends_a_job_and_lists_what_failed(run, photos, script, file):
    done = run(script, "--max_failures=1")
    assert done.status == 2
    assert done.err.splitlines()[-1] == (
        "error: 2 of 8 images cannot be used, more than --max_failures=1 allows; the reasons are "
        f"in {file}."
    )
    with (photos.parent / file).open(newline="") as text:
        assert list(csv.reader(text)) == [
            ["image", "reason", "kind"],
            ["photos/a/bad.png", "is empty", "image"],
            ["photos/b/gone.png", "cannot be read: No such file or directory", "reading"],
        ]
    assert run(script, "--max_failures=2").status == 1
    assert run(script, "--max_failures=25%").status == 1
    assert run(script, "--max_failures=24.9%").status == 2


@pytest.mark.parametrize("said", ["", "-1", "many", "2 %", "1.5", "%"])
def test_a_budget_that_is_none_is_refused(run, said):
    done = run("bottlenecks", f"--max_failures={said}")
    assert (done.status, done.err) == (
        2,
        f"error: --max_failures={said} is neither a number of images nor a percentage of them, as "
        "20 or 1.5%.\n",
    )


class Flaky:
    """An extractor of images of which some fail: once, or again and again."""

    def __init__(self, failing, for_ever=False):
        self.failing, self.for_ever, self.asked = dict(failing), for_ever, []

    def extract(self, paths):
        self.asked.append(list(paths))
        for path in paths:
            yield path, self.failing.get(path, [np.zeros(1, np.float32)])
            if not self.for_ever:
                self.failing.pop(path, None)


def test_what_may_pass_is_tried_again_at_the_end_and_what_is_broken_is_not():
    flaky = Flaky({
        "b": ImageError("cannot be read", "reading"),
        "c": ImageError("is empty"),
        "d": ImageError("takes more memory than there is", "memory"),
    })  # fmt: skip
    kept = []
    done = compute(flaky, list("abcde"), lambda path, _: kept.append(path), "skip")
    assert flaky.asked == [list("abcde"), ["b", "d"]]
    assert kept == ["a", "e", "b", "d"]
    assert (done.computed, done.failed) == (4, {"c": "is empty"})
    assert done.failed["c"].kind == "image"


def test_a_failure_that_passes_is_not_of_the_budget(tmp_path):
    first = {"b": ImageError("cannot be read", "reading")}
    budget = Budget.of(0, 3, tmp_path / "failures.csv")
    done = compute(Flaky(first), list("abc"), lambda *_: None, "skip", budget)
    assert (done.computed, done.failed) == (3, {})
    assert not (tmp_path / "failures.csv").exists()


def test_a_failure_that_stays_is(tmp_path):
    failing = {path: ImageError("cannot be read", "reading") for path in "ab"}
    budget = Budget.of("50%", 2, tmp_path / "failures.csv")
    with pytest.raises(InputError, match=r"^2 of 2 images cannot be used, more than max_failures"):
        compute(Flaky(failing, for_ever=True), list("ab"), lambda *_: None, "skip", budget)
    assert (tmp_path / "failures.csv").read_text().count("cannot be read,reading\n") == 2


def test_memory_that_is_not_there_is_one_images_failure(mean_colour, photos, monkeypatch):
    def prepare(self, image):
        if "a/2" in str(image):
            raise MemoryError
        return whole(self, image)

    whole = image_side.ImagePreparation.prepare
    monkeypatch.setattr(image_side.ImagePreparation, "prepare", prepare)
    model = rt.load(mean_colour, input_mean=0.0, input_std=1.0)
    paths = sorted(str(path) for path in photos.glob("a/[123].png"))
    found = rt.fetch(model, ["mean_colour:0"], paths)
    assert found.failed == {paths[1]: "takes more memory than there is"}


def test_failures_are_texts_with_a_kind():
    failure = Failure.of(ImageError("is empty"))
    assert (failure, failure.kind, failure.may_pass) == ("is empty", "image", False)
    assert Failure.of(ImageError("cannot be read", "reading")).may_pass


def test_a_job_that_is_terminated_says_so_in_its_summary():
    code = """
import sys, time
from absl import flags
from retrain_tools import command_line
flags.DEFINE_boolean("log_json", True, "")
def main(_):
    print("ready", flush=True)
    time.sleep(60)
command_line.run(main)
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert json.loads(err.splitlines()[-1])["status"] == 143


def test_outcomes_have_no_repaired_where_nothing_can_be():
    assert Outcome(computed=1).figures() == {"computed": 1, "reused": 0, "seconds": 0.0}
