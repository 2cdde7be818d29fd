"""TensorFlow Lite models with operators that are TensorFlow's own, or of no one known."""

from __future__ import annotations

from pathlib import Path

import flatbuffers
import pytest

from retrain_tools.safety.scanning import scan
from retrain_tools.sources.readers.tflite import _schema
from tests.safety.test_benign import DATA, needs_data

CUSTOM = 32  # BuiltinOperator.CUSTOM


def with_operator(name: str, path: Path) -> Path:
    """The sine model, whose first operator is a custom one."""
    schema = _schema()
    data = (DATA / "wild" / "sine_float.tflite").read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    code = model.operatorCodes[0]
    code.customCode, code.builtinCode, code.deprecatedBuiltinCode = name, CUSTOM, CUSTOM
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(builder.Output())
    return path


@needs_data
@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("FlexWriteFile", {("writes-files", "high")}),
        ("FlexPyFunc", {("python", "high")}),
        ("Evil", {("unknown-op", "medium")}),
        ("FlexErf", set()),
        ("FlexNobodyKnows", {("unknown-op", "medium")}),
        ("TFLite_Detection_PostProcess", set()),
    ],
)
def test_custom_operators(name: str, found: set[tuple[str, str]], tmp_path: Path) -> None:
    report = scan(with_operator(name, tmp_path / "m.tflite"))
    assert {(f.rule, f.severity.word) for f in report.findings} == found
    assert {f.name for f in report.findings} <= {name}
    assert report.kind == "TensorFlow Lite model"
