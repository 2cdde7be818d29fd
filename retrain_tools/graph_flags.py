"""The flags that several scripts share, and the Model, FrozenGraph or images that they ask for."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from retrain_tools.errors import InputError, argument
from retrain_tools.graphdef.spec import RESIZES, FrozenGraph, SpecOverrides
from retrain_tools.sources.contents import Choices
from retrain_tools.sources.model import Model
from retrain_tools.sources.open import open_model

if TYPE_CHECKING:
    from retrain_tools.engine.settings import RunSettings
    from retrain_tools.images.folders import ImageFile

flags.disclaim_key_flags()  # what is defined here is a flag of the script that asks for it
FLAGS = flags.FLAGS


class _PathParser(flags.ArgumentParser):  # type: ignore[misc]
    """Takes any text; a `~` in front is the user's home, which no shell puts in after a `=`."""

    def parse(self, argument: str) -> str:
        return os.path.expanduser(argument)  # noqa: PTH111  (a Path would lose "./" and a last "/")


def define_path(name: str, default: str | None, help_text: str) -> None:
    """Define a flag for a file or folder."""
    flags.DEFINE(_PathParser(), name, default, help_text)


def define_graph_flags() -> None:
    """Define the flags that say which graph is opened, and how it takes images."""
    define_path(
        "graph",
        None,
        "Any TensorFlow file or folder (GraphDef, MetaGraph, checkpoint, SavedModel, Hub module, "
        "Keras), an archive of one, the name of a catalogued network, or keras:NAME for one of "
        "keras.applications, as keras:InceptionV3.",
    )
    define_path(
        "model_dir",
        None,
        "Where catalogued networks, frozen checkpoints and frozen networks of Keras are kept. "
        "Default: the user's cache folder.",
    )
    flags.DEFINE_list("tags", None, "Of a SavedModel: which of its graphs, by all of its tags.")
    flags.DEFINE_string(
        "signature",
        None,
        "Of a SavedModel or MetaGraph: what to take; see list_tensors --signatures.",
    )
    flags.DEFINE_list(
        "output_node_names",
        None,
        "Of a training graph (.meta): its results, by their nodes' names. Default: what its loss "
        "and accuracy judge.",
    )
    flags.DEFINE_enum(
        "preprocess",
        None,
        ["resize", "slim", "none"],
        "For a slim checkpoint: resize whole images (the default), or crop them as slim did to "
        "evaluate. For any graph, none: feed pixels of 0 to 255, resized by Pillow and not scaled, "
        "as some older feature tools did by mistake.",
    )
    _define_application_flags()
    flags.DEFINE_string(
        "input_layer", None, "Tensor that takes the image. Default: the graph's own."
    )
    flags.DEFINE_integer("input_height", None, "Height of the graph's images, if it does not say.")
    flags.DEFINE_integer("input_width", None, "Width of the graph's images, if it does not say.")
    flags.DEFINE_float(
        "input_mean", None, "Subtracted from pixels of 0 to 255, for a graph of unknown scaling."
    )
    flags.DEFINE_float("input_std", None, "What pixels are divided by after that.")
    flags.DEFINE_multi_string(
        "feed",
        None,
        "Value for a placeholder beside the images, which becomes a constant: --feed=keep_prob:0="
        "1.0. A number, true, false, or a list as [1, 2]. May be given again.",
    )
    flags.DEFINE_boolean(
        "allow_unsafe_graph",
        False,
        "Run the graph although what runs of it does more than compute, as reading or writing "
        "files: only if you trust whoever made it. See the script scan.",
    )


def _define_application_flags() -> None:
    define_path(
        "weights",
        None,
        "Of a network of Keras: imagenet (the default: from where Keras keeps them, or fetched by "
        "it), none for random ones, or a file of weights (.h5).",
    )
    flags.DEFINE_integer("weights_seed", None, "Of the random ones that none gives. Default: 0.")
    flags.DEFINE_boolean("include_top", False, "Of a network of Keras: with its classifier.")
    flags.DEFINE_enum(
        "resize",
        None,
        RESIZES,
        "How images get the size of a graph that takes pixels: as Pillow does it (nearest, the "
        "default for networks of Keras as for keras.utils.load_img; bilinear, bicubic, lanczos), "
        "or as tf.image.resize (tf_bilinear). Default: as retrain.py did, with TensorFlow 1's "
        "bilinear.",
    )


def define_image_flags(loose: bool) -> None:
    """Define the flags that say which images are read.

    Args:
        loose: whether images may be named one by one, with --image_list and after the flags.
    """
    anywhere = "Folder of images, searched at any depth."
    define_path("image_dir", None, anywhere if loose else "Folder of images; one folder per class.")
    if loose:
        define_path("image_list", None, "Text file with the path of an image in each line.")
    define_failure_flags()


def define_failure_flags() -> None:
    """Define the flags that say which images are accepted, and what becomes of the others."""
    define_largest_image()
    flags.DEFINE_enum(
        "on_error", "skip", ["skip", "fail"], "What to do about an image that cannot be used."
    )


def define_largest_image() -> None:
    """Define the flag that says how large an image may be."""
    from retrain_tools.images.decode import MAX_PIXELS  # with Pillow and NumPy

    flags.DEFINE_integer(
        "max_image_pixels", MAX_PIXELS, "Largest width × height of an image to accept.", 1
    )


def define_job_flags(may_fail: bool = True) -> None:
    """Define the flags of jobs on many images; `may_fail` for those that bear some failures."""
    if may_fail:
        flags.DEFINE_string(
            "max_failures",
            None,
            "End with an error once more images than this cannot be used: a number, or P% of all. "
            "Default: any number, but not all.",
        )
    flags.DEFINE_boolean(
        "log_json", False, "Write a summary as JSON, in one line, as the last one of stderr."
    )


def given_run_settings() -> RunSettings:
    """Return how the flags say that graphs are run."""
    from retrain_tools.engine.settings import RunSettings  # with Pillow and NumPy

    names = [field.name for field in dataclasses.fields(RunSettings)]
    return RunSettings(**{name: FLAGS[name].value for name in names if name in FLAGS})


def define_run_flags(threads: bool = True) -> None:
    """Define the flags that say how a graph is run on images; `threads` where a job has several."""
    flags.DEFINE_enum(
        "precision",
        "float32",
        ["float32", "bfloat16", "auto"],
        "float32 is exact. bfloat16 is faster on CPUs that compute in it, and changes features a "
        "little; how much is printed and recorded. auto: bfloat16 where the CPU has it.",
    )
    flags.DEFINE_integer(
        "batch_size",
        None,
        "Images that go through the network at a time. Default: what is fastest.",
        1,
    )
    if threads:
        flags.DEFINE_integer(
            "threads",
            None,
            "Batches that are worked on at the same time. Default: one on each core.",
            1,
        )
    flags.DEFINE_boolean(
        "self_check",
        True,
        "The first time that a graph is run, compare one image with the untouched graph.",
    )


def given_choices(**more: Any) -> Choices:
    """Return what the flags choose of a file; what is in `more` counts for more."""
    preprocess = None if FLAGS.preprocess == "none" else FLAGS.preprocess
    names = ("weights", "weights_seed", "include_top")
    said = {name: FLAGS[name].value for name in names} | more
    outputs = FLAGS.output_node_names
    return Choices(FLAGS.tags, FLAGS.signature, preprocess, outputs=outputs, **said)


def given_overrides(**more: Any) -> SpecOverrides:
    """Return what the flags, and the script's own ones in `more`, say of a graph.

    Raises:
        InputError: flags do not go together, or a value to feed is none.
    """
    raw = FLAGS.preprocess == "none"
    if raw and (FLAGS.input_mean, FLAGS.input_std) != (None, None):
        raise InputError(
            f"{argument('preprocess')}=none does not scale: leave out {argument('input_mean')}, "
            f"{argument('input_std')}."
        )
    names = ("input_layer", "input_height", "input_width", "input_mean", "input_std", "resize")
    said = {name: FLAGS[name].value for name in names}
    feeds = dict(map(_name_and_value, FLAGS.feed or ()))
    allowed = FLAGS.allow_unsafe_graph
    return SpecOverrides(raw_pixels=raw, feeds=feeds, allow_unsafe_graph=allowed, **said, **more)


def _name_and_value(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    with contextlib.suppress(ValueError):
        if name:
            return name, json.loads(value.lower() if value in ("True", "False") else value)
    raise InputError(
        f"{argument('feed')}={text} is not NAME=VALUE, as keep_prob:0=1.0; a value is a number, "
        "true, false, or a list as [1, 2]."
    )


def given_model(graph: str | None = None, **choices: Any) -> Model:
    """Open what --graph, or another flag, names.

    Raises:
        InputError: see `open_model`.
    """
    return open_model(graph or FLAGS.graph, FLAGS.model_dir, given_choices(**choices))


def given_frozen_graph(graph: str | None = None, **overrides: Any) -> FrozenGraph:
    """Open and freeze what --graph, or another flag, names.

    Raises:
        InputError: see `open_model` and `Model.frozen`.
    """
    said = given_overrides(**overrides)
    return given_model(graph).frozen(said)


def given_images(words: Sequence[str]) -> list[str]:
    """Return the paths of `given_image_files`."""
    return [image.path for image in given_image_files(words)]


def given_image_files(words: Sequence[str]) -> list[ImageFile]:
    """Return the images that --image_dir, --image_list and the words after the flags name.

    Raises:
        InputError: a folder or list is missing or names none, or nothing is named.
    """
    from retrain_tools.images import folders

    images = folders.find_images(FLAGS.image_dir) if FLAGS.image_dir else []
    if FLAGS.image_list:
        listed = folders.read_image_list(FLAGS.image_list)
        images += [folders.ImageFile(path, Path(path).name) for path in listed]
    images += folders.image_files(words)
    if not images:
        raise InputError("Name images with --image_dir, with --image_list, or after the flags.")
    return images
