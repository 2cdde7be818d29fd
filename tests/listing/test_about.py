"""What a file holds beside its graph, and all there is to say of one without."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import retrain_tools
from retrain_tools.listing.about import about_json, about_text, also_text
from retrain_tools.listing.terminal import Style
from retrain_tools.sources.opened import Opened, Signature, StoredVariable

PLAIN = Style()


def network(**opened: Any) -> Any:
    """A network that is nothing but an opened file."""
    made = Opened(Path("model.bin"), "kind of file", **opened)
    return SimpleNamespace(
        path=made.path,
        kind=made.kind,
        opened=made,
        variables=made.variables,
        signatures=made.signatures,
        stored_graph=made.graph_def,
        all_tensors=list(made.tensors),
    )


def test_weights_of_keras(kinds: Mapping[str, Path]) -> None:
    path = kinds["keras weights"]
    assert about_text(retrain_tools.load(path)) == (
        f"File       {path}\n"
        "Kind       Keras weights (HDF5)\n"
        "Variables  8 variables, 301 values, 1,204 bytes: --variables\n"
        "Frozen     cannot be: it has weights but does not say what is computed with them; load "
        "them into the model with Keras, save that as .keras, and pass it.\n"
    )
    assert json.loads(about_json(retrain_tools.load(path))) == {
        "path": str(path),
        "kind": "Keras weights (HDF5)",
        "details": {},
        "variables": 8,
        "tensors": 8,
        "signatures": [],
        "why_not_frozen": "it has weights but does not say what is computed with them; load them "
        "into the model with Keras, save that as .keras, and pass it.",
    }


def test_tensorflow_lite(kinds: Mapping[str, Path]) -> None:
    lite = retrain_tools.load(kinds["tflite"])
    lines = about_text(lite).splitlines()
    assert lines[1] == "Kind         TensorFlow Lite model, schema version 3"
    assert f"Tensors      {len(lite.tensors())}" in lines
    assert "Signatures   serving_default: --signatures" in lines
    assert lines[-1].startswith("Frozen       cannot be: a TensorFlow Lite model has no GraphDef,")
    told = json.loads(about_json(lite))
    assert (told["tensors"], told["signatures"]) == (len(lite.tensors()), ["serving_default"])


def test_a_checkpoint_of_an_unknown_network(kinds: Mapping[str, Path], tmp_path: Path) -> None:
    text = about_text(retrain_tools.load(kinds["checkpoint alone"], model_dir=tmp_path))
    values = 3 * 3 * 3 * 8 * 2 + 6 * 8 + (8 * 6) * 2 + 6 * 4
    assert f"Variables  11 variables, {values:,} values, {4 * values:,} bytes: --variables" in text
    assert text.count("\nVariables") == 1  # once, in more words than the file's details have
    assert "\nFrozen     cannot be: No slim network's checkpoint begins as " in text


def test_sizes_of_odd_variables() -> None:
    variables = [
        StoredVariable("step", "int64", ()),
        StoredVariable("w", "float32", (2, 3)),
        StoredVariable("empty", "float32", (0, 3)),
        StoredVariable("unknown", "float32", None),
        StoredVariable("partly", "float32", (None, 3)),
    ]
    text = about_text(network(variables=variables))
    assert "Variables  5 variables, 7 values, 32 bytes: --variables\n" in text
    one = about_text(network(variables=variables[:1]))
    assert "Variables  1 variable, 1 values, 8 bytes: --variables\n" in one


def test_details_keep_their_capitals() -> None:
    text = about_text(network(details={"written by Keras": "3.1", "TensorFlow": "2.0"}))
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
            "  signatures  serving_default: --signatures\n",
        ),
        (
            "saved model 2",
            "\nIn the file\n"
            "  variables   2 variables, 52 values, 208 bytes: --variables\n"
            "  signatures  serving_default: --signatures\n"
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
    assert also_text(network(signatures=signatures), Style(True)) == (
        "\n\x1b[1mIn the file\x1b[0m\n  signatures  a, b: --signatures\n"
    )
