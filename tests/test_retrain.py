"""The retrain command line: old commands, results that agree, and errors that help."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from head.graphs import graph_2015, prepared, read_graph, run
from head.photos import COLOURS, write_photos
from head.scripts import run_script

from retrain_tools.sources.hub_handles import cache_folder

SCRIPT = "retrain_tools.retrain"
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
MOBILENET = DATA / "mobilenet_v1_0.25_128"
needs_mobilenet = pytest.mark.skipif(not MOBILENET.is_dir(), reason=f"no {MOBILENET}")

LABELS = ["red rose ", "daisy", "tulip"]  # in the order of the folders, as retrain.py has them


def old_command(out):
    """What the poets-2 codelab told people to type, with every flag that it knew."""
    return [
        "--bottleneck_dir=tf_files/bottlenecks",
        "--how_many_training_steps", "60",
        "--model_dir=tf_files/models/",
        "--summaries_dir", f"{out}/summaries/mobilenet_0.25_128",
        f"--output_graph={out}/retrained_graph.pb",
        f"--output_labels={out}/retrained_labels.txt",
        "--architecture", "mobilenet_0.25_128",
        "--image_dir=tf_files/flower_photos",
        f"--intermediate_output_graphs_dir={out}/intermediate/",
        "--intermediate_store_frequency=25",
        "--learning_rate=0.005", "--testing_percentage=20", "--validation_percentage", "15",
        "--eval_step_interval=20", "--train_batch_size=50", "--test_batch_size=-1",
        "--validation_batch_size=-1", "--print_misclassified_test_images",
        "--final_tensor_name=final_result", f"--output_dir={out}",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder where the old command was run, and what it said."""
    root = tmp_path_factory.mktemp("project")
    write_photos(root / "tf_files" / "flower_photos")
    models = root / "tf_files" / "models"
    models.mkdir()
    (models / "mobilenet_v1_0.25_128").symlink_to(MOBILENET)
    for mine in ("out/summaries/mobilenet_0.25_128/mine.txt", "out/saved_model/7/mine.txt"):
        (root / mine).parent.mkdir(parents=True)
        (root / mine).write_text("mine")
    return root, run_script(SCRIPT, *old_command("out"), cwd=root)


@pytest.fixture(scope="module")
def metrics(project):
    root, _ = project
    return json.loads((root / "out" / "metrics.json").read_text())


@needs_mobilenet
class TestTheOldCommand:
    def test_ends_well_and_prints_the_final_accuracy(self, project, metrics):
        _, done = project
        assert (done.status, "Traceback" in done.err) == (0, False), done.err
        test = metrics["test"]
        line = f"Final test accuracy = {test['accuracy']:.1%} (N={test['images']})"
        assert line in done.out.splitlines()
        assert test["accuracy"] > 0.6
        assert "step 59: accuracy " in done.err

    def test_says_where_the_results_are(self, project):
        _, done = project
        assert done.out.splitlines()[-1] == (
            "Results: out/retrained_graph.pb, out/retrained_labels.txt, out/saved_model/8, "
            "out/metrics.json"
        )

    def test_writes_the_labels_in_the_order_of_the_folders(self, project):
        root, _ = project
        text = (root / "out" / "retrained_labels.txt").read_bytes()
        assert text == "".join(f"{label}\n" for label in LABELS).encode()

    def test_caches_bottlenecks_as_retrain_py_named_them(self, project):
        root, _ = project
        folder = root / "tf_files" / "bottlenecks"
        files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.txt"))
        assert files == [
            f"{label}/{number:02d}.jpg_mobilenet_0.25_128.txt"
            for label in COLOURS
            for number in range(22)
        ]
        values = np.array((folder / files[0]).read_text().split(","), np.float64)
        image = root / "tf_files" / "flower_photos" / "Red-Rose!" / "00.jpg"
        expected = run(
            read_graph(MOBILENET / "frozen_graph.pb"),
            "MobilenetV1/Predictions/Reshape:0",
            {"input:0": prepared(image.read_bytes(), 128)},
        )
        np.testing.assert_allclose(values, expected[0], atol=1e-4)

    def test_graph_saved_model_and_metrics_agree(self, project, metrics):
        root, _ = project
        images = sorted((root / "tf_files" / "flower_photos").glob("*/*.jpg"))[::9]
        data = [path.read_bytes() for path in images]
        graph = read_graph(root / "out" / "retrained_graph.pb")
        scores = np.concatenate(
            [run(graph, "final_result:0", {"DecodeJpeg/contents:0": d}) for d in data]
        )
        by_pixels = np.concatenate(
            [run(graph, "final_result:0", {"input:0": prepared(d, 128)}) for d in data]
        )
        np.testing.assert_allclose(by_pixels, scores, atol=1e-5)
        model = tf.saved_model.load(str(root / "out" / "saved_model" / "8"))
        served = model.signatures["serving_default"](image_bytes=tf.constant(data))
        np.testing.assert_allclose(served["scores"], scores, atol=1e-4)
        assert [label.decode() for label in served["labels"].numpy()[0]] == LABELS
        assert metrics["labels"] == LABELS
        rights = (scores.argmax(1) == [list(COLOURS).index(p.parent.name) for p in images]).mean()
        assert rights > 0.6

    def test_lists_the_misclassified_images(self, project, metrics):
        _, done = project
        lines = done.out.splitlines()
        start = lines.index("=== MISCLASSIFIED TEST IMAGES ===")
        listed = [line for line in lines[start + 1 :] if line.startswith("tf_files/")]
        assert listed == [f"{e['image']}  {e['given']}" for e in metrics["misclassified"]]
        wrong = metrics["test"]["images"] * (1 - metrics["test"]["accuracy"])
        assert len(listed) == pytest.approx(wrong)

    def test_writes_intermediate_graphs(self, project):
        root, _ = project
        names = [path.name for path in (root / "out" / "intermediate").iterdir()]
        assert sorted(names) == ["intermediate_25.pb", "intermediate_50.pb"]

    def test_deletes_nothing_of_the_users(self, project):
        root, _ = project
        assert (root / "out/summaries/mobilenet_0.25_128/mine.txt").read_text() == "mine"
        assert (root / "out/saved_model/7/mine.txt").read_text() == "mine"

    def test_leaves_no_temporary_files(self, project):
        root, _ = project
        assert not [p for p in root.rglob("*") if p.name.startswith(".") or "tmp" in p.suffix]

    def test_warns_of_each_thing_once(self, project):
        _, done = project
        warnings = [line for line in done.err.splitlines() if line.startswith("warning: ")]
        assert len(warnings) == len(set(warnings))

    def test_the_same_seed_gives_the_same_graph_to_the_byte(self, project):
        root, _ = project
        done = run_script(SCRIPT, *old_command("again"), cwd=root)
        assert done.status == 0, done.err
        first, second = (root / out / "retrained_graph.pb" for out in ("out", "again"))
        assert first.read_bytes() == second.read_bytes()


def test_distortions_run_end_to_end_and_the_defaults_go_to_the_output_folder(run_script, tmp_path):
    write_photos(tmp_path / "photos", count=8)
    (tmp_path / "graph.pb").write_bytes(graph_2015().SerializeToString())
    done = run_script(
        SCRIPT, "--graph=graph.pb", "--image_dir=photos", "--how_many_training_steps=4",
        "--train_batch_size=9", "--flip_left_right", "--random_crop=10", "--random_scale=10",
        "--random_brightness=10", "--checkpoint_path=head", "--seed=5", cwd=tmp_path,
    )  # fmt: skip
    assert done.status == 0, done.err
    out = tmp_path / "retrained"
    assert sorted(path.name for path in out.iterdir()) == [
        "bottlenecks", "logs", "metrics.json", "output_graph.pb", "output_labels.txt",
        "saved_model", "splits.csv",
    ]  # fmt: skip
    assert len(list((out / "bottlenecks").rglob("*.jpg.txt"))) == 24
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["settings"]["distortions"] == {
        "flip_left_right": True, "random_crop": 10, "random_scale": 10, "random_brightness": 10,
    }  # fmt: skip
    assert (tmp_path / "head.index").is_file()


HANDLE = "https://tfhub.dev/google/imagenet/inception_v3/feature_vector/3"
DIGEST = "d765412e8955a7067e9c0031f60783359e0e5c3f"  # sha1sum of the handle
# (arguments, message); {0} is a folder with photos/, one_class/, same/, few/, full/ and graph.pb.
GOOD = ["--graph={0}/graph.pb", "--image_dir={0}/photos"]
ERRORS = {
    "no --image_dir": (["--graph={0}/graph.pb"], "--image_dir must be given; see --help."),
    "missing folder": (
        [GOOD[0], "--image_dir={0}/no"],
        "No such folder: {0}/no (--image_dir)",
    ),
    "one class": (
        [GOOD[0], "--image_dir={0}/one_class"],
        "Training takes at least two classes, one folder of images each, below --image_dir; "
        "there is only one ('daisy').",
    ),
    "colliding labels": (
        [GOOD[0], "--image_dir={0}/same"],
        "The folders 'Daisy' and 'daisy' both give the label 'daisy'. Rename one, or pass "
        "--keep_folder_names to use the names as they are.",
    ),
    "too few images": (
        [GOOD[0], "--image_dir={0}/few"],
        "Class 'daisy' has 2 usable images; it takes at least 3, one each for training, "
        "validation, testing. Add images, or remove the folder.",
    ),
    "percentages": (
        [*GOOD, "--testing_percentage=60", "--validation_percentage=40"],
        "--testing_percentage=60 and --validation_percentage=40 must not be negative and must "
        "add up to less than 100.",
    ),
    "saved_model_dir in use": (
        [*GOOD, "--saved_model_dir={0}/full"],
        "--saved_model_dir={0}/full exists and is not an empty folder.",
    ),
    "output_graph is a folder": (
        [*GOOD, "--output_graph={0}/full"],
        "{0}/full is a folder; it should be a file to write.",
    ),
    "a file where a folder should be": (
        [*GOOD, "--output_dir={0}/graph.pb"],
        "{0}/graph.pb is a file; results cannot be written to {0}/graph.pb.",
    ),
    "tfhub_module": (
        [GOOD[1], f"--tfhub_module={HANDLE}"],
        f"{HANDLE} is not in {cache_folder()}, where tensorflow_hub keeps it as {DIGEST}. Fetch it "
        f"where there is a network (python -c 'import tensorflow_hub; tensorflow_hub.resolve("
        f'"{HANDLE}")\'), or set TFHUB_CACHE_DIR to the folder that has it.',
    ),
    "unknown flag": (
        [*GOOD, "--how_many_training_step=3"],
        "Unknown command line flag 'how_many_training_step'. Did you mean: "
        "how_many_training_steps ?",
    ),
    "no number": (
        [*GOOD, "--seed=x"],
        "flag --seed=x: invalid literal for int() with base 10: 'x'",
    ),
    "a stray word": (
        [*GOOD, "--flip_left_right", "true"],
        "Unexpected 'true': this script takes flags only. A switch is --name or --noname, and a "
        "value with spaces goes in quotes.",
    ),
    "final name": (
        [*GOOD, "--final_tensor_name=final_result:0"],
        "--final_tensor_name='final_result:0' cannot be the name of a node: it takes letters, "
        "digits and any of _ . - / (and no ':0').",
    ),
    "distortion": (
        [*GOOD, "--random_crop=-1"],
        "--random_crop is a percentage and cannot be negative.",
    ),
    "steps": (
        [*GOOD, "--how_many_training_steps=0"],
        "--how_many_training_steps=0 must be at least 1.",
    ),
} | {
    f"--{name}=0": (
        [*GOOD, f"--{name}=0"],
        f"--{name} cannot be 0; a negative number takes all images.",
    )
    for name in ("train_batch_size", "validation_batch_size", "test_batch_size")
}  # fmt: skip


@pytest.fixture(scope="module")
def refusals(run_commands, tmp_path_factory):
    """The folder, what every wrong command gave, and the files before and after."""
    root = tmp_path_factory.mktemp("errors")
    write_photos(root / "photos", count=4)
    write_photos(root / "one_class", ["daisy"], 4)
    write_photos(root / "same", ["daisy", "Daisy", "tulip"], 4)
    write_photos(root / "few", ["tulip"], 4)
    write_photos(root / "few", ["daisy"], 2)
    (root / "full").mkdir()
    (root / "full" / "mine.txt").write_text("mine")
    (root / "graph.pb").write_bytes(graph_2015().SerializeToString())
    before = sorted(root.rglob("*"))
    commands = [[part.format(root) for part in command] for command, _ in ERRORS.values()]
    results = run_commands(SCRIPT, commands, cwd=root)
    return root, dict(zip(ERRORS, results, strict=True)), before, sorted(root.rglob("*"))


@pytest.mark.parametrize("what", ERRORS)
def test_a_wrong_command_says_what_is_wrong_and_exits_with_2(refusals, what):
    root, results, _, _ = refusals
    lines = [line for line in results[what].err.splitlines() if not line.startswith("warning: ")]
    assert lines == [f"error: {ERRORS[what][1].format(root)}"]
    assert results[what].status == 2
    assert results[what].out == ""


def test_a_wrong_command_leaves_nothing_behind(refusals):
    _, _, before, after = refusals
    assert before == after


def test_a_real_process_exits_with_2(tmp_path):
    write_photos(tmp_path / "photos", count=4)
    done = run_script(SCRIPT, "--image_dir=photos", "--graph=no.pb", cwd=tmp_path)
    assert (done.status, done.out, done.err) == (2, "", "error: No such file: no.pb\n")


OLD_FLAGS = [
    "image_dir", "output_graph", "output_labels", "summaries_dir", "how_many_training_steps",
    "learning_rate", "testing_percentage", "validation_percentage", "eval_step_interval",
    "train_batch_size", "test_batch_size", "validation_batch_size", "bottleneck_dir",
    "final_tensor_name", "flip_left_right", "random_crop", "random_scale", "random_brightness",
    "model_dir", "print_misclassified_test_images", "intermediate_output_graphs_dir",
    "intermediate_store_frequency", "architecture", "saved_model_dir", "tfhub_module",
    "logging_verbosity", "checkpoint_path",
]  # fmt: skip


def test_help_shows_every_flag_with_its_default_and_without_tensorflow(tmp_path):
    done = run_script(SCRIPT, "--help", cwd=tmp_path)
    assert (done.status, done.err) == (0, "")
    shown = re.findall(r"^  --(\[no\])?(\w+)", done.out, re.MULTILINE)
    names = [name for _, name in shown]
    assert set(OLD_FLAGS) <= set(names)
    assert [n for no, n in shown if no][:6] == [
        "include_top",
        "allow_unsafe_graph",
        "self_check",
        "log_json",
        "flip_left_right",
        "print_misclassified_test_images",
    ]
    assert len(names) == len(set(names))
    assert "  --how_many_training_steps (default: 4000)\n      Training steps.\n" in done.out
    assert "  --final_tensor_name (default: 'final_result')\n" in done.out
