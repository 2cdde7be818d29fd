"""The peak of decoding large images, against what the README says that they may take.

They have 16 megapixels here; `LARGE_IMAGE_SIDE=9000` makes it 81, which takes two minutes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retrain_tools.images.decode import FORMATS
from tests.images.drawn import encoded

SIDE = int(os.environ.get("LARGE_IMAGE_SIDE", "4000"))
IMAGES, WORKERS = 8, 2
PIXELS = SIDE * SIDE
SLACK = 60_000_000  # what an allocator keeps, and the code that is read on first use

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="only Linux tells a process's peak anew"
)

CHILD = """
import json, os, sys
import retrain_tools as rt
from retrain_tools.features import decoding_memory

def told(what):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(what))

model = rt.load("graph.pb", input_mean=0.0, input_std=1.0)
running = rt.RunSettings(threads=int(sys.argv[1]), batch_size=4)
free = json.loads(sys.argv[2])
for name in sys.argv[3:]:
    if free is not None:
        decoding_memory.available_memory = lambda: free
    open("/proc/self/clear_refs", "w").write("5")
    before = told("VmRSS")
    images = [*(f"{name}/{one}" for one in sorted(os.listdir(name))), "small/0"]
    found = rt.fetch(model, ["mean_colour:0"], images, running=running)
    print(json.dumps([told("VmHWM") - before, list(found.failed.values())]), flush=True)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, mean_colour):
    """Four images of each format, cut off at three quarters; BMP and WebP whole ones, too."""
    folder = tmp_path_factory.mktemp("large")
    shutil.copy(mean_colour, folder)
    colour, flat = Image.new("RGB", (SIDE, SIDE), (120, 80, 40)), Image.new("P", (SIDE, SIDE))
    cmyk = Image.new("CMYK", (SIDE, SIDE), (9, 80, 40, 1))
    frames = [Image.new("P", (SIDE, SIDE), number) for number in (1, 2, 3)]
    whole = {
        "JPEG": encoded(cmyk, "JPEG", progressive=True, subsampling=0),
        "PNG": encoded(Image.fromarray(np.zeros((SIDE, SIDE), np.uint16)), "PNG"),
        "GIF": encoded(flat, "GIF", save_all=True, append_images=frames),
        "WebP": encoded(colour, "WEBP", method=0),
        "BMP": encoded(flat, "BMP"),
    }
    small = encoded(colour.resize((300, 200)), "JPEG")
    sets = {"small": small, **whole}
    sets |= {f"{name} cut": data[: len(data) * 3 // 4] for name, data in whole.items()}
    for name, data in sets.items():
        (folder / name).mkdir()
        for number in range(IMAGES // 2 if name in whole else IMAGES):
            (folder / name / str(number)).write_bytes(data)
    return folder


def peaks(folder, names, workers=WORKERS, free=None):
    """The peak of each set of images beside what the process had before, and the failures."""
    command = [sys.executable, "-c", CHILD, str(workers), json.dumps(free), "small", *names]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # The first one's peak has all that is made once in a process.
    return dict(zip(names, map(json.loads, done.stdout.splitlines()[1:]), strict=True))


def bytes_of_one(folder, name):
    form = next(form for form in FORMATS if name.startswith(form.name))
    return form.bytes_per_pixel * PIXELS + 2 * (folder / name / "0").stat().st_size


def test_bad_images_take_no_more_than_is_said_for_each_worker(folder):
    names = [f"{form.name} cut" for form in FORMATS]
    for name, (peak, failed) in peaks(folder, names).items():
        assert len(failed) == (0 if name == "GIF cut" else IMAGES), name
        assert peak <= WORKERS * bytes_of_one(folder, name) + SLACK, name


def test_good_images_take_no_more_either(folder):
    names = ["GIF", "WebP", "BMP"]
    for name, (peak, failed) in peaks(folder, names).items():
        assert not failed
        assert PIXELS < peak <= WORKERS * bytes_of_one(folder, name) + SLACK, name


def test_on_a_small_machine_one_waits_for_the_other(folder):
    one = bytes_of_one(folder, "BMP")
    ((peak, failed),) = peaks(folder, ["BMP"], free=2 * one).values()
    assert not failed
    assert peak <= one + SLACK


def test_on_a_smaller_machine_each_is_a_failure_before_it_takes_anything(folder):
    ((peak, failed),) = peaks(folder, ["BMP"], free=200_000_000).values()
    needed = round(bytes_of_one(folder, "BMP") / 1e6)
    assert failed == (IMAGES // 2) * [
        f"may take {needed:,} MB to decode, and no more than 100 MB are left for that: half of the "
        "free memory"
    ]  # fmt: skip
    assert peak <= SLACK
