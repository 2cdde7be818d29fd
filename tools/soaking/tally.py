"""What all runs of a soak have found so far: kept in one file, and shown as tables."""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from retrain_tools import files
from retrain_tools.errors import InputError
from retrain_tools.text_tables import Style, aligned
from soaking.cases import KILLS, Outcome
from soaking.checks import LEFT_OVER, LOST, WRONG

_COLUMNS = ("injected", "survived", LOST, WRONG, LEFT_OVER)
_MOST_FINDINGS = 200  # that are kept as text


@dataclasses.dataclass
class Tally:
    """The figures of a soak, over all its runs.

    Attributes:
        seed: of everything random.
        cases: how many were done: the number of the next one.
        kills, inside: faults of whole processes, and of all other kinds.
        seconds, cpu: by the clock, and of CPU time.
        by_fault: by the fault, then by the column.
        by_subject: the same by the job.
        findings: what was found, with the case.
        left_out: what could not be tried, and why.
    """

    seed: int
    cases: int = 0
    kills: int = 0
    inside: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    by_fault: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    by_subject: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    findings: list[str] = dataclasses.field(default_factory=list)
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)

    def add(self, subject: str, family: str, outcome: Outcome) -> list[str]:
        """Count a case, and return what was found in it as lines."""
        for place, one in enumerate(outcome.struck):
            found = list(one.findings)
            if place == len(outcome.struck) - 1:
                found += outcome.at_the_end
            counts = collections.Counter(finding.kind for finding in found)
            is_good = not one.findings and not outcome.at_the_end
            row = {"injected": 1, "survived": int(is_good), **counts}
            _add(self.by_fault, one.fault.label, row)
            _add(self.by_subject, subject, row)
        strikes = len(outcome.struck)
        self.kills += strikes if family == KILLS else 0
        self.inside += strikes if family != KILLS else 0
        names = ", ".join(one.fault.label for one in outcome.struck) or "nothing struck"
        lines = [
            f"case {self.cases}, {subject}, {family} ({names}): {kind}: {text}"
            for kind, text in outcome.findings
        ]
        self.findings = [*self.findings, *lines][-_MOST_FINDINGS:]
        self.cases += 1
        self.seconds += outcome.seconds
        self.cpu += outcome.cpu
        return lines

    @property
    def bad(self) -> int:
        """How much was lost, wrong or left over."""
        rows = self.by_fault.values()
        return sum(row.get(column, 0) for row in rows for column in (LOST, WRONG, LEFT_OVER))

    def text(self) -> str:
        """Return the tables."""
        lines = [
            f"seed {self.seed}; {self.cases} cases, {self.kills} kills of whole processes and "
            f"{self.inside} faults of other kinds; {self.seconds:,.0f} s, {self.cpu:,.0f} s of CPU "
            "time\n",
            _table("fault", self.by_fault),
            _table("job", self.by_subject),
        ]
        lines += [f"left out: {what}: {why}\n" for what, why in self.left_out.items()]
        lines += [f"{finding}\n" for finding in self.findings]
        return "\n".join(lines)


def _add(table: dict[str, dict[str, int]], name: str, row: Mapping[str, int]) -> None:
    into = table.setdefault(name, dict.fromkeys(_COLUMNS, 0))
    for column, count in row.items():
        into[column] += count


def _table(first: str, rows: Mapping[str, Mapping[str, int]]) -> str:
    cells = [(first, *_COLUMNS)]
    cells += [(name, *_shown(row[column] for column in _COLUMNS)) for name, row in rows.items()]
    totals = [sum(row[column] for row in rows.values()) for column in _COLUMNS]
    return aligned([*cells, ("all", *_shown(totals))], Style())


def _shown(numbers: Iterable[int]) -> list[str]:
    return [f"{number:,}" for number in numbers]


def read(path: Path, seed: int) -> Tally:
    """Return the figures of the runs before; new ones where there were none.

    Raises:
        InputError: the file is damaged, or of another seed.
    """
    if not path.exists():
        return Tally(seed)
    try:
        told: dict[str, Any] = json.loads(path.read_bytes())
        tally = Tally(**told)
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is not of a soak; remove it, or name another folder.") from error
    if tally.seed != seed:
        raise InputError(
            f"{path} is of a soak with --seed={tally.seed}: go on with that, or name another "
            "--work_dir."
        )
    return tally


def write(path: Path, tally: Tally) -> None:
    """Write the figures in one step."""
    files.write_text(path, json.dumps(dataclasses.asdict(tally), indent=1) + "\n")
