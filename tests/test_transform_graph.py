"""The transform_graph command line: changing, comparing, finding ends, listing, and mistakes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import retrain_tools as rt
from retrain_tools.graphdef.transforms import registry
from retrain_tools.sources.readers.graph_def import read_graph_def
from tests.features import tiny
from tests.graphdef.tiny_graphs import NEAR_REAL, inception_like, jpeg, real, run, write
from tests.script_process import RunScript
from tests.sources.corpus import Written

SCRIPT = "retrain_tools.transform_graph"
DEPLOY = (
    "--transforms=strip_unused_nodes(type=float)\n  remove_nodes(op=Identity, op=CheckNumerics)\\\n"
    "  fold_constants(ignore_errors=true) fold_batch_norms"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph, photos, one that is damaged, and a graph without images."""
    folder = tmp_path_factory.mktemp("transform")
    write(inception_like(), folder / "g.pb")
    (folder / "photos").mkdir()
    for number in range(5):
        tiny.photo(20, 30, number).save(folder / f"photos/{number}.{('jpg', 'png')[number % 2]}")
    (folder / "bad").mkdir()
    (folder / "bad/good.jpg").write_bytes(jpeg())
    (folder / "bad/no.jpg").write_bytes(b"")
    return folder


def test_a_graph_is_changed_and_compared(run_script: RunScript, place: Path) -> None:
    done = run_script(
        SCRIPT,
        *("--graph=g.pb", "--output=small.pb", "--inputs=Mul", "--outputs=pool_3,softmax:0"),
        *(DEPLOY, "--verify=photos"),
        cwd=place,
    )
    assert (done.status, done.err) == (0, "")
    *steps, written, compared = done.out.splitlines()
    assert [re.sub(r"  +", "  ", line.strip()) for line in steps][:-1] == [
        "41 nodes",
        "strip_unused_nodes(type=float)  31 nodes",
        "remove_nodes(op=Identity, op=CheckNumerics)  27 nodes",
        "fold_constants(ignore_errors=true)  27 nodes",
    ]
    assert re.fullmatch(r"fold_batch_norms +2\d nodes", steps[-1])
    size = (place / "small.pb").stat().st_size
    assert written == f"small.pb ({size:,} bytes): Mul:0 in, pool_3:0, softmax:0 out"
    assert re.fullmatch(
        r"Compared on 5 images: largest difference \d(\.\d)?e-0\d, at (pool_3|softmax):0 \(values "
        r"up to \d\.\d+\), within the tolerance of 0\.0001",
        compared,
    )
    result = read_graph_def(place / "small.pb").proto
    pixels = np.random.default_rng(0).uniform(-1, 1, (1, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(
        run(result, "softmax:0", {"Mul:0": pixels}),
        run(inception_like(), "softmax:0", {"Mul:0": pixels}),
        atol=1e-5,
    )


def test_above_the_tolerance_the_status_is_1_and_the_graph_is_written(
    run_script: RunScript, place: Path
) -> None:
    done = run_script(
        SCRIPT,
        *("--graph=g.pb", "--output=other.pb", "--verify=photos", "--verify_images=2"),
        "--transforms=rename_op(old_op_name=Relu, new_op_name=Identity)",
        cwd=place,
    )
    assert (done.status, done.err) == (1, "")
    assert re.search(
        r"\nCompared on 2 images: largest difference 0\.\d+, at softmax:0 \(values up to 0\.\d+\), "
        r"above the tolerance of 0\.0001\n$",
        done.out,
    )
    assert (place / "other.pb").exists()
    done = run_script(
        SCRIPT,
        *("--graph=g.pb", "--output=other.pb", "--verify=photos", "--tolerance=1"),
        "--transforms=rename_op(old_op_name=Relu, new_op_name=Identity)",
        cwd=place,
    )
    assert done.status == 0
    assert done.out.endswith(", within the tolerance of 1\n")


def test_inputs_and_outputs_are_found_and_a_failure_is_told(
    run_script: RunScript, place: Path
) -> None:
    done = run_script(
        SCRIPT,
        *("--graph=g.pb", "--output=found.pb", "--recipe=deploy"),
        "--transforms=rename_node(old_node_name=no, new_node_name=a, ignore_errors=true) "
        "rename_node(old_node_name=softmax, new_node_name=scores)",
        cwd=place,
    )
    assert (done.status, done.err) == (0, "")
    assert "  left out: No node 'no'.\n" in done.out
    assert done.out.endswith(" bytes): DecodeJpeg/contents:0 in, scores:0 out\n")
    feeds = {"DecodeJpeg/contents:0": jpeg()}
    np.testing.assert_allclose(
        run(read_graph_def(place / "found.pb").proto, "scores:0", feeds),
        run(inception_like(), "softmax:0", feeds),
        atol=1e-5,
    )


def test_images_that_cannot_be_used_are_named(run_script: RunScript, place: Path) -> None:
    flags = ["--graph=g.pb", "--output=x.pb", "--transforms=remove_device", "--verify=bad"]
    done = run_script(SCRIPT, *flags, cwd=place)
    assert done.status == 0
    assert done.out.splitlines()[-2:] == [
        "left out: bad/no.jpg is empty",
        "Compared on 1 image: largest difference 0, at softmax:0 (values up to "
        f"{done.out.rpartition('up to ')[2].partition(')')[0]}), within the tolerance of 0.0001",
    ]


def test_a_graph_without_images_is_run_on_random_values(run_script: RunScript, place: Path) -> None:
    graph = real("wild/onnx_lstm_frozen.pb")
    for verify in ("random", "photos"):
        done = run_script(
            SCRIPT,
            *(f"--graph={graph}", "--output=lstm.pb", f"--verify={verify}", "--seed=5"),
            "--transforms=merge_duplicate_nodes",
            cwd=place,
        )
        assert (done.status, done.err) == (0, "")
        assert done.out.splitlines()[-1].startswith(
            "Compared on 4 draws of random values (seed 5): largest difference 0, at output:0 "
        )
        assert "lstm.pb" in done.out
        assert ": X:0, keep_prob:0 in, output:0 out\n" in done.out


def test_images_and_random_values_go_together(run_script: RunScript, tmp_path: Path) -> None:
    graph_def = inception_like()
    from retrain_tools.quiet_tensorflow import tf
    from tests.graphdef.tiny_graphs import add

    add(graph_def, "by", "Placeholder", dtype=tf.float32, shape=tf.TensorShape([]))
    add(graph_def, "scaled", "Mul", ["softmax", "by"], T=tf.float32)
    write(graph_def, tmp_path / "g.pb")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/1.jpg").write_bytes(jpeg())
    done = run_script(
        SCRIPT,
        *("--graph=g.pb", "--output=x.pb", "--recipe=deploy", "--verify=photos"),
        cwd=tmp_path,
    )
    assert done.status == 0, done.err
    assert "DecodeJpeg/contents:0, by:0 in, scaled:0 out" in done.out
    assert "\nCompared on 1 image and random values (seed 0): largest difference " in done.out
    # A value that --feed gives is part of the graph.
    done = run_script(
        SCRIPT,
        *("--graph=g.pb", "--output=x.pb", "--recipe=deploy", "--verify=photos", "--feed=by:0=0.5"),
        cwd=tmp_path,
    )
    assert "DecodeJpeg/contents:0 in, scaled:0 out" in done.out
    assert "\nCompared on 1 image: largest difference " in done.out


def test_other_kinds_of_files(
    run_script: RunScript, saved_model_1: Written, kinds: Mapping[str, Path], tmp_path: Path
) -> None:
    flags = ["--output=x.pb", "--recipe=deploy"]
    done = run_script(
        SCRIPT, f"--graph={saved_model_1.path}", *flags, "--verify=random", cwd=tmp_path
    )
    assert (done.status, done.err) == (0, "")
    assert "\nCompared on 4 draws of random values (seed 0): largest difference " in done.out
    [probs] = tiny.run_untouched(
        tmp_path / "x.pb", ["net/probs:0"], {"images:0": saved_model_1.images}
    )
    np.testing.assert_allclose(probs, saved_model_1.results["net/probs"], atol=1e-5)
    stored = f"--graph={kinds['graph with variables']}"
    done = run_script(SCRIPT, stored, "--output=v.pb", "--transforms=remove_device", cwd=tmp_path)
    assert done.status == 0
    assert "cannot be frozen: its variables have no values" in done.err
    done = run_script(SCRIPT, stored, *flags, "--verify=random", cwd=tmp_path)
    assert done.status == 2
    assert done.err == (
        f"error: {kinds['graph with variables']} cannot be run to compare it with what becomes of "
        "it: its variables have no values: a GraphDef does not hold them; pass the .meta file "
        "beside the checkpoint, or the SavedModel, that belongs to it.\n"
    )


def test_the_list_names_all_with_their_help(run_script: RunScript, tmp_path: Path) -> None:
    done = run_script(SCRIPT, "--list", cwd=tmp_path)
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    for name in registry.transform_names():
        [at] = [i for i, line in enumerate(lines) if re.match(rf"  {name}(\(|$)", line)]
        assert lines[at + 1] == f"      {registry.help_of(registry.transform_named(name))}"
    for name, recipe in registry.RECIPES.items():
        assert f"  {name}: {recipe.help}\n      {recipe.text}\n" in done.out


MISTAKES = {
    "--transforms=remove_device": ([], "--graph and --output must be given; see --help."),
    "nothing to do": (
        ["--graph=g.pb", "--output=wrong.pb"],
        "Say what to do, with --transforms or --recipe; the script's --list lists both.",
    ),
    "--transforms=": (
        ["--graph=g.pb", "--output=wrong.pb"],
        "--transforms names none; see --list.",
    ),
    "--transforms=remove_device(": (
        ["--graph=g.pb", "--output=wrong.pb"],
        "--transforms cannot be read at the end, after 'remove_device(': the parenthesis of "
        "remove_device is not closed.",
    ),
    "--transforms=remove_devise": (
        ["--graph=g.pb", "--output=wrong.pb"],
        "No transform 'remove_devise'. Did you mean 'remove_device'? There are: ",
    ),
    "--transforms=remove_nodes(ops=A)": (
        ["--graph=g.pb", "--output=wrong.pb"],
        "remove_nodes has no argument 'ops'. Did you mean 'op'? It takes op, max_inputs, "
        "ignore_errors.",
    ),
    "--inputs=Mull": (
        ["--graph=g.pb", "--output=wrong.pb", "--recipe=deploy"],
        "No tensor 'Mull:0' in g.pb (41 nodes). Did you mean 'Mul:0'? ",
    ),
    "--verify=nowhere": (
        ["--graph=g.pb", "--output=wrong.pb", "--recipe=deploy"],
        "No such folder: nowhere (--verify); random runs graphs on random values.",
    ),
    "--recipe=none": (
        ["--graph=g.pb", "--output=wrong.pb"],
        "flag --recipe=none: value should be one of <deploy|serve|mobile|train>",
    ),
    "--tolerance=-1": (
        ["--graph=g.pb", "--output=wrong.pb"],
        "flag --tolerance=-1: -1.0 is not a non-negative number",
    ),
}


@pytest.mark.parametrize("flag", MISTAKES)
def test_mistakes(run_script: RunScript, place: Path, flag: str) -> None:
    flags, message = MISTAKES[flag]
    done = run_script(SCRIPT, *flags, *([flag] if flag[:2] == "--" else []), cwd=place)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"error: {message}")
    assert not (place / "wrong.pb").exists()


def test_as_a_process_without_tensorflow_where_nothing_is_run(place: Path) -> None:
    code = (
        "import atexit, runpy, sys\n"
        "atexit.register(lambda: print('tensorflow.python.tf2' in sys.modules, file=sys.stderr))\n"
        "sys.argv[:] = ['transform_graph', *sys.argv[1:]]\n"
        f"runpy.run_module('{SCRIPT}', run_name='__main__', alter_sys=True)\n"
    )
    flags = ["--graph=g.pb", "--output=alone.pb", "--recipe=deploy"]
    done = subprocess.run(
        [sys.executable, "-c", code, *flags], cwd=place, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "False\n")
    assert done.stdout.endswith(": DecodeJpeg/contents:0 in, softmax:0 out\n")


def test_in_python(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    model = rt.load("g.pb")
    made = rt.transform_graph(model, "p.pb", "remove_device", inputs=["Mul"], outputs=["pool_3"])
    assert (made.inputs, made.outputs, made.verified) == (("Mul:0",), ("pool_3:0",), None)
    assert [(str(step.call), step.nodes) for step in made.steps] == [("remove_device", 41)]
    made = rt.transform_graph(model, "p.pb", recipe="deploy", verify="photos")
    assert made.verified is not None
    assert (made.verified.examples, made.verified.on_images) == (5, True)
    assert made.verified.largest < 1e-4
    with pytest.raises(rt.InputError) as raised:
        rt.transform_graph(model, "p.pb", "")
    assert str(raised.value) == "transforms names none; see --list."


def test_the_graph_of_2015(run_script: RunScript, place: Path) -> None:
    graph = real(NEAR_REAL)
    done = run_script(
        SCRIPT,
        *(f"--graph={graph}", "--output=deployed.pb", "--inputs=Mul", "--outputs=pool_3"),
        '--transforms=strip_unused_nodes(type=float, shape="1,299,299,3") '
        "remove_nodes(op=Identity, op=CheckNumerics) fold_constants(ignore_errors=true) "
        "fold_batch_norms",
        *("--verify=photos", "--verify_images=2"),
        cwd=place,
    )
    assert (done.status, done.err) == (0, "")
    nodes = len(read_graph_def(place / "deployed.pb").node)
    assert nodes <= 514
    assert re.search(r"\nCompared on 2 images: largest difference \S+, at pool_3:0 ", done.out)
