r"""Compare the features of two sources for the same images, and explain why they differ.

  python -m retrain_tools.compare_features --image_dir=photos bottlenecks features.npz
  python -m retrain_tools.compare_features --image_dir=photos keras.npy classify_image_graph_def.pb
  python -m retrain_tools.compare_features --image_dir=photos before.pb after.pb --html=why.html

A and B, the two words after the flags, are each a folder of bottlenecks, a file of features (.npz
.npy .pkl .parquet .h5, ours or a stranger's), or anything that --graph takes, which is then run on
the images. Images are matched by name, then by content; rows without names, as Keras's `predict`
gives them, are those of the sorted listing of --image_dir, else they are matched by similarity.

The first line says why they differ. The side that can be run is run again in other ways: pooling,
tensors, resizing, scaling, colours, decoders; where both are stored, --graph names what may have
made one of them. The exit status is 0 where they agree, 1 where they differ, and 2 after an error.

CKA is linear and debiased. The linear probe is a ridge regression onto the labels, trained on every
other image of a class; labels are those of the files, or the images' folders.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from retrain_tools import command_line, files, graph_flags
from retrain_tools.comparing.comparison import Compared, Comparison, compare
from retrain_tools.comparing.differences import DEFAULT_TOLERANCE
from retrain_tools.comparing.sides import is_stored, stored_side
from retrain_tools.errors import InputError
from retrain_tools.extras import import_extra
from retrain_tools.features.pooling import POOLINGS
from retrain_tools.images.folders import ImageFile
from retrain_tools.listing.comparison_json import comparison_json
from retrain_tools.listing.comparison_text import comparison_text
from retrain_tools.listing.terminal import show, style_of_stdout
from retrain_tools.sources.applications.names import PREFIX

graph_flags.define_graph_flags()
graph_flags.define_image_flags(loose=True)
graph_flags.define_run_flags()
flags.DEFINE_list(
    "tensors", None, "What to compare, under one name on both sides. Default: what both have."
)
flags.DEFINE_string("tensor_a", None, "What to compare of A. Default: its only one, or bottleneck.")
flags.DEFINE_string("tensor_b", None, "The same of B.")
flags.DEFINE_enum(
    "pooling",
    "none",
    POOLINGS,
    "How feature maps of graphs become vectors; none keeps their shape, [height, width, channels].",
)
flags.DEFINE_float(
    "tolerance",
    DEFAULT_TOLERANCE,
    "They agree where no value differs by more than this share of the standard deviation of A.",
    lower_bound=0,
)
flags.DEFINE_integer(
    "max_images", None, "Compare no more images than this, spread evenly over all.", 1
)
flags.DEFINE_enum("format", "text", ["text", "json"], "How to print the comparison.")
graph_flags.define_path("html", None, "Draw the comparison into this file, a page of its own.")
FLAGS = flags.FLAGS

_DIFFERENT = 1  # exit status
_NOT_OF_KERAS: dict[str, Any] = {"weights": None, "weights_seed": None, "include_top": False}


def main(words: list[str]) -> None:
    """Run the script."""
    if len(words) != 2:
        named = f"{len(words)} are named: {', '.join(words)}" if words else "none is named"
        raise InputError(
            f"Name two things to compare after the flags, bottlenecks, features or graphs; {named}."
        )
    if FLAGS.html is not None:
        if not FLAGS.html:
            raise InputError("--html takes the file to write, as --html=why.html.")
        import_extra("matplotlib", f"--html={FLAGS.html}")
        files.check_file(FLAGS.html)
    images: Sequence[ImageFile] = ()
    if FLAGS.image_dir or FLAGS.image_list:
        images = graph_flags.given_image_files([])
    # Flags of Keras's networks are for the side that is one, whatever the other is.
    are_keras = [word.startswith(PREFIX) for word in words]
    choices = [{} if one or not any(are_keras) else _NOT_OF_KERAS for one in are_keras]
    a, b = (
        _opened(name, word, bool(images), chosen)
        for name, word, chosen in zip("AB", words, choices, strict=True)
    )
    found = compare(
        a,
        b,
        images,
        graph=graph_flags.given_frozen_graph() if FLAGS.graph else None,
        tensors=FLAGS.tensors or (),
        tensor_a=FLAGS.tensor_a,
        tensor_b=FLAGS.tensor_b,
        pooling=None if FLAGS.pooling == "none" else FLAGS.pooling,
        tolerance=FLAGS.tolerance,
        max_images=FLAGS.max_images,
        running=graph_flags.given_run_settings(),
        on_error=FLAGS.on_error,
    )
    _tell(found)
    sys.stdout.flush()
    if not found.agrees:
        sys.exit(_DIFFERENT)


def _opened(name: str, word: str, has_images: bool, choices: Mapping[str, Any]) -> Compared:
    if is_stored(word):
        side = stored_side(name, word)
        assert side.stored is not None  # noqa: S101  (for mypy)
        return side.stored
    if not has_images:
        graph_flags.given_model(word)  # where there is none, that is the error
        raise InputError(f"{word} is a graph: name the images to run it on with --image_dir.")
    return graph_flags.given_model(word, **choices).frozen(graph_flags.given_overrides())


def _tell(found: Comparison) -> None:
    if FLAGS.html:
        from retrain_tools.report.comparison_page import comparison_page

        files.write_text(FLAGS.html, comparison_page(found))
    if FLAGS.format == "json":
        sys.stdout.write(comparison_json(found))
    else:
        show(comparison_text(found, style_of_stdout()))


def script() -> None:
    """Run as a console script."""
    command_line.run(main, takes_words=True)


if __name__ == "__main__":
    script()
