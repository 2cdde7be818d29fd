"""One case: a job is struck again and again, runs undisturbed once, and is looked at."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import random
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from soaking import checks, faults, places, processes
from soaking.checks import Finding
from soaking.child import Spec
from soaking.faults import Fault
from soaking.processes import Ended
from soaking.setting import Reference, Setting

KILLS, INSIDE, PLACES = "kills", "inside", "places"
CLOCK, TOGETHER, LINE = "clock", "together", "line"
FAMILIES = (KILLS, INSIDE, PLACES, CLOCK, TOGETHER, LINE)
"""Kinds of faults: signals to whole processes, errors inside, places that go wrong, jumps of the
clock, several processes at once, and a connection that breaks."""

LABELS = {
    KILLS: faults.WHOLE,
    INSIDE: faults.INSIDE,
    PLACES: faults.PLACES,
    CLOCK: faults.CLOCKS,
    TOGETHER: (faults.TWO, faults.ONE_KILLED, faults.THREE),
    LINE: (faults.LINE,),
}
"""What tables call the faults of each kind."""

_MOST_BYTES = 200_000  # that are left on a full disk, or that a file may have
_MOST_RUNS = {KILLS: 8, INSIDE: 8, PLACES: 3, CLOCK: 3, TOGETHER: 2, LINE: 2}
_OF_SAVED_MODELS = "export_graph saved_model"  # which takes a new folder only


@dataclasses.dataclass
class Struck:
    """A fault that has struck, and what was found then."""

    fault: Fault
    findings: list[Finding]


@dataclasses.dataclass
class Outcome:
    """What became of a case.

    Attributes:
        struck: its faults.
        at_the_end: what was found after the last run.
        seconds: by the clock.
        cpu: seconds of CPU time.
    """

    struck: list[Struck]
    at_the_end: list[Finding]
    seconds: float = 0.0
    cpu: float = 0.0

    @property
    def findings(self) -> list[Finding]:
        """All that was found."""
        return [*itertools.chain(*(one.findings for one in self.struck)), *self.at_the_end]


def run_case(
    setting: Setting, reference: Reference, family: str, number: int, most: int
) -> Outcome:
    """Strike a job up to `most` times; its folder stays if anything was found.

    Args:
        setting: where, and with what.
        reference: the undisturbed run of the job.
        family: the kind of faults.
        number: of the case: with the seed, it decides which faults strike and when.
        most: faults.
    """
    rng = random.Random(f"{setting.seed}/{number}")
    folder = setting.folder / "cases" / f"{number:05d}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    start = time.monotonic()
    with contextlib.ExitStack() as stack:
        if family == PLACES:
            (folder / "disk").mkdir()
            stack.enter_context(places.file_system(folder / "disk"))
        place = folder / ("disk/place" if family == PLACES else "place")
        setting.new_place(place, reference)
        outcome = _strike_and_end(setting, reference, family, rng, place, folder, most)
    outcome.seconds = time.monotonic() - start
    if not outcome.findings:
        shutil.rmtree(folder)
    return outcome


def _strike_and_end(
    setting: Setting,
    reference: Reference,
    family: str,
    rng: random.Random,
    place: Path,
    folder: Path,
    most: int,
) -> Outcome:
    outcome, done = Outcome([], []), frozenset[str]()
    drawn = _drawn(family, rng, reference)
    for run in range(_MOST_RUNS[family]):
        wanted = list(itertools.islice(drawn, rng.randint(1, 3) if family == INSIDE else 1))
        spec = setting.spec(reference, place, folder, f"{run}")
        ends = _struck_run(setting, family, spec, wanted)
        outcome.cpu += sum(ended.cpu for ended in ends)
        found = list(itertools.chain(*(_of_one(reference, ended, family) for ended in ends)))
        more, done = checks.of_what_was_done(reference.subject, place, reference.place, done)
        struck = list(itertools.chain(*(ended.struck for ended in ends)))
        outcome.struck += [Struck(fault, []) for fault in struck]
        if struck:
            outcome.struck[-1].findings += found + more
        for fault in struck:
            if fault.name in faults.PLACES:
                places.mend(place, fault.name)
        if len(outcome.struck) >= most:
            break
        is_over = all(ended.status in reference.subject.statuses for ended in ends)
        if is_over and not checks.of_the_end(place, reference.place):
            shutil.rmtree(place)  # it has come to its end in spite of all: once more
            setting.new_place(place, reference)
            done = frozenset()
    [last] = setting.waiting(reference).run([setting.spec(reference, place, folder, "last")])
    outcome.cpu += last.cpu
    outcome.at_the_end += checks.of_the_last(reference.subject, last, reference.ended)
    outcome.at_the_end += checks.of_the_end(place, reference.place)
    if outcome.at_the_end and family == PLACES:  # which is gone with its file system
        shutil.copytree(place, folder / "place", symlinks=True)
    return outcome


def _drawn(family: str, rng: random.Random, reference: Reference) -> Iterator[Fault]:
    counts = reference.counts
    if family == KILLS:
        return faults.signals(rng, counts, reference.seconds)
    if family == INSIDE:
        return faults.errors(rng, counts, _MOST_BYTES)
    if family == PLACES:
        return faults.at_places(rng, counts, _MOST_BYTES)
    if family == CLOCK:
        return faults.clocks(rng, counts)
    if family == TOGETHER:
        return faults.together(rng, counts)
    return faults.lines(rng, reference.served_bytes)


def _struck_run(setting: Setting, family: str, spec: Spec, wanted: Sequence[Fault]) -> list[Ended]:
    """Run a job that is struck, and return how its processes ended."""
    waiting = setting.waiting_for(spec.module)
    if family == KILLS:
        return [processes.whole(spec, wanted[0])]
    if family == LINE:
        assert setting.served is not None
        setting.served.break_next(int(wanted[0].amount))
        [ended] = waiting.run([spec])
        return [dataclasses.replace(ended, struck=wanted)]
    if family != TOGETHER:
        return waiting.run([dataclasses.replace(spec, faults=wanted)])
    [fault] = wanted
    specs = [
        dataclasses.replace(
            spec,
            report=f"{spec.report}.{number}",
            output=(f"{spec.output[0]}.{number}", f"{spec.output[1]}.{number}"),
        )
        for number in range(int(fault.amount))
    ]
    if fault.name == faults.ONE_KILLED:
        kill = Fault("SIGKILL", at=fault.at)
        specs[0] = dataclasses.replace(specs[0], faults=[kill])
    ends = waiting.run(specs)
    first = dataclasses.replace(ends[0], struck=[fault])
    return [first, *(dataclasses.replace(ended, struck=[]) for ended in ends[1:])]


def _of_one(reference: Reference, ended: Ended, family: str) -> list[Finding]:
    """Look at the end of one process of a struck run."""
    subject = reference.subject
    was_killed = [fault for fault in ended.struck if fault.name == faults.ONE_KILLED]
    if was_killed and ended.status in processes.STATUS_OF["SIGKILL"]:
        return []
    found = checks.of_a_process(ended)
    # By a clock, or by others who do the same, nobody is kept from a good end.
    has_to_end_well = family in (TOGETHER, CLOCK) and subject.name != _OF_SAVED_MODELS
    if has_to_end_well and ended.status not in subject.statuses:
        said = (ended.err.strip().splitlines() or [""])[-1]
        found.append(Finding(checks.WRONG, f"exit status {ended.status}: {said}"))
    return found
