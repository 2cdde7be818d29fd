"""Every network against the original definitions: variables, shapes of end points, values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retrain_tools.quiet_tensorflow import tf
from retrain_tools.slim.networks import (
    NETWORKS,
    build_network,
    plan_network,
)
from tests.slim.golden import (
    NAMES,
    WITH_VALUES,
    Golden,
    draw_images,
    draw_variables,
    expected_variables,
    golden,
    run,
)

_TOLERANCE = 1e-4  # of the tensor's standard deviation


@pytest.mark.parametrize("file", NAMES)
def test_the_variables_are_those_of_the_original(file: str) -> None:
    known = golden(file)

    assert expected_variables(known.name, known.num_classes, known.width) == known.variables


@pytest.mark.parametrize("file", NAMES)
def test_the_end_points_have_the_shapes_of_the_original(file: str) -> None:
    known = golden(file)
    plan = plan_network(
        known.name, known.num_classes, known.width, known.image_size, known.has_aux_logits
    )

    with tf.Graph().as_default() as graph:
        tf.compat.v1.import_graph_def(
            tf.compat.v1.GraphDef.FromString(plan.light.SerializeToString()), name=""
        )
        inferred = {
            name: graph.get_tensor_by_name(f"{tensor.node}:0").shape.as_list()
            for name, tensor in plan.end_points.items()
        }

    expected = {name: [None, *point["shape"][1:]] for name, point in known.end_points.items()}
    assert {name: shape for name, shape in inferred.items() if name in expected} == expected
    # The originals computed the features without making an end point of them.
    assert set(inferred) - set(expected) <= {NETWORKS[known.name].bottleneck}
    assert inferred == {name: [None, *tensor.shape] for name, tensor in plan.end_points.items()}


@pytest.mark.parametrize("file", WITH_VALUES)
def test_the_values_are_those_of_the_original(file: str) -> None:
    known = golden(file)
    built = build_network(
        known.name,
        draw_variables(known.variables),
        known.image_size,
        width=known.width,
        aux_logits=known.has_aux_logits,
    )

    values = run(built.graph_def, built.end_points, draw_images(known.image_size))

    errors = {name: _error(values[name], point) for name, point in known.end_points.items()}
    errors["first logits"] = _logits_error(values["logits"], known)
    assert {name: error for name, error in errors.items() if error > _TOLERANCE} == {}


def _error(values: np.ndarray, point: dict[str, Any]) -> float:
    """The largest error in mean, deviation and first values, in standard deviations."""
    first = values.reshape(2, -1)[:, :4].ravel() - point["first"]
    others = (
        values.mean(dtype=np.float64) - point["mean"],
        values.std(dtype=np.float64) - point["std"],
    )
    return float(np.abs([*first, *others]).max() / point["std"])


def _logits_error(values: np.ndarray, known: Golden) -> float:
    assert known.logits is not None
    first = values.reshape(2, -1)[:, :32]
    return float(np.abs(first - known.logits).max() / known.end_points["logits"]["std"])
