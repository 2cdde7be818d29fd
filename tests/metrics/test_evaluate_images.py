"""The command line of `evaluate_images`: text, JSON, statistics, the page, and errors."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from retrain_tools import __version__
from tests.metrics.conftest import BATCHED, PHOTOS

from .vectors import like_features

MODULE = "retrain_tools.evaluate_images"
SETS = ["photos", "samples.npz", "--graph=graph.pb"]


def test_scores_as_text_and_as_json(run_commands, here, found) -> None:
    shown, told, made = run_commands(
        MODULE,
        [
            [*SETS, "--log_json"],
            [*SETS, "--format=json", "--definition=torch-fidelity", "--scores=kid,fid"],
            ["photos", "--graph=graph.pb", "--save_statistics=made/s.npz"],
        ],
        here,
    )
    assert shown.status == 0, shown.err
    rows = re.findall(r"^([A-Za-z ]+?) +(-?\d+\.?\d*(?:e-\d+)?) ", shown.out, re.MULTILINE)
    values = {name: float(value) for name, value in rows}
    names = ("FID", "sFID", "Inception Score", "KID", "precision", "recall", "density", "coverage")
    for name, score in zip(names, found.scores.values(), strict=True):
        assert values[name] == pytest.approx(score.value, rel=0.005, abs=1e-4)
    assert (
        f"REFERENCE   photos: images, {PHOTOS} images (JPEG {PHOTOS}; {PHOTOS} sizes, " in shown.out
    )
    assert f"batch of images, {BATCHED} images (pixels {BATCHED}; 40×40)" in shown.out
    assert f"definition  original, retrain_tools {__version__}\n" in shown.out
    assert "seed        0 (KID)\n" in shown.out
    assert f"graph       graph.pb, fingerprint {found.fingerprint[:16]}…\n" in shown.out
    assert "resize      in the graph by ResizeBilinear to 299×299, float32\n" in shown.out
    assert "\nnote: REFERENCE has 12 images and SAMPLES has 14 images, fewer than the " in shown.out
    figures = json.loads(shown.err.splitlines()[-1])
    assert figures["scores"]["fid"] == found.scores["fid"].value
    assert (figures["status"], figures["computed"], figures["reused"]) == (0, 0, PHOTOS + BATCHED)
    content = json.loads(told.out)
    assert list(content["scores"]) == ["fid", "kid"]
    kid = content["scores"]["kid"]
    assert (kid["seed"], kid["source"]) == (2020, "toshas/torch-fidelity 0.4.0")
    for score in content["scores"].values():
        assert score["retrain_tools"] == __version__
        assert score["fingerprint"] == found.fingerprint
        assert score["resize"] == found.resize
        assert score["samples"]["kinds"] == {"pixels": BATCHED}
        assert score["reference"]["images"] == PHOTOS
    assert made.status == 0, made.err
    assert "statistics of photos: made/s.npz" in made.err
    with np.load(here / "made/s.npz") as arrays:
        assert "mu_s" in arrays.files


def test_the_page_shows_scores_and_images(run_script, here) -> None:
    pytest.importorskip("matplotlib")
    done = run_script(MODULE, *SETS, "--html=pages/scores.html", cwd=here)
    assert done.status == 0, done.err
    page = (here / "pages/scores.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    for said in ("The best samples, by density", "The worst samples", "samples.npz[", "photos/"):
        assert said in page
    assert page.count('class="thumbnail"') == 2 * 3 * 6
    assert "<script" not in page


def test_errors(run_commands, here, tmp_path) -> None:
    np.save(tmp_path / "x.npy", like_features(30, 8, 0))
    wanted = {
        (): "error: Name two sets of images after the flags, REFERENCE and SAMPLES; none is named.",
        ("a", "b", "c"): "error: Name two sets of images after the flags, REFERENCE and SAMPLES; 3 "
        "are named: a, b, c.",
        ("photos", "nowhere"): "error: No such file or folder: nowhere",
        ("photos",): "error: One set alone has no scores: name REFERENCE and SAMPLES, or the file "
        "for its statistics with --save_statistics.",
        ("photos", "--html=x.html"): "error: --html takes the file to write, as "
        "--html=scores.html, and two sets.",
        ("photos", "photos", "--scores=precison"): "error: --scores=precison is none of fid, sfid, "
        "is, kid, precision, recall, density, coverage. Did you mean 'precision'?",
        (tmp_path / "x.npy", tmp_path / "x.npy", "--scores=sfid"): "error: No sfid of these sets: "
        "REFERENCE (features) has no values of mixed_6/conv.",
        ("photos", "photos", "--save_statistics=photos"): "error: photos is a folder; it should be "
        "a file to write.",
    }
    results = run_commands(MODULE, [list(words) for words in wanted], here)
    for done, (words, said) in zip(results, wanted.items(), strict=True):
        assert (done.status, done.out) == (2, ""), words
        assert done.err.splitlines()[-1] == said


def test_features_alone_take_no_graph_and_failures_set_the_status(
    run_commands, here, tmp_path
) -> None:
    np.save(tmp_path / "x.npy", like_features(30, 8, 0))
    (tmp_path / "set").mkdir()
    (tmp_path / "set/1.jpg").write_bytes((here / "photos/a/00.jpg").read_bytes())
    (tmp_path / "set/2.jpg").write_bytes((here / "photos/b/01.jpg").read_bytes())
    (tmp_path / "set/3.jpg").write_bytes(b"")
    alone, failed = run_commands(
        MODULE,
        [
            [tmp_path / "x.npy", tmp_path / "x.npy"],
            ["photos", tmp_path / "set", "--graph=graph.pb", f"--feature_dir={tmp_path}/features"],
        ],
        here,
    )
    assert (alone.status, alone.err) == (0, "")
    assert "left out: Inception Score: it takes a graph with softmax/logits/MatMul" in alone.out
    assert "note: 30 images of SAMPLES are in REFERENCE as well" in alone.out
    assert failed.status == 1
    assert f"warning: {tmp_path}/set/3.jpg is empty" in failed.err
    assert "note: 2 images of SAMPLES are in REFERENCE as well" in failed.out
