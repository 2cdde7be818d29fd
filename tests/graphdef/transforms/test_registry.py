"""Names, arguments, recipes and order of transforms, as a user writes them."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.graphdef.transforms import registry
from retrain_tools.graphdef.transforms.arguments import bound, described, ignores_errors
from retrain_tools.graphdef.transforms.parse import Call, parse_transforms
from retrain_tools.graphdef.weights import Weights
from retrain_tools.sources.readers.graph_def import read_graph_def

from ..tiny_graphs import NEAR_REAL, add_constant, empty_graph, real
from .old_tool import CASES, bits, tiny, transformed, values


@pytest.mark.parametrize("name", registry.transform_names())
def test_every_transform_is_there_says_what_it_does_and_takes_what_all_take(name: str) -> None:
    function = registry.transform_named(name)
    parameters = list(inspect.signature(function).parameters.values())
    assert [parameter.name for parameter in parameters[:3]] == ["light", "weights", "keep"]
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters[3:])
    assert registry.help_of(function)[0].isupper()
    assert described(name, function).startswith(name)
    for parameter in parameters[3:]:
        text = f"{name}({parameter.name}=1)"
        if parameter.name in ("type", "if_default"):
            continue
        keywords: dict[str, Any] = {}
        try:
            keywords = bound(parse_transforms(text)[0], function, (), ())
        except InputError as error:  # of another argument
            assert "needs the argument" in str(error) or "takes true or false" in str(error)
        else:
            assert parameter.name in keywords


@pytest.mark.parametrize("name", registry.RECIPES)
def test_every_recipe_is_made_of_transforms(name: str) -> None:
    recipe = registry.recipe_named(name)
    assert recipe.help
    for call in parse_transforms(recipe.text):
        bound(call, registry.transform_named(call.name), (), ())


def test_a_recipe_comes_before_the_transforms() -> None:
    calls = registry.named_calls("deploy", "remove_device")
    assert [*parse_transforms(registry.RECIPES["deploy"].text), Call("remove_device")] == calls
    assert registry.named_calls(None, "a(b=c)") == [Call("a", (("b", "c"),))]


def stretch(
    light: Any,
    weights: Weights,
    keep: Sequence[str] = (),
    *,
    times: int,
    by: float = 1.5,
    way: str = "up",
    is_loud: bool = False,
    names: Sequence[str] = (),
    most: int | None = None,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] | None = None,
) -> tuple[Any, Weights]:
    """Stretch a graph; twice, say. Nothing else."""
    raise NotImplementedError


def test_arguments_become_what_the_function_takes() -> None:
    text = 'stretch(times=2, by=1e3, way="a, b", is_loud=TRUE, names="a,b", names=c, most=-1)'
    assert bound(parse_transforms(text)[0], stretch, ["x"], ["y"]) == {
        "times": 2, "by": 1000.0, "way": "a, b", "is_loud": True, "names": ("a,b", "c"),
        "most": -1, "inputs": ("x",), "outputs": ("y",),
    }  # fmt: skip
    text = 'stretch(times=2, inputs="a, b:1", inputs=c, is_loud=0, ignore_errors=1)'
    assert bound(parse_transforms(text)[0], stretch, ["x"], ["y"]) == {
        "times": 2, "is_loud": False, "inputs": ("a", "b:1", "c"), "outputs": ("y",),
    }  # fmt: skip


def test_what_list_shows() -> None:
    assert described("stretch", stretch) == (
        "stretch(times=…, by=1.5, way=up, is_loud=false, names=…[, names=…], most=…, "
        "inputs=--inputs, outputs=--outputs)"
    )
    assert registry.help_of(stretch) == "Stretch a graph"
    for name, shown in {
        "remove_device": "remove_device",
        "remove_nodes": "remove_nodes(op=…[, op=…], max_inputs=1)",
        "set_device": 'set_device(device="", if_default=false)',
    }.items():
        assert described(name, registry.transform_named(name)) == shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "stretch(time=2)",
            "stretch has no argument 'time'. Did you mean 'times'? It takes times, by, way, "
            "is_loud, names, most, inputs, outputs, ignore_errors.",
        ),
        ("stretch", "stretch needs the argument times: stretch(times=VALUE)"),
        ("stretch(times=two)", "stretch(times=two): times takes a whole number, not 'two'."),
        ("stretch(times=1, by=x)", "stretch(by=x): by takes a number, not 'x'."),
        (
            "stretch(times=1, is_loud=yes)",
            "stretch(is_loud=yes): is_loud takes true or false, not 'yes'.",
        ),
        (
            "stretch(times=1, times=2)",
            "stretch takes times once, and it is given 2 times: 1, 2.",
        ),
    ],
)
def test_arguments_that_it_does_not_take(text: str, message: str) -> None:
    with pytest.raises(InputError) as raised:
        bound(parse_transforms(text)[0], stretch, (), ())
    assert str(raised.value) == message


def test_ignoring_errors() -> None:
    assert not ignores_errors(Call("a"))
    assert ignores_errors(Call("a", (("ignore_errors", "true"),)))
    with pytest.raises(InputError) as raised:
        ignores_errors(Call("a", (("ignore_errors", "maybe"),)))
    assert str(raised.value) == (
        "a(ignore_errors=maybe): ignore_errors takes true or false, not 'maybe'."
    )
    graph_def, inputs, outputs, _ = tiny()
    text = "rename_node(old_node_name=no, new_node_name=a{}) remove_device"
    made = transformed(graph_def, text.format(", ignore_errors=true"), inputs, outputs)
    assert bits(made.graph_def) == bits(graph_def)
    assert [step.failure for step in made.steps] == ["No node 'no'.", None]
    assert [step.nodes for step in made.steps] == [41, 41]
    with pytest.raises(InputError, match=r"^rename_node: No node 'no'\.$"):
        transformed(graph_def, text.format(""), inputs, outputs)


def test_names_that_nothing_has() -> None:
    with pytest.raises(InputError) as raised:
        transformed(tiny()[0], "fold_constant")
    assert str(raised.value).startswith(
        "No transform 'fold_constant'. Did you mean 'fold_constants'? There are: add_default_"
    )
    with pytest.raises(InputError) as raised:
        registry.recipe_named("deplo")
    assert str(raised.value).startswith("No recipe 'deplo'. Did you mean 'deploy'? There are: ")
    with pytest.raises(InputError) as raised:
        registry.named_calls(None, None)
    assert str(raised.value) == (
        "Say what to do, with transforms or recipe; the script's --list lists both."
    )


def test_all_are_looked_at_before_the_first_starts() -> None:
    """A large constant that cannot be read, which the first transform would stumble over."""
    graph_def = empty_graph()
    node = add_constant(graph_def, "c", np.zeros(20, np.float32))
    node.attr["value"].tensor.tensor_content = b"123"
    with pytest.raises(InputError, match=r"^No transform 'no_such'"):
        transformed(graph_def, "remove_device no_such")
    with pytest.raises(InputError, match=r"^set_device has no argument 'x'"):
        transformed(graph_def, "remove_device set_device(x=1)")
    with pytest.raises(InputError) as raised:
        transformed(graph_def, "remove_device")
    assert str(raised.value) == (
        "A constant of the graph cannot be read: it holds 3 bytes; 20 elements of float32 take 80."
    )


@pytest.mark.parametrize("recipe", registry.RECIPES)
@pytest.mark.parametrize("case", CASES)
def test_what_recipes_leave_of_a_graph(case: str, recipe: str) -> None:
    graph_def, inputs, outputs, feeds = CASES[case]()
    made = transformed(graph_def, registry.RECIPES[recipe].text, inputs, outputs)
    tolerance = 0.5 if recipe == "mobile" else 1e-5
    for one, other in zip(
        values(graph_def, outputs, feeds), values(made.graph_def, outputs, feeds), strict=True
    ):
        np.testing.assert_allclose(other, one, atol=tolerance)
    assert not {node.device for node in made.graph_def.node} - {""} or recipe == "deploy"
    assert "CheckNumerics" not in {node.op for node in made.graph_def.node}


@pytest.mark.parametrize("entry", ["Mul", "DecodeJpeg/contents"])
def test_the_recipe_for_deployment_on_the_graph_of_2015(entry: str) -> None:
    graph_def = read_graph_def(real(NEAR_REAL)).proto
    made = transformed(graph_def, registry.RECIPES["deploy"].text, [entry], ["pool_3"])
    assert len(made.graph_def.node) < 500
    pixels = np.random.default_rng(0).uniform(-1, 1, (1, 299, 299, 3)).astype(np.float32)
    [before], [after] = (
        values(graph, ["pool_3"], {"Mul:0": pixels}) for graph in (graph_def, made.graph_def)
    )
    np.testing.assert_allclose(after, before, atol=1e-4)
