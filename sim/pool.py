"""Independent tasks in a pool of processes that may die, each result once.

At any time only a few tasks are with the workers.  When a worker dies the whole pool is lost
(`ProcessPoolExecutor` fails everything that is pending); it is built again, and the tasks that were
with it are run again one at a time, so that a task which kills its worker is found: after the
second time alone it is given up and named, and all the others still run.

Source: PEERS.md §e (how the usual pools fail).
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from multiprocessing import parent_process
from multiprocessing.connection import wait as wait_for_any
from typing import Any

from sim.journal import encoded

_AHEAD = 2  # tasks given out for each worker: one runs, one waits behind it
_DEATHS = 2  # of its worker with a task alone, after which the task is given up

Work = Callable[[Any], Any]


class Pool:
    """Worker processes for one function.

    given_up: numbers of the tasks that killed their worker twice -- output
    rebuilt: how often the pool had to be built again -- output
    """

    def __init__(self, work: Work, jobs: int) -> None:
        self.given_up: list[int] = []
        self.rebuilt = 0
        self._work = work
        self._jobs = jobs
        self._executor: ProcessPoolExecutor | None = None
        self._flying: dict[Future[bytes], int] = {}
        self._alone: deque[int] = deque()  # lost with a pool; each runs by itself now
        self._deaths: Counter[int] = Counter()

    def run(self, tasks: Sequence[Any]) -> Iterator[tuple[int, bytes]]:
        """(number of the task, its result encoded as a journal keeps it), as they come.

        Raises what the function raises. Tasks in `given_up` have no result.
        """
        todo = deque(range(len(tasks)))
        try:
            while todo or self._alone or self._flying:
                whole = self._give_out(tasks, todo)
                lost: list[int] = []
                if whole:
                    done = wait(self._flying, return_when=FIRST_COMPLETED).done
                    yield from self._collect(done, lost)
                if lost or not whole:
                    yield from self._collect(list(self._flying), lost)
                    self._rebuild(lost)
            self._close()
        finally:
            self._close(wait_for_workers=False)  # after Ctrl-C nobody wants to wait for them

    def _give_out(self, tasks: Sequence[Any], todo: deque[int]) -> bool:
        """Hand tasks to the workers; False if the pool turned out to be broken."""
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                self._jobs, initializer=_begin, initargs=(self._work,)
            )
        if self._alone:
            source, room = self._alone, 1 - len(self._flying)
        else:
            source, room = todo, _AHEAD * self._jobs - len(self._flying)
        for _ in range(min(room, len(source))):
            try:
                future = self._executor.submit(_do, tasks[source[0]])
            except BrokenExecutor:
                return False
            self._flying[future] = source.popleft()
        return True

    def _collect(
        self, futures: Iterable[Future[bytes]], lost: list[int]
    ) -> Iterator[tuple[int, bytes]]:
        """What is finished; tasks that went down with the pool are added to `lost`."""
        for future in futures:
            number = self._flying.pop(future)
            try:
                yield number, future.result()
            except BrokenExecutor:
                lost.append(number)

    def _rebuild(self, lost: list[int]) -> None:
        """The pool is broken: note who has to run again, and by itself."""
        self._close()
        self.rebuilt += 1
        by_itself = len(lost) == 1 and (lost[0] in self._deaths)
        for number in sorted(lost):
            self._deaths[number] += by_itself
            if self._deaths[number] >= _DEATHS:
                self.given_up.append(number)
            else:
                self._alone.append(number)

    def _close(self, wait_for_workers: bool = True) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=wait_for_workers, cancel_futures=True)
            self._executor = None


_work: Work | None = None  # of a worker process


def _begin(work: Work) -> None:
    """Set a worker process up."""
    global _work
    _work = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that gives out tasks
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent cannot end its workers; they see for themselves that it is gone."""
    parent = parent_process()
    if parent is not None:
        wait_for_any([parent.sentinel])
        os._exit(1)


def _do(task: Any) -> bytes:
    assert _work is not None
    return encoded(_work(task))
