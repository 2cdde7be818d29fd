r"""Does explain() name the right cause? Synthetic discrepancies on real photos, made by other code.

  python tools/explain_suite.py --graph=near_real_graph_def.pb --image_dir=orchids/images
  python tools/explain_suite.py --graph=stand_in.pb --image_dir=orchids/images --only=BGR

Each discrepancy is what somebody does to a graph's images or features who reads them with Pillow
or TensorFlow directly: alone, and in pairs. The explanation that comes first has to be that one, or
one that makes the same pixels. Printed are a line for each, a table of what was taken for what, and
the share that is right. Exit status 1 where it is under 95 % or one is wrong with certainty.
"""

from __future__ import annotations

import collections
import dataclasses
import re
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from explain_makers import Maker, photo_with_orientation

from retrain_tools import command_line
from retrain_tools.explaining.explain import explain
from retrain_tools.explaining.explanation import Explanation, Runnable
from retrain_tools.graphdef.spec import SpecOverrides
from retrain_tools.images.folders import find_images
from retrain_tools.sources.open import open_model

_GRAPH = flags.DEFINE_string("graph", None, "A graph that decodes and resizes images itself.")
_IMAGE_DIR = flags.DEFINE_string("image_dir", None, "Folder of photos.")
_COUNT = flags.DEFINE_integer("images", 24, "How many of them are used.")
_ONLY = flags.DEFINE_string("only", "", "Regular expression: names of those to be run.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the choice of photos, and of noise.")


@dataclasses.dataclass(frozen=True)
class Case:
    """A discrepancy.

    Attributes:
        name: what the table calls it.
        expected: for each step that is done otherwise, the names that are right; or the verdicts
            that are right, under `verdict`.
        recipe: how the images are read, for `Maker.features`.
        finish: what is done to the features then.
        tensor, pooling: of the side that is explained; None for the graph's own.
        mine: tensor and pooling of the side that is run; None for the graph's own.
    """

    name: str
    expected: Mapping[str, Sequence[str]]
    recipe: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    finish: Callable[[np.ndarray], np.ndarray] | None = None
    tensor: str | None = None
    pooling: str | None = None
    mine: tuple[str, str | None] | None = None


BILINEAR = ("half_pixel_bilinear", "antialias_bilinear")
# What is done to images: for each, the recipe of `explain_makers` and the step and names that are
# right. Where photos are smaller than the network's images, several ways are the same.
IMAGE_CAUSES: dict[str, tuple[dict[str, Any], str, tuple[str, ...]]] = {
    "half-pixel bilinear": (
        {"resize": "tf_bilinear"},
        "resize",
        ("half_pixel_bilinear", "antialias_bilinear"),
    ),
    "antialias": (
        {"resize": "tf_antialias"},
        "resize",
        ("antialias_bilinear", "half_pixel_bilinear"),
    ),
    "aligned corners": ({"resize": "v1_align_corners"}, "resize", ("align_corners",)),
    "nearest": ({"resize": "tf_nearest"}, "resize", ("half_pixel_nearest", "pillow_nearest")),
    "TF1 nearest": ({"resize": "v1_nearest"}, "resize", ("legacy_nearest",)),
    "area": ({"resize": "tf_area"}, "resize", ("area",)),
    "bicubic": ({"resize": "tf_bicubic"}, "resize", ("half_pixel_bicubic", "antialias_bicubic")),
    "lanczos": ({"resize": "tf_lanczos3"}, "resize", ("lanczos3",)),
    "Pillow nearest": (
        {"resize": "pil_NEAREST"},
        "resize",
        ("pillow_nearest", "half_pixel_nearest"),
    ),
    "Pillow bilinear": ({"resize": "pil_BILINEAR"}, "resize", ("pillow_bilinear",)),
    "Pillow bicubic": ({"resize": "pil_BICUBIC"}, "resize", ("pillow_bicubic",)),
    "Pillow lanczos": ({"resize": "pil_LANCZOS"}, "resize", ("pillow_lanczos",)),
    "rounded": ({"round": True}, "rounding", ("rounded",)),
    "central crop": ({"crop": "central"}, "crop", ("central_875",)),
    "square crop": ({"crop": "square"}, "crop", ("square",)),
    "padded square": ({"crop": "pad"}, "crop", ("pad_square",)),
    "short side 8/7": ({"crop": "vgg"}, "crop", ("vgg",)),
    "Pillow decoder": ({"decode": "pil"}, "decoder", ("accurate",)),
    "plain upscaling": ({"decode": "plain"}, "decoder", ("plain_chroma",)),
    "EXIF applied": ({"exif": True}, "orientation", ("applied",)),
    "150 first": ({"first": 150}, "first_size", ("150",)),
    "224 first": ({"first": 224}, "first_size", ("224",)),
    "kept 256 bilinear 75": (
        {"kept": (256, "BILINEAR", 75)},
        "stored",
        ("256_pillow_bilinear_75",),
    ),
    "kept 256 bicubic 95": ({"kept": (256, "BICUBIC", 95)}, "stored", ("256_pillow_bicubic_95",)),
    "kept at size lanczos 90": (
        {"kept": (0, "LANCZOS", 90)},
        "stored",
        ("299_pillow_lanczos_90", "{side}_pillow_lanczos_90"),
    ),
    "saved again 75": ({"kept": (None, "", 75)}, "stored", ("resaved_75",)),
    "raw": ({"scale": "raw"}, "scale", ("raw",)),
    "0 to 1": ({"scale": "unit"}, "scale", ("unit",)),
    "by 127.5": ({"scale": "tf"}, "scale", ("by_127.5",)),
    "caffe": ({"scale": "caffe"}, "scale", ("caffe",)),
    "mean subtracted": ({"scale": "mean"}, "scale", ("mean_subtracted",)),
    "torch": ({"scale": "torch"}, "scale", ("torch",)),
    "twice": ({"scale": "twice"}, "scale", ("twice",)),
    "0 to 1, then scaled": ({"scale": "unit_own"}, "scale", ("unit_then_own",)),
    "BGR": ({"bgr": True}, "channels", ("bgr", "bgr_after")),
    "-1 to 1, then scaled": ({"scale": "tf_own"}, "scale", ("tf_then_own",)),
    "minus 128": ({"scale": "minus_128"}, "scale", ("minus_128",)),
    "-0.5 to 0.5": ({"scale": "centred_unit"}, "scale", ("centred_unit",)),
    "0 to 2": ({"scale": "doubled_unit"}, "scale", ("doubled_unit",)),
    "per image": ({"scale": "per_image"}, "scale", ("per_image",)),
    "TF1 bicubic": ({"resize": "v1_bicubic"}, "resize", ("legacy_bicubic",)),
    "Pillow box": ({"resize": "pil_BOX"}, "resize", ("pillow_box",)),
    "Pillow Hamming": ({"resize": "pil_HAMMING"}, "resize", ("pillow_hamming",)),
    "short side": ({"crop": "short"}, "crop", ("short_side",)),
    "epsilon": ({"weights": "epsilon_1e-05"}, "network", ("epsilon_1e-05",)),
    "training": ({"weights": "training"}, "network", ("training_1",)),
    "bfloat16 weights": ({"weights": "bfloat16"}, "precision", ("bfloat16_weights",)),
    "float16 weights": ({"weights": "float16"}, "precision", ("float16_weights",)),
}


def _l2(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def _standardised(values: np.ndarray) -> np.ndarray:
    spread = values.std(0)
    return (values - values.mean(0)) / np.where(spread == 0, 1, spread)


def _shifted(values: np.ndarray) -> np.ndarray:
    skipped = len(values) // 3
    moved = np.concatenate([values[:skipped], values[skipped + 1 :]])
    return np.concatenate([moved, values[:1] * 0.5 + values[1:2] * 0.5])  # a last row of another


def _permuted(values: np.ndarray) -> np.ndarray:
    return values[np.random.default_rng(5).permutation(len(values))]


FEATURE_CAUSES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str, tuple[str, ...]]] = {
    "L2": (_l2, "normalised", ("l2",)),
    "standardised": (_standardised, "normalised", ("standardised",)),
    "times 2.5": (lambda values: values * np.float32(2.5), "factor", ("2.5",)),
    "other order": (_permuted, "rows", ("reordered",)),
    "skipped": (_shifted, "rows", ("shifted_+1",)),
    "float16": (
        lambda values: values.astype(np.float16).astype(np.float32),
        "stored_as",
        ("float16",),
    ),
}

PAIRS = (
    ("0 to 1", "half-pixel bilinear"),
    ("raw", "Pillow bilinear"),
    ("raw", "BGR"),
    ("0 to 1", "BGR"),
    ("BGR", "Pillow bicubic"),
    ("torch", "antialias"),
    ("torch", "central crop"),
    ("Pillow decoder", "Pillow nearest"),
    ("Pillow decoder", "Pillow bilinear"),
    ("caffe", "nearest"),
    ("0 to 1", "EXIF applied"),
    ("by 127.5", "half-pixel bilinear"),
    ("area", "square crop"),
    ("kept 256 bilinear 75", "half-pixel bilinear"),
    ("224 first", "0 to 1"),
    ("central crop", "bicubic"),
    ("padded square", "raw"),
    ("twice", "Pillow nearest"),
    ("mean subtracted", "BGR"),
    ("saved again 75", "Pillow bicubic"),
    ("plain upscaling", "TF1 nearest"),
    ("epsilon", "half-pixel bilinear"),
    ("training", "0 to 1"),
    ("bfloat16 weights", "BGR"),
    ("short side", "half-pixel bilinear"),
    ("minus 128", "Pillow bilinear"),
)
FEATURE_PAIRS = (
    ("0 to 1", "L2"),
    ("Pillow bilinear", "L2"),
    ("half-pixel bilinear", "other order"),
    ("BGR", "skipped"),
    ("raw", "L2"),
    ("Pillow bicubic", "standardised"),
    ("0 to 1", "times 2.5"),
    ("nearest", "float16"),
)


def image_case(*names: str, finish: str | None = None) -> Case:
    """Return a case of some of IMAGE_CAUSES, and one of FEATURE_CAUSES."""
    recipe: dict[str, Any] = {}
    expected: dict[str, Sequence[str]] = {}
    for name in names:
        changes, slot, right = IMAGE_CAUSES[name]
        recipe |= changes
        expected[slot] = right
    apply = None
    if finish is not None:
        apply, slot, right = FEATURE_CAUSES[finish]
        expected[slot] = right
    return Case(" + ".join([*names, *([finish] if finish else [])]), expected, recipe, apply)


def cases() -> list[Case]:
    """Return all cases for a graph of the structure of inception-2015-12-05."""
    last, before = "mixed_10/join:0", "mixed_9/join:0"
    noise = np.random.default_rng(_SEED.value)
    unrelated = {"verdict": ("different_weights", "unknown")}
    weights = {"verdict": ("different_weights",)}
    return [
        *(image_case(name) for name in IMAGE_CAUSES),
        *(Case(n, {s: r}, finish=f) for n, (f, s, r) in FEATURE_CAUSES.items()),
        Case("max pooling", {"pooling": ("max",)}, {}, None, last, "max", (last, "avg")),
        Case("unpooled, avg", {"pooling": ("avg",)}, {}, None, last, "avg", (last, None)),
        Case("unpooled, flat", {"pooling": ("flatten",)}, {}, None, last, "flatten", (last, None)),
        Case("unpooled, chw", {"pooling": ("flatten_chw",)}, {}, None, last, "chw", (last, None)),
        Case("pooled, map", {"pooling": ("avg",), "tensor": (last,)}, {}, None, last, None),
        Case("another block", {"tensor": (before,), "pooling": ("avg",)}, {}, None, before, "avg"),
        Case("max pooling + 0 to 1", {"pooling": ("max",), "scale": ("unit",)}, {"scale": "unit"},
             None, last, "max", (last, "avg")),
        Case("unpooled, avg + raw", {"pooling": ("avg",), "scale": ("raw",)}, {"scale": "raw"},
             None, last, "avg", (last, None)),
        Case("150 pixels", {"size": ("150x150",)}, {"side": 150}, None, last, "avg", (last, "avg")),
        Case("150 pixels + raw", {"size": ("150x150",), "scale": ("raw",)},
             {"side": 150, "scale": "raw"}, None, last, "avg", (last, "avg")),
        Case("resize_with_pad", {"crop": ("resize_pad",), "resize": BILINEAR}, {"crop": "tf_pad"}),
        Case("ImageOps.pad", {"crop": ("pillow_pad",), "resize": ("pillow_bicubic",)},
             {"crop": "pil_pad"}),
        *(image_case(*pair) for pair in PAIRS),
        *(image_case(one, finish=two) for one, two in FEATURE_PAIRS),
        Case("other weights everywhere", weights, {"weights": "all"}),
        Case("other weights in the last block", weights, {"weights": "mixed_10"}),
        Case("other weights in two blocks", weights, {"weights": "mixed_9,mixed_10"}),
        Case("weights shaken", weights, {"weights": "shaken"}),
        Case("noise", unrelated, finish=lambda v: noise.normal(size=v.shape).astype(np.float32)),
        Case("shuffled values", unrelated,
             finish=lambda v: noise.permuted(v, axis=None).astype(np.float32)),
    ]  # fmt: skip


def is_right(case: Case, found: Explanation, side: int) -> bool:
    """Tell whether an explanation is the one that was made, or makes the same pixels."""
    if "verdict" in case.expected:
        return found.verdict in case.expected["verdict"]
    if found.verdict != "explained":
        return False
    causes = {cause.slot: cause.name for cause in found.causes}
    # A tensor that is given pooled by the graph is the same as the map, pooled here.
    if "tensor" not in case.expected and "pooling" in case.expected:
        causes.pop("tensor", None)
    if "tensor" in case.expected and "pooling" not in causes:
        causes["pooling"] = "avg"
    if "pooling" in case.expected and "tensor" in case.expected and "tensor" not in causes:
        causes["tensor"] = case.expected["tensor"][0]
    right = {
        slot: [name.format(side=side) for name in names] for slot, names in case.expected.items()
    }
    return causes.keys() == right.keys() and all(causes[slot] in right[slot] for slot in right)


def is_wrong_with_certainty(case: Case, found: Explanation, side: int) -> bool:
    """Tell whether a wrong cause, or other weights where there is a cause, are said to be it."""
    certain = found.verdict in ("explained", "different_weights", "agree")
    return certain and not is_right(case, found, side)


def run_case(case: Case, maker: Maker, paths: Sequence[str], turned: Sequence[str]) -> Explanation:
    """Make a discrepancy and explain it."""
    frozen = maker.frozen
    tensor, pooling = case.mine or (frozen.spec.bottleneck, None)
    images = turned if case.recipe.get("exif") else paths
    mine = maker.features(images, {}, tensor, pooling)
    other = maker.features(
        images, case.recipe, case.tensor or tensor, case.pooling if case.tensor else pooling
    )
    if case.finish is not None:
        other = case.finish(other)
    return explain(Runnable(frozen, tensor, pooling), mine, other, images)


def main(arguments: list[str]) -> None:
    """Run the cases and print what was found."""
    command_line.require("graph", "image_dir")
    if arguments:
        raise SystemExit(f"not a flag: {arguments[0]}")
    frozen = open_model(_GRAPH.value).frozen(SpecOverrides())
    photos = [image.path for image in find_images(_IMAGE_DIR.value)]
    chosen = np.random.default_rng(_SEED.value).choice(len(photos), _COUNT.value, replace=False)
    paths = [photos[index] for index in sorted(chosen)]
    confusion: collections.Counter[tuple[str, str]] = collections.Counter()
    right = wrong = count = 0
    side = frozen.spec.image_size[0]
    with tempfile.TemporaryDirectory() as folder, Maker(frozen, _SEED.value) as maker:
        turned = [
            photo_with_orientation(path, Path(folder) / f"{number}.jpg", 6 if number % 3 else 1)
            for number, path in enumerate(paths)
        ]
        for case in cases():
            if not re.search(_ONLY.value, case.name):
                continue
            started, used = time.monotonic(), time.process_time()
            found = run_case(case, maker, paths, turned)
            seconds, cpu = time.monotonic() - started, time.process_time() - used
            is_it = is_right(case, found, side)
            count, right = count + 1, right + is_it
            wrong += is_wrong_with_certainty(case, found, side)
            confusion[_kind(case), _found_kind(found)] += 1
            mark = "right" if is_it else "WRONG"
            print(
                f"{mark} {seconds:5.0f} s, CPU {cpu:4.0f} s  {case.name}: {found.sentence}",
                flush=True,
            )
    print("\nmade → found")
    for (made, got), number in sorted(confusion.items()):
        print(f"{number:3}  {made} → {got}")
    print(f"\n{right} of {count} right ({right / max(count, 1):.1%}); {wrong} wrong with certainty")
    sys.exit(int(right < 0.95 * count or wrong > 0))


def _kind(case: Case) -> str:
    return " + ".join(sorted(case.expected)) if "verdict" not in case.expected else "no cause"


def _found_kind(found: Explanation) -> str:
    slots = " + ".join(sorted(cause.slot for cause in found.causes))
    return slots if found.verdict == "explained" else f"{found.verdict} ({slots or 'none'})"


if __name__ == "__main__":
    command_line.run(main)
