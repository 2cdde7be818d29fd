"""The part of a network after a tensor: what enters it, what is trained, and putting it back."""

from __future__ import annotations

import numpy as np
import pytest
from head.graphs import drawn_image, jpeg, run
from head.tail_graphs import BOTTLENECK, CUT, folded, opened, two_layers, values_in

from retrain_tools.engine.plan import plan_body
from retrain_tools.errors import InputError
from retrain_tools.graphdef.tail import Tail, cut_tail, entrances, with_tail

IMAGES = [jpeg(drawn_image(seed)) for seed in range(3)]


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    return opened(tmp_path_factory.mktemp("tail"))


def tail_from(frozen, start: str, end: str = BOTTLENECK) -> Tail:
    entering = entrances(frozen.graph_def, frozen.spec, start, end)
    light, weights = plan_body(frozen.graph_def, frozen.spec, [end, *entering])
    return cut_tail(light, weights, entering, end, str(frozen.path))


def run_on_images(graph_def, tensor=BOTTLENECK):
    return np.concatenate([run(graph_def, tensor, {"DecodeJpeg/contents:0": i}) for i in IMAGES])


def test_what_enters_is_the_tensor_and_each_branch_around_it(frozen):
    def of(start):
        return entrances(frozen.graph_def, frozen.spec, start, BOTTLENECK)

    assert of(CUT) == [CUT]
    assert of("second/relu") == ["second/relu:0", "beside/relu:0"]
    assert of("second/conv:0") == ["second/conv:0", "beside/relu:0"]
    assert of("sum:0") == ["sum:0"]


def test_trained_are_the_folded_layers_and_what_shifts_channels(frozen):
    tail = tail_from(frozen, CUT)
    assert set(tail.trained) == {
        "second/kernel", "second/norm/bias", "beside/kernel", "beside/norm/bias", "shift",
    }  # fmt: skip
    values = values_in(frozen.graph_def)
    for name in ("second", "beside"):
        kernel, bias = folded(values, name)
        np.testing.assert_allclose(tail.weights[f"{name}/kernel"], kernel, rtol=1e-6)
        np.testing.assert_allclose(tail.weights[f"{name}/norm/bias"], bias, rtol=1e-6)
    assert tail.weights["shift"] == pytest.approx(values["shift"])
    assert list(tail.entrances.values()) == [CUT]
    assert {n.op for n in tail.light.node if n.name in tail.entrances} == {"Placeholder"}
    assert not any(name.startswith("^") for node in tail.light.node for name in node.input)


def test_a_layer_that_is_cut_in_two_keeps_its_batch_norm(frozen):
    assert set(tail_from(frozen, "second/conv").trained) == {"second/beta", "second/gamma", "shift"}
    tail = tail_from(frozen, "beside/conv")
    assert set(tail.trained) == {"beside/beta", "beside/gamma", "shift"}
    assert tail_from(frozen, "sum").trained == ["shift"]


@pytest.mark.parametrize("start", [CUT, "second/relu", "second/conv", "beside/conv", "sum"])
def test_the_source_with_its_own_tail_computes_what_it_did(frozen, start):
    graph_def = with_tail(frozen.graph_def, tail_from(frozen, start), {})
    assert graph_def.versions == frozen.graph_def.versions
    np.testing.assert_allclose(
        run_on_images(graph_def), run_on_images(two_layers()), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(run_on_images(graph_def, CUT), run_on_images(two_layers(), CUT))


def test_trained_constants_take_the_place_of_those_of_the_source(frozen):
    tail = tail_from(frozen, CUT)
    moved = {"shift": tail.weights["shift"] + np.float32(0.25)}
    before, after = (run_on_images(with_tail(frozen.graph_def, tail, new)) for new in ({}, moved))
    np.testing.assert_allclose(after, before - 0.25, rtol=1e-5, atol=1e-6)


def test_a_constant_that_the_part_before_takes_too_is_not_trained(tmp_path):
    graph_def = two_layers()
    [conv] = [n for n in graph_def.node if n.name == "beside/conv"]
    bias = graph_def.node.add(name="again", op="Add", input=["first/relu", "shift"])
    bias.attr["T"].type = 1
    conv.input[0] = "again"
    frozen = opened(tmp_path, graph_def)
    tail = tail_from(frozen, "again")
    assert "shift" not in tail.trained
    assert "beside/kernel" in tail.trained
    np.testing.assert_allclose(
        run_on_images(with_tail(frozen.graph_def, tail, {})),
        run_on_images(graph_def),
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize("start", ["pool/_reshape:0", "softmax:0", "Sub:0", "first/kernel:0"])
def test_a_tensor_elsewhere_is_refused(frozen, start):
    with pytest.raises(InputError) as caught:
        entrances(frozen.graph_def, frozen.spec, start, BOTTLENECK)
    assert str(caught.value) == (
        f"fine_tune_from={start!r} has to lie between {frozen.spec.pixel_input!r}, where images "
        f"enter the network, and the bottleneck {BOTTLENECK!r}; what comes after it is trained."
    )


def test_a_tensor_after_all_layers_is_refused(frozen):
    with pytest.raises(InputError) as caught:
        tail_from(frozen, "pool:0")
    assert str(caught.value) == (
        "fine_tune_from='pool:0': there is nothing to train between it and the bottleneck "
        f"{BOTTLENECK!r} of {frozen.path}; choose a tensor before a layer."
    )


def test_something_else_than_float32_that_enters_is_refused(tmp_path):
    graph_def = two_layers()
    [last] = [n for n in graph_def.node if n.name == "sum"]
    last.input[0] = "shaped"
    shaped = graph_def.node.add(name="shaped", op="Reshape", input=["second/relu", "small"])
    shaped.attr["T"].type = 1
    small = graph_def.node.add(name="small", op="Shape", input=["beside/relu"])
    small.attr["T"].type = 1
    frozen = opened(tmp_path, graph_def)
    with pytest.raises(InputError) as caught:
        tail_from(frozen, "second/relu:0")
    assert str(caught.value) == (
        f"'small:0' of {frozen.path} enters the part to be tuned, and is int32, not float32; "
        "choose another tensor as fine_tune_from."
    )
