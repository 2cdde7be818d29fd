"""Text for people: in columns, standing out, and names that cannot harm a terminal."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

# What `Style` writes; of a terminal's other commands nothing comes from here.
_STYLES = re.compile(r"(\x1b\[[0-9;]*m)")


@dataclasses.dataclass(frozen=True)
class Style:
    """How text stands out; not at all where `is_on` is False."""

    is_on: bool = False

    def bold(self, text: str) -> str:
        """Return text in bold."""
        return self._marked(text, "1")

    def red(self, text: str) -> str:
        """Return text in red, for what is gone or wrong."""
        return self._marked(text, "31")

    def green(self, text: str) -> str:
        """Return text in green, for what is new."""
        return self._marked(text, "32")

    def _marked(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.is_on else text


def aligned(
    cells: Sequence[Sequence[str]], style: Style, right: Sequence[int] = (), heading: bool = True
) -> str:
    """Return lines of cells below each other.

    Args:
        cells: the lines, all of one length; the first is the heading.
        style: how the heading stands out.
        right: the columns that are put to the right, as numbers are.
        heading: whether there is one.
    """
    cells = [[printable(cell) for cell in row] for row in cells]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    sides = [">" if column in right else "<" for column in range(len(widths))]
    line = "  ".join(f"{{:{side}{width}}}" for side, width in zip(sides, widths, strict=True))
    lines = [line.format(*row).rstrip() for row in cells]
    if heading:
        lines[0] = style.bold(lines[0])
    return "".join(f"{line}\n" for line in lines)


def printable(name: str) -> str:
    r"""Return a name that a terminal shows as it is, in one line: other characters are escaped.

    Example:
        >>> printable("two" + chr(10) + "lines")
        'two\\nlines'
    """
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in name)


def printable_text(text: str) -> str:
    """Return lines as a terminal may be given them: colours stay, everything else is escaped."""
    lines = text.split("\n")
    return "\n".join(
        "".join(
            part if _STYLES.fullmatch(part) else "\t".join(map(printable, part.split("\t")))
            for part in _STYLES.split(line)
        )
        for line in lines
    )


def counted(number: int, thing: str) -> str:
    """Return `1 node`, or `1,004 nodes`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
