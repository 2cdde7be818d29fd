"""Measure speed and memory against the old way and against others, as ratios within one run.

  python tools/benchmark.py --graph=GRAPH.pb --image_dir=FOLDER
  python tools/benchmark.py --graph=GRAPH.pb --image_dir=FOLDER --sections=extraction \
      --networks=inception_2015,resnet_v1_50 --work_dir=/tmp/benchmark

Sections: `limits` of the machine; `extraction`, each network alone and from JPEG to the cache;
`start` of processes that have little to do; `training` of the head; `explorer`, processes that look
into a graph; `memory`; `growth` with images and classes.

Every measurement is a process of its own, because TensorFlow's thread pools are fixed by a first
session. The ways to do one thing are measured in turns, --rounds times, and the medians count. In
extraction, opening the graph is not counted. OpenVINO and ONNX Runtime are compared where they are
(pip install openvino onnxruntime tf2onnx), with the same frozen body, and only if they compute what
we compute.

--output_dir gets benchmark.json, benchmark.txt with the tables, and benchmark.png; a run of some
sections leaves what the file knows of others, and --sections= measures nothing and shows all.
--work_dir keeps the networks and photos that are made, for the next run. On a machine that does
other work, --clock=cpu takes the ratios from CPU time.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags
from benchmarks import bars
from benchmarks.chart import write_chart
from benchmarks.machine import machine, machine_line
from benchmarks.records import LeftOut, Record, table
from benchmarks.setting import PRECISIONS, Setting
from benchmarks.subjects import NETWORKS

from retrain_tools import command_line, files
from retrain_tools.errors import InputError

SECTIONS = ("limits", "extraction", "start", "training", "explorer", "memory", "growth")
INPUTS = ("alone", "small", "large")
PEERS = ("original", "keras", "openvino", "onnx", "xla")
_CLOCKS = {"wall": "the clock", "cpu": "CPU time"}
_CHOICES = {
    "sections": SECTIONS,
    "networks": NETWORKS,
    "inputs": INPUTS,
    "against": PEERS,
    "precisions": PRECISIONS,
}

flags.DEFINE_string("graph", None, "Graph with an encoded image input: inception-2015-12-05.")
flags.DEFINE_string("image_dir", None, "Folder of JPEG images in class folders.")
flags.DEFINE_list("sections", list(SECTIONS), "What to measure.")
flags.DEFINE_list("networks", list(NETWORKS), "Networks of extraction; slim's get random weights.")
flags.DEFINE_list("inputs", list(INPUTS), "Of extraction: prepared pixels, small or large photos.")
flags.DEFINE_list("precisions", list(PRECISIONS), "Of extraction and memory.")
flags.DEFINE_list("against", list(PEERS), "Whom extraction is compared with.")
flags.DEFINE_integer("rounds", 3, "Times each is measured, in turns; odd.", lower_bound=1)
flags.DEFINE_integer("images", 200, "Small photos of a measurement.", lower_bound=5)
flags.DEFINE_integer("large_images", 24, "Photos of 12 megapixels of one.", lower_bound=5)
flags.DEFINE_integer("steps", 4000, "Steps of training.", lower_bound=4)
flags.DEFINE_integer("vectors", 10_000, "Cached vectors of training.", lower_bound=100)
flags.DEFINE_list("memory_images", ["500", "8000"], "Images of memory's jobs.")
flags.DEFINE_list("growth", ["1", "4", "16", "64"], "Factors on --images, in growth.")
flags.DEFINE_integer("nodes", 100_000, "Nodes of the explorer's largest graph.", lower_bound=3)
flags.DEFINE_enum("clock", "wall", ["wall", "cpu"], "Take ratios by the clock or by CPU time.")
flags.DEFINE_string("output_dir", ".", "Where benchmark.json, .txt and .png go.")
flags.DEFINE_string("work_dir", None, "Where networks and photos are kept. Default: nowhere.")
FLAGS = flags.FLAGS


def main(_: list[str]) -> None:
    """Measure the sections, print the table, write the files."""
    command_line.require("graph", "image_dir")
    for name, known in _CHOICES.items():
        if unknown := set(FLAGS[name].value).difference(known):
            raise InputError(f"--{name} has no {min(unknown)!r}; there is {', '.join(known)}.")
    if FLAGS.rounds % 2 == 0:
        raise InputError(f"--rounds={FLAGS.rounds}: the median takes an odd number.")
    sys.stdout.reconfigure(line_buffering=True)  # to a file, too, it is told as it goes
    output = Path(FLAGS.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    about = machine()
    print(machine_line(about))
    with tempfile.TemporaryDirectory() as scratch:
        setting = _setting(Path(FLAGS.work_dir or scratch).resolve())
        measured = []
        for name in FLAGS.sections:
            section = importlib.import_module(f"benchmarks.{name}")
            try:
                for records in section.sections(setting):
                    measured += records
                    _write(output / "benchmark.json", about, measured)
            except LeftOut as reason:  # of what is needed before anything is compared
                raise InputError(f"The section {name} cannot be measured: {reason}.") from reason
    records = _read(output / "benchmark.json")
    text = "\n".join(
        [
            machine_line(about),
            f"medians by {_CLOCKS[FLAGS.clock]}, one of the ways to do a thing after the other\n",
            table(records, FLAGS.clock),
            bars.bars_table(bars.evaluate(records, FLAGS.clock), about["amx"]),
            f"{bars.engines(records, FLAGS.clock)}\n",
        ]
    )
    print(f"\n{text}", end="")
    files.write_text(output / "benchmark.txt", text)
    try:
        title = f"{machine_line(about).splitlines()[0]}; medians by {_CLOCKS[FLAGS.clock]}"
        write_chart(records, title, FLAGS.clock, output / "benchmark.png")
    except InputError as error:
        print(f"no chart: {error}")


def _setting(work: Path) -> Setting:
    """Return what the flags say, by the names of the fields."""
    own = {
        "work_dir": work,
        "graph": str(Path(FLAGS.graph).resolve()),
        "image_dir": str(Path(FLAGS.image_dir).resolve()),
        **{name: [int(n) for n in FLAGS[name].value] for name in ("memory_images", "growth")},
    }
    names = [field.name for field in dataclasses.fields(Setting)]
    return Setting(**{name: own.get(name, FLAGS[name].value) for name in names})


def _write(path: Path, about: dict[str, Any], measured: Sequence[Record]) -> None:
    """Write what was measured into the file, in the place of what it has of the same subjects."""
    new = {(record.section, record.subject) for record in measured}
    kept = [record for record in _read(path) if (record.section, record.subject) not in new]
    records = [*kept, *measured]
    found = {
        "machine": about,
        "clock": FLAGS.clock,
        "records": [
            {**dataclasses.asdict(record), "median": record.median(FLAGS.clock)}
            for record in records
        ],
        "bars": [
            {**dataclasses.asdict(bar), "holds": bar.holds}
            for bar in bars.evaluate(records, FLAGS.clock)
        ],
        "engines": bars.engines(records, FLAGS.clock),
    }
    files.write_text(path, json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def _read(path: Path) -> list[Record]:
    if not path.exists():
        return []
    names = {field.name for field in dataclasses.fields(Record)}
    return [
        Record(**{name: value for name, value in entry.items() if name in names})
        for entry in json.loads(path.read_text(encoding="utf-8"))["records"]
    ]


if __name__ == "__main__":
    command_line.run(main)
