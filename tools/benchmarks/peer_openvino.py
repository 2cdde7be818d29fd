"""OpenVINO on the same frozen body; not a part of any extra: pip install openvino."""

from __future__ import annotations

import collections
import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.records import LeftOut
from benchmarks.setting import cores
from benchmarks.stopwatch import difference, per_second
from benchmarks.subjects import facts_of

_PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


def convert(folder: str) -> bool:
    """Write the body as OpenVINO has it, in float32."""
    import openvino as ov

    model = ov.convert_model(str(Path(folder, "body.pb")))
    ov.save_model(model, str(Path(folder, "body.xml")), compress_to_fp16=False)
    return True


def alone(folder: str, precision: str, images: int) -> dict[str, Any]:
    """Run the body on prepared pixels, as many at a time as OpenVINO itself thinks best."""
    import openvino as ov

    model = _compiled(folder, precision, bytes_in=False)
    pixels = np.load(Path(folder, "pixels.npy"))
    found = _difference(model, pixels, folder, precision)
    queue = ov.AsyncInferQueue(model)

    def run(count: int) -> None:
        for number in range(count):
            queue.start_async({0: pixels[number % len(pixels)][np.newaxis]})
        queue.wait_all()

    run(2 * len(queue))
    return {**per_second(images, lambda: run(images), 2.0), "difference": found, "jobs": len(queue)}


def to_cache(folder: str, photos: str, precision: str) -> dict[str, Any]:
    """Decode and resize with Pillow in a thread for each core, run, write the same text files."""
    import openvino as ov
    from PIL import Image

    from retrain_tools.images.folders import find_images

    images = find_images(photos)
    height, width = facts_of(folder)["size"]
    model = _compiled(folder, precision, bytes_in=True)
    found = _difference(model, np.load(Path(folder, "bytes.npy")), folder, precision)
    queue = ov.AsyncInferQueue(model)

    def prepared(image: Any) -> Any:
        with Image.open(image.path) as opened:
            small = opened.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(small)[np.newaxis]

    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(cores()) as workers:

        def write(request: Any, to: Path) -> None:
            to.write_text(",".join(map(str, request.get_output_tensor(0).data[0].ravel())))

        def run(some: Sequence[Any]) -> None:
            ahead = _ahead(workers, prepared, some, 4 * cores())
            for image, pixels in zip(some, ahead, strict=True):
                to = Path(scratch, f"{image.relative}.txt")
                to.parent.mkdir(parents=True, exist_ok=True)
                queue.start_async({0: pixels}, to)
            queue.wait_all()

        queue.set_callback(write)
        run(images[: 2 * len(queue)])
        timed = per_second(len(images), lambda: run(images))
        return {**timed, "difference": found, "jobs": len(queue)}


def _ahead(
    workers: ThreadPoolExecutor, function: Callable[[Any], Any], items: Sequence[Any], most: int
) -> Iterator[Any]:
    """Yield what a function makes of items, in their order, at most so many ahead."""
    waiting: collections.deque[Any] = collections.deque()
    rest = iter(items)
    while True:
        for item in itertools.islice(rest, most - len(waiting)):
            waiting.append(workers.submit(function, item))
        if not waiting:
            return
        yield waiting.popleft().result()


def _difference(model: Any, inputs: Any, folder: str, precision: str) -> float:
    values = [next(iter(model([one[np.newaxis]]).values())).copy() for one in inputs]
    return difference(np.load(Path(folder, "values.npy")), np.concatenate(values), precision)


def _compiled(folder: str, precision: str, bytes_in: bool) -> Any:
    """Return the model compiled for throughput; `bytes_in` has it scale pixels of 0 to 255."""
    import openvino as ov
    from openvino.preprocess import PrePostProcessor

    if not Path(folder, "body.xml").exists():
        raise LeftOut("the network could not be converted")
    facts, core = facts_of(folder), ov.Core()
    model = core.read_model(str(Path(folder, "body.xml")))
    model.reshape([1, *facts["size"], 3])
    if bytes_in:
        steps = PrePostProcessor(model)
        steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
        steps.input().preprocess().convert_element_type(ov.Type.f32)
        steps.input().preprocess().mean(facts["mean"]).scale(facts["std"])
        model = steps.build()
    hints = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": _PRECISIONS[precision]}
    return core.compile_model(model, "CPU", hints)
