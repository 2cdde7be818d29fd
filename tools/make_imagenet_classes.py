"""Make the table of ImageNet's classes from the two label maps of the graph of 2015.

    .venv/bin/python tools/make_imagenet_classes.py --label_maps=FOLDER

writes retrain_tools/head/data/imagenet_2012.tsv: for each of the 1000 classes its WordNet id, its
position among the 1008 scores of the graph of 2015, and its name. FOLDER holds
imagenet_2012_challenge_label_map_proto.pbtxt and imagenet_synset_to_human_label_map.txt, both
Apache-2.0, from https://storage.googleapis.com/download.tensorflow.org/models/image/imagenet/
inception-2015-12-05.tgz. The table is checked before it is written, and does not depend on the
order in which the maps name the classes. It need not be made again: ImageNet 2012 is closed.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

TABLE = Path(__file__).resolve().parents[1] / "retrain_tools/head/data/imagenet_2012.tsv"
MAP = "imagenet_2012_challenge_label_map_proto.pbtxt"
NAMES = "imagenet_synset_to_human_label_map.txt"
ENTRY = re.compile(r'entry\s*\{\s*target_class:\s*(\d+)\s*target_class_string:\s*"(n\d{8})"\s*\}')
HEADING = f"""\
# The 1000 classes of ImageNet 2012, sorted by WordNet id: one a line, separated by tabs.
# Derived by tools/make_imagenet_classes.py from {MAP}
# and {NAMES}, the label maps in TensorFlow's
# inception-2015-12-05.tgz, Apache License 2.0: joined, and reduced to these 1000 of its names.
# WordNet id\tposition among the 1008 scores of the graph of 2015\tname
"""


def table(folder: Path) -> str:
    """Return the table as text.

    Raises:
        ValueError: the maps are not those of 1000 classes that the orders of networks rest on.
    """
    positions = {s: int(p) for p, s in ENTRY.findall((folder / MAP).read_text(encoding="utf-8"))}
    lines = (folder / NAMES).read_text(encoding="utf-8").splitlines()
    names = dict(line.split("\t") for line in lines)
    if sorted(positions.values()) != list(range(1, 1001)):
        raise ValueError(f"{folder / MAP} does not map 1000 classes to 1, …, 1000")
    if missing := positions.keys() - names.keys():
        raise ValueError(f"{folder / NAMES} has no name for {', '.join(sorted(missing))}")
    rows = [f"{s}\t{positions[s]}\t{names[s]}\n" for s in sorted(positions)]
    return HEADING + "".join(rows)


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--label_maps", type=Path, required=True, help="folder of the two maps")
    parser.add_argument("--output", type=Path, default=TABLE, help="default: %(default)s")
    arguments = parser.parse_args()
    text = table(arguments.label_maps)
    arguments.output.write_text(text, encoding="utf-8")
    print(f"{arguments.output}: {len(text.encode()):,} bytes")


if __name__ == "__main__":
    main()
