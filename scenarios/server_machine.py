"""The machine of `server_load`: requests that arrive, and a server that forks a child for each.

The server does what inetd does: it waits in select() for its listening socket, accepts, forks, and
closes the connection; where fork fails it closes the connection too and sleeps a second (inetd.c of
4.3BSD).  It asks after children that have ended, as with WNOHANG, before each fork.  The child
closes the listening socket, may become another program, works, and ends.

What must stay true: arrivals and work follow from seed, replication and the request's number alone,
so that every scheme meets the same requests, and two rates the same ones in another tempo.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from models.cygwin import children, schemes
from models.cygwin.errors import TryAgain
from models.cygwin.installation import Watch
from models.cygwin.machine import Machine, build
from models.cygwin.program_file import Program
from models.cygwin.programs import PLACES, UserProcess, start
from models.win32.cost_profile import Profile
from models.win32.system import SYSTEMS
from sim.engine import Steps
from sim.streams import Replication

POISSON, BATCHES, BACKLOG = "poisson", "batches", "backlog"
MOST_REQUESTS = 50_000  # of one run; where nothing takes time there is no end to them -- chosen
MOST_OPEN = 2000  # children at work at once; no machine of 2001 holds so many -- chosen
_RETRY_US = 1e6  # sleep(1) of inetd after a fork that failed
_MS, _S = 1e3, 1e6


@dataclass(frozen=True)
class Demand:
    """What arrives, and what each request is. Every field is *input*.

    kind: poisson (single requests), batches (several at once), backlog (all of them are there)
    rate_per_s: requests in a second, on average
    batch: mean number of requests that arrive together, geometric
    work_ms: mean processor time of a child, exponential
    stays_s: how long a child is kept by its client after the reply
    execs: the child becomes another program before it works
    """

    kind: str
    rate_per_s: float
    batch: float
    work_ms: float
    stays_s: float
    execs: bool


@dataclass(slots=True, eq=False)
class Request:
    """One request, in the order of arrival. Times [us] are *output*, None for what never came.

    busy_us: processor time that the machine had used when the server turned to it -- output
    children: living ones on record then -- output
    """

    arrived_us: float
    busy_us: float = 0.0
    children: int = 0
    started_us: float | None = None  # the child runs its first own instruction
    replied_us: float | None = None  # the child has done its work
    refused: bool = False  # fork failed


@dataclass(eq=False)
class Served:
    """What the server noted. Every field is *output*.

    idle_us: (when, how long) it waited for a request
    unheard: children that it has no record of, since there were 62 already
    gave_up: it has met MOST_REQUESTS or MOST_OPEN, and serves no more
    """

    requests: list[Request] = field(default_factory=list)
    idle_us: list[tuple[float, float]] = field(default_factory=list)
    replied: int = 0
    unheard: int = 0
    gave_up: bool = False

    @property
    def too_many(self) -> bool:
        """Whether a run has more requests, or children at work, than it may have."""
        taken = len(self.requests)
        return taken >= MOST_REQUESTS or taken - self.replied >= MOST_OPEN


class ServerMachine:
    """One machine with the server on it; `run_on` lets it run further.

    machine, served: the machine and what the server has noted so far -- state
    """

    def __init__(
        self, scheme: str, system: str, profile: Profile, replication: Replication,
        processors: int, sockets: int, heap_kib: int, demand: Demand, watch: Watch | None = None,
    ) -> None:  # fmt: skip
        self.machine: Machine = build(
            schemes.get(scheme), SYSTEMS[system], profile, replication, processors, PLACES
        )
        self.machine.installation.watch = watch
        self.served = Served()
        server = _Server(self.machine, self.served, demand, replication)
        start(self.machine, Program("inetd", lambda p: server.steps(p, sockets, heap_kib)))

    def run_on(self, until_us: float) -> bool:
        """Run to a time, which must be later than now; False if the server serves no more."""
        engine = self.machine.kernel.engine
        engine.run(until_us)
        return not (self.served.gave_up or math.isinf(engine.peek()))


def arrivals_us(demand: Demand, replication: Replication) -> Iterator[float]:
    """When requests arrive [us], for ever; not falling."""
    gaps = replication.fresh("scenarios/server/arrivals")
    sizes = replication.fresh("scenarios/server/batch")
    mean = demand.batch if demand.kind == BATCHES else 1.0
    now_us = 0.0
    while True:
        if demand.kind != BACKLOG:
            now_us += float(gaps.exponential()) * mean / demand.rate_per_s * _S
        together = int(sizes.geometric(1 / mean)) if demand.kind == BATCHES else 1
        for _ in range(together):
            yield now_us


class _Server:
    """The server's program, and what its children do."""

    def __init__(
        self, machine: Machine, served: Served, demand: Demand, replication: Replication
    ) -> None:
        self._machine = machine
        self._served = served
        self._demand = demand
        self._arrivals = arrivals_us(demand, replication)
        self._work = replication.fresh("scenarios/server/work")

    def steps(self, p: UserProcess, sockets: int, heap_kib: int) -> Steps:
        """Serve for ever, or until it gives up. Runs in the server."""
        for _ in range(3):
            p.open("/dev/tty")
        listening = [p.socket() for _ in range(sockets)]
        p.fill_heap(heap_kib * 1024)
        for arrived_us in self._arrivals:
            yield from self._select(p, arrived_us)
            yield from _reap(p)
            request = Request(arrived_us, self._machine.kernel.processors.busy_us)
            request.children = sum(not child.zombie for child in p.dll.children)
            self._served.requests.append(request)
            yield from self._serve(p, request, listening)
            if self._served.too_many:
                self._served.gave_up = True
                yield from p.sleep(None)

    def _select(self, p: UserProcess, arrived_us: float) -> Steps:
        """Wait until the request is there."""
        idle_us = arrived_us - p.dll.now()
        if idle_us > 0:
            self._served.idle_us.append((arrived_us, idle_us))
            yield from p.sleep(idle_us)

    def _serve(self, p: UserProcess, request: Request, listening: list[int]) -> Steps:
        """Accept one request, fork its child, and close the connection."""
        connection = p.socket()
        work_us = float(self._work.exponential()) * self._demand.work_ms * _MS
        try:
            pid = yield from p.fork(self._child(request, work_us, listening))
        except TryAgain:
            request.refused = True
            yield from p.close(connection)
            yield from p.sleep(_RETRY_US)
            return
        self._served.unheard += children.find(p.dll, pid) is None
        yield from p.close(connection)

    def _child(
        self, request: Request, work_us: float, listening: list[int]
    ) -> Callable[[UserProcess], Steps]:
        served, demand = self._served, self._demand

        def service(p: UserProcess) -> Steps:
            yield from p.work(work_us)
            request.replied_us = p.dll.now()
            served.replied += 1
            if demand.stays_s:
                yield from p.sleep(demand.stays_s * _S)

        def child(p: UserProcess) -> Steps:
            request.started_us = p.dll.now()
            for fd in listening:
                yield from p.close(fd)
            if demand.execs:
                yield from p.exec(Program("service", service))
            yield from service(p)

        return child


def _reap(p: UserProcess) -> Steps:
    """waitpid(-1, WNOHANG) as long as it finds a child that has ended."""
    for pid in [child.pid for child in p.dll.children if child.zombie]:
        yield from p.waitpid(pid)
