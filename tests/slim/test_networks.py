"""Facts, graphs and refusals of the networks, without the goldens."""

from __future__ import annotations

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.slim.networks import (
    NETWORKS,
    PREPROCESSING,
    build_network,
    network_info,
    plan_network,
)
from tests.slim.golden import WITH_AUX_LOGITS, draw_images, draw_variables, expected_variables, run

_SIZE = 96
_CLASSES = 5
# Values per image in the bottleneck, as the papers have them.
_DEPTHS = {
    **dict.fromkeys(("inception_v1", "inception_v2", "mobilenet_v1"), 1024),
    **dict.fromkeys(("inception_v4", "inception_resnet_v2"), 1536),
    **dict.fromkeys([f"resnet_v{v}_{depth}" for v in (1, 2) for depth in (50, 101, 152)], 2048),
    **dict.fromkeys(("vgg_16", "vgg_19", "alexnet_v2"), 4096),
    "inception_v3": 2048,
    "mobilenet_v2": 1280,
}


@pytest.fixture(scope="module")
def mobilenet() -> dict[str, np.ndarray]:
    return draw_variables(expected_variables("mobilenet_v1", _CLASSES, 0.25))


@pytest.mark.parametrize("name", NETWORKS)
def test_facts_fit_the_layout(name: str) -> None:
    info = NETWORKS[name]
    plan = plan_network(name, _CLASSES)

    assert plan.end_points[info.bottleneck].shape[-1] == _DEPTHS[name]
    assert plan.variables[f"{info.scope}/{info.classifier}/biases"] == (_CLASSES,)
    assert plan.logits.shape == plan.predictions.shape == (_CLASSES,)
    assert {variable.split("/")[0] for variable in plan.variables} == {info.scope}
    assert all(width == 1 or name.startswith("mobilenet") for width in info.widths)
    assert info.preprocessing in PREPROCESSING or name == "alexnet_v2"
    assert (info.num_classes == 1001) == (info.preprocessing == "inception")
    names = [node.name for node in plan.light.node]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", NETWORKS)
def test_aux_logits_are_variables_of_the_network_but_not_of_its_graph(name: str) -> None:
    scope = NETWORKS[name].scope
    used = set(plan_network(name).variables)

    unused = set(expected_variables(name)) - used

    assert all(variable.startswith(f"{scope}/AuxLogits/") for variable in unused)
    assert bool(unused) == (name in WITH_AUX_LOGITS)


def test_a_built_network_runs(mobilenet: dict[str, np.ndarray]) -> None:
    built = build_network("mobilenet_v1", mobilenet, (_SIZE, 64), width=0.25)

    fetches = {"logits": built.logits, "predictions": built.predictions, "cut": built.bottleneck}
    images = draw_images(_SIZE)[:, :, :64]
    values = run(built.graph_def, fetches, images, built.input)

    assert values["logits"].shape == (2, _CLASSES)
    assert values["predictions"].sum(axis=1) == pytest.approx([1, 1])
    assert values["cut"].shape == (2, 1, 1, 256)
    assert built.end_points["Logits"] == built.logits
    assert built.end_points["Conv2d_0"] == "MobilenetV1/Conv2d_0/Relu6:0"
    ops = {node.op for node in built.graph_def.node}
    assert [node.name for node in built.graph_def.node if node.op == "Placeholder"] == ["input"]
    assert not any("Norm" in op or "Var" in op for op in ops)


def test_the_default_size_and_classes_are_those_of_the_published_checkpoint() -> None:
    plan = plan_network("inception_v3")

    assert plan.image.shape == (299, 299, 3)
    assert plan.logits.shape == (1001,)


def test_known_node_names() -> None:
    v3, v4 = plan_network("inception_v3"), plan_network("inception_v4")
    names = {node.name: node.op for node in v3.light.node}

    assert v3.end_points["Mixed_7c"].node == "InceptionV3/Mixed_7c/concat"
    assert names["InceptionV3/Conv2d_1a_3x3/Conv2D"] == "Conv2D"
    assert v3.predictions.node == "InceptionV3/Predictions/Reshape_1"
    assert v4.predictions.node == "InceptionV4/Logits/Predictions"


def test_variables_that_are_missing_or_of_another_shape_are_named(
    mobilenet: dict[str, np.ndarray],
) -> None:
    weights = dict(mobilenet)
    del weights["MobilenetV1/Conv2d_3_depthwise/BatchNorm/gamma"]
    weights["MobilenetV1/Conv2d_0/weights"] = np.zeros((3, 3, 3, 32), np.float32)

    with pytest.raises(InputError) as refused:
        build_network("mobilenet_v1", weights, _SIZE, width=0.25)

    assert "1 missing: 'MobilenetV1/Conv2d_3_depthwise/BatchNorm/gamma'" in str(refused.value)
    assert "'MobilenetV1/Conv2d_0/weights' (3×3×3×32 instead of 3×3×3×8)" in str(refused.value)


def test_wrong_numbers_of_classes_are_named(mobilenet: dict[str, np.ndarray]) -> None:
    with pytest.raises(InputError, match=r"Logits/Conv2d_1c_1x1/biases' \(5 instead of 7\)"):
        build_network("mobilenet_v1", mobilenet, _SIZE, num_classes=7, width=0.25)


def test_impossible_wishes_are_refused() -> None:
    with pytest.raises(InputError, match="Did you mean 'inception_v3'"):
        network_info("inceptionv3")
    with pytest.raises(InputError, match="resnet_v1_50 has one width only"):
        plan_network("resnet_v1_50", width=0.5)
    with pytest.raises(InputError, match="have to be above 0"):
        plan_network("mobilenet_v2", width=0.0)
    with pytest.raises(InputError, match=r"not 1\.0, 0 and 224×224"):
        plan_network("vgg_16", num_classes=0)
    with pytest.raises(InputError, match="vgg_16 has no auxiliary classifier"):
        plan_network("vgg_16", aux_logits=True)
    with pytest.raises(InputError, match=r"256×256 pixels.*2×2 at 'vgg_16/fc8/BiasAdd'.*1×1"):
        plan_network("vgg_16", image_size=256)
    with pytest.raises(InputError, match=r"InceptionV3 cannot take images of 139×139"):
        plan_network("inception_v3", image_size=139, aux_logits=True)


def test_without_aux_logits_other_sizes_go_as_well() -> None:
    assert plan_network("inception_v3", image_size=139).logits.shape == (1001,)


@pytest.mark.parametrize(
    ("width", "channels", "parameters"),
    # The parameters of Keras's MobileNetV2 with 1000 classes.
    [(1.0, (32, 16, 24, 32, 64, 96, 160, 320, 1280), 3538984),
     (1.4, (48, 24, 32, 48, 88, 136, 224, 448, 1792), 6156712)],
)  # fmt: skip
def test_the_channels_of_mobilenet_v2(
    width: float, channels: tuple[int, ...], parameters: int
) -> None:
    plan = plan_network("mobilenet_v2", 1000, width)

    firsts = (1, 2, 3, 5, 8, 12, 15, 18, 19)
    made = tuple(plan.end_points[f"layer_{layer}"].shape[-1] for layer in firsts)
    assert made == channels
    assert sum(int(np.prod(shape)) for shape in plan.variables.values()) == parameters
    assert plan.end_points["layer_15/expansion_output"].shape[:2] == (14, 14)


def test_tensorflow_infers_the_shapes_of_mobilenet_v2() -> None:
    plan = plan_network("mobilenet_v2", width=0.35, image_size=(160, 96))

    with tf.Graph().as_default() as graph:
        tf.compat.v1.import_graph_def(
            tf.compat.v1.GraphDef.FromString(plan.light.SerializeToString()), name=""
        )
        for tensor in plan.end_points.values():
            shape = graph.get_tensor_by_name(f"{tensor.node}:0").shape.as_list()
            assert shape == [None, *tensor.shape]
