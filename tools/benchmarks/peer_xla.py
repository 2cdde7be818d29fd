"""TensorFlow's own compiler, XLA, on the same frozen body (jit_compile=True)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.setting import cores
from benchmarks.stopwatch import difference, per_second
from benchmarks.subjects import facts_of


def alone(folder: str, images: int) -> dict[str, Any]:
    """Run the body on prepared pixels in batches of 4, which XLA shares out among the cores."""
    import tensorflow as tf

    facts = facts_of(folder)
    pixels, ours = (np.load(Path(folder, name)) for name in ("pixels.npy", "values.npy"))
    body = tf.compat.v1.GraphDef.FromString(Path(folder, "body.pb").read_bytes())

    def imported() -> None:
        tf.compat.v1.import_graph_def(body, name="")

    graph = tf.compat.v1.wrap_function(imported, [])
    pruned = graph.prune(*(graph.graph.get_tensor_by_name(facts[n]) for n in ("feed", "fetch")))
    compiled = tf.function(
        pruned, jit_compile=True, input_signature=[tf.TensorSpec(pixels.shape, tf.float32)]
    )
    batch = tf.constant(pixels)
    found = difference(ours, compiled(batch).numpy(), "float32")
    batches = -(-images // len(pixels))
    with ThreadPoolExecutor(cores()) as workers:
        timed = per_second(
            batches * len(pixels),
            lambda: list(workers.map(lambda _: compiled(batch).numpy(), range(batches))),
            2.0,
        )
    return {**timed, "difference": found}
