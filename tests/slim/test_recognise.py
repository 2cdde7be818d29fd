"""Recognising checkpoints by the names and shapes of their variables."""

from __future__ import annotations

import pytest

from retrain_tools.errors import InputError
from retrain_tools.slim.networks import NETWORKS, plan_network
from retrain_tools.slim.recognise import recognise
from retrain_tools.slim.variables import select_variables
from tests.slim.golden import NAMES, expected_variables, golden

_WITH_WIDTHS = [(name, width) for name, info in NETWORKS.items() for width in info.widths]


def _with_training(shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Add what training and publishing leave in a checkpoint."""
    scope = next(iter(shapes)).split("/")[0]
    slots = ("RMSProp", "RMSProp_1", "Momentum", "Adam", "Adam_1", "ExponentialMovingAverage")
    more = {f"{name}/{slot}": shape for name, shape in shapes.items() for slot in slots}
    scalars: dict[str, tuple[int, ...]] = {
        "global_step": (), "beta1_power": (), "beta2_power_1": (), f"{scope}/mean_rgb": (3,)
    }  # fmt: skip
    return {**more, **shapes, **scalars}


@pytest.mark.parametrize("file", NAMES)
def test_the_originals_are_recognised(file: str) -> None:
    known = golden(file)

    expected = (known.name, known.num_classes, known.width)
    assert recognise(known.variables) == expected
    assert recognise(_with_training(known.variables)) == expected


@pytest.mark.parametrize(("name", "width"), _WITH_WIDTHS)
def test_other_classes_and_all_widths_are_recognised(name: str, width: float) -> None:
    assert recognise(expected_variables(name, 5, width)) == (name, 5, width)


def test_aux_logits_may_be_absent_or_of_another_image_size() -> None:
    without = plan_network("inception_v3").variables
    assert recognise(without) == ("inception_v3", 1001, 1.0)

    renamed = {**without, "InceptionV3/AuxLogits/Conv2d_2a_3x3/weights": (3, 3, 128, 768)}
    assert recognise(renamed) == ("inception_v3", 1001, 1.0)


def test_moving_averages_alone_are_recognised() -> None:
    shapes = plan_network("mobilenet_v1", width=0.5).variables
    averages = {f"{name}/ExponentialMovingAverage": shape for name, shape in shapes.items()}

    assert recognise(averages) == ("mobilenet_v1", 1001, 0.5)


def test_differences_from_the_nearest_network_are_named() -> None:
    shapes = plan_network("mobilenet_v2", width=1.4).variables
    del shapes["MobilenetV2/Conv/BatchNorm/beta"]
    shapes["MobilenetV2/Conv/weights"] = (3, 3, 1, 48)
    shapes["MobilenetV2/squeeze_excite/weights"] = (1, 1, 48, 12)

    with pytest.raises(InputError) as refused:
        recognise(shapes)

    assert "mobilenet_v2 with 1001 classes and width 1.4 is nearest" in str(refused.value)
    assert "1 missing: 'MobilenetV2/Conv/BatchNorm/beta'" in str(refused.value)
    assert "'MobilenetV2/Conv/weights' (3×3×1×48 instead of 3×3×3×48)" in str(refused.value)
    assert "1 not the network's: 'MobilenetV2/squeeze_excite/weights'" in str(refused.value)


def test_long_lists_of_names_are_cut_short() -> None:
    shapes = {
        name: shape
        for name, shape in plan_network("resnet_v1_50").variables.items()
        if "block4" not in name
    }

    with pytest.raises(InputError, match=r"missing: '.*', '.*', '.*' and \d+ more\.$"):
        recognise(shapes)


@pytest.mark.parametrize(
    ("shapes", "says"),
    [
        ({"dense/kernel": (3, 5)}, "begins as 'dense/kernel' does; .* begin with InceptionV1,"),
        ({"global_step": ()}, "is empty"),
    ],
)
def test_other_checkpoints_are_refused(shapes: dict[str, tuple[int, ...]], says: str) -> None:
    with pytest.raises(InputError, match=says):
        recognise(shapes)


def test_selecting_variables() -> None:
    names = [
        "global_step", "a/weights", "a/weights/RMSProp_1", "a/weights/ExponentialMovingAverage",
        "a/biases", "vgg_16/mean_rgb", "a/BatchNorm/moving_mean/local_step", "Momentum_block/w",
    ]  # fmt: skip

    plain = select_variables(names)
    averaged = select_variables(names, moving_averages=True)

    assert plain == {name: name for name in ("a/weights", "a/biases", "Momentum_block/w")}
    assert averaged == {**plain, "a/weights": "a/weights/ExponentialMovingAverage"}
