"""The runs of one command, each a task of its own: here or in a pool, new or from the journal.

Results come back in the order of the tasks whatever ran where, so `--jobs` and an interruption
change nothing but the time.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sim.errors import InputError
from sim.results import RunDirectory

if TYPE_CHECKING:
    from sim.journal import Journal

Task = TypeVar("Task")
Result = TypeVar("Result")


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with a word on what is kept."""


class Tasks(Generic[Task, Result]):
    """Independent runs.

    work: carries one out; top-level (or a partial of it) where there are several jobs -- constant
    tasks, names: what is carried out, and how journal and messages call each -- constant
    jobs: processes to use -- constant
    progress: show a bar on stderr; None where that is a terminal -- constant
    """

    def __init__(
        self,
        work: Callable[[Task], Result],
        tasks: Sequence[Task],
        names: Sequence[str],
        jobs: int,
        progress: bool | None = None,
    ) -> None:
        self.work = work
        self.tasks = tasks
        self.names = names
        self.jobs = jobs
        self.progress = progress

    def results(self, directory: RunDirectory | None) -> list[Result]:
        """All results, in order; those that `directory` has a record of are not run again.

        Raises what a run raises, InputError if a run killed its process twice, and Interrupted.
        """
        found: dict[int, Result] = {}
        with ExitStack() as stack:
            journal = None
            if directory is not None:
                from sim.journal import Journal

                journal = stack.enter_context(Journal(directory.path, directory.manifest.digest()))
                found = self._kept(journal)
            bar = stack.enter_context(self._bar(len(found)))
            try:
                for number, result in self._new(found, journal):
                    found[number] = result
                    bar.update()
            except KeyboardInterrupt:
                raise Interrupted(self._what_is_kept(len(found), directory)) from None
        return [found[number] for number in range(len(self.tasks))]

    def _kept(self, journal: Journal) -> dict[int, Result]:
        """What the journal has, by the number of the task."""
        from sim.journal import decoded

        records = journal.finished()
        found: dict[int, Result] = {}
        for number, name in enumerate(self.names):
            if name in records:
                try:
                    found[number] = decoded(records[name])
                except (pickle.UnpicklingError, AttributeError, ImportError, TypeError) as error:
                    raise InputError(
                        str(journal.path), f"{name}: {error}", "delete it to begin anew"
                    ) from None
        return found

    def _new(
        self, found: dict[int, Result], journal: Journal | None
    ) -> Iterator[tuple[int, Result]]:
        """What is missing, as it comes; in the journal before it counts."""
        missing = [number for number in range(len(self.tasks)) if number not in found]
        if self.jobs > 1 and len(missing) > 1:
            yield from self._in_pool(missing, journal)
            return
        for number in missing:
            result = self.work(self.tasks[number])
            if journal is not None:
                journal.keep(self.names[number], result)
            yield number, result

    def _in_pool(self, missing: list[int], journal: Journal | None) -> Iterator[tuple[int, Result]]:
        from sim.journal import decoded  # imported here, since most commands need neither
        from sim.pool import Pool

        pool = Pool(self.work, min(self.jobs, len(missing)))
        for at, content in pool.run([self.tasks[number] for number in missing]):
            number = missing[at]
            if journal is not None:
                journal.add(self.names[number], content)
            yield number, decoded(content)
        if pool.given_up:
            names = ", ".join(self.names[missing[at]] for at in sorted(pool.given_up))
            kept = "the same command tries again, and runs only what is missing"
            raise InputError(
                names,
                "killed its process twice (out of memory?)",
                kept if journal is not None else "with --out DIR the other results are kept",
            )

    def _bar(self, done: int) -> Any:
        """A progress bar on stderr, with the time that is left; or one that shows nothing."""
        shown = sys.stderr.isatty() if self.progress is None else self.progress
        if not shown or len(self.tasks) == 1:
            return _NoBar()
        from tqdm import tqdm

        return tqdm(total=len(self.tasks), initial=done, file=sys.stderr, unit="run", leave=False)

    def _what_is_kept(self, count: int, directory: RunDirectory | None) -> str:
        if directory is None:
            return "interrupted; with --out DIR finished runs are kept"
        return (
            f"interrupted; {count} of {len(self.tasks)} runs are kept in {directory.path}, "
            "and the same command goes on with the rest"
        )


class _NoBar(nullcontext[Any]):
    def __enter__(self) -> Any:
        return self

    def update(self) -> None:
        """Show nothing."""
