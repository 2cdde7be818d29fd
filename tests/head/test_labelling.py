"""Labels of images against the untouched graph."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retrain_tools.engine.settings import RunSettings
from retrain_tools.errors import InputError
from retrain_tools.head.labelling import label_images

from .graphs import drawn_image, encoded, graph_2015, jpeg, prepared, run

LABELS = ["a", "b", "c", "d", "e"]


@pytest.fixture(scope="module")
def classifier(save):
    return save(graph_2015(), output_layer="probabilities")


@pytest.fixture
def paths(tmp_path):
    files = {"0.jpg": jpeg(drawn_image(0)), "1.png": encoded(drawn_image(1, 50, 12), "PNG"),
             "2.jpg": jpeg(drawn_image(2)), "broken.jpg": b"\xff\xd8 not an image"}  # fmt: skip
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    return {name: str(tmp_path / name) for name in files}


def expected(frozen, path):
    data = Path(path).read_bytes()
    return run(frozen.graph_def, "probabilities:0", {"DecodeJpeg/contents:0": data})[0]


def read_labels(count):
    assert count == 5
    return LABELS


def test_labels_come_with_the_graphs_scores_best_first(classifier, paths):
    names = ["2.jpg", "0.jpg", "1.png"]
    results = label_images(classifier, read_labels, [paths[name] for name in names], top_k=5)
    for name, result in zip(names, results, strict=True):
        scores = expected(classifier, paths[name])
        assert result.image == paths[name]
        assert result.error is None
        assert [label for label, _ in result.best] == [LABELS[i] for i in np.argsort(-scores)]
        np.testing.assert_allclose([s for _, s in result.best], np.sort(scores)[::-1], atol=1e-5)


def test_top_k_limits_the_labels(classifier, paths):
    [result] = label_images(classifier, read_labels, [paths["0.jpg"]], top_k=2)
    scores = expected(classifier, paths["0.jpg"])
    assert [label for label, _ in result.best] == [LABELS[i] for i in np.argsort(-scores)[:2]]


def test_a_broken_image_has_a_reason_and_the_others_their_labels(classifier, paths):
    names = ["broken.jpg", "0.jpg", "missing.jpg"]
    places = [paths.get(name, f"{paths['0.jpg']}.missing") for name in names]
    broken, good, missing = label_images(classifier, read_labels, places)
    assert broken.best == missing.best == []
    assert broken.error == "is not a JPEG, PNG, GIF, BMP or WebP image"
    assert missing.error == "cannot be read: No such file or directory"
    assert good.error is None
    assert good.best[0][1] == pytest.approx(expected(classifier, paths["0.jpg"]).max(), abs=1e-5)


def test_an_image_named_twice_is_labelled_twice(classifier, paths):
    first, second = label_images(classifier, read_labels, [paths["0.jpg"]] * 2)
    assert first == second


def test_a_graph_of_unknown_result_asks_for_its_name(classifier, paths):
    spec = dataclasses.replace(classifier.spec, final=None)
    frozen = dataclasses.replace(classifier, spec=spec)
    message = (
        f"Which tensor of {frozen.path} gives the scores? Name it with output_layer. "
        f"List them: list_tensors --graph={frozen.path} --outputs"
    )
    with pytest.raises(InputError, match=re.escape(message)):
        label_images(frozen, read_labels, [paths["0.jpg"]])


def test_a_pixel_graph_is_fed_prepared_pixels(shaped, paths):
    spec = dataclasses.replace(shaped.spec, final="probabilities:0")
    [result] = label_images(dataclasses.replace(shaped, spec=spec), read_labels, [paths["0.jpg"]])
    pixels = prepared(Path(paths["0.jpg"]).read_bytes())
    scores = run(shaped.graph_def, "probabilities:0", {"input:0": pixels})[0]
    assert [label for label, _ in result.best] == [LABELS[i] for i in np.argsort(-scores)]
    np.testing.assert_allclose([s for _, s in result.best], np.sort(scores)[::-1], atol=1e-5)


def test_images_of_any_form_are_labelled(classifier, paths):
    data = Path(paths["1.png"]).read_bytes()
    with Image.open(paths["1.png"]) as image:
        forms = [paths["1.png"], Path(paths["1.png"]), data, image.copy(), np.asarray(image)]
    results = label_images(classifier, read_labels, [*forms, b"", 7])
    assert [result.image for result in results] == [
        paths["1.png"], paths["1.png"], *(f"images[{n}]" for n in range(2, 7))
    ]  # fmt: skip
    assert all(result.best == results[0].best for result in results[:5])
    assert results[5].error == "is empty"
    assert results[6].error.startswith("is of type int; it takes a path, bytes")


def test_an_image_that_cannot_be_used_may_end_the_job(classifier, paths):
    given = [paths["0.jpg"], paths["broken.jpg"]]
    with pytest.raises(InputError, match=r"broken\.jpg is not a JPEG, PNG, GIF, BMP or WebP"):
        label_images(classifier, read_labels, given, on_error="fail")
    small, too_large = label_images(
        classifier,
        read_labels,
        [paths["1.png"], paths["0.jpg"]],
        running=RunSettings(max_image_pixels=600),
    )
    assert small.error is None
    assert "more than the limit of 600 pixels" in too_large.error
