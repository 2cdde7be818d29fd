"""The benchmark: its ratios and bars on made-up times, and a whole run on a tiny graph."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import bars, extraction, measure, start, training
from benchmarks.records import LeftOut, Record, compare, table, times_as_fast
from benchmarks.stopwatch import difference
from PIL import Image

from tests.features import tiny

_ROOT = Path(__file__).resolve().parents[2]
_SMALL = "inception_2015, small photos"
_STEPS = "10,000 × 2048, 4,000 steps of 100"


def _speed(way: str, *values: float, subject: str = _SMALL) -> Record:
    return Record("extraction", subject, way, "images/s", list(values))


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "tools/benchmark.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=_ROOT)


def test_ways_are_measured_in_turns_and_one_that_cannot_be_is_named_and_left_out() -> None:
    order, said = [], []
    times = {"a": iter([1.0, 9.0, 2.0]), "b": iter([4.0, 5.0, 6.0])}

    def way(name: str) -> Any:
        order.append(name)
        return {"value": next(times[name]), "cpu": 10.0, "peak_mb": 7}

    def gone() -> Any:
        order.append("c")
        raise LeftOut("it is not installed")

    ways = {"a": lambda: way("a"), "c": gone, "b": lambda: way("b")}
    a, c, b = compare("start", "it", "s", ways, 3, said.append)
    assert order == ["a", "c", "b", "a", "b", "a", "b"]
    assert (a.values, a.median(), b.median()) == ([1.0, 9.0, 2.0], 2.0, 5.0)
    assert (c.values, c.left_out) == ([], "it is not installed")
    assert said[0] == "start, it, 1/3: a: 1 s (10 by CPU time), peak_mb 7"
    assert said[1] == "start, it, 1/3: c: left out: it is not installed"


def test_a_ratio_is_of_medians_and_above_1_for_what_is_better() -> None:
    slow, fast = _speed("slow", 10, 30, 20), _speed("fast", 35, 50, 1000)
    assert times_as_fast(fast, slow) == pytest.approx(2.5)
    long, short = (
        Record("start", "", way, "s", [seconds]) for way, seconds in (("l", 6), ("s", 2))
    )
    assert times_as_fast(short, long) == pytest.approx(3)
    assert times_as_fast(_speed("none"), slow) is None


def test_by_cpu_time_the_clock_does_not_count_where_both_were_taken() -> None:
    one = Record("x", "y", "one", "images/s", [5.0], [40.0])
    other = Record("x", "y", "other", "images/s", [6.0], [20.0])
    assert times_as_fast(one, other, "cpu") == pytest.approx(2)
    assert Record("x", "y", "no CPU time", "s", [3.0]).median("cpu") == 3.0


def test_the_table_compares_each_subject_with_its_first_way() -> None:
    records = [_speed("old", 10), _speed("new", 25), Record("start", "it", "way", "s", [1234.5])]
    records[1].notes["difference"] = 0.000123456
    lines = table([*records, Record("start", "it", "no", "s", left_out="why")], "wall").splitlines()
    assert lines[1].split()[-3:] == ["10", "images/s", "1.00"]
    assert lines[2].endswith("25      images/s  2.50     difference 0.0001235")
    assert lines[3].split()[-3:] == ["1,234", "s", "1.00"]  # 1234.5 is rounded to even
    assert lines[4].endswith("left out: why")


def _bar(records: list[Record], text: str) -> bars.Bar:
    [bar] = [bar for bar in bars.evaluate(records) if bar.text == text]
    return bar


def test_bars_of_extraction_hold_from_their_bound_on() -> None:
    ours, original = extraction.OURS("float32"), extraction.ORIGINAL
    enough = _bar([_speed(original, 20), _speed(ours, 39)], "float32 / one image per call")
    assert (enough.value, enough.bound, enough.holds) == (pytest.approx(1.95), 1.95, True)
    less = _bar([_speed(original, 20), _speed(ours, 38)], "float32 / one image per call")
    assert less.holds is False
    assert _bar([_speed(ours, 39)], "float32 / one image per call").holds is None
    other = "resnet_v1_50, small photos"
    records = [
        _speed(extraction.OURS("bfloat16"), 96, subject=other),
        _speed(extraction.OPENVINO("bfloat16"), 100, subject=other),
    ]
    bar = _bar(records, "resnet_v1_50, bfloat16 / OpenVINO bfloat16")
    assert (bar.holds, bar.needs_amx) == (True, True)


def test_the_limit_of_products_is_in_images() -> None:
    products = Record(
        "limits", "matmul 2048 × 2048, all cores", "matmul float32", "GFLOP/s", [456.0]
    )
    records = [products, _speed(extraction.OURS("float32"), 30)]  # of 40
    bar = _bar(records, "float32 / limit of matrix products")
    assert (bar.value, bar.holds) == (pytest.approx(0.75), False)


def test_bars_of_training_and_start() -> None:
    records = [
        Record("training", _STEPS, training.ORIGINAL, "steps/s", [10.0]),
        Record("training", _STEPS, training.OURS, "steps/s", [1000.0]),
        Record("training", "loading 10,000 × 1001", training.COLD, "s", [2.5]),
        Record("start", "inception_2015", start.IMPORT, "s", [2.0]),
        Record("start", "inception_2015", start.MISSING, "s", [2.9]),
        Record(
            "start", "inception_2015", start.CACHED, "s", [0.5], notes={"imports_tensorflow": False}
        ),
        Record("start", "inception_2015", start.MINIMAL, "s", [2.0]),
        Record("start", "inception_2015", start.LABEL, "s", [2.4]),
    ]
    assert _bar(records, "training / retrain.py's way").holds is True
    assert _bar(records, "seconds of loading, retrain_tools, first time").holds is False
    assert _bar(records, "one missing: seconds more than the import").value == pytest.approx(0.9)
    assert _bar(records, "all cached: TensorFlow imported (1: it is)").holds is True
    assert _bar(records, "label_image / minimal script, seconds").holds is False
    records[5].notes["imports_tensorflow"] = True
    assert _bar(records, "all cached: TensorFlow imported (1: it is)").holds is False


def test_memory_is_bounded_and_flat_either_way() -> None:
    def found(few: float, many: float) -> tuple[bool | None, bool | None]:
        subject = "inception_2015, float32"
        records = [
            Record("memory", subject, "500 images", "MB", [few]),
            Record("memory", subject, "8,000 images", "MB", [many]),
        ]
        peak, flat = (
            _bar(records, f"float32: {what}") for what in ("peak, MB", "8,000 images / 500, off by")
        )
        return peak.holds, flat.holds

    assert found(1200, 1240) == (True, True)
    assert found(1200, 1310) == (False, False)
    assert found(1200, 1100) == (True, False)


def test_the_table_of_bars_says_what_was_meant_for_amx() -> None:
    records = [_speed(extraction.ORIGINAL, 10), _speed(extraction.OURS("bfloat16"), 40)]
    text = bars.bars_table(bars.evaluate(records), has_amx=False)
    [line] = [line for line in text.splitlines() if "bfloat16 / one image" in line]
    assert line.split() == [
        "1",
        "bfloat16",
        "/",
        "one",
        "image",
        "per",
        "call",
        "4",
        "≥",
        "8.5",
        "NO",
        "(meant",
        "for",
        "AMX)",
    ]


def test_an_engine_takes_two_networks_on_which_it_is_faster_by_15_percent() -> None:
    def two(name: str, ours: float, others: float) -> list[Record]:
        subject = f"{name}, small photos"
        return [
            _speed(extraction.OURS("float32"), 10, subject=subject),
            _speed(extraction.OURS("bfloat16"), ours, subject=subject),
            _speed(extraction.OPENVINO("bfloat16"), others, subject=subject),
        ]

    records = two("inception_2015", 100, 114) + two("inception_v3", 100, 120)
    assert bars.engines(records) == (
        "engines: OpenVINO ≥ 1.15 × our best on inception_v3 (1.20) of 2 networks: "
        "no --engine: that takes two networks"
    )
    assert bars.engines([*records, *two("resnet_v1_50", 10, 20)]).endswith(
        "inception_v3 (1.20), resnet_v1_50 (2.00) of 3 networks: worth an --engine"
    )
    assert bars.engines([]) == "engines: OpenVINO was not compared"


def test_who_computes_something_else_is_no_peer() -> None:
    ours = np.array([[2.0, 4.0]], np.float32)
    assert difference(ours, ours + np.float32(0.002), "float32") == pytest.approx(0.0005, rel=0.01)
    assert difference(ours, ours * 1.05, "bfloat16") == pytest.approx(0.05)
    with pytest.raises(LeftOut, match=r"^it computes something else: differs by 0\.05 of our "):
        difference(ours, ours * 1.05, "float32")
    with pytest.raises(LeftOut, match="computes something else: differs by nan"):
        difference(ours, ours * np.nan, "bfloat16")


def test_a_package_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    measure.main("peer_openvino.convert", '{"folder": "nowhere"}')
    assert json.loads(capsys.readouterr().out) == {"left_out": "openvino is not installed"}


def test_a_whole_run_prints_its_tables_and_writes_figures_and_chart(tmp_path: Path) -> None:
    graph = tiny.write_2015_graph(tmp_path / "graph.pb")
    for number in range(6):
        path = tmp_path / "photos" / f"class_{number % 2}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        tiny.photo(20, 30).save(path)
    output = tmp_path / "output"
    done = _run(
        f"--graph={graph}", f"--image_dir={tmp_path / 'photos'}", f"--output_dir={output}",
        f"--work_dir={tmp_path / 'work'}", "--sections=extraction", "--networks=inception_2015",
        "--inputs=small", "--against=original", "--images=8", "--rounds=1",
        "--precisions=float32",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((output / "benchmark.json").read_text())
    measured = {record["way"]: record for record in found["records"]}
    for way in (extraction.ORIGINAL, extraction.OURS("float32")):
        assert measured[way]["subject"] == _SMALL
        assert measured[way]["median"] == measured[way]["values"][0] > 0, done.stdout
    [bar] = [bar for bar in found["bars"] if bar["text"] == "float32 / one image per call"]
    speeds = [measured[way]["median"] for way in (extraction.OURS("float32"), extraction.ORIGINAL)]
    assert bar["value"] == pytest.approx(speeds[0] / speeds[1])
    assert bar["holds"] is (bar["value"] >= 1.95)
    assert set(found["machine"]) >= {"cpu", "amx", "cores", "versions"}
    tables = (output / "benchmark.txt").read_text()
    assert tables in done.stdout
    assert "acceptance" in tables
    assert found["machine"]["cpu"] in tables
    with Image.open(output / "benchmark.png") as chart:
        assert chart.width > 1000


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        (
            "--sections=memry",
            "--sections has no 'memry'; there is limits, extraction, start, training, explorer, "
            "memory, growth.",
        ),
        ("--rounds=2", "--rounds=2: the median takes an odd number."),
    ],
)
def test_wrong_flags_are_one_line(flag: str, message: str, tmp_path: Path) -> None:
    done = _run("--graph=graph.pb", "--image_dir=photos", f"--output_dir={tmp_path}", flag)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {message}\n")


def test_a_section_that_cannot_begin_says_why(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    done = _run(
        "--graph=nowhere.pb", f"--image_dir={photos}", f"--output_dir={tmp_path}",
        f"--work_dir={tmp_path / 'work'}", "--sections=memory",
    )  # fmt: skip
    assert done.returncode == 2
    start = "error: The section memory cannot be measured: failed: "
    assert done.stderr.startswith(start), done.stderr
    assert "No such file: " in done.stderr
