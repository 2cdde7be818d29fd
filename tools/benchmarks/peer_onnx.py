"""ONNX Runtime on the same frozen body; of no extra: pip install onnxruntime tf2onnx."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.records import LeftOut
from benchmarks.setting import cores
from benchmarks.stopwatch import difference, per_second
from benchmarks.subjects import facts_of

_OPSET = 18


def convert(folder: str) -> bool:
    """Write the body as ONNX."""
    import tensorflow as tf
    import tf2onnx

    facts = facts_of(folder)
    body = tf.compat.v1.GraphDef.FromString(Path(folder, "body.pb").read_bytes())
    tf2onnx.convert.from_graph_def(
        body,
        input_names=[facts["feed"]],
        output_names=[facts["fetch"]],
        opset=_OPSET,
        output_path=str(Path(folder, "body.onnx")),
    )
    return True


def alone(folder: str, images: int) -> dict[str, Any]:
    """Run the body on prepared pixels, one thread for each core on a session of one thread."""
    import onnxruntime

    path = Path(folder, "body.onnx")
    if not path.exists():
        raise LeftOut("the network could not be converted")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    feed = session.get_inputs()[0].name
    pixels, ours = (np.load(Path(folder, name)) for name in ("pixels.npy", "values.npy"))

    def run(number: int) -> Any:
        return session.run(None, {feed: pixels[number % len(pixels)][np.newaxis]})[0]

    found = difference(ours, np.concatenate([run(n) for n in range(len(pixels))]), "float32")
    with ThreadPoolExecutor(cores()) as workers:
        timed = per_second(images, lambda: list(workers.map(run, range(images))), 2.0)
    return {**timed, "difference": found}
