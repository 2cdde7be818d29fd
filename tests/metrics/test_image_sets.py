"""What a set may be given as, and what is wrong with what it may not; kinds and sizes of images."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import retrain_tools as rt
from retrain_tools.errors import InputError
from retrain_tools.metrics.image_facts import ImageFacts, image_facts
from retrain_tools.metrics.image_sets import Fetching, open_set

from .vectors import like_features

X = like_features(30, 8, 0)


def no_graph():
    raise AssertionError("the graph was opened")


def opened(given):
    return open_set(given, no_graph, Fetching())


def refusal(given, function=opened) -> str:
    with pytest.raises(InputError) as error:
        function(given)
    return str(error.value)


def test_features_are_found_by_their_name_or_are_the_only_tensor(tmp_path) -> None:
    path = tmp_path / "found.npz"
    np.savez(path, anything=X)
    np.testing.assert_array_equal(opened(path).rows["pool_3:0"][:], X)
    np.savez(path, other=X + 1, feats=X, images=[f"{row}.jpg" for row in range(30)])
    one = opened(path)
    np.testing.assert_array_equal(one.rows["pool_3:0"][:], X)
    assert one.images[2] == "2.jpg"
    np.savez(path, one=X, other=X)
    assert refusal(path).startswith(f"{path} holds one, other; the features have to be its only")
    np.savez_compressed(path, features=X[:, np.newaxis, np.newaxis])
    assert opened(path).rows["pool_3:0"].shape == (30, 8)
    import pickle

    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"1.jpg": X[0], "2.jpg": X[1]}))
    assert opened(tmp_path / "a.pkl").count == 2


def test_features_on_disk_stay_there(tmp_path) -> None:
    np.save(tmp_path / "x.npy", X)
    assert not isinstance(opened(tmp_path / "x.npy").rows["pool_3:0"], np.ndarray)


def test_what_is_no_set_is_refused(tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    said = refusal(tmp_path / "empty")
    assert said.startswith(f"No images in {tmp_path / 'empty'}: no file ends in .jpg")
    (tmp_path / "words.txt").write_text("words")
    assert refusal(tmp_path / "words.txt") == (
        f"{tmp_path / 'words.txt'} is no set of images: name a folder of images, an .npz with a "
        "batch of them ('arr_0') or with statistics ('mu', 'sigma'), or a file of features."
    )
    (tmp_path / "broken.npz").write_bytes(b"PK")
    assert refusal(tmp_path / "broken.npz").startswith(f"{tmp_path / 'broken.npz'} cannot be read")
    np.save(tmp_path / "cut.npy", X)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:-9])
    assert "cannot be read as features: cut off" in refusal(tmp_path / "cut.npy")
    said = "Features have to be numbers [N, depth], not uint8 [2, 4, 4, 3]; name a folder or a file"
    assert refusal(np.zeros((2, 4, 4, 3), np.uint8)).startswith(said)


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        (("no such folder", X), {}, "No such file or folder: no such folder"),
        ((X,), {}, "One set alone has no scores: name REFERENCE and SAMPLES, or the file for its "),
        ((X,), {"scores": ["fid"]}, "Scores take two sets of images, REFERENCE and SAMPLES."),
        ((X, X), {"scores": ["fidd"]}, "scores=fidd is none of fid, sfid, is, kid, precision, "),
        ((X, X), {"definition": "adn"}, "definition=adn is none of original, adm, improved-gan, "),
        ((X, X), {"scores": ["sfid"]}, "No sfid of these sets: REFERENCE (features) has no values"),
        ((X, X[:, :5]), {}, "The features are not of one network: 8 of one set, 5 of the other."),
        ((X[:1], X[:1]), {}, "No score of these sets can be had: fid: REFERENCE has one image"),
        ((X * np.nan, X), {}, "array has features that are not finite numbers, of 30 of 30 images"),
    ],
)
def test_what_cannot_be_evaluated_is_named(arguments, options, said) -> None:
    found = refusal(arguments, lambda given: rt.evaluate_images(*given, **options))
    assert found.startswith(said)


def test_facts_are_read_from_headers(tmp_path) -> None:
    for number, kind in enumerate(("JPEG", "PNG", "PNG", "GIF")):
        Image.new("RGB", (20 + number // 2, 10)).save(tmp_path / str(number), kind)
    (tmp_path / "4").write_bytes(b"no image")
    found = image_facts([str(tmp_path / str(number)) for number in range(6)])
    assert found.kinds == {"PNG": 2, "unknown": 2, "JPEG": 1, "GIF": 1}
    assert found.sizes == {(10, 20): 2, (10, 21): 2}
    assert found.size is None
    assert found.words() == "PNG 2, unknown 2, JPEG 1, GIF 1; 2 sizes, 10×20 to 10×21"
    assert ImageFacts({"PNG": 1200}, {(5, 6): 1200}).words() == "PNG 1,200; 5×6"
