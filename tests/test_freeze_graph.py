"""The freeze_graph command line: every kind of file, names of the catalogue, and mistakes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from retrain_tools import catalog
from retrain_tools.graphdef.note import read_note
from retrain_tools.sources.readers.graph_def import read_graph_def
from tests.features import tiny
from tests.script_process import RunScript
from tests.sources.corpus import SIZE, Written, close, random_images
from tests.sources.test_prediction import write
from tests.sources.training_graphs import cnn_with_dropout, default_from_a_queue, gan

SCRIPT = "retrain_tools.freeze_graph"
# An entry without a published size, so that a small file may stand for the archive.
ENTRY = "mobilenet_v1_0.25_128_2018_08_02"


@pytest.mark.parametrize("flag", ["graph", "checkpoint"])
@pytest.mark.parametrize("name", [ENTRY, "file"])
def test_a_name_of_the_catalogue_and_its_archive_give_the_published_size(
    run_script: RunScript, flag: str, name: str, slim_checkpoints: Mapping[str, str], tmp_path: Path
) -> None:
    entry = catalog.checkpoints()[ENTRY]
    archive = tmp_path / "models" / entry.archive
    archive.parent.mkdir()
    shutil.copy(slim_checkpoints["V1 in a tar.gz"], archive)
    given = archive if name == "file" else name
    done = run_script(
        SCRIPT, f"--{flag}={given}", "--model_dir=models", "--output=f.pb", cwd=tmp_path
    )
    assert (done.status, done.err) == (0, "")
    assert done.out == (
        "f.pb: mobilenet_v1, 5 classes, 128 × 128 pixels; "
        "bottleneck MobilenetV1/Logits/AvgPool_1a/AvgPool:0 (256), "
        "result MobilenetV1/Predictions/Reshape_1:0\n"
    )
    assert read_note(read_graph_def(tmp_path / "f.pb").proto).source == "mobilenet_v1"
    assert sorted(path.name for path in archive.parent.iterdir()) == [entry.archive]  # not kept


def test_a_saved_model(run_script: RunScript, saved_model_1: Written, tmp_path: Path) -> None:
    done = run_script(SCRIPT, f"--graph={saved_model_1.path}", "--output=f.pb", cwd=tmp_path)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("f.pb: SavedModel of TensorFlow ")
    assert done.out.endswith(
        ", tags serve; images:0 in, net/pool:0, net/looked_up:0, net/probs:0 out\n"
    )
    [probs] = tiny.run_untouched(
        tmp_path / "f.pb", ["net/probs:0"], {"images:0": saved_model_1.images}
    )
    assert close(probs, saved_model_1.results["net/probs"])


def test_a_hub_module_gets_an_encoded_input(
    run_script: RunScript, hub_module: Written, tmp_path: Path
) -> None:
    done = run_script(SCRIPT, f"--graph={hub_module.path}", "--output=f.pb", cwd=tmp_path)
    assert (done.status, done.err) == (0, "")
    assert "; DecodeJpeg/contents:0, hub_input/images:0 in, " in done.out
    photo = tiny.photo(30, 20, seed=1)
    photo.save(tmp_path / "p.png")
    data = (tmp_path / "p.png").read_bytes()
    names = ["net/pool:0", "hub_input/images:0"]
    pooled, pixels = tiny.run_untouched(tmp_path / "f.pb", names, {"DecodeJpeg/contents:0": data})
    assert pixels.shape == (1, SIZE, SIZE, 3)
    assert 0 <= pixels.min() < pixels.max() <= 1
    assert np.isfinite(pooled).all()


def test_a_frozen_graph_stays_as_it_is(run_script: RunScript, frozen: Path, tmp_path: Path) -> None:
    done = run_script(SCRIPT, f"--graph={frozen}", "--output=f.pb", cwd=tmp_path)
    assert (done.status, done.err) == (0, "")
    assert done.out == "f.pb: frozen GraphDef; input:0 in, final_result:0 out\n"
    assert read_graph_def(tmp_path / "f.pb").proto == read_graph_def(frozen).proto
    expected, found = (
        tiny.run_untouched(path, ["final_result:0"], {"input:0": random_images()})[0]
        for path in (frozen, tmp_path / "f.pb")
    )
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Name one thing to freeze: a slim --checkpoint, or a --graph."),
        (["--graph=GRAPH", "--checkpoint=GRAPH"], "Name one thing to freeze: "),
        (["--checkpoint=GRAPH"], "GRAPH is a frozen GraphDef, not a slim checkpoint."),
        (["--checkpoint=SLIM", "--architecture=vgg_16"], "SLIM is a checkpoint of mobilenet_v1, "),
        (["--graph=GRAPH", "--image_size=64"], "--image_size is for slim checkpoints."),
        (["--graph=GRAPH", "--architecture=vgg_16"], "--architecture=vgg_16 is for slim check"),
        (["--graph=GRAPH", "--preprocess=none"], "--preprocess=none is for reading features"),
        (["--graph=no.pb"], "No such file: no.pb"),
        (["--graph=inception_v9"], "No file and no catalogue name 'inception_v9'. Did you mean"),
    ],
)
def test_mistakes(
    run_script: RunScript,
    arguments: list[str],
    message: str,
    frozen: Path,
    slim_checkpoints: Mapping[str, str],
    tmp_path: Path,
) -> None:
    def named(text: str) -> str:
        return text.replace("GRAPH", str(frozen)).replace("SLIM", slim_checkpoints["V2 prefix"])

    done = run_script(SCRIPT, *map(named, arguments), "--output=f.pb", cwd=tmp_path)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"error: {named(message)}")
    assert done.err.count("\n") == 1
    assert not (tmp_path / "f.pb").exists()


def test_a_training_graph_says_what_has_to_be_fed(run_script: RunScript, tmp_path: Path) -> None:
    path, fed, expected = write(cnn_with_dropout, tmp_path, resource=False)
    done = run_script(SCRIPT, f"--graph={path}", "--output=f.pb", cwd=tmp_path)
    assert (done.status, done.err) == (0, "")
    first, *lines = done.out.splitlines()
    assert first.startswith("f.pb: MetaGraph of TensorFlow ")
    assert first.endswith(", with its checkpoint; x:0, keep_prob:0 in, prediction:0 out")
    assert lines == ["To feed:", "x:0          float32  [?, 64]", "keep_prob:0  float32  unknown"]
    [found] = tiny.run_untouched(tmp_path / "f.pb", ["prediction:0"], fed)
    assert np.allclose(found, expected["prediction:0"], atol=1e-6)


def test_an_input_with_a_default_need_not_be_fed(run_script: RunScript, tmp_path: Path) -> None:
    path, _, _ = write(default_from_a_queue, tmp_path, resource=False)
    done = run_script(SCRIPT, f"--graph={path}", "--output=f.pb", cwd=tmp_path)
    assert done.out.splitlines()[1:] == [
        "To feed:",
        "x:0     float32  [?, 20]",
        "keep:0  float32  []       or nothing, for its default",
    ]


def test_a_prediction_that_cannot_be_told_is_named(run_script: RunScript, tmp_path: Path) -> None:
    path, _, _ = write(gan, tmp_path, resource=False)
    arguments = f"--graph={path}", "--output=f.pb"
    done = run_script(SCRIPT, *arguments, cwd=tmp_path)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(
        f"error: {path} cannot be frozen: which of its results is meant cannot be told. Name one "
        "or more with --output_node_names: make/out/Sigmoid:0 (Sigmoid, float32 [?, 12], from z:0)"
    )
    done = run_script(SCRIPT, *arguments, "--output_node_names=make/out/Sigmoid", cwd=tmp_path)
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[0].endswith("; z:0 in, make/out/Sigmoid:0 out")
    done = run_script(SCRIPT, *arguments, "--output_node_names=make/out/Sigmoit", cwd=tmp_path)
    assert done.status == 2
    assert "Did you mean 'make/out/Sigmoid:0'?" in done.err


def test_results_are_named_of_training_graphs_only(
    run_script: RunScript, frozen: Path, tmp_path: Path
) -> None:
    done = run_script(
        SCRIPT, f"--graph={frozen}", "--output=f.pb", "--output_node_names=x", cwd=tmp_path
    )
    assert (done.status, done.err) == (
        2,
        "error: --output_node_names is for training graphs (.meta); "
        f"{frozen} is a frozen GraphDef.\n",
    )
