"""What a file holds beside its graph, and all there is to say of one without."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import retrain_tools
from retrain_tools.graphdef import schema
from retrain_tools.graphdef.view import view_of
from retrain_tools.listing.modes import Form, summary_of
from retrain_tools.sources.contents import Signature, TensorInfo
from retrain_tools.sources.kinds import Kind
from retrain_tools.sources.model import Model
from retrain_tools.text_tables import Style

PLAIN = Style()
LAYERS = "3 with weights: bn 4 of [8], conv1 [3, 3, 3, 8] + [8], probs [8, 5] + [5]"


def model(**held: Any) -> Model:
    """A model that is nothing but what a file holds."""
    return Model(Path("model.bin"), Kind.HDF5, "kind of file", **held)


def about_json(opened: Model) -> str:
    return summary_of(opened, Form("json", PLAIN))


def also_text(opened: Model, style: Style) -> str:
    """What follows the summary."""
    return summary_of(opened, Form("table", style)).removeprefix(opened.summary().as_text(style))


def test_weights_of_keras(kinds: Mapping[str, Path]) -> None:
    path = kinds["keras weights"]
    assert retrain_tools.load(path).about() == (
        f"File       {path}\n"
        "Kind       Keras weights (HDF5)\n"
        f"Layers     {LAYERS}\n"
        "Ordering   tf: kernels of (height, width, in, out)\n"
        "Fits       no network of keras.applications\n"
        "Variables  8 variables, 301 values, 1,204 bytes: --variables\n"
        "Frozen     cannot be: it has weights but does not say what is computed with them; load "
        "them into the model with Keras, save that as .keras, and pass it.\n"
    )
    assert json.loads(about_json(retrain_tools.load(path))) == {
        "path": str(path),
        "kind": "Keras weights (HDF5)",
        "details": {
            "layers": LAYERS,
            "ordering": "tf: kernels of (height, width, in, out)",
            "fits": "no network of keras.applications",
        },
        "variables": 8,
        "tensors": 8,
        "signatures": [],
        "why_not_frozen": "it has weights but does not say what is computed with them; load them "
        "into the model with Keras, save that as .keras, and pass it.",
        "findings": [],
    }


def test_tensorflow_lite(kinds: Mapping[str, Path]) -> None:
    lite = retrain_tools.load(kinds["tflite"])
    lines = lite.about().splitlines()
    assert lines[1] == "Kind         TensorFlow Lite model, schema version 3"
    assert f"Tensors      {len(lite.tensors())}" in lines
    assert "Signatures   serving_default: --signatures" in lines
    assert lines[-1].startswith("Frozen       cannot be: a TensorFlow Lite model has no GraphDef,")
    told = json.loads(about_json(lite))
    assert (told["tensors"], told["signatures"]) == (len(lite.tensors()), ["serving_default"])


def test_a_checkpoint_of_an_unknown_model(kinds: Mapping[str, Path], tmp_path: Path) -> None:
    text = retrain_tools.load(kinds["checkpoint alone"], model_dir=tmp_path).about()
    values = 3 * 3 * 3 * 8 * 2 + 6 * 8 + (8 * 6) * 2 + 6 * 4
    assert f"Variables  11 variables, {values:,} values, {4 * values:,} bytes: --variables" in text
    assert text.count("\nVariables") == 1  # once, in more words than the file's details have
    assert "\nFrozen     cannot be: No slim network's checkpoint begins as " in text


def test_sizes_of_odd_variables() -> None:
    variables = [
        TensorInfo("step", "int64", ()),
        TensorInfo("w", "float32", (2, 3)),
        TensorInfo("empty", "float32", (0, 3)),
        TensorInfo("unknown", "float32", None),
        TensorInfo("partly", "float32", (None, 3)),
    ]
    text = model(variables=variables).about()
    assert "Variables  5 variables, 7 values, 32 bytes: --variables\n" in text
    one = model(variables=variables[:1]).about()
    assert "Variables  1 variable, 1 values, 8 bytes: --variables\n" in one


def test_details_keep_their_capitals() -> None:
    text = model(details={"written by Keras": "3.1", "TensorFlow": "2.0"}).about()
    assert text == (
        "File              model.bin\n"
        "Kind              kind of file\n"
        "Written by Keras  3.1\n"
        "TensorFlow        2.0\n"
    )


def test_nothing_more_is_said_of_a_plain_graph(kinds: Mapping[str, Path]) -> None:
    assert also_text(retrain_tools.load(kinds["graph"]), PLAIN) == ""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "saved model 1",
            "\nIn the file\n"
            "  variables   10 variables, 320 values, 1,280 bytes: --variables\n"
            "  signatures  serving_default: --signatures\n"
            "  layers      what each one gives, and its parameters: --inside\n",
        ),
        (
            "saved model 2",
            "\nIn the file\n"
            "  variables   2 variables, 52 values, 208 bytes: --variables\n"
            "  signatures  serving_default: --signatures\n"
            "  layers      what each one gives, and its parameters: --inside\n"
            "  functions   FUNCTIONS functions: --functions\n",
        ),
    ],
)
def test_what_is_in_the_file_besides(kinds: Mapping[str, Path], name: str, said: str) -> None:
    network = retrain_tools.load(kinds[name])
    assert network.stored_graph is not None
    functions = len(network.stored_graph.library.function)
    assert also_text(network, PLAIN) == said.replace("FUNCTIONS", str(functions))


def test_the_heading_stands_out_on_a_terminal() -> None:
    signatures = {"a": Signature({}, {}), "b": Signature({}, {})}
    assert also_text(
        model(signatures=signatures, stored=view_of(schema.GraphDef())), Style(True)
    ) == ("\n\x1b[1mIn the file\x1b[0m\n  signatures  a, b: --signatures\n")
