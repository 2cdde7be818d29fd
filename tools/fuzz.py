"""Feed damaged and hostile files to every reader of this package, and see what leaves it.

  python tools/fuzz.py --work_dir=/tmp/fuzz --minutes_per_reader=3
  python tools/fuzz.py --work_dir=/tmp/fuzz --readers=saved_model,keras --seed=7
  python tools/fuzz.py --work_dir=/tmp/fuzz --replay=/tmp/fuzz/findings/keras/0123456789.input \
      --reader=keras

Small real files are changed field by field and byte by byte, and read in a process of its own. Only
InputError may leave a reader. Another exception, a crash, more than 20 s of CPU, 1 GiB of memory, a
file written outside, a program started and a temporary file left behind are findings; the smallest
input of each is kept in --keep.

--work_dir keeps the seeds (made with TensorFlow, once), what was done, and inputs that led to code
that no other did: a run goes on from there, and the times add up. With another --seed other changes
are made. The table has each reader's executions and CPU minutes over all runs, its findings, and
how many of them are still open: each is read again at the end.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

from absl import flags
from fuzzing.findings import read_findings
from fuzzing.readers import PLANTED, READERS
from fuzzing.supervising import Limits, Tally, Workers

from retrain_tools import command_line, files
from retrain_tools.errors import InputError
from retrain_tools.text_tables import Style, aligned

_ROOT = Path(__file__).resolve().parents[1]
_SLICE_SECONDS = 30.0  # each reader's turn: all get on alike, however early a run is stopped
_TALLIES = "tallies.json"

flags.DEFINE_string("work_dir", None, "Seeds, tallies and corpus: what a run goes on from.")
flags.DEFINE_list("readers", list(READERS), "What is fuzzed.")
flags.DEFINE_float("minutes_per_reader", 3.0, "CPU minutes that are added to each reader's.")
flags.DEFINE_integer("executions", 1 << 40, "Inputs of each reader, at the most.")
flags.DEFINE_integer("seed", 1, "Of the random numbers.")
flags.DEFINE_string("keep", None, "Where findings go. Default: findings in --work_dir.")
flags.DEFINE_string("replay", None, "Read this kept input, or any file, once, with --reader.")
flags.DEFINE_string("reader", None, "With --replay: which reader.")
FLAGS = flags.FLAGS


def main(_: list[str]) -> None:
    """Fuzz, or replay, and print what was found."""
    command_line.require("work_dir")
    work = Path(FLAGS.work_dir).resolve()
    work.mkdir(parents=True, exist_ok=True)
    keep = Path(FLAGS.keep).resolve() if FLAGS.keep else work / "findings"
    if FLAGS.replay:
        command_line.require("reader")
        _check([FLAGS.reader])
        with Workers(Limits()) as workers:
            found = workers.replay(FLAGS.reader, Path(FLAGS.replay), work)
        print(found or f"{FLAGS.reader} reads {FLAGS.replay} without a finding")
        sys.exit(1 if found else 0)
    _check(FLAGS.readers)
    seeds, tallies = _seeds(work), _read(work / _TALLIES)
    with Workers(Limits()) as workers:
        _fuzz(workers, tallies, (seeds, work, keep))
        _report(workers, tallies, work, keep)


def _fuzz(workers: Workers, tallies: dict[str, Tally], folders: tuple[Path, Path, Path]) -> None:
    """Fuzz the readers in turns, and note after each what was done."""
    left = dict.fromkeys(FLAGS.readers, (60 * FLAGS.minutes_per_reader, FLAGS.executions))
    _, work, keep = folders
    while left:
        for name, (seconds, executions) in list(left.items()):
            tally = tallies.setdefault(name, Tally())
            before = dataclasses.replace(tally)
            budget = (min(seconds, _SLICE_SECONDS), executions)
            workers.fuzz(name, tally, folders, FLAGS.seed, budget)
            left[name] = (
                seconds - tally.seconds + before.seconds,
                executions - tally.executions + before.executions,
            )
            files.write_text(work / _TALLIES, _as_text(tallies))
            found = len(read_findings(keep, name))
            print(
                f"{name}: {tally.executions:,} executions, {tally.seconds / 60:.1f} minutes, "
                f"{found} findings",
                file=sys.stderr,
            )
            if min(left[name]) <= 0:
                del left[name]


def _check(names: list[str]) -> None:
    for name in names:
        if name not in {**READERS, **PLANTED}:
            raise InputError(f"There is no reader {name!r}; there is {', '.join(READERS)}.")


def _seeds(work: Path) -> Path:
    """Return the folder of seeds; they are made in another process, which has TensorFlow then."""
    folder = work / "seeds"
    if not folder.exists():
        path = os.pathsep.join(map(str, (_ROOT / "tools", _ROOT)))
        command = [sys.executable, "-m", "fuzzing.make_seeds", str(folder)]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": path})
    return folder


def _read(path: Path) -> dict[str, Tally]:
    if not path.exists():
        return {}
    return {name: Tally(**held) for name, held in json.loads(path.read_text()).items()}


def _as_text(tallies: dict[str, Tally]) -> str:
    held = {name: dataclasses.asdict(tally) for name, tally in tallies.items()}
    return json.dumps(held, indent=1) + "\n"


def _report(workers: Workers, tallies: dict[str, Tally], work: Path, keep: Path) -> None:
    rows: list[tuple[str, ...]] = [
        ("reader", "executions", "CPU minutes", "slowest s", "corpus", "findings", "open")
    ]
    still = []
    for name, tally in sorted(tallies.items()):
        found, shown = read_findings(keep, name), workers.open_findings(name, work, keep)
        still += shown
        rows.append(
            (name, f"{tally.executions:,}", f"{tally.seconds / 60:.1f}", f"{tally.slowest:.1f}",
             str(tally.corpus), str(len(found)), str(len(shown)))
        )  # fmt: skip
    print(aligned(rows, Style()), end="")
    for one in still:
        print(f"{one.reader}: {one.fault}\n  {one.path}")
    if still:
        sys.exit(1)


if __name__ == "__main__":
    command_line.run(main)
