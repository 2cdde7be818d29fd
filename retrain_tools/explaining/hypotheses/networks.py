"""What the network did: which tensor, how it was pooled, its batch norms, its precision."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from retrain_tools.explaining.hypotheses.facts import Facts, Move
from retrain_tools.explaining.pipeline import WORDS, Pipeline

_EPSILONS = (1e-3, 1e-5, 1e-4)  # Keras's and slim's, PyTorch's and ResNet's, what is left
USUAL_BATCH = 32  # of Keras's predict


def fetches(facts: Facts, _: Pipeline) -> Iterator[Move]:
    """Other tensors, or the same pooled otherwise."""
    yield from ({"tensor": tensor, "pooling": pooling} for tensor, pooling in facts.fetches)


def batch_norms(facts: Facts, _: Pipeline) -> Iterator[Move]:
    """Another epsilon, or statistics of the batch as in training."""
    if not facts.epsilons:
        return
    yield {"network": "own"}
    for epsilon in _EPSILONS:
        if facts.epsilons != [float(np.float32(epsilon))]:
            yield {"network": f"epsilon_{epsilon:g}"}
    batches = dict.fromkeys((1, min(USUAL_BATCH, facts.count)))
    yield from ({"network": f"training_{batch}"} for batch in batches)


def precisions(_: Facts, __: Pipeline) -> Iterator[Move]:
    """Low precision, of the weights only or of all that is computed."""
    yield from ({"precision": name} for name in WORDS["precision"])
