"""The conventions by which papers and tools compute scores, by name, and where each comes from.

What is the same everywhere, and so in no field here: FID is that of covariances divided by N - 1,
on `pool_3`; sFID that of the first seven channels of `mixed_6/conv`; KID's kernel is
(x.y / d + 1)³, and its estimate is without bias; a standard deviation is that of the splits or
subsets themselves. All is computed in float64, but for distances where a definition says otherwise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError, argument, did_you_mean

SCORES = ("fid", "sfid", "is", "kid", "precision", "recall", "density", "coverage")
"""The scores, in the order in which they are told."""

ORIGINAL = "original"


@dataclasses.dataclass(frozen=True)
class Splits:
    """How images fall into splits for the Inception Score: so many parts, or so many in each.

    Attributes:
        parts: part i is [i * n // parts, (i + 1) * n // parts).
        chunk: images in each but the last, where `parts` is 0.
    """

    parts: int = 0
    chunk: int = 0

    @property
    def least(self) -> int:
        """How many images there have to be."""
        return self.parts or 1

    def of_rows(self, count: int, seed: int | None) -> npt.NDArray[np.intp]:
        """Return the split of each of `count` images, shuffled by RandomState(seed) if it is one.

        Example:
            >>> Splits(parts=2).of_rows(5, None).tolist(), Splits(chunk=2).of_rows(5, None).tolist()
            ([0, 0, 1, 1, 1], [0, 0, 1, 1, 2])
        """
        if self.parts:
            ends = [part * count // self.parts for part in range(1, self.parts)]
            splits = np.searchsorted(ends, np.arange(count), side="right")
        else:
            splits = np.arange(count) // self.chunk
        if seed is not None:
            shuffled = np.empty_like(splits)
            shuffled[np.random.RandomState(seed).permutation(count)] = splits
            splits = shuffled
        return splits.astype(np.intp)

    def words(self) -> str:
        """Say it."""
        return f"{self.parts} splits" if self.parts else f"chunks of {self.chunk:,} images"


@dataclasses.dataclass(frozen=True)
class Definition:
    """One set of conventions.

    Attributes:
        name: what it is asked for by.
        splits: of the Inception Score.
        shuffle_seed: images are shuffled for it with NumPy's RandomState; None: they are not.
        kid_subsets, kid_size: of KID.
        kid_legacy_drawing: whether subsets are drawn by RandomState, not by default_rng.
        kid_seed: of drawing subsets; None where the tool leaves it to chance, and the caller says.
        neighbours: of precision and recall: the ball around an image reaches to so manieth of them.
        half_distances: whether their distances are rounded to float16.
        density_neighbours: the same number for density and coverage.
        sources: where each score's convention comes from, by the score's name.
    """

    name: str
    splits: Splits
    sources: Mapping[str, str]
    shuffle_seed: int | None = None
    kid_subsets: int = 100
    kid_size: int = 1000
    kid_legacy_drawing: bool = False
    kid_seed: int | None = None
    neighbours: int = 3
    half_distances: bool = False
    density_neighbours: int = 5

    def words(self, score: str) -> str:
        """Say how a score is computed, but for KID's subsets."""
        if score == "kid":
            return "((x·y)/d + 1)³, unbiased"
        if score == "is":
            shuffled = "" if self.shuffle_seed is None else ", shuffled"
            return f"{self.splits.words()}{shuffled}; softmax(pool_3 · W), no bias"
        if score in ("precision", "recall"):
            kind = "float16" if self.half_distances else "float64"
            return f"k = {self.neighbours}, distance <= radius, {kind} distances"
        if score in ("density", "coverage"):
            return f"k = {self.density_neighbours}, distance < radius, float64 distances"
        where = "pool_3" if score == "fid" else "mixed_6/conv, 7 channels"
        return f"{where}; covariances of N - 1, exact square root"


_TTUR = "Heusel et al. 2017; bioinf-jku/TTUR fid.py"
_SFID = "Nash et al. 2021; openai/guided-diffusion evaluations/evaluator.py"
_SALIMANS = "Salimans et al. 2016; openai/improved-gan inception_score/model.py"
_KID = "Bińkowski et al. 2018; mbinkowski/MMD-GAN gan/compute_scores.py"
_PR = "Kynkäänniemi et al. 2019, on pool_3"
_PRDC = "Naeem et al. 2020; clovaai/generative-evaluation-prdc"
_ADM = "Dhariwal and Nichol 2021; openai/guided-diffusion evaluations/evaluator.py"
_FIDELITY = "toshas/torch-fidelity 0.4.0"

_ORIGINAL_SOURCES = {
    "fid": _TTUR,
    "sfid": _SFID,
    "is": _SALIMANS,
    "kid": _KID,
    "precision": _PR,
    "recall": _PR,
    "density": _PRDC,
    "coverage": _PRDC,
}

DEFINITIONS: Mapping[str, Definition] = {
    one.name: one
    for one in (
        Definition(ORIGINAL, Splits(parts=10), _ORIGINAL_SOURCES),
        Definition(
            "adm",
            Splits(chunk=5000),
            {
                **_ORIGINAL_SOURCES,
                **dict.fromkeys(("fid", "sfid", "is", "precision", "recall"), _ADM),
            },
            half_distances=True,
        ),
        Definition(
            "improved-gan",
            Splits(parts=10),
            _ORIGINAL_SOURCES,
        ),
        Definition(
            "torch-fidelity",
            Splits(parts=10),
            {
                **_ORIGINAL_SOURCES,
                **dict.fromkeys(("fid", "is", "kid", "precision", "recall"), _FIDELITY),
            },
            shuffle_seed=2020,
            kid_legacy_drawing=True,
            kid_seed=2020,
        ),
    )
}
"""The definitions by name. What a tool does not compute is as in `original`."""


def find_definition(name: str) -> Definition:
    """Return the definition of a name.

    Raises:
        InputError: there is none.
    """
    if name not in DEFINITIONS:
        raise InputError(
            f"{argument('definition')}={name} is none of {', '.join(DEFINITIONS)}."
            f"{did_you_mean(name, DEFINITIONS)}"
        )
    return DEFINITIONS[name]
