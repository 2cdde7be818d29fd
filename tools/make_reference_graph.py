"""Write a stand-in for the Inception graph of 2015, offline: same nodes, random weights.

  python tools/make_reference_graph.py --output=reference_graph.pb --width=0.25

At width 1.0 every shape is the original's too. Its ImageNet classes mean nothing.
"""

from __future__ import annotations

from absl import flags

from retrain_tools import command_line
from retrain_tools.errors import InputError
from retrain_tools.graphdef.save import write_graph
from retrain_tools.standin.inception_2015 import make_reference_graph

_OUTPUT = flags.DEFINE_string("output", "reference_graph.pb", "Where the graph goes.")
_WIDTH = flags.DEFINE_float("width", 1.0, "Factor for the numbers of channels, up to 1.0.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the weights.", lower_bound=0)


def main(arguments: list[str]) -> None:
    """Write the graph and say what it is, in one line."""
    if arguments:
        raise InputError(f"{arguments[0]!r} is not a flag; see --help.")
    graph_def = make_reference_graph(_WIDTH.value, _SEED.value)
    write_graph(_OUTPUT.value, graph_def)
    size = graph_def.ByteSize() / 1e6
    print(f"{_OUTPUT.value}: {len(graph_def.node)} nodes, width {_WIDTH.value}, {size:.1f} MB")


if __name__ == "__main__":
    command_line.run(main)
