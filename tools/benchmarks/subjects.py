"""The networks and photos that are measured, made once in the work folder."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.processes import measured
from benchmarks.setting import Setting

OWN = "inception_2015"
NETWORKS = (OWN, "inception_v1", "inception_v3", "resnet_v1_50", "mobilenet_v1_0.25_128")
_PROBES = 4  # random images on which others are compared with us


def network(setting: Setting, name: str) -> Path:
    """Return the folder of a network: its graph.pb, body.pb, and our values.npy for some pixels.

    They are in bytes.npy, and scaled in pixels.npy.
    """
    folder = setting.work_dir / "networks" / name
    if not (folder / "facts.json").exists():
        graph = str(Path(setting.graph).resolve()) if name == OWN else ""
        arguments = {"folder": str(folder), "name": name, "graph": graph}
        measured("subjects.write_network", setting.kept, **arguments)
    return folder


def facts_of(folder: str) -> dict[str, Any]:
    """Return what there is to know about a network: size, mean, std, feed, fetch."""
    return json.loads(Path(folder, "facts.json").read_text())


def write_network(folder: str, name: str, graph: str) -> bool:
    """Write the graph (of slim: with random weights), its frozen body, and our values for pixels.

    The body takes float32 [N, h, w, channels] and holds its weights as constants, so that every
    other engine is given the same.
    """
    from retrain_tools.engine.plan import plan_body
    from retrain_tools.features.extractor import Extractor
    from retrain_tools.graphdef.build import new_constant
    from retrain_tools.graphdef.save import write_graph
    from retrain_tools.sources.open import open_model

    to = Path(folder)
    to.mkdir(parents=True, exist_ok=True)
    if graph:
        (to / "graph.pb").unlink(missing_ok=True)
        (to / "graph.pb").symlink_to(graph)
    else:
        write_graph(str(to / "graph.pb"), _slim(name))
    frozen = open_model(str(to / "graph.pb")).frozen()
    spec = frozen.spec
    light, weights = plan_body(frozen.graph_def, spec, [spec.bottleneck])
    for node in light.node:
        if node.name in weights:
            node.CopyFrom(new_constant(node.name, weights[node.name]))
    write_graph(str(to / "body.pb"), light)
    size = (_PROBES, *spec.image_size, spec.channels)
    drawn = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    mean = np.broadcast_to(np.float32(0 if spec.mean is None else spec.mean), spec.channels)
    std = np.broadcast_to(np.float32(1 if spec.std is None else spec.std), spec.channels)
    pixels = (drawn - mean) / std
    with Extractor(frozen, [spec.bottleneck]) as extractor:
        values = [values[0] for _, values in extractor.results(pixels, lambda one: one)]
    np.save(to / "bytes.npy", drawn)
    np.save(to / "pixels.npy", pixels)
    np.save(to / "values.npy", np.stack(values))
    facts = {
        "size": spec.image_size,
        "mean": mean.tolist(),
        "std": std.tolist(),
        "feed": spec.pixel_input,
        "fetch": spec.bottleneck,
        "encoded": spec.encoded_input,
        "final": spec.final,
    }
    (to / "facts.json").write_text(json.dumps(facts))
    return True


def _slim(name: str) -> Any:
    """Return the frozen graph of a slim network with random weights, as its checkpoint would be."""
    from retrain_tools.slim.freezing import freeze_network
    from retrain_tools.slim.networks import plan_network

    own, width = name, 1.0
    if name.startswith("mobilenet_v1_"):  # mobilenet_v1_WIDTH_SIZE
        own, width = "mobilenet_v1", float(name.split("_")[2])
    size = int(name.split("_")[3]) if own != name else None
    shapes = plan_network(own, width=width).variables
    return freeze_network(
        shapes,
        lambda variable: drawn_variable(variable, shapes[variable]),
        name,
        image_size=None if size is None else (size, size),
    )


def drawn_variable(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Draw a variable so that activations neither vanish nor explode."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    match name.split("/")[-1]:
        case "moving_variance" | "gamma":
            value = random.uniform(0.8, 1.2, shape)
        case "moving_mean" | "beta" | "biases":
            value = 0.1 * random.standard_normal(shape)
        case "depthwise_weights":
            value = random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:2]))
        case _:
            value = random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))
    return value.astype(np.float32)


def small_photos(setting: Setting, count: int | None = None, classes: int | None = None) -> Path:
    """Return a folder of links to `count` of the photos, in their classes or in so many others.

    Where there are not as many photos, they are linked several times.
    """
    from retrain_tools.images.folders import find_images

    count = setting.images if count is None else count
    folder = setting.work_dir / f"photos_{count}{'' if classes is None else f'_in_{classes}'}"
    if folder.exists():
        return folder
    images = find_images(setting.image_dir)
    for number in range(count):
        few = count < len(images)  # then they are taken from everywhere
        image = images[number * len(images) // count if few else number % len(images)]
        label = image.folder if classes is None else f"class_{number % classes}"
        link = folder / label / f"{number:06}.jpg"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path(image.path).resolve())
    return folder


def large_photos(setting: Setting) -> Path:
    """Return a folder of photos of 12 megapixels, made of the given ones by enlarging them.

    Noise stands for the detail that they lack; the files have the 4 MB of a camera's.
    """
    from PIL import Image

    from retrain_tools.images.folders import find_images

    folder = setting.work_dir / f"large_{setting.large_images}"
    if folder.exists():
        return folder
    images = find_images(setting.image_dir)
    random = np.random.default_rng(0)
    noise = random.normal(0, 6, (3000, 4000, 1)).astype(np.int16)
    for number in range(setting.large_images):
        image = images[number * len(images) // setting.large_images]
        path = folder / image.folder / f"{number:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(image.path) as opened:
            large = opened.convert("RGB").resize((4000, 3000), Image.Resampling.BICUBIC)
        pixels = np.asarray(large, np.int16) + np.roll(noise, number * 101, (0, 1))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, "JPEG", quality=92)
    return folder
