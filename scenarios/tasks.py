"""The runs of one command, each a task of its own: here or with workers, new or from the journal.

Results come back in the order of the tasks whatever ran where, so `--jobs`, `--cluster` and an
interruption change nothing but the time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sim.errors import InputError
from sim.results import RunDirectory

if TYPE_CHECKING:
    from sim.finished import Finished
    from sim.journal import Journal
    from sim.pool import Work, Workers

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
    cluster: address of a Dask scheduler whose workers carry them out; None for this machine
    """

    def __init__(
        self,
        work: Callable[[Task], Result],
        tasks: Sequence[Task],
        names: Sequence[str],
        jobs: int,
        progress: bool | None = None,
        cluster: str | None = None,
    ) -> None:
        if cluster is not None and jobs > 1:
            raise InputError("--jobs", "counts processes of this machine", "or --cluster, not both")
        self.work = work
        self.tasks = tasks
        self.names = names
        self.jobs = jobs
        self.progress = progress
        self.cluster = cluster

    @contextmanager
    def results(self, directory: RunDirectory | None) -> Iterator[Finished[Result]]:
        """All results, in order, while the journal of `directory` is open; see `into`."""
        with journal_of(directory) as journal:
            yield self.into(journal)

    def into(self, journal: Journal) -> Finished[Result]:
        """All results, in order; those that the journal has a record of are not run again.

        They are read from the journal when asked for.  Raises what a run raises, InputError if a
        run killed its process twice, and Interrupted.
        """
        from sim.finished import Finished

        kept = journal.finished()
        missing = [at for at, name in enumerate(self.names) if name not in kept]
        count = len(self.tasks) - len(missing)
        try:
            with self._bar(count) as bar:
                for number in self._new(missing, journal):
                    count += number
                    bar.update(number)
        except KeyboardInterrupt:
            raise Interrupted(self._what_is_kept(count, journal)) from None
        return Finished(journal, self.names)

    def _new(self, missing: list[int], journal: Journal) -> Iterator[int]:
        """How many more are in the journal, each time some are."""
        start = self._workers(len(missing))
        if start is not None:
            yield from self._with_workers(start, missing, journal)
            return
        from sim.encoded import encoded

        for number in missing:
            journal.add([(self.names[number], encoded(self.work(self.tasks[number])))])
            yield 1

    def _workers(self, count: int) -> Callable[[Work], Workers] | None:
        """What starts the workers that the command asks for; None to do without."""
        if self.cluster is not None and count:
            from scenarios.cluster import workers

            return partial(workers, self.cluster)
        if self.jobs > 1 and count > 1:
            from sim.pool import processes

            return processes(min(self.jobs, count))
        return None

    def _with_workers(
        self, start: Callable[[Work], Workers], missing: list[int], journal: Journal
    ) -> Iterator[int]:
        from sim.pool import Pool

        pool = Pool(self.work, start)
        for batch in pool.run(self.tasks, missing):
            journal.add((self.names[number], content) for number, content in batch)
            yield len(batch)
        if pool.given_up:
            kept = "the same command tries again, and runs only what is missing"
            raise InputError(
                ", ".join(self.names[number] for number in sorted(pool.given_up)),
                "killed its process twice (out of memory?)",
                kept if journal.path is not None else "with --out DIR the other results are kept",
            )

    def _bar(self, done: int) -> AbstractContextManager[Any]:
        """A progress bar on stderr, with the time that is left; or one that shows nothing."""
        shown = sys.stderr.isatty() if self.progress is None else self.progress
        if not shown or len(self.tasks) == 1:
            return _NoBar()
        from tqdm import tqdm

        bar: AbstractContextManager[Any] = tqdm(
            total=len(self.tasks), initial=done, file=sys.stderr, unit="run", leave=False
        )
        return bar

    def _what_is_kept(self, count: int, journal: Journal) -> str:
        if journal.path is None:
            return "interrupted; with --out DIR finished runs are kept"
        return (
            f"interrupted; {count} of {len(self.tasks)} runs are kept in {journal.path.parent}, "
            "and the same command goes on with the rest"
        )


@contextmanager
def journal_of(directory: RunDirectory | None) -> Iterator[Journal]:
    """The journal of a run's directory, open; without one, a journal that goes when it is closed.

    What of it cannot be used is said on stderr.  Raises InputError as `Journal` does.
    """
    from sim.journal import Journal

    path, run = None, ""
    if directory is not None:
        path, run = directory.path, directory.manifest.digest()
    with Journal(path, run) as journal:
        if path is not None:
            journal.finished()  # so that it is known what is damaged
            tell(journal)
        yield journal


def tell(journal: Journal) -> None:
    """Say on stderr what of the journal could not be used."""
    said = []
    if journal.set_aside is not None:
        said.append(f"damaged, now {journal.set_aside.name}; what cannot be read is run again")
    if journal.damaged:
        shown = ", ".join(journal.damaged[:3]) + (", …" if len(journal.damaged) > 3 else "")
        said.append(f"{len(journal.damaged)} damaged ({shown}); run again")
    for words in said:
        sys.stderr.write(f"cygsim: note: {journal.path}: {words}\n")


class _NoBar(nullcontext[Any]):
    def __enter__(self) -> Any:
        return self

    def update(self, count: int) -> None:
        """Show nothing."""
