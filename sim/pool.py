"""Independent tasks given to workers that may die, each result once.

Workers are any `concurrent.futures.Executor`; by default processes of this machine.  At any time
only a few tasks are with them.  When one dies a pool of processes is lost (`ProcessPoolExecutor`
fails everything that is pending); it is built again, and the tasks that were with it are run again
one at a time, so that a task which kills its worker is found: after the second time alone it is
given up and named, and all the others still run.  An executor that replaces its workers itself
(Dask's) gives tasks up, and may mean one that only waited beside; that one too runs again alone.

Source: PEERS.md §e (how the usual pools fail).
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait as wait_for_any
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from sim.encoded import encoded

_AHEAD = 2  # tasks given out for each worker: one runs, one waits behind it
_DEATHS = 2  # of its worker with a task alone, after which the task is given up
_BLINK_S = 0.5  # how long a wait for results goes on without a look at Ctrl-C [s]
_LOST = BrokenExecutor, CancelledError  # what a task raises whose workers are gone

Work = Callable[[Any], Any]
Batch = list[tuple[int, bytes]]


class Workers(NamedTuple):
    """Workers for one function.

    executor: takes the tasks -- input
    held: what the executor hands to each task in place of the function; None where they have it
    ahead: tasks that are with the workers at a time
    killed: what a task raises that the executor has given up, since its workers died with it
    look: called about twice a second while nothing comes; raises if nothing can come any more
    """

    executor: Executor
    held: Any
    ahead: int
    killed: tuple[type[BaseException], ...] = ()
    look: Callable[[], None] | None = None


def processes(jobs: int, method: str | None = None) -> Callable[[Work], Workers]:
    """What starts so many processes of this machine; `method` as in multiprocessing."""

    def start(work: Work) -> Workers:
        context = get_context(method)
        forked = context.get_start_method() == "fork"
        # a new interpreter is ready soon, and imports what the function needs with its first task
        given = work if forked else pickle.dumps(work, protocol=5)
        executor = ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=(given,))
        return Workers(executor, None, _AHEAD * jobs)

    return start


class Pool:
    """Workers for one function, started anew when they are lost.

    given_up: numbers of the tasks that killed their worker twice -- output
    rebuilt: how often workers had to be started again -- output
    """

    def __init__(self, work: Work, start: Callable[[Work], Workers]) -> None:
        self.given_up: list[int] = []
        self.rebuilt = 0
        self._work = work
        self._start = start
        self._workers: Workers | None = None
        self._flying: dict[Future[bytes], int] = {}
        self._landed: SimpleQueue[Future[bytes]] = SimpleQueue()
        self._alone: deque[int] = deque()  # lost with a pool; each runs by itself now
        self._deaths: Counter[int] = Counter()

    def run(self, tasks: Sequence[Any], numbers: Iterable[int]) -> Iterator[Batch]:
        """Carry out the tasks with these numbers.

        Each time some have come: (number of the task, its result encoded as a journal keeps it).
        Raises what the function raises. Tasks in `given_up` have no result.
        """
        todo = iter(numbers)
        try:
            while True:
                whole = self._give_out(tasks, todo)
                if whole and not self._flying:
                    break
                lost: list[int] = []
                if whole:
                    yield from self._collect(self._done_now(), lost)
                if lost or not whole:
                    yield from self._collect(list(self._flying), lost)
                    self._rebuild(lost)
            self._close()
        finally:
            self._close(wait_for_workers=False)  # after Ctrl-C nobody wants to wait for them

    def _give_out(self, tasks: Sequence[Any], todo: Iterator[int]) -> bool:
        """Hand tasks to the workers; False if they turned out to be lost."""
        if self._workers is None:
            self._workers = self._start(self._work)
        workers = self._workers
        most = 1 if self._alone else workers.ahead
        while len(self._flying) < most:
            number = self._alone.popleft() if self._alone else next(todo, None)
            if number is None:
                break
            try:
                future = workers.executor.submit(_do, workers.held, tasks[number])
            except BrokenExecutor:
                self._alone.appendleft(number)
                return False
            self._flying[future] = number
            future.add_done_callback(self._landed.put)
        return True

    def _done_now(self) -> list[Future[bytes]]:
        """Tasks that have ended, at least one."""
        done: list[Future[bytes]] = []
        while not done or not self._landed.empty():
            try:
                future = self._landed.get(timeout=_BLINK_S)
            except Empty:
                if self._workers is not None and self._workers.look is not None:
                    self._workers.look()
                continue
            if future in self._flying:  # else it went down with lost workers, and was collected
                done.append(future)
        return done

    def _collect(self, futures: Iterable[Future[bytes]], lost: list[int]) -> Iterator[Batch]:
        """What is finished; tasks that went down with their workers are added to `lost`."""
        found: Batch = []
        failed: BaseException | None = None
        killed = () if self._workers is None else self._workers.killed
        for future in futures:
            number = self._flying.pop(future)
            error = _why_not(future)
            if error is None:
                found.append((number, future.result()))
            elif isinstance(error, _LOST):
                lost.append(number)
            elif isinstance(error, killed):
                self._suspect(number)
            else:
                failed = failed or error
        if found:
            yield found
        if failed is not None:
            raise failed

    def _suspect(self, number: int) -> None:
        """Workers died with a task: of it if it was alone, perhaps of another if it was not."""
        if number in self._deaths:
            self.given_up.append(number)
        else:
            self._deaths[number] = 0
            self._alone.append(number)

    def _rebuild(self, lost: list[int]) -> None:
        """The workers are lost: note who has to run again, and by itself."""
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
        if self._workers is not None:
            self._workers.executor.shutdown(wait=wait_for_workers, cancel_futures=True)
            self._workers = None


def _why_not(future: Future[bytes]) -> BaseException | None:
    """Why a task has no result; None if it has one."""
    try:
        return future.exception()
    except CancelledError as error:
        return error


_work: Work | bytes | None = None  # of a worker process; bytes before its first task


def _begin(work: Work | bytes) -> None:
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


def _do(held: Work | None, task: Any) -> bytes:
    work = held or _own_work()
    return encoded(work(task))


def _own_work() -> Work:
    global _work
    if isinstance(_work, bytes):
        _work = pickle.loads(_work)
    assert callable(_work)
    return _work
