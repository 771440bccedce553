"""Workers of a Dask cluster, for runs that one machine is too small for.

The scheduler and its workers are the user's: they are only asked.  A worker must have this program
in the same versions, since the same command must write the same bytes wherever it runs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sim.errors import InputError
from sim.pool import Work, Workers
from sim.results import program_versions

if TYPE_CHECKING:
    from distributed import Client

_PATIENCE_S = 10.0  # for an answer of the scheduler [s] -- chosen
_FIRST_WORKER_S = 3.0  # until a scheduler that answers has a worker [s] -- chosen
_NEXT_WORKER_S = 30.0  # until one has come in place of the last that died [s] -- chosen
_AHEAD = 4  # tasks given out for each thread: Dask takes 1 to 3 ms to hand one on (PEERS.md §e)


def workers(address: str, work: Work) -> Workers:
    """Workers of the scheduler at `address`.

    Raises InputError if Dask is not installed, no scheduler answers there, or it has no worker.
    """
    client = _client(address)
    try:
        client.wait_for_workers(1, timeout=_FIRST_WORKER_S)
    except TimeoutError:
        client.close()
        raise _no_worker(address) from None
    from distributed import KilledWorker

    threads = sum(client.nthreads().values())
    # a task of its own, so that the scheduler can make it again when the worker with it dies
    held = client.submit(_same, _Checked(work, program_versions()), pure=False)
    look = _Lookout(client, address).look
    return Workers(_Dask(client), held, _AHEAD * threads, (KilledWorker,), look)


def _client(address: str) -> Client:
    try:
        import dask
        from distributed import Client
    except ImportError:
        raise InputError(
            "--cluster", "Dask distributed is not installed", "pip install 'cygsim[cluster]'"
        ) from None
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)  # errors are told in one line
    dask.config.set({"distributed.comm.timeouts.connect": _PATIENCE_S})
    try:
        asyncio.run(_knock(address))
        return Client(address, timeout=_PATIENCE_S, set_as_default=False)
    except MemoryError:  # it takes the words of another protocol for the size of a message
        raise _refused(address, "what answers is no scheduler", "tcp://HOST:PORT") from None
    except (OSError, ValueError, TypeError) as error:
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise _refused(address, f"no scheduler answers ({why})", "tcp://HOST:PORT") from None


async def _knock(address: str) -> None:
    """Raise what keeps a client from the scheduler; a client that fails is hard to be rid of."""
    from distributed.comm import get_address_host_port, parse_address
    from distributed.core import connect
    from distributed.security import Security

    if parse_address(address)[0] in ("tcp", "tls"):  # a refusal comes at once, and Dask would wait
        opened = asyncio.open_connection(*get_address_host_port(address))
        _, writer = await asyncio.wait_for(opened, _PATIENCE_S)
        writer.close()
    how = Security().get_connection_args("client")
    comm = await connect(address, timeout=_PATIENCE_S, **how)
    await comm.close()


def _no_worker(address: str) -> InputError:
    return _refused(address, "the scheduler has no worker", f"dask worker {address}")


def _refused(address: str, what: str, allowed: str) -> InputError:
    return InputError(f"--cluster {address}", what, allowed)


class _Dask(Executor):
    """A client as an executor.

    Dask's own (`client.get_executor()`, 2026.8) loses a task whose worker dies between its end and
    the fetching of its result: it takes the result for an error, or never answers.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As the standard library's; a Dask future among `args` becomes its result."""
        # pure: what has run elsewhere with the same arguments may be of another version
        theirs = self._client.submit(fn, *args, pure=False, **kwargs)
        mine: Future[Any] = Future()
        self._client.loop.add_callback(self._pass_on, theirs, mine)
        return mine

    async def _pass_on(self, theirs: Any, mine: Future[Any]) -> None:
        try:
            result = await self._client.gather(theirs, asynchronous=True)
        except BaseException as error:  # noqa: BLE001 -- whatever it is, somebody waits for it
            own = theirs.status == "error"  # raised by the task, or said of it by the scheduler
            mine.set_exception(error if own else BrokenExecutor(repr(error)))
        else:
            mine.set_result(result)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster; what is pending is given up."""
        self._client.close()


class _Lookout:
    """Sees that a scheduler has lost its last worker: it would wait for another for ever.

    alone_s: since when there is none, on the clock of `time.monotonic` [s]; None if there is one
    """

    def __init__(self, client: Client, address: str) -> None:
        self._client = client
        self._address = address
        self.alone_s: float | None = None

    def look(self) -> None:
        """Raise InputError if there has been no worker for a while."""
        now_s = time.monotonic()
        if self._client.nthreads():
            self.alone_s = None
        elif self.alone_s is None:
            self.alone_s = now_s
        elif now_s - self.alone_s > _NEXT_WORKER_S:
            raise _no_worker(self._address)


def _same(work: Work) -> Work:
    return work


class _Checked:
    """A function that refuses to run where the program is another than here."""

    def __init__(self, work: Work, versions: dict[str, str]) -> None:
        self._work = work
        self._versions = versions

    def __call__(self, task: Any) -> Any:
        there = _versions()
        for name, version in self._versions.items():
            if there[name] != version:
                what = f"a worker has {name} {there[name]}"
                raise InputError("--cluster", what, f"{version}, as here")
        return self._work(task)


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    return program_versions()
