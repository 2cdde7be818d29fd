"""The command line of `fetch_many` with workers of its own: the same rows, whoever is killed."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import retrain_tools as rt
from tests.features import tiny
from tests.features.parts.many import (
    TENSOR,
    bytes_of,
    parts_of,
    read_failures,
    read_rows,
    record,
    same_rows,
    write_list,
    write_photos,
)
from tests.head.scripts import run_script as run_alone

MODULE = "retrain_tools.fetch_many"
SPEED = r" \([\d.]+ images/s\)"
POISON = """
import os, signal, sys

def hook(event, arguments):
    if event == "open" and str(arguments[0]).endswith("poison.jpg"):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A graph, photos, a list of them that names one that is not there, and fetch_tensors' rows."""
    folder = tmp_path_factory.mktemp("many")
    tiny.write_2015_graph(folder / "tiny.pb")
    photos = [path.relative_to(folder) for path in write_photos(folder / "photos", 60)]
    write_list(folder / "list.txt", [*photos[:20], "photos/missing.jpg", *photos[20:]])
    done = run_alone(
        *("retrain_tools.fetch_tensors", "--graph=tiny.pb", "--image_list=list.txt"),
        "--output=f.npz",
        cwd=folder,
    )
    assert done.status == 1, done
    return folder


@pytest.fixture(scope="module")
def wanted(place):
    found = np.load(place / "f.npz")
    return dict(zip(found["images"], found[TENSOR], strict=True))


@pytest.fixture(scope="module")
def output(place, run_script):
    """The output of a run that nothing disturbed."""
    done = run_script(MODULE, *flags("whole"), "--workers=2", "--log_json", cwd=place)
    line = rf"58 computed, 0 reused, 3 failed{SPEED}: whole: 4 parts, pool/_reshape:0\n"
    assert re.fullmatch(line, done.out), done
    *warnings, told = done.err.splitlines()
    assert sorted(warnings) == [
        "warning: photos/b/001.jpg is not a JPEG, PNG, GIF, BMP or WebP image",
        "warning: photos/c/002.jpg is empty",
        "warning: photos/missing.jpg cannot be read: No such file or directory",
    ]
    told = json.loads(told)
    assert told.pop("seconds") > 0
    assert told == {
        **{"status": 1, "failed": 3, "computed": 58, "reused": 0, "shards": 4},
        "failures": {"image": 2, "reading": 1},
    }
    return place / "whole"


def flags(out: str) -> list[str]:
    images = ("--graph=tiny.pb", "--image_list=list.txt")
    return [*images, f"--output={out}", "--shard_size=16", "--workers=1"]


def started(place: Path, out: str, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", MODULE, *flags(out), *more]
    return subprocess.Popen(
        command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def children(process: int) -> list[int]:
    try:
        return list(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))
    except OSError:
        return []


def wait_for(condition, process: subprocess.Popen[str] | None = None) -> bool:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        if process is not None and process.poll() is not None:
            return False
        time.sleep(0.005)
    return True


def finished(out: Path) -> set[str]:
    return {path.name for path in out.glob("part-*.json")}


def test_rows_are_those_of_fetch_tensors_bit_by_bit(output, wanted):
    assert same_rows(read_rows(output), wanted)
    assert list(read_rows(output)) == list(wanted)  # and in the order of the list
    assert read_failures(output) == {
        "photos/b/001.jpg": ("is not a JPEG, PNG, GIF, BMP or WebP image", "image"),
        "photos/c/002.jpg": ("is empty", "image"),
        "photos/missing.jpg": ("cannot be read: No such file or directory", "reading"),
    }


def test_one_worker_gives_the_same_bytes_as_two(run_script, place, output):
    run_script(MODULE, *flags("one"), cwd=place)
    assert bytes_of(place / "one") == bytes_of(output)


def test_a_second_run_computes_nothing_and_gives_the_same_manifest(run_script, place, output):
    before = (output / "manifest.json").read_bytes()
    done = run_script(MODULE, *flags("whole"), cwd=place)
    line = "0 computed, 58 reused, 3 failed: whole: 4 parts, pool/_reshape:0\n"
    assert (done.status, done.out, done.err) == (1, line, "")
    assert (output / "manifest.json").read_bytes() == before
    told = json.loads(before)
    assert (told["list"]["images"], told["list"]["shards"], told["list"]["failed"]) == (61, 4, 3)


def test_the_parts_are_one_table_for_others(output, wanted):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    table = pandas.concat(map(pandas.read_parquet, parts_of(output)))
    assert list(table["image"]) == list(wanted)
    np.testing.assert_array_equal(np.stack(table[TENSOR]), np.stack(list(wanted.values())))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_workers_that_are_killed_lose_and_double_nothing(place, output):
    rng = random.Random(0)
    process = started(place, "killed", "--workers=2", "--shard_size=4")
    killed = 0
    for parts in (1, 4, 8):
        alive = wait_for(lambda n=parts: len(finished(place / "killed")) >= n, process)
        workers = children(process.pid) if alive else []
        if workers:
            os.kill(rng.choice(workers), signal.SIGKILL)
            killed += 1
    out, err = process.communicate()
    assert killed
    assert process.returncode == 1, err
    assert "58 computed" in out, (out, err)
    assert "Traceback" not in err
    assert same_rows(read_rows(place / "killed"), read_rows(output))
    assert read_failures(place / "killed") == read_failures(output)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_after_a_killed_driver_only_unfinished_shards_are_computed(place, output, run_script):
    process = started(place, "driver", "--workers=2")
    assert wait_for(lambda: finished(place / "driver"), process)
    workers = children(process.pid)
    process.kill()
    process.communicate()
    wait_for(lambda: not any(Path(f"/proc/{one}").exists() for one in workers))
    assert json.loads((place / "driver/manifest.json").read_text())["list"] is None
    there = finished(place / "driver")
    told = {name: (place / "driver" / name).read_bytes() for name in there}
    done = run_script(MODULE, *flags("driver"), cwd=place)
    rows = sum(record(output, int(name[5:10]))["rows"] for name in there)
    assert done.out.startswith(f"{58 - rows} computed, {rows} reused, 3 failed"), done
    assert {name: (place / "driver" / name).read_bytes() for name in there} == told
    assert bytes_of(place / "driver") == bytes_of(output)
    assert not list((place / "driver").rglob("*.tmp"))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
@pytest.mark.parametrize(("sign", "status", "word"), [
    (signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")
])  # fmt: skip
def test_a_stopped_run_says_so_and_leaves_no_process(place, sign, status, word):
    process = started(place, f"stopped{status}", "--shard_size=1")
    assert wait_for(lambda: finished(place / f"stopped{status}"), process)
    workers = children(process.pid)
    process.send_signal(sign)
    _, err = process.communicate()
    assert (process.returncode, err.splitlines()[-1]) == (status, word)
    assert re.search(r"^stopped after \d+ images?; run again to go on$", err, re.MULTILINE)
    assert not any(Path(f"/proc/{one}").exists() for one in workers)


def test_an_image_that_kills_workers_is_named(place, tmp_path, wanted):
    """By a hook of the test's own, in every process: who opens that file is killed."""
    (tmp_path / "sitecustomize.py").write_text(POISON)
    shutil.copy(next(iter(map(place.joinpath, wanted))), place / "poison.jpg")
    good = list(wanted)[:5]
    write_list(place / "poison.txt", [*good[:2], "poison.jpg", *good[2:]])
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", MODULE, "--graph=tiny.pb", "--image_list=poison.txt",
         "--output=poisoned", "--workers=1", "--shard_size=4"],
        cwd=place, env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done
    assert done.stdout.startswith("5 computed, 0 reused, 1 failed"), done
    how = "killed, as the system does where memory is short"
    assert read_failures(place / "poisoned") == {
        "poison.jpg": (
            f"ends the process that works on it: its worker died 2 times: {how}", "worker"
        )
    }  # fmt: skip
    assert same_rows(read_rows(place / "poisoned"), {image: wanted[image] for image in good})
    assert f"part-00000.parquet: its worker died 3 times: {how}; it is tried again" in done.stderr
    assert "warning: poison.jpg ends the process that works on it: " in done.stderr


def test_a_second_run_at_one_output_is_refused(place, run_script):
    process = started(place, "twice", "--shard_size=1")
    wait_for((place / "twice/manifest.json").exists, process)
    done = run_script(MODULE, *flags("twice"), "--shard_size=1", cwd=place)
    process.terminate()
    process.communicate()
    assert (done.status, done.out, done.err) == (
        2,
        "",
        "error: twice is being written by another run. Wait until that has ended, or choose "
        "another --output.\n",
    )


def error_of(run_script, place, *arguments) -> str:
    done = run_script(MODULE, *arguments, cwd=place)
    assert (done.status, done.out) == (2, ""), done
    assert "Traceback" not in done.err
    return done.err.splitlines()[-1].removeprefix("error: ")


def test_an_output_that_was_made_in_another_way_is_refused(run_script, place, output):
    before = bytes_of(output)
    start = "whole was made in another way (tiny.pb; manifest.json): "
    end = ". Choose another --output."
    for more, differs in {
        "--shard_size=8": "--shard_size=16 there, 8 now",
        "--pooling=max": "'pool/_reshape:0': pooling none there, max now",
        "--tensors=softmax": "it holds pool/_reshape:0, not softmax",
    }.items():
        assert error_of(run_script, place, *flags("whole"), more) == f"{start}{differs}{end}"
    (place / "broken").mkdir(exist_ok=True)
    (place / "broken/manifest.json").write_text("{}")
    assert error_of(run_script, place, *flags("broken")) == (
        "broken/manifest.json is no manifest of features in parts of this version. Choose another "
        "--output."
    )
    assert bytes_of(output) == before


def test_what_is_wrong_is_told_before_anything_is_computed(run_script, place):
    (place / "file").write_text("")
    graph = "--graph=tiny.pb"
    mistakes = {
        (graph, "--image_list=list.txt"): "--output must be given; see --help.",
        (graph, "--output=o"): "Name images with --image_dir or --image_list, with one of them.",
        (*flags("o"), "--image_dir=photos"): (
            "Name images with --image_dir or --image_list, with one of them."
        ),
        tuple(flags("file")): "file is a file; --output takes a folder.",
        tuple(flags("file/o")): "file is a file; results cannot be written to file/o.",
        (*flags("o"), "--address=auto"): "--address is of a Ray cluster: --runner=ray.",
        (*flags("o"), "--max_failures=x"): (
            "--max_failures=x is neither a number of images nor a percentage of them, "
            "as 20 or 1.5%."
        ),
        (*flags("o"), "--tensors=no:0"): "No tensor 'no:0' in tiny.pb (",
        (graph, "--image_dir=no", "--output=o"): "No such folder: no (--image_dir)",
    }
    for arguments, message in mistakes.items():
        assert error_of(run_script, place, *arguments).startswith(message), arguments
    assert not (place / "o").exists()


def test_too_many_failures_end_the_job(run_script, place, output):
    wanted = "the reasons are in whole/part-*.failures.parquet."
    for said, most in {"2": "3 of 61", "4%": "3 of 61"}.items():
        assert error_of(run_script, place, *flags("whole"), f"--max_failures={said}") == (
            f"{most} images cannot be used, more than --max_failures={said} allows; {wanted}"
        )
    done = run_script(MODULE, *flags("whole"), "--max_failures=5%", cwd=place)
    assert done.status == 1


def test_shards_that_cannot_be_written_are_tried_again_and_named(run_script, place):
    (place / "blocked").mkdir()
    (place / "blocked/list").write_text("a file where a folder should be")
    done = run_script(MODULE, *flags("blocked"), cwd=place)
    assert done.status == 2
    *_, last = done.err.splitlines()
    assert last.startswith("error: 4 shards could not be done: part-00000.parquet: ")
    assert last.endswith(". The same command goes on where this one has ended.")
    assert "Not a directory" in last or "File exists" in last
    assert done.err.count("; it is tried again\n") == 8
    assert not finished(place / "blocked")


def test_where_no_image_can_be_used_the_lists_are_named(run_script, place):
    write_list(place / "bad.txt", ["photos/b/001.jpg", "photos/c/002.jpg"])
    arguments = [*flags("none"), "--image_list=bad.txt"]
    assert error_of(run_script, place, *arguments) == (
        "None of the 2 images can be used; the reasons are in none/part-*.failures.parquet."
    )


def test_a_shorter_list_removes_parts_when_that_is_asked_for(run_script, place, output):
    shutil.copytree(output, place / "shorter")
    write_list(place / "short.txt", (place / "list.txt").read_text().split()[:20])
    arguments = [*flags("shorter"), "--image_list=short.txt"]
    assert error_of(run_script, place, *arguments) == (
        "shorter holds more parts than the list has images for, as part-00002.parquet. All others "
        "are there; --overwrite removes these."
    )
    assert len(parts_of(place / "shorter")) == 4
    done = run_script(MODULE, *arguments, "--overwrite", cwd=place)
    assert done.out.startswith("0 computed, "), done
    assert "2 parts of images that are not listed removed" in done.err
    assert sorted(path.name for path in (place / "shorter/list").iterdir()) == [
        "00000.parquet", "00001.parquet",
    ]  # fmt: skip
    assert len(parts_of(place / "shorter")) == 2


def test_without_pyarrow_one_line_says_what_to_install(place, tmp_path):
    (tmp_path / "pyarrow.py").write_text("raise ImportError('no pyarrow')")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", MODULE, *flags("o")],
        cwd=place, env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        2,
        "error: Writing features in parts needs pyarrow: pip install pyarrow\n",
    )


def test_nothing_of_ray_and_no_tensorflow_is_imported_by_the_driver(place, output):
    code = (
        "import atexit, runpy, sys\n"
        "atexit.register(lambda: print({'ray', 'tensorflow.python.tf2'} & set(sys.modules)))\n"
        f"sys.argv[1:] = {flags('whole')!r}\n"
        f"runpy.run_module({MODULE!r}, run_name='__main__', alter_sys=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1] == "set()", done


def test_graph_images_and_output_may_be_uris(run_script, place, output):
    here = f"file://{place.resolve()}"
    images = (place / "list.txt").read_text().split()
    write_list(place / "uris.txt", [f"{here}/{image}" for image in images])
    arguments = (f"--graph={here}/tiny.pb", f"--image_list={here}/uris.txt", f"--output={here}/uri")
    done = run_script(MODULE, *arguments, "--shard_size=16", "--workers=1", cwd=place)
    assert (done.status, done.out.partition(" (")[0]) == (1, "58 computed, 0 reused, 3 failed")
    rows = {image.removeprefix(f"{here}/"): row for image, row in read_rows(place / "uri").items()}
    assert same_rows(rows, read_rows(output))


def test_from_python(place, output, monkeypatch):
    monkeypatch.chdir(place)
    options = rt.ManyOptions("whole", image_list="list.txt", shard_size=16, workers=1)
    found = rt.fetch_many(rt.load("tiny.pb"), None, options)
    assert (found.computed, found.reused, found.failed) == (0, 58, {"image": 2, "reading": 1})
    with pytest.raises(rt.InputError, match="workers=0 must be at least 1"):
        rt.fetch_many(rt.load("tiny.pb"), None, rt.ManyOptions("whole", workers=0))
    with pytest.raises(rt.InputError, match="runner=dask must be local or ray"):
        rt.fetch_many(rt.load("tiny.pb"), None, rt.ManyOptions("whole", runner="dask"))
