"""TensorFlow Lite, ONNX and GraphDef files in their own runtimes, on drawn and on real photos."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import retrain_tools as rt
from retrain_tools.errors import InputError
from retrain_tools.export.exported import ExportOptions
from retrain_tools.export.exporting import export_frozen
from retrain_tools.quiet_tensorflow import tf
from tests.export.toys import network, values
from tests.graphdef.tiny_graphs import (
    MOBILENET,
    MOBILENET_RETRAINED,
    NEAR_REAL,
    inception_like,
    real,
    run,
    write,
)
from tests.opening import freeze_checkpoint, load_graph

CLOSE = 1e-4
FORMS = ["tflite", "onnx", "graphdef"]
OUTPUTS = ["softmax", "mixed/conv"]


def needs(form: str) -> None:
    if form == "onnx":
        for package in ("tf2onnx", "onnx", "onnxruntime"):
            pytest.importorskip(package, reason="the extra onnx is not installed")


def orchids() -> list[Path]:
    return sorted(real("orchids/images").rglob("*.jpg"))[::80][:8]


@pytest.mark.parametrize("form", FORMS)
def test_every_output_is_that_of_the_untouched_graph(form, tmp_path):
    needs(form)
    frozen = load_graph(write(inception_like(), tmp_path / "g.pb"))
    path = tmp_path / f"out.{form}"
    found = export_frozen(frozen, str(path), form, ExportOptions(OUTPUTS))
    assert len(found.differences) == 2
    assert found.difference < CLOSE
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(["g.pb", path.name])


def test_lite_takes_batches_and_says_what_it_is(tmp_path):
    frozen = load_graph(write(inception_like(), tmp_path / "g.pb"))
    found = export_frozen(frozen, str(tmp_path / "g.tflite"), "tflite")
    pixels = values(5, 8, 8, 3)
    interpreter = tf.lite.Interpreter(model_path=found.path)
    given = interpreter.get_signature_runner()(pixels=pixels)["scores"]
    expected = [run(frozen.graph_def, "softmax:0", {"Mul:0": one[np.newaxis]}) for one in pixels]
    np.testing.assert_allclose(given, np.concatenate(expected), atol=CLOSE)
    assert "2 CONV_2D" in found.told["Operators"]
    assert found.told["Quantization"] == "none: float32"
    assert found.told["Input"].startswith("pixels, float32 [N, 8, 8, 3], (pixels - 128) / 128; ")
    assert rt.load(found.path).description.startswith("TensorFlow Lite model")


@pytest.mark.parametrize(("quantize", "share"), [("float16", 0.6), ("dynamic", 0.4)])
def test_lite_weights_can_be_smaller_and_less_exact(quantize, share, tmp_path):
    frozen = load_graph(real(MOBILENET))
    sizes = []
    for way in ("none", quantize):
        options = ExportOptions(quantize=way)
        found = export_frozen(frozen, str(tmp_path / f"{way}.tflite"), "tflite", options)
        sizes.append(Path(found.path).stat().st_size)
    assert sizes[1] < share * sizes[0]
    assert 1e-6 < found.difference < 0.2
    assert quantize.removesuffix("amic") in found.told["Quantization"]


def test_onnx_takes_batches_and_says_what_it_is(tmp_path):
    needs("onnx")
    import onnxruntime

    frozen = load_graph(write(inception_like(), tmp_path / "g.pb"))
    found = export_frozen(frozen, str(tmp_path / "g.onnx"), "onnx", ExportOptions(["softmax"]))
    session = onnxruntime.InferenceSession(found.path, providers=["CPUExecutionProvider"])
    [taken], [made] = session.get_inputs(), session.get_outputs()
    assert (taken.name, taken.shape[1:], made.name) == ("pixels", [8, 8, 3], "scores")
    pixels = values(5, 8, 8, 3)
    expected = [run(frozen.graph_def, "softmax:0", {"Mul:0": one[np.newaxis]}) for one in pixels]
    np.testing.assert_allclose(
        session.run(None, {"pixels": pixels})[0], np.concatenate(expected), atol=CLOSE
    )
    assert found.told["ONNX"].startswith("operator set 17, by tf2onnx ")
    assert "2 Conv" in found.told["Operators"]


def test_an_op_that_onnx_lacks_is_told(tmp_path):
    needs("onnx")
    frozen = network(tmp_path, lambda x: tf.raw_ops.Betainc(a=x, b=x, x=x))
    message = re.escape(f"{frozen.path} cannot become an ONNX file: ")
    with pytest.raises(InputError, match=message):
        export_frozen(frozen, str(tmp_path / "g.onnx"), "onnx")
    assert not (tmp_path / "g.onnx").exists()


def test_an_op_that_lite_lacks_is_one_of_tensorflows_or_told(tmp_path):
    frozen = network(tmp_path, lambda x: tf.raw_ops.Betainc(a=x * x, b=x * x, x=tf.sigmoid(x)))
    try:
        found = export_frozen(frozen, str(tmp_path / "g.tflite"), "tflite")
    except InputError as error:
        assert f"{frozen.path} cannot become a TensorFlow Lite file: " in str(error)
    else:
        assert "FlexBetainc" in found.told["Operators"]


def test_a_wrong_quantization_is_refused():
    message = "quantize=int4 must be one of none, float16, dynamic."
    with pytest.raises(InputError, match=re.escape(message)):
        ExportOptions(quantize="int4")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("graph", [MOBILENET, NEAR_REAL])
def test_real_networks_on_real_photos(graph, form, tmp_path):
    needs(form)
    frozen = load_graph(real(graph))
    tensors = [frozen.spec.bottleneck, str(frozen.spec.final)]
    options = ExportOptions(tensors, images=orchids())
    found = export_frozen(frozen, str(tmp_path / "g"), form, options)
    assert found.images == "8 images"
    assert found.difference < CLOSE


@pytest.mark.parametrize("form", ["tflite", "onnx"])
def test_a_retrained_graph_whose_head_can_be_fed_bottlenecks(form, tmp_path):
    needs(form)
    frozen = load_graph(real(MOBILENET_RETRAINED))
    assert export_frozen(frozen, str(tmp_path / "g"), form).difference < CLOSE


def test_a_graph_file_keeps_names_and_gets_an_encoded_input(slim_checkpoints, tmp_path):
    frozen = freeze_checkpoint(slim_checkpoints["V2 prefix"])
    found = export_frozen(frozen, str(tmp_path / "g.pb"), "graphdef")
    again = load_graph(found.path)
    assert again.spec.encoded_input == "DecodeJpeg/contents:0"
    assert (again.spec.bottleneck, again.spec.final) == (frozen.spec.bottleneck, frozen.spec.final)
    tensor = frozen.spec.bottleneck
    part = export_frozen(frozen, str(tmp_path / "p.pb"), "graphdef", ExportOptions([tensor]))
    nodes = {node.name for node in load_graph(part.path).graph_def.node}
    assert tensor.removesuffix(":0") in nodes
    assert str(frozen.spec.final).removesuffix(":0") not in nodes
