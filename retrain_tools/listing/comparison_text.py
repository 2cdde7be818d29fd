"""A comparison of features as text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from retrain_tools.comparing.comparison import Comparison
from retrain_tools.comparing.differences import Differences
from retrain_tools.comparing.layers import Layer
from retrain_tools.explaining.explanation import Explanation
from retrain_tools.explaining.similarity import Probe
from retrain_tools.text_tables import Style, aligned, counted, printable

_MOST_NAMES = 5  # of images that one side lacks
_MOST_TRIED = 8
_MOST_WORST = 5


def comparison_text(comparison: Comparison, style: Style) -> str:
    """Return a comparison as text: why, what was compared, figures, what was tried, the worst."""
    explanation, main = comparison.explanation, comparison.difference
    parts = [
        f"{style.bold(explanation.sentence)}\n",
        "".join(f"{note}\n" for note in (*comparison.notes, *explanation.notes)),
        _sides(comparison, style),
        _matching(comparison),
        _tensors(comparison.pairs, style) if len(comparison.pairs) > 1 else "",
        aligned(figures(main), Style(), heading=False),
        _tried(explanation, style),
        _layers(comparison.layers, style),
    ]
    if not main.agrees and main.mean:
        parts += [_worst_images(comparison, style), _worst_channels(main, style)]
    if explanation.command:
        lines = "".join(f"  {line}\n" for line in explanation.command.splitlines())
        parts.append(f"What makes them agree:\n{lines}")
    return "\n".join(part for part in parts if part)


def figures(found: Differences) -> list[tuple[str, str]]:
    """Return what was measured of a pair of tensors: its name and its value, for people."""
    rows = [("compared", found.compared)] if found.compared else []
    if found.mean is not None and found.largest is not None:
        share = f" ({number(found.mean / found.spread_a)} of A's standard deviation)"
        rows += [
            ("absolute difference",
             f"mean {number(found.mean)}{share if found.spread_a else ''}, largest "
             f"{number(found.largest)}; they agree up to {number(found.tolerance)}"),
            ("correlation", f"{number(found.correlation)} over all values"),
            ("cosine", f"mean {number(found.mean_cosine)}, least {number(found.least_cosine)}"),
        ]  # fmt: skip
    rows.append(("standard deviation", f"{number(found.spread_a)} and {number(found.spread_b)}"))
    sampled = f", on {found.sampled} images" if found.sampled < found.images else ""
    if found.nearest_agreement is not None:
        agreement = f"the same for {found.nearest_agreement:.1%} of the images{sampled}"
        rows.append(("nearest other image", agreement))
    if found.cka is not None:
        rows.append(("CKA", f"{found.cka:.3f} (linear, debiased{sampled})"))
    if found.probe is not None:
        rows.append(("linear probe", probe_text(found.probe)))
    return rows


def probe_text(probe: Probe) -> str:
    """Return the accuracies of a linear probe in a line."""
    text = f"accuracy {probe.a:.1%} on A, {probe.b:.1%} on B"
    if probe.a_on_b is not None and probe.b_on_a is not None:
        text += f"; trained on A, tested on B {probe.a_on_b:.1%}; the other way {probe.b_on_a:.1%}"
    tested = f"{counted(probe.images, 'test image')}, {counted(probe.classes, 'label')}"
    return f"{text} (ridge regression, {tested})"


def number(value: float | None) -> str:
    """Return a number with three significant digits; `none` where there is none."""
    if value is None or math.isnan(value):
        return "none"
    return f"{value:.3g}"


def _sides(comparison: Comparison, style: Style) -> str:
    main = comparison.difference
    rows = [("", "source", "kind", "tensor", "shape", "images")]
    for side, count, tensor, shape in (
        (comparison.a, comparison.count_a, main.tensor_a, main.shape_a),
        (comparison.b, comparison.count_b, main.tensor_b, main.shape_b),
    ):
        cells = (side.name, printable(side.source), side.kind, printable(tensor))
        rows.append((*cells, shape_of(shape), f"{count:,}"))
    return aligned(rows, style, right=(5,))


def shape_of(shape: Sequence[int]) -> str:
    """Return the shape of one image's values, as `[3, 3, 2048]`."""
    return f"[{', '.join(map(str, shape))}]"


def _matching(comparison: Comparison) -> str:
    found = comparison.matching
    ways = ", ".join(f"{count} by {way}" for way, count in found.how.items())
    lines = [f"{compared(comparison)}; matched: {ways}"]
    for what, names in found.left_out.items():
        more = f", and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        lines.append(
            f"{what}: {len(names)} ({', '.join(map(printable, names[:_MOST_NAMES]))}{more})"
        )
    return "".join(f"{line}\n" for line in lines)


def compared(comparison: Comparison) -> str:
    """Return how many images were compared, of those that both sides have."""
    count, both = len(comparison.images), sum(comparison.matching.how.values())
    of_all = f" of {both:,}" if count < both else ""
    return f"{count:,}{of_all} image{'' if both == 1 else 's'} compared"


def _tensors(pairs: Sequence[Differences], style: Style) -> str:
    rows = [("tensor", "of B", "shape", "mean difference", "correlation", "")]
    for pair in pairs:
        other = "" if pair.tensor_b == pair.tensor_a else printable(pair.tensor_b)
        says = "agrees" if pair.agrees else "differs"
        rows.append((printable(pair.tensor_a), other, shape_of(pair.shape_a), number(pair.mean),
                     number(pair.correlation), says))  # fmt: skip
    return aligned(rows, style, right=(3, 4))


def _tried(explanation: Explanation, style: Style) -> str:
    if not explanation.tried:
        return ""
    rows = [("mean error", "explains", "images", "tried, best first")]
    for one in explanation.tried[:_MOST_TRIED]:
        words = ", ".join(cause.words for cause in one.causes) or "nothing changed"
        rows.append((number(one.error), f"{one.share:.1%}", str(one.images or "all"), words))
    rest = len(explanation.tried) - _MOST_TRIED
    more = f"and {rest} more that explain less\n" if rest > 0 else ""
    return aligned(rows, style, right=(0, 1, 2)) + more


def _layers(layers: Sequence[Layer], style: Style) -> str:
    if not layers:
        return ""
    rows = [("layer", "shape", "mean difference", "of A's standard deviation", "")]
    for one in layers:
        share = number(one.mean / one.spread) if one.spread else "none"
        says = "agrees" if one.agrees else "differs"
        rows.append((one.tensor, shape_of(one.shape), number(one.mean), share, says))
    return aligned(rows, style, right=(2, 3))


def _worst_images(comparison: Comparison, style: Style) -> str:
    main = comparison.difference
    rows = [("worst images", "mean difference", "largest", "cosine")]
    for row in main.worst_images(_MOST_WORST):
        rows.append(
            (
                printable(comparison.images[row]),
                number(main.by_image[row]),
                number(main.largest_by_image[row]),
                number(main.cosine_by_image[row]),
            )
        )
    return aligned(rows, style, right=(1, 2, 3)) if len(rows) > 1 else ""


def _worst_channels(main: Differences, style: Style) -> str:
    rows = [("worst channels", "mean difference", "correlation")]
    for one in main.worst_channels(_MOST_WORST):
        rows.append(
            (str(one), number(main.by_channel[one]), number(main.correlation_by_channel[one]))
        )
    return aligned(rows, style, right=(1, 2)) if len(rows) > 1 else ""
