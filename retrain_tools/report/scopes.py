"""Name scopes as a tree of boxes that stays drawable: long levels are cut into pages."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

MOST_CHILDREN = 64  # more boxes than this in one box are neither read nor laid out quickly
PAGE = 50
_DEEPEST = 40  # scopes within scopes; what a longer name has after that is one label


@dataclasses.dataclass
class Scope:
    """A box that holds nodes and other boxes.

    Attributes:
        prefix: the full scope name, without a slash at its end; a page has that of its parent.
        label: what is written on it: the part of the name that its parent does not have.
        parent: index of the scope that it lies in; -1 for the root, which is scope 0.
        is_page: it is no name scope but some neighbours out of a level with too many.
    """

    prefix: str
    label: str
    parent: int
    is_page: bool = False


@dataclasses.dataclass
class _Level:
    """A scope under construction; children are node numbers, or levels under a path below it.

    `first` is the smallest position of a node in it.
    """

    prefix: str
    first: int = 0
    nodes: list[int] = dataclasses.field(default_factory=list)
    levels: dict[str, _Level] = dataclasses.field(default_factory=dict)


Child = int | _Level
_T = TypeVar("_T")


def scope_tree(
    names: Sequence[str], order: Sequence[int], constant: Sequence[bool]
) -> tuple[list[Scope], list[int]]:
    """Return the scopes, parents before children, and the scope that each node lies in.

    A node with the name of a scope lies in that scope, as a Relu called `conv` among `conv/Conv2D`
    and `conv/bias`. A scope that holds nothing but one other is joined with it, and one that holds
    a single node is left out. A level with more than 64 children is cut into pages.

    Args:
        names: names of the nodes.
        order: a position for each node; pages follow it (see `flow_order`).
        constant: whether a node is a constant; others give a page its name.
    """
    root = _levels(names, order)
    scopes = [Scope("", "", -1)]
    home = [0] * len(names)
    waiting: list[tuple[int, list[Child]]] = [(0, _children(root, order))]
    while waiting:
        parent, children = waiting.pop()
        if len(children) > MOST_CHILDREN:
            labels = [_label(c, scopes[parent].prefix, names) for c in children]
            counted = [not isinstance(c, int) or not constant[c] for c in children]
            for page, label in zip(_pages(children), _page_labels(labels, counted), strict=True):
                scopes.append(Scope(scopes[parent].prefix, label, parent, is_page=True))
                waiting.append((len(scopes) - 1, list(page)))
            continue
        for child in children:
            if isinstance(child, int):
                home[child] = parent
            else:
                label = _below(child.prefix, scopes[parent].prefix)
                scopes.append(Scope(child.prefix, label, parent))
                waiting.append((len(scopes) - 1, _children(child, order)))
    return scopes, home


def _levels(names: Sequence[str], order: Sequence[int]) -> _Level:
    root = _Level("")
    paths = [name.split("/", _DEEPEST) for name in names]
    prefixes = {tuple(path[:n]) for path in paths for n in range(1, len(path))}
    for number, path in enumerate(paths):
        level = root
        for part in path if tuple(path) in prefixes else path[:-1]:
            prefix = f"{level.prefix}/{part}" if level is not root else part
            level = level.levels.setdefault(part, _Level(prefix, order[number]))
            level.first = min(level.first, order[number])
        level.nodes.append(number)
    return root


def _children(level: _Level, order: Sequence[int]) -> list[Child]:
    """Return what is drawn in a level, in order, without boxes around a single thing."""
    found: list[tuple[int, Child]] = [(order[node], node) for node in level.nodes]
    for sub in level.levels.values():
        inner = sub
        while not inner.nodes and len(inner.levels) == 1:
            inner = next(iter(inner.levels.values()))
        alone = len(inner.nodes) == 1 and not inner.levels
        found.append((sub.first, inner.nodes[0] if alone else inner))
    return [child for _, child in sorted(found, key=lambda pair: pair[0])]


def _pages(items: Sequence[_T]) -> list[Sequence[_T]]:
    """Cut children into runs of about the same length that take equally many levels of pages."""
    size = PAGE
    while size * PAGE < len(items):
        size *= PAGE
    count = -(-len(items) // size)
    cuts = [len(items) * n // count for n in range(count + 1)]
    return [items[start:stop] for start, stop in itertools.pairwise(cuts)]


def _page_labels(labels: Sequence[str], counted: Sequence[bool]) -> list[str]:
    """Name pages by the first and last of one kind: `Conv2D_0 … Conv2D_49`.

    The kind is the most frequent of the whole level where a page has it, else that of the page.
    Only the labels that are counted are considered, if there are any.
    """
    kinds = [label.rstrip("0123456789").rstrip("_") for label in labels]
    frequent = Counter(k for k, counts in zip(kinds, counted, strict=True) if counts)
    overall = frequent.most_common(1)[0][0] if frequent else None
    found = []
    for page in _pages(range(len(labels))):
        shown = [n for n in page if counted[n]] or list(page)
        same = [n for n in shown if kinds[n] == overall]
        if len(same) < 2:
            kind = Counter(kinds[n] for n in shown).most_common(1)[0][0]
            same = [n for n in shown if kinds[n] == kind]
        if len(same) < 2:  # all are of different kinds
            same = shown
        found.append(f"{labels[same[0]]} … {labels[same[-1]]}")
    return found


def _label(child: Child, prefix: str, names: Sequence[str]) -> str:
    return _below(names[child] if isinstance(child, int) else child.prefix, prefix)


def _below(name: str, prefix: str) -> str:
    return name[len(prefix) + 1 :] if prefix and name.startswith(f"{prefix}/") else name


def flow_order(inputs: Sequence[Sequence[int]], fixed: Sequence[bool]) -> list[int]:
    """Return a position for each node so that data flow from lower to higher ones.

    Nodes stand in file order as far as that allows, and what is computed from constants only stands
    right before its first user, wherever the file has it. Cycles (loops of old control flow) are
    entered at the first of their nodes in the file.

    Args:
        inputs: for each node the numbers of those it takes.
        fixed: whether a node is computed from constants only.
    """
    users: list[list[int]] = [[] for _ in inputs]
    missing = [0] * len(inputs)
    for node, sources in enumerate(inputs):
        missing[node] = len(set(sources))
        for source in set(sources):
            users[source].append(node)
    ready = [node for node, count in enumerate(missing) if not count]
    sequence: list[int] = []
    done = [False] * len(inputs)
    next_in_file = 0
    while len(sequence) < len(inputs):
        if not ready:
            while done[next_in_file]:
                next_in_file += 1
            ready.append(next_in_file)
        node = heapq.heappop(ready)
        if done[node]:  # it was the entry to a cycle
            continue
        done[node] = True
        sequence.append(node)
        for user in users[node]:
            missing[user] -= 1
            if not missing[user] and not done[user]:
                heapq.heappush(ready, user)
    rank = {node: position for position, node in enumerate(sequence)}
    due = dict(rank)  # for a fixed node: the rank of its first user
    for node in reversed(sequence):
        if fixed[node] and users[node]:
            due[node] = min(due[user] for user in users[node])
    in_order = sorted(rank, key=lambda node: (due[node], rank[node]))
    positions = [0] * len(inputs)
    for position, node in enumerate(in_order):
        positions[node] = position
    return positions
