"""Training graphs frozen to their prediction, with what it needs, and nothing of the training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.sources.contents import Choices
from retrain_tools.sources.open import open_model

from .more_training_graphs import MORE
from .training_graphs import GRAPHS, gan, siamese, v1, word2vec

KNOWN = {**GRAPHS, **MORE}
TOLD = [make for make, right in KNOWN.items() if right is not None]
RESOURCE = [False, True]


def fed_values(session: Any, names: set[str]) -> dict[str, Any]:
    """Something of the right type and shape for each input."""
    chance = np.random.default_rng(5)
    fed = {}
    for name in names:
        tensor = session.graph.get_tensor_by_name(name)
        dims = tensor.shape.as_list() if tensor.shape.rank is not None else [3]
        shape = [3 if size is None else size for size in dims]
        if tensor.dtype == tf.bool:
            fed[name] = False
        elif name.startswith("keep"):
            fed[name] = 1.0
        else:
            fed[name] = chance.random(shape, np.float32)
    return fed


def write(make: Callable[[], None], folder: Path, resource: bool) -> tuple[Path, Any, Any]:
    """Write a graph with its checkpoint; return what is fed, and what its session computes."""
    right = KNOWN[make]
    with tf.Graph().as_default(), v1.Session() as session:
        v1.set_random_seed(4)
        with v1.variable_scope("", use_resource=resource):
            (v1.enable_resource_variables if resource else v1.disable_resource_variables)()
            v1.disable_control_flow_v2()
            try:
                make()
            finally:
                v1.enable_resource_variables()
                v1.enable_control_flow_v2()
        session.run([v1.global_variables_initializer(), v1.local_variables_initializer()])
        fed, expected = {}, {}
        if right is not None:
            outputs, inputs = right
            fed = fed_values(session, inputs)
            expected = session.run({name: name for name in outputs}, fed)
        prefix = v1.train.Saver().save(session, str(folder / "model.ckpt"))
    return Path(f"{prefix}.meta"), fed, expected


@pytest.mark.parametrize("resource", RESOURCE)
@pytest.mark.parametrize("make", TOLD, ids=lambda make: make.__name__)
def test_the_prediction_and_what_it_needs(
    make: Callable[[], None], resource: bool, tmp_path: Path
) -> None:
    path, fed, expected = write(make, tmp_path, resource)
    frozen = open_model(path).freeze()
    assert set(frozen.outputs.values()) == set(expected)
    assert len(frozen.inputs) == len(fed)
    nodes = {node.name: node.op for node in frozen.graph_def.node}
    needed = {f"{name}:0" for name, op in nodes.items() if op.startswith("Placeholder")}
    assert needed == set(frozen.inputs.values())
    assert "labels" not in nodes
    assert not [n for n in nodes if n.startswith(("save/", "gradients", "Adam", "beta1"))]
    renamed = dict(zip(sorted(fed), sorted(frozen.inputs.values()), strict=True))
    with v1.Session(graph=tf.Graph()) as session:
        graph_def = v1.GraphDef.FromString(frozen.graph_def.SerializeToString())
        v1.import_graph_def(graph_def, name="")
        mine = session.run(
            {name: name for name in expected}, {renamed[name]: v for name, v in fed.items()}
        )
    for name, value in expected.items():
        np.testing.assert_allclose(mine[name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("resource", RESOURCE)
def test_where_it_cannot_be_told_the_candidates_are_listed(resource: bool, tmp_path: Path) -> None:
    path, _, _ = write(gan, tmp_path, resource)
    with pytest.raises(InputError) as error:
        open_model(path).freeze()
    assert str(error.value) == (
        f"{path} cannot be frozen: which of its results is meant cannot be told. Name one or more "
        "with output_node_names: make/out/Sigmoid:0 (Sigmoid, float32 [?, 12], from z:0); "
        "judge/out/add:0 (AddV2, float32 [?, 1], from x:0); "
        "judge_1/out/add:0 (AddV2, float32 [?, 1], from z:0)."
    )
    frozen = open_model(path, choices=Choices(outputs=["make/out/Sigmoid"])).freeze()
    assert frozen.inputs == {"z": "z:0"}
    assert frozen.outputs == {"make/out/Sigmoid": "make/out/Sigmoid:0"}
    both = open_model(path, choices=Choices(outputs=["judge/out/add:0", "judge_1/out/add"]))
    assert both.freeze().inputs == {"z": "z:0", "x": "x:0"}


def test_two_inputs_through_one_network(tmp_path: Path) -> None:
    path, _, _ = write(siamese, tmp_path, resource=False)
    with pytest.raises(InputError) as error:
        open_model(path).freeze()
    assert str(error.value).endswith(
        "net/out/add:0 (AddV2, float32 [?, 2], from one:0); "
        "net_1/out/add:0 (AddV2, float32 [?, 2], from two:0)."
    )


def test_classes_drawn_at_random_are_of_the_loss(tmp_path: Path) -> None:
    path, _, _ = write(word2vec, tmp_path, resource=False)
    with pytest.raises(InputError) as error:
        open_model(path).freeze()
    said = str(error.value)
    assert "which of its results is meant cannot be told" in said
    assert said.endswith("found/Identity:0 (Identity, float32 [?, 8], from word:0).")


def test_a_graph_without_data_has_no_prediction(tmp_path: Path) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        tf.matmul(v1.get_variable("w", [2, 2]), tf.ones([2, 2]))
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(tmp_path / "m"))
    with pytest.raises(InputError) as error:
        open_model(tmp_path / "m.meta").freeze()
    assert str(error.value) == (
        f"{tmp_path}/m.meta cannot be frozen: no result is computed from a placeholder, a queue or "
        "a data set; name the results with output_node_names."
    )


def test_looking_at_what_cannot_be_told_shows_the_stored_graph(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, _, _ = write(gan, tmp_path, resource=False)
    opened = open_model(path)
    assert "save/RestoreV2:0" in {tensor.name for tensor in opened.all_tensors}
    [line] = [m for m in caplog.messages if "What follows is the graph as it is stored." in m]
    assert line.startswith(f"{path} cannot be frozen: which of its results is meant cannot be told")
