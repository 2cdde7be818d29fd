"""Make the table of when TensorFlow's ops came up, from what old TensorFlows register.

    .venv/bin/python tools/make_op_history.py 1.2=22=1.2.ops 1.3=24=1.3.ops … 2.21=2474=2.21.ops

Each argument is a version, the version of the graphs that it writes, and the file that
tools/dump_ops.py wrote with it; oldest first, and the newest must be the one that
tools/make_schema.py was run with. Writes retrain_tools/graphdef/data/op_history.tsv: a line for
each op with the version that it is first seen in, and each attribute, and type that an attribute
may be, that came up later.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from retrain_tools.graphdef import schema
from retrain_tools.graphdef.dtypes import dtype_name

FILE = Path(__file__).resolve().parents[1] / "retrain_tools/graphdef/data/op_history.tsv"


def parts(op: Any) -> list[str]:
    """Return what may come up later: `attribute`, and `attribute:type` where types are limited."""
    found = []
    for attribute in op.attr:
        found.append(attribute.name)
        types = attribute.allowed_values.list.type
        found += [f"{attribute.name}:{dtype_name(number)}" for number in types]
    return found


def history(lists: dict[str, Any]) -> dict[str, tuple[str, dict[str, str]]]:
    """Return for each op when it was first seen, and what came up later, and when."""
    first: dict[str, str] = {}
    later: dict[str, dict[str, str]] = {}
    for version, ops in lists.items():
        for op in ops.op:
            seen = later.setdefault(op.name, {})
            first.setdefault(op.name, version)
            for part in parts(op):
                seen.setdefault(part, version)
    return {
        name: (since, {part: v for part, v in later[name].items() if v != since})
        for name, since in sorted(first.items())
    }


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dumps", nargs="+", help="VERSION=GRAPH_VERSION=FILE, oldest first")
    given = [dump.split("=", 2) for dump in parser.parse_args().dumps]
    lists = {version: schema.OpList.FromString(Path(f).read_bytes()) for version, _, f in given}
    lines = [
        "# The ops of TensorFlow by the version that has them first, from its wheels, under the",
        "# Apache License 2.0; made by tools/make_op_history.py. First the versions looked at,",
        "# with the version of graphs of each; ops of the first one may be older.",
        " ".join(f"{version}={graphs}" for version, graphs, _ in given),
    ]
    for name, (since, later) in history(lists).items():
        lines.append("\t".join([name, since, *(f"{part}={v}" for part, v in later.items())]))
    FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{FILE}: {len(lines) - 4} ops, {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
