"""Check fetch_many on a real graph: the same bits, its speed, whoever is killed, its memory.

  python tools/check_fetch_many.py --graph=GRAPH.pb --image_dir=../shared/data/orchids/images \
      --work_dir=/tmp/check --runner=local --checks=same,speed,workers,driver,images

`same`: shards of 16 with three bad files among the images, by 1, 2 and 4 workers, against
fetch_tensors, bit by bit. `speed`: two workers against fetch_tensors, without start-up; only on a
machine that does nothing else. `workers`: SIGKILL of a worker at random, --kills times in one job.
`driver`: SIGKILL of the driver at --driver_kills random moments of one job, which is started again
each time. `images`: one that was missing is computed alone, one that changed as well. The largest
peak of a worker's memory is printed. Nothing of it is a test.
"""

from __future__ import annotations

import collections
import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.dataset
import pyarrow.parquet
from absl import flags

from retrain_tools import command_line
from retrain_tools.images.folders import find_images

flags.DEFINE_string("graph", None, "The graph.")
flags.DEFINE_string("image_dir", None, "Folder of images.")
flags.DEFINE_string("work_dir", None, "Folder to work in, which is made.")
flags.DEFINE_enum("runner", "local", ["local", "ray"], "The runner.")
flags.DEFINE_list("checks", ["same", "workers", "driver", "images"], "What is checked.")
flags.DEFINE_integer("images", None, "Of how many images at most; all without it.")
flags.DEFINE_integer("shard_size", 16, "Images in a part.")
flags.DEFINE_integer("kills", 20, "How many workers are killed.")
flags.DEFINE_integer("driver_kills", 5, "How many drivers are killed.")
flags.DEFINE_integer("seed", 0, "Of what is random.")
FLAGS = flags.FLAGS

Rows = dict[str, bytes]


class Run:
    """A run of fetch_many, and what is seen of its workers."""

    def __init__(self, output: Path, image_list: Path, *more: object) -> None:
        command = [sys.executable, "-m", "retrain_tools.fetch_many", f"--graph={FLAGS.graph}"]
        command += [f"--image_list={image_list}", f"--output={output}", f"--runner={FLAGS.runner}"]
        command += [f"--shard_size={FLAGS.shard_size}", *map(str, more)]
        self.output, self.start = output, time.monotonic()
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.peaks: dict[int, int] = {}
        self.first_part: float | None = None

    def workers(self) -> list[int]:
        """Return the processes that have tasks."""
        found, waiting = [], [self.process.pid]
        while waiting:
            below = _children(waiting.pop())
            waiting += below
            found += [one for one in below if re.search(r"serve\(|^ray::_run", _command(one))]
        for one in found:
            self.peaks[one] = max(self.peaks.get(one, 0), _peak(one))
        return found

    def parts(self) -> set[str]:
        """Return the records of the parts that are finished."""
        found = {path.name for path in self.output.glob("part-*.json")}
        if found and self.first_part is None:
            self.first_part = time.monotonic() - self.start
        return found

    def until(self, is_so: Callable[[], bool]) -> bool:
        """Wait; return whether it runs still."""
        while self.process.poll() is None and not is_so():
            self.workers()
            self.parts()
            time.sleep(0.1)
        return self.process.poll() is None

    def end(self) -> str:
        """Wait for the end and return the summary.

        Raises:
            RuntimeError: it ended with an error.
        """
        self.until(lambda: False)
        out, err = self.process.communicate()
        if self.process.returncode not in (0, 1):
            raise RuntimeError(f"status {self.process.returncode}: {err[-2000:]}")
        return out.strip()

    def most_memory(self) -> str:
        """Return the largest peak of a worker."""
        return f"{max(self.peaks.values(), default=0) / 1e6:,.0f} MB"


def _children(process: int) -> list[int]:
    with contextlib.suppress(OSError):
        tasks = Path(f"/proc/{process}/task").glob("*/children")
        return [int(child) for task in tasks for child in task.read_text().split()]
    return []


def _command(process: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def _peak(process: int) -> int:
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
        return int(found[1]) * 1024 if found else 0
    return 0


def rows_of(output: Path) -> Rows:
    """Read all parts, without any code of the package; an image that is there twice is an error."""
    files = sorted(str(path) for path in output.glob("part-*[0-9].parquet"))
    table = pyarrow.dataset.dataset(files).to_table()
    [tensor] = [name for name in table.column_names if name not in ("image", "label")]
    images = table["image"].to_pylist()
    values = table[tensor].combine_chunks().flatten().to_numpy().reshape(len(images), -1)
    twice = [image for image, count in collections.Counter(images).items() if count > 1]
    if twice:
        raise RuntimeError(f"{len(twice)} images are there twice")
    return {image: row.tobytes() for image, row in zip(images, values, strict=True)}


def failures_of(output: Path) -> dict[str, str]:
    """Read all lists of failures."""
    files = output.glob("part-*.failures.parquet")
    rows = [row for file in files for row in pyarrow.parquet.read_table(file).to_pylist()]
    return {row["uri"]: row["kind"] for row in rows}


def files_of(output: Path) -> dict[str, bytes]:
    """Return the bytes of all files but of the records, which tell seconds."""
    return {path.name: path.read_bytes() for path in sorted(output.glob("*.parquet"))}


def prepare(place: Path) -> Path:
    """Write a list of images with three bad ones among them, and what fetch_tensors gives."""
    images = [file.path for file in find_images(FLAGS.image_dir)][: FLAGS.images]
    (place / "random.jpg").write_bytes(np.random.default_rng(0).bytes(5000))
    (place / "empty.jpg").write_bytes(b"")
    shutil.copy(images[0], place / "missing.jpg.aside")
    for at, name in ((5, "random.jpg"), (25, "empty.jpg"), (45, "missing.jpg")):
        images.insert(at, str(place / name))
    path = place / "list.txt"
    path.write_text("".join(f"{image}\n" for image in images))
    return path


def fetched(place: Path, image_list: Path) -> tuple[Rows, float]:
    """Return the rows of fetch_tensors, and its images a second."""
    output = place / "fetched.npz"
    command = [sys.executable, "-m", "retrain_tools.fetch_tensors", f"--graph={FLAGS.graph}"]
    command += [f"--image_list={image_list}", f"--output={output}", "--overwrite"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    speed = re.search(r"([\d.]+) images/s", done.stdout)
    held = np.load(output)
    [tensor] = [name for name in held.files if name not in ("images", "labels")]
    rows = {str(i): row.tobytes() for i, row in zip(held["images"], held[tensor], strict=True)}
    return rows, float(speed[1]) if speed else 0.0


def check_same(place: Path, image_list: Path, wanted: Rows) -> list[list[str]]:
    """Compare with fetch_tensors, by 1, 2 and 4 workers."""
    found = []
    for workers in (1, 2, 4):
        run = Run(place / f"same{workers}", image_list, f"--workers={workers}")
        summary = run.end()
        same = rows_of(run.output) == wanted and len(failures_of(run.output)) == 3
        found.append([f"same, {workers} workers", str(same), f"{run.most_memory()}; {summary}"])
    return found


def check_speed(place: Path, image_list: Path, speed: float) -> list[list[str]]:
    """Compare images a second, once the first part is there, with those of fetch_tensors."""
    run = Run(place / "speed", image_list, "--workers=2")
    run.until(lambda: bool(run.parts()))
    begin, there = time.monotonic(), len(run.parts())
    run.end()
    seconds = time.monotonic() - begin
    images = FLAGS.shard_size * (len(run.parts()) - there)
    ratio = images / seconds / speed
    told = f"{images / seconds:.1f} against {speed:.1f} images/s; first part {run.first_part:.1f} s"
    return [["speed, 2 workers", f"{ratio:.2f}", f"{told}; {run.most_memory()}"]]


def check_workers(place: Path, image_list: Path, wanted: Rows) -> list[list[str]]:
    """Kill workers at random, spread over the whole job."""
    rng = random.Random(FLAGS.seed)
    run, killed = Run(place / "workers", image_list, "--workers=2"), 0
    shards = -(-(len(wanted) + 3) // FLAGS.shard_size)
    while killed < FLAGS.kills:
        # Something is done between two: three in a row that die at their start end a job.
        due = 1 + killed * (shards - 4) // FLAGS.kills
        wait = time.monotonic() + rng.uniform(0, 1)
        if not run.until(lambda d=due, w=wait: len(run.parts()) >= d and time.monotonic() > w):
            break
        if workers := run.workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(rng.choice(workers), signal.SIGKILL)
                killed += 1
    summary = run.end()
    status = run.process.returncode
    same = rows_of(run.output) == wanted and len(failures_of(run.output)) == 3
    return [[f"{killed} workers killed", str(same), f"status {status}; {summary}"]]


def check_driver(place: Path, image_list: Path, wanted: Rows) -> list[list[str]]:
    """Kill the driver at random, and start it again each time."""
    rng, found = random.Random(FLAGS.seed), []
    output, shards = place / "driver", -(-(len(wanted) + 3) // FLAGS.shard_size)
    moments = sorted(rng.uniform(0, shards - 1) for _ in range(FLAGS.driver_kills))
    for moment in moments:
        run = Run(output, image_list, "--workers=2")
        more = time.monotonic() + rng.uniform(0, 3)
        run.until(lambda r=run, m=moment, t=more: len(r.parts()) > m and time.monotonic() > t)
        workers = run.workers()
        run.process.kill()
        run.process.communicate()
        while any(_command(one) for one in workers):
            time.sleep(0.1)
        found.append(len(run.parts()))
    told = {path: path.read_bytes() for path in output.glob("part-*.json")}
    rest = Run(output, image_list, "--workers=2")
    summary = rest.end()
    kept = all(path.read_bytes() == data for path, data in told.items())
    other = place / "same2"  # of the same command, and not disturbed
    same = files_of(output) == files_of(other) if other.exists() else rows_of(output) == wanted
    detail = f"at {found} of {shards} parts; finished parts left alone: {kept}; {summary}"
    return [[f"{len(found)} drivers killed", str(same and kept), detail]]


def check_images(place: Path, image_list: Path, wanted: Rows) -> list[list[str]]:
    """Bring an image back, and change another."""
    output = place / "same2"
    source = output if output.exists() else Run(output, image_list, "--workers=2").end() and output
    shutil.rmtree(place / "images", ignore_errors=True)
    shutil.copytree(source, place / "images")
    (place / "missing.jpg.aside").rename(place / "missing.jpg")
    back = Run(place / "images", image_list, "--workers=2", "--retry_failed").end()
    shutil.copy(list(wanted)[-1], place / "missing.jpg")
    changed = Run(place / "images", image_list, "--workers=2").end()
    (place / "missing.jpg").rename(place / "missing.jpg.aside")
    same = rows_of(place / "images")[str(place / "missing.jpg")] == list(wanted.values())[-1]
    return [
        ["an image that is back", str(back.startswith("1 computed")), back],
        ["an image that changed", str(changed.startswith("1 computed") and same), changed],
    ]


def main(_: list[str]) -> None:
    """Check what is asked for, and print a line for each."""
    command_line.require("graph", "image_dir", "work_dir")
    place = Path(FLAGS.work_dir).absolute()
    place.mkdir(parents=True, exist_ok=True)
    image_list = prepare(place)
    wanted, speed = fetched(place, image_list)
    checks: dict[str, Callable[[], list[list[str]]]] = {
        "same": lambda: check_same(place, image_list, wanted),
        "speed": lambda: check_speed(place, image_list, speed),
        "workers": lambda: check_workers(place, image_list, wanted),
        "driver": lambda: check_driver(place, image_list, wanted),
        "images": lambda: check_images(place, image_list, wanted),
    }
    for name in FLAGS.checks:
        for line in checks[name]():
            print(*line, sep="  ", flush=True)


if __name__ == "__main__":
    command_line.run(main)
