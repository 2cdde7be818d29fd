"""The command line of `fetch_many` where images, list and output lie in a real object store."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from retrain_tools import storage
from tests.features import tiny
from tests.features.parts.many import TENSOR, read_failures, read_rows, same_rows, write_photos
from tests.head.scripts import run_script


def copied(uri: str, folder: Path) -> Path:
    """Take an output out of the store, as it lies there."""
    folder.mkdir()
    for name in storage.list_names(uri):
        if name.startswith("part-"):
            (folder / name).write_bytes(storage.read(f"{uri}/{name}"))
    return folder


def test_a_bucket_gives_the_rows_of_a_folder_and_a_second_run_computes_what_changed(
    bucket: str, tmp_path: Path
) -> None:
    tiny.write_2015_graph(tmp_path / "tiny.pb")
    photos = write_photos(tmp_path / "photos", 12)
    for photo in photos:
        storage.write(f"{bucket}/{photo.relative_to(tmp_path)}", photo.read_bytes())
    alone = ("--graph=tiny.pb", "--image_dir=photos", "--output=f.npz")
    assert run_script("retrain_tools.fetch_tensors", *alone, cwd=tmp_path).status == 1
    found = np.load(tmp_path / "f.npz")
    wanted = {
        f"{bucket}/photos/{Path(image).relative_to('photos')}": row
        for image, row in zip(found["images"], found[TENSOR], strict=True)
    }

    images, output = f"--image_dir={bucket}/photos", f"{bucket}/out"
    command = ("--graph=tiny.pb", images, f"--output={output}", "--shard_size=5", "--workers=1")
    done = run_script("retrain_tools.fetch_many", *command, cwd=tmp_path)
    assert done.status == 1, done.err
    assert re.match(rf"10 computed, 0 reused, 2 failed .*: {output}: 3 parts", done.out), done.out
    parts = copied(output, tmp_path / "first")
    assert same_rows(read_rows(parts), wanted)
    kinds = {image.rpartition("/")[2]: kind for image, (_, kind) in read_failures(parts).items()}
    assert kinds == {"001.jpg": "image", "002.jpg": "image"}

    storage.write(f"{bucket}/photos/b/001.jpg", photos[0].read_bytes())
    again = run_script("retrain_tools.fetch_many", *command, cwd=tmp_path)
    assert re.match(r"1 computed, 10 reused, 1 failed ", again.out), again.out
    rows = read_rows(copied(output, tmp_path / "second"))
    assert len(rows) == 11
    assert same_rows({name: rows[name] for name in wanted}, wanted)
