"""Strike every script with faults, again and again, and look whether anything is lost or wrong.

  python tools/soak.py --work_dir=/tmp/soak
  python tools/soak.py --work_dir=/tmp/soak --minutes=30
  python tools/soak.py --work_dir=/tmp/soak --kinds=kills,inside --jobs='retrain --resume'
  python tools/soak.py --work_dir=/tmp/soak --jobs='download,bottlenecks text' --short

A case is a job in a folder of its own: it is struck up to eight times, begun again each time as a
user would, then runs once undisturbed. Then every file has to be as in an undisturbed run, bit by
bit; nothing may be left over; and every image has a result or a named failure.

Kinds of faults: `kills`, SIGKILL, SIGTERM and SIGINT to whole processes, by the clock or at a file
operation; `inside`, errors of the system, missing memory, Ctrl-C and a limit of a file's size at a
file operation; `places`, a real full file system, one that becomes read-only, rights that go (root
only); `clock`, jumps back and ahead; `together`, two and three processes at once; `line`, a
connection that breaks.

It goes on until there were as many faults as --kills and --faults ask for, or --minutes are over.
A second run goes on from where the first one was: the figures, in soak.json of the work folder, add
up.
The seed and a case's number decide what strikes; the folder of a case in which something was found
stays in WORK_DIR/cases. The exit status is 1 if anything was ever found.
"""

from __future__ import annotations

import itertools
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from absl import flags
from soaking import tally as tallies
from soaking.cases import FAMILIES, INSIDE, KILLS, LABELS, LINE, PLACES, run_case
from soaking.setting import Setting
from soaking.subjects import SUBJECTS, Subject
from soaking.tally import Tally

from retrain_tools import command_line
from retrain_tools.errors import InputError

_MOST_OF_A_CASE = 12  # faults
# Of the rounds over all jobs: kinds that cost more, or tell less, come in fewer of them.
_EVERY = {KILLS: 1, INSIDE: 1, PLACES: 2, "clock": 3, "together": 2, LINE: 1}

flags.DEFINE_string("work_dir", None, "Where all is kept, for the next run too.")
flags.DEFINE_integer("seed", 0, "Of everything random.")
flags.DEFINE_integer("kills", 300, "Kills of whole processes, over all runs.", lower_bound=0)
flags.DEFINE_integer("faults", 700, "Faults of other kinds, over all runs.", lower_bound=0)
flags.DEFINE_float("minutes", None, "The most that this run takes.", lower_bound=0)
flags.DEFINE_boolean("short", False, "Only until every fault has struck once.")
flags.DEFINE_list("kinds", list(FAMILIES), "Kinds of faults.")
flags.DEFINE_list("jobs", [subject.name for subject in SUBJECTS], "What is struck.")
FLAGS = flags.FLAGS


def main(_: list[str]) -> None:
    """Run cases until there are enough, and show the tables."""
    command_line.require("work_dir")
    for name, known in (("kinds", FAMILIES), ("jobs", [subject.name for subject in SUBJECTS])):
        if unknown := set(FLAGS[name].value).difference(known):
            raise InputError(f"--{name} has no {min(unknown)!r}; there is {', '.join(known)}.")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where it is in the background
    sys.stdout.reconfigure(line_buffering=True)
    folder = Path(FLAGS.work_dir).resolve()
    tally = tallies.read(folder / "soak.json", FLAGS.seed)
    until = None if FLAGS.minutes is None else time.monotonic() + FLAGS.minutes * 60
    by_name = {subject.name: subject for subject in SUBJECTS}
    subjects = [by_name[name] for name in FLAGS.jobs]
    with Setting(folder, FLAGS.seed, subjects) as setting:
        if setting.left_out:
            tally.left_out[PLACES] = setting.left_out
        for number, (subject, family) in enumerate(_rounds(setting, subjects)):
            if number < tally.cases:
                continue
            if _is_enough(tally, setting) or (until is not None and time.monotonic() > until):
                break
            _one(setting, tally, subject, family)
            tallies.write(folder / "soak.json", tally)
    print(f"\n{tally.text()}", end="")
    if tally.bad:
        sys.exit(1)


def _is_enough(tally: Tally, setting: Setting) -> bool:
    if FLAGS.short:
        return not any(_missing(tally, kind) for kind in _kinds(setting))
    wants_kills = KILLS in FLAGS.kinds and tally.kills < FLAGS.kills
    wants_others = set(FLAGS.kinds) != {KILLS} and tally.inside < FLAGS.faults
    return not wants_kills and not wants_others


def _missing(tally: Tally, kind: str) -> set[str]:
    """Return the faults of a kind that have never struck."""
    return set(LABELS[kind]).difference(tally.by_fault)


def _kinds(setting: Setting) -> list[str]:
    return [kind for kind in FLAGS.kinds if kind != PLACES or not setting.left_out]


def _rounds(setting: Setting, subjects: Sequence[Subject]) -> Iterator[tuple[Subject, str]]:
    """Yield what is struck, and in which way, for ever: round after round over all jobs."""
    kinds = _kinds(setting)
    for number in itertools.count():
        for subject in subjects:
            for kind in kinds:
                if number % _EVERY[kind] == 0 and (kind != LINE or subject.downloads):
                    yield subject, kind


def _one(setting: Setting, tally: Tally, subject: Subject, family: str) -> None:
    wanted = FLAGS.kills - tally.kills if family == KILLS else FLAGS.faults - tally.inside
    if wanted <= 0 or (FLAGS.short and not _missing(tally, family)):
        tally.cases += 1
        return
    most = min(_MOST_OF_A_CASE, wanted)
    outcome = run_case(setting, setting.reference(subject), family, tally.cases, most)
    struck = ", ".join(one.fault.label for one in outcome.struck) or "nothing struck"
    print(f"case {tally.cases}: {subject.name}, {family}: {struck}: {outcome.seconds:.1f} s")
    for line in tally.add(subject.name, family, outcome):
        print(line)


if __name__ == "__main__":
    command_line.run(main)
