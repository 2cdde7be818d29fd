"""Where a soak works, with what; and the undisturbed runs that all others are compared with."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from soaking import checks, material, places, processes
from soaking.child import Spec
from soaking.processes import Ended, Waiting
from soaking.server import Served, serving
from soaking.subjects import Subject

_HOME, _TEMPORARY, _CATALOGUE = "home", "tmp", "catalogue"


@dataclasses.dataclass(frozen=True)
class Reference:
    """A job that nothing has struck.

    Attributes:
        subject: which.
        place: its folder, with all that it has left.
        ended: how it ended.
        counts: its file operations, by kind.
        modules: what it imported.
        seconds: of a whole process, by the clock.
        served_bytes: of what it downloads.
    """

    subject: Subject
    place: Path
    ended: Ended
    counts: Mapping[str, int]
    modules: Sequence[str]
    seconds: float
    served_bytes: int


class Setting(contextlib.AbstractContextManager["Setting"]):
    """The work folder of a soak, with the server and the process that waits.

    Attributes:
        folder: the work folder.
        seed: of everything random.
        images: the photos, by their paths below their folder.
        served: the server.
        left_out: why file systems cannot be mounted; '' where they can.
    """

    def __init__(self, folder: Path, seed: int, subjects: Iterable[Subject]) -> None:
        """Make the material of some jobs, where it is not there, and begin to serve."""
        self.folder, self.seed = folder, seed
        self.material = folder / "material"
        wanted = {material.PHOTOS, material.ARCHIVE, *(n for job in subjects for n in job.takes)}
        material.make(self.material, sorted(wanted))
        self.images = material.images(self.material)
        self.left_out = places.can_mount()
        for name in ("references", "cases", _CATALOGUE):
            shutil.rmtree(folder / name, ignore_errors=True)
        self._references: dict[str, Reference] = {}
        self._waiting: tuple[str, Waiting] | None = None
        self._stack = contextlib.ExitStack()
        archive = self.material / material.ARCHIVE
        self.served: Served = self._stack.enter_context(serving(archive))
        (folder / _CATALOGUE).mkdir()
        entry = material.catalogue_entry(self.served.url, archive)
        (folder / _CATALOGUE / "of_the_soak.toml").write_text(entry)

    def __exit__(self, *_: object) -> None:
        if self._waiting is not None:
            self._waiting[1].__exit__()
        self._stack.close()

    def waiting_for(self, module: str, modules: Sequence[str] = ()) -> Waiting:
        """Return the process that waits to be a script; another script's is ended."""
        if self._waiting is None or self._waiting[0] != module:
            if self._waiting is not None:
                self._waiting[1].__exit__()
            self._waiting = module, Waiting(module, modules)
        return self._waiting[1]

    def waiting(self, reference: Reference) -> Waiting:
        """Return the process that waits to be the script of a job."""
        return self.waiting_for(reference.subject.module, reference.modules)

    def new_place(self, place: Path, reference: Reference | None) -> None:
        """Make the folder of a job: nothing is in it but what was kept of the graph's first run."""
        place.mkdir(parents=True)
        (place / _TEMPORARY).mkdir()
        if reference is not None and not reference.subject.own_home:
            shutil.copytree(self._home(reference.subject), place / _HOME)

    def _home(self, subject: Subject) -> Path:
        return self.folder / "references" / subject.name / "first" / _HOME

    def spec(self, reference: Reference, place: Path, logs: Path, name: str) -> Spec:
        """Return the process of a job in a place; its words go to `logs`."""
        return self._spec(reference.subject, place, logs, name)

    def _spec(self, subject: Subject, place: Path, logs: Path, name: str) -> Spec:
        variables = {
            "RETRAIN_TOOLS_HOME": str(place / _HOME),
            "RETRAIN_TOOLS_CATALOG": str(self.folder / _CATALOGUE),
            "TMPDIR": str(place / _TEMPORARY),
            **places.variables(place),
        }
        return Spec(
            subject.module,
            subject.given(self.material),
            str(place),
            variables,
            str(logs / f"{name}.report"),
            (str(logs / f"{name}.out"), str(logs / f"{name}.err")),
            roots=[f"{place}/", f"{self.material / material.PHOTOS}/"],
        )

    def reference(self, subject: Subject) -> Reference:
        """Return the undisturbed run of a job, made when it is first asked for.

        Raises:
            RuntimeError: it fails, or an image is not accounted for.
        """
        if subject.name not in self._references:
            self._references[subject.name] = self._made(subject)
        return self._references[subject.name]

    def _made(self, subject: Subject) -> Reference:
        """Run a job twice: the first time for what is kept of the graph, then to compare with."""
        logs = self.folder / "references" / subject.name
        (logs / "first").mkdir(parents=True)
        (logs / "first" / _TEMPORARY).mkdir()
        first = dataclasses.replace(self._spec(subject, logs / "first", logs, "first"), counts=True)
        [ended] = self.waiting_for(subject.module).run([first])
        _, modules = processes.told_of(first)
        (logs / "first" / _HOME).mkdir(exist_ok=True)
        shutil.rmtree(logs / "first" / _TEMPORARY)
        empty = Reference(subject, logs / "place", ended, {}, modules, 0.0, 0)
        self.new_place(logs / "place", empty)
        spec = dataclasses.replace(self.spec(empty, logs / "place", logs, "place"), counts=True)
        [ended] = self.waiting_for(subject.module, modules).run([spec])
        counts, _ = processes.told_of(spec)
        if ended.status not in subject.statuses:
            raise RuntimeError(f"{subject.name} does not run undisturbed: {ended.err}")
        if subject.place_of:
            missing = checks.not_accounted_for(subject, logs / "place", self.images)
            if missing:
                raise RuntimeError(f"{subject.name} does not account for {missing}")
        archive = self.material / material.ARCHIVE
        size = archive.stat().st_size if subject.downloads else 0
        seconds = ended.seconds + _SECONDS_OF_IMPORTS
        return Reference(subject, logs / "place", ended, counts, modules, seconds, size)


_SECONDS_OF_IMPORTS = 1.5
