from __future__ import annotations

import random
from collections import Counter

import pytest

from retrain_tools.report.scopes import MOST_CHILDREN, Scope, flow_order, scope_tree


def tree(names: list[str]) -> tuple[list[Scope], list[int]]:
    return scope_tree(names, range(len(names)), [name.startswith("weights") for name in names])


def test_a_node_with_the_name_of_a_scope_lies_in_it() -> None:
    scopes, home = tree(["input", "conv/Conv2D", "conv/bias/b", "conv/bias/add", "conv"])
    assert [(s.prefix, s.label, s.parent) for s in scopes] == [
        ("", "", -1),
        ("conv", "conv", 0),
        ("conv/bias", "bias", 1),
    ]
    assert home == [0, 1, 2, 2, 1]


def test_lone_scopes_are_joined_and_lone_nodes_have_none() -> None:
    scopes, home = tree(["a/b/c/x", "a/b/c/y", "d/e/f", "a/b/c/g/h"])
    assert [(s.prefix, s.label, s.parent) for s in scopes] == [("", "", -1), ("a/b/c", "a/b/c", 0)]
    assert home == [1, 1, 0, 1]


@pytest.mark.parametrize("names", [["a//b", "a//c", "/x", "/y", "a/"], ["", "a/b", "a/b"], []])
def test_odd_names_have_a_home(names: list[str]) -> None:
    scopes, home = tree(names)
    assert len(home) == len(names)
    assert all(names[n].startswith(scopes[home[n]].prefix) for n in range(len(names)))


def test_a_name_of_many_slashes_is_no_deep_tree() -> None:
    scopes, home = tree(["/".join("s" * depth) for depth in range(1, 400)])
    depth, scope = 0, home[-1]
    while scope > 0:
        depth, scope = depth + 1, scopes[scope].parent
    assert depth < 60


@pytest.mark.parametrize("count", [65, 312, 2_501, 20_000])
def test_long_levels_are_cut_into_pages_in_order(count: int) -> None:
    scopes, home = tree([f"Conv2D_{n}" for n in range(count)])
    children = Counter(scope.parent for scope in scopes[1:]) + Counter(home)
    assert max(children.values()) <= MOST_CHILDREN
    assert all(scope.is_page and scope.prefix == "" for scope in scopes[1:])
    assert all(scope.parent < number for number, scope in enumerate(scopes))
    last = -1
    for leaf in sorted(set(home), key=home.index):
        members = [n for n in range(count) if home[n] == leaf]
        assert members[0] == last + 1
        assert scopes[leaf].label == f"Conv2D_{members[0]} … Conv2D_{members[-1]}"
        last = members[-1]


def test_a_page_is_named_by_what_the_level_has_most_of_but_constants() -> None:
    names = [f"{kind}_{n}" for n in range(100) for kind in ("weights", "weights_b", "Conv2D")]
    scopes, _ = tree(["input", *names])
    labels = [scope.label for scope in scopes[1:]]
    assert labels[0] == "Conv2D_0 … Conv2D_13"  # 43 children: the input and 14 of each
    assert all(label.startswith("Conv2D_") and "… Conv2D_" in label for label in labels)


def test_scopes_of_a_long_level_are_paged_as_nodes_are() -> None:
    names = [f"unit_{n}/{part}" for n in range(80) for part in "ab"]
    scopes, home = tree(names)
    pages = [scope for scope in scopes if scope.is_page]
    assert [page.label for page in pages] == ["unit_0 … unit_39", "unit_40 … unit_79"]
    assert scopes[home[0]].prefix == "unit_0"
    assert scopes[scopes[home[0]].parent].label == "unit_0 … unit_39"


def test_flow_order_puts_constants_before_their_first_user() -> None:
    #         0 const, 1 const, 2 input, 3 of 2 and 1, 4 of 3 and 0, 5 const that nobody takes
    positions = flow_order(
        [[], [], [], [2, 1], [3, 0], []], [True, True, False, False, False, True]
    )
    order = sorted(range(6), key=positions.__getitem__)
    assert order.index(2) < order.index(3) < order.index(4)
    assert order.index(3) - order.index(1) == 1
    assert order.index(4) - order.index(0) == 1


def test_flow_order_of_shuffled_nodes_and_of_loops() -> None:
    count = 500
    shuffled = list(range(count))
    random.Random(3).shuffle(shuffled)
    where = {node: place for place, node in enumerate(shuffled)}
    inputs = [[where[node - 1]] if node else [] for node in shuffled]
    positions = flow_order(inputs, [False] * count)
    assert [positions[where[node]] for node in range(count)] == list(range(count))
    assert sorted(flow_order([[2], [0], [1], [3]], [False] * 4)) == [0, 1, 2, 3]
