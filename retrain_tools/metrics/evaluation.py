"""Two sets of images to scores, with all that a reader has to know of them: the whole job."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retrain_tools import __version__, files
from retrain_tools.errors import InputError, argument, did_you_mean
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.metrics.cautions import Sides, cautions
from retrain_tools.metrics.definitions import (
    ORIGINAL,
    SCORES,
    find_definition,
)
from retrain_tools.metrics.distances import Points, points
from retrain_tools.metrics.image_sets import Fetching, Given, ImageSet, check_given, open_set
from retrain_tools.metrics.neighbourhoods import DensityCoverage
from retrain_tools.metrics.network import FEATURES, Network, network_of
from retrain_tools.metrics.saving import save_reference
from retrain_tools.metrics.scoring import Measured, Score, computed, impossible
from retrain_tools.metrics.statistics_files import doubts_about
from retrain_tools.sources.model import Model
from retrain_tools.sources.open import load

log = logging.getLogger(__name__)

GRAPH = "inception-2015-12-05"
"""The catalogued graph whose features the literature's numbers are of."""

Graph = str | Path | Model | FrozenGraph | Callable[[], FrozenGraph]
"""A graph, where it is, or what opens it if it is needed."""

_FETCHING = Fetching()


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Scores, and what they are of.

    Attributes:
        scores: by name, in the order of SCORES.
        left_out: why there is no score of a name, where all were asked for that can be had.
        definition: the conventions' name.
        reference: the set that is compared with.
        samples: the set that is judged; None where only statistics of the reference were made.
        graph: the graph's file; None where no graph was opened.
        fingerprint: of what the features depend on; None likewise.
        resize: how images got the network's size; None likewise.
        precision: in which features were computed.
        notes: cautions, in sentences.
        neighbours: of each sample, where density or coverage are among the scores.
    """

    scores: Mapping[str, Score]
    left_out: Mapping[str, str]
    definition: str
    reference: ImageSet
    samples: ImageSet | None
    graph: str | None
    fingerprint: str | None
    resize: str | None
    precision: str
    notes: Sequence[str]
    neighbours: DensityCoverage | None = dataclasses.field(default=None, repr=False)

    @property
    def failed(self) -> Mapping[str, str]:
        """Why images have no features, by their paths."""
        sides = [one for one in (self.reference, self.samples) if one and one.outcome]
        return {path: why for one in sides for path, why in one.outcome.failed.items()}  # type: ignore[union-attr]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON; its keys stay as they are from version to version."""
        common = {
            "retrain_tools": __version__,
            "definition": self.definition,
            "graph": self.graph,
            "fingerprint": self.fingerprint,
            "resize": self.resize,
            "precision": self.precision,
            "reference": _set_as_dict(self.reference),
            "samples": None if self.samples is None else _set_as_dict(self.samples),
        }
        return {
            **common,
            "scores": {name: score.as_dict() | common for name, score in self.scores.items()},
            "left_out": dict(self.left_out),
            "notes": list(self.notes),
            "failed": dict(self.failed),
        }


def _set_as_dict(one: ImageSet) -> dict[str, Any]:
    sizes = {"×".join(map(str, size)): count for size, count in one.facts.sizes.items()}
    return {
        "name": one.name,
        "kind": one.kind,
        "images": one.count,
        "kinds": dict(one.facts.kinds),
        "sizes": sizes,
    }


def evaluate_images(
    reference: Given,
    samples: Given | None = None,
    *,
    graph: Graph | None = None,
    scores: Sequence[str] | None = None,
    definition: str = ORIGINAL,
    seed: int = 0,
    save_statistics: str | Path | None = None,
    statistics_images: int = 0,
    fetching: Fetching = _FETCHING,
) -> Evaluation:
    """Score a set of images against another, as the literature does: FID and its family.

    Args:
        reference: the real images, see `open_set`: a folder, an `.npz` with a batch (`arr_0`) or
            statistics (`mu`, `sigma`), a file of features, or features as an array [N, depth].
        samples: the images to judge; None to make statistics of the reference only.
        graph: the graph, where it is, or what opens it; None for inception-2015-12-05 of the
            catalogue, which, as what is opened by a function, is opened only where it is needed.
        scores: which of SCORES; None for all that the sets allow.
        definition: the conventions, see `definitions`.
        seed: of the random subsets of KID, where the definition leaves them to chance.
        save_statistics: an `.npz` to write the reference's statistics to.
        statistics_images: how many of its images are put beside them, for the ADM evaluator.
        fetching: where features are kept, and how they are computed.

    Raises:
        InputError: a set or a score is not there, or a score that is asked for cannot be had.

    Example:
        >>> import numpy as np, retrain_tools as rt
        >>> features = np.random.default_rng(0).normal(size=(500, 16))
        >>> found = rt.evaluate_images(features, features + 1, scores=["fid"])
        >>> round(found.scores["fid"].value, 9)
        16.0
    """
    rules = find_definition(definition)
    wanted = _checked(scores, samples, save_statistics)
    check_given([one for one in (reference, samples) if one is not None])
    opening = _Opening(graph)
    if not (graph is None or callable(graph)) or "is" in (scores or ()):
        opening.network()
    real = open_set(reference, opening.network, fetching)
    judged = None if samples is None else open_set(samples, opening.network, fetching)
    weights = opening.opened.weights if opening.opened else None
    measured = Measured(real, judged, rules, weights, seed, _finite(real), _finite(judged), {})
    if save_statistics is not None:
        save_reference(save_statistics, measured, opening.opened, fetching, statistics_images)
    found, left_out = _scores(measured, wanted, scores is None)
    return _evaluation(measured, found, left_out, opening.opened, fetching)


class _Opening:
    """A graph that is opened when it is needed, once; `opened` is None until then."""

    def __init__(self, graph: Graph | None) -> None:
        self._graph = graph
        self.opened: Network | None = None

    def network(self) -> Network:
        if self.opened is None:
            self.opened = network_of(_frozen(self._graph))
        return self.opened


def _evaluation(
    measured: Measured,
    found: dict[str, Score],
    left_out: dict[str, str],
    network: Network | None,
    fetching: Fetching,
) -> Evaluation:
    real, judged = measured.reference, measured.samples
    notes = _about_graph(network, (real, judged))
    if judged is not None:
        sides = Sides(real, judged, (measured.reference_points, measured.sample_points))
        size = network.frozen.spec.image_size if network else None
        notes += cautions(sides, list(found), measured.rules, size)
    return Evaluation(
        found,
        left_out,
        measured.rules.name,
        real,
        judged,
        str(network.frozen.path) if network else None,
        network.fingerprint if network else None,
        network.resize if network else None,
        fetching.running.computed_in,
        notes,
        measured.neighbours() if {"density", "coverage"} & found.keys() else None,
    )


def _checked(
    scores: Sequence[str] | None, samples: Given | None, save_statistics: str | Path | None
) -> Sequence[str]:
    if save_statistics is not None:
        files.check_file(save_statistics)
    if samples is None:
        if scores:
            raise InputError("Scores take two sets of images, REFERENCE and SAMPLES.")
        if save_statistics is None:
            raise InputError(
                "One set alone has no scores: name REFERENCE and SAMPLES, or the file for its "
                f"statistics with {argument('save_statistics')}."
            )
        return ()
    for name in scores or ():
        if name not in SCORES:
            raise InputError(
                f"{argument('scores')}={name} is none of {', '.join(SCORES)}."
                f"{did_you_mean(name, SCORES)}"
            )
    return [name for name in SCORES if scores is None or name in scores]


def _frozen(graph: Graph | None) -> FrozenGraph:
    if isinstance(graph, FrozenGraph):
        return graph
    if isinstance(graph, Model):
        return graph.frozen()
    return load(GRAPH if graph is None else graph).frozen() if not callable(graph) else graph()


def _finite(one: ImageSet | None) -> Points | None:
    """Look at the feature vectors of a set.

    Raises:
        InputError: there are some that are no finite numbers.
    """
    if one is None or FEATURES not in one.rows:
        return None
    found = points(one.rows[FEATURES])
    if broken := int((~np.isfinite(found.norms)).sum()):
        raise InputError(
            f"{one.name} has features that are not finite numbers, of {broken:,} of "
            f"{len(found):,} images."
        )
    return found


def _scores(
    measured: Measured, wanted: Sequence[str], are_default: bool
) -> tuple[dict[str, Score], dict[str, str]]:
    found, left_out = {}, {}
    for name in wanted:
        if why := impossible(measured, name):
            if not are_default:
                raise InputError(f"No {name} of these sets: {why}.")
            left_out[name] = why
        else:
            log.debug("computing %s", name)
            found[name] = computed(measured, name)
    if not found and wanted:
        raise InputError(
            "No score of these sets can be had: "
            + "; ".join(f"{name}: {why}" for name, why in left_out.items())
            + "."
        )
    return found, left_out


def _about_graph(network: Network | None, sets: tuple[ImageSet, ImageSet | None]) -> list[str]:
    notes = []
    if network is not None and not network.is_original:
        notes.append(
            f"{network.frozen.path} is not {GRAPH}, by the names of its nodes: its numbers are not "
            "to be compared with those of papers."
        )
    for one in sets:
        if one is not None and one.statistics is not None:
            notes += doubts_about(*one.statistics, network.fingerprint if network else None)
    return notes
