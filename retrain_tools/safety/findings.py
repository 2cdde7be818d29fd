"""What is found in a file: findings, each with its place, its reason and its severity."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable


class Severity(enum.IntEnum):
    """How much a finding matters.

    HIGH: opening or running the file as its kind is opened could read, write or send what is none
    of its business, or run a program. Such a graph is not run. MEDIUM: it needs a person's look: it
    cannot be judged, or does a little beside computing. LOW: worth knowing, and ordinary.
    """

    LOW = 1
    MEDIUM = 2
    HIGH = 3

    @property
    def word(self) -> str:
        """The severity in lower case, as it is printed."""
        return self.name.lower()


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something in a file that does more than compute, or cannot be judged.

    Attributes:
        severity: how much it matters.
        rule: what kind of thing it is, as `writes-files`: the id that JSON and SARIF give.
        name: the op, the class of the layer, or what a pickle names.
        why: why it matters, as a clause.
        path: the file, with the way into an archive: `model.tgz/saved_model/saved_model.pb`.
        node: the node or layer; empty for none.
        function: the function of the graph's library that it is in; empty for the graph itself.
        within: where it is inside of the file, if it is deeper than its graph: `the graph in
            attribute 'g' of 'node'`.
    """

    severity: Severity
    rule: str
    name: str
    why: str
    path: str
    node: str = ""
    function: str = ""
    within: str = ""

    @property
    def place(self) -> str:
        """Where it is in its file, for people: `'node' in function 'f'`; may be empty."""
        function = f"in function {quoted(self.function)}" if self.function else ""
        within = f"in {self.within}" if self.within else ""
        return " ".join(filter(None, [quoted(self.node) if self.node else "", function, within]))


@dataclasses.dataclass(frozen=True)
class Report:
    """What was found in one file or folder.

    Attributes:
        path: as it was named.
        kind: what it is, for people: `GraphDef`, `Keras model (.keras)`.
        findings: the worst first, then in the order of the file.
        looked_at: how many nodes, layers and files in archives were looked at.
    """

    path: str
    kind: str
    findings: tuple[Finding, ...]
    looked_at: int

    @property
    def is_clean(self) -> bool:
        """Whether there is nothing of medium or high severity."""
        return all(finding.severity is Severity.LOW for finding in self.findings)

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """Return the findings of one severity."""
        return tuple(finding for finding in self.findings if finding.severity is severity)


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings, each once, the worst first and otherwise in their order."""
    return tuple(sorted(dict.fromkeys(findings), key=lambda finding: -finding.severity))


def quoted(text: str) -> str:
    r"""Return text that a file holds in quotes, safe for a terminal: nothing in it is a command.

    Example:
        >>> print(quoted("conv\x1b[2J"))
        'conv\x1b[2J'
    """
    return repr(text) if text.isascii() else f"'{plain(text)}'"


def plain(text: str) -> str:
    """Return text with whatever a terminal would not print as a character written as an escape."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
