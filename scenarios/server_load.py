"""How many requests a second can a server take that forks for each, and how long do they wait?

An inetd-like server with a listening socket forks for ever (`server_machine`); requests come one
by one (Poisson) or several at once (batches), at rates below and above what it can take.  Every
scheme meets the same requests.  Beside these runs stand one whose server never runs out of
requests, which says the most it can take, and one whose clients keep their child after the reply.

Each rate is one long run in steady state: MSER-5 cuts the warm-up, the rest gives 20 batch means,
which are tested for correlation of neighbours; without that test passed there is no interval.

Length: 120 s, set in advance, and once twice as long where the test is not passed.  That is 1,200
requests at 10 a second and 4,800 at 40.  In a run of 16,000 at 40 a second the correlation of
response times is below 0.1 after 14 requests (Poisson) or 86 (batches); one of the 20 batches there
holds 240.  Held against queues with a known
mean (one server, gamma service times, the same loads, arrivals and rule, 1,000 runs each), the 95 %
intervals hold it in 92 to 87 % of the runs with Poisson arrivals, in 89 to 86 % with batches, the
least at the highest load: read them as 85 to 90 %.  They are of one machine; how machines differ
(machine_speed) only --replications can say.  Where the queue grows there is no mean.

In a run with `p3-800-w2000`, seed 1, a server of 1.3.4 takes 59.5 requests a second, since it
waits in each fork and two processors are used to 81 %.  At 40 a second the reply comes after 43 ms,
with batches of two on average after 81.  The schemes are within 1.5 % of each other; the listening
socket makes two steps of every fork of 1.3.4.  Of clients that stay 5 s most have a child that
nobody hears of any more.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from models.cygwin.installation import Watch
from models.cygwin.machine import Machine
from models.win32.cost_profile import Profile
from scenarios.parameters import check, named, parameter
from scenarios.server_machine import BACKLOG, BATCHES, POISSON, Demand, ServerMachine
from scenarios.server_steady import (
    GROWS,
    STEADY,
    Judged,
    Length,
    busy_share,
    in_system,
    judged,
    most_per_s,
    responses_us,
    waiting,
)
from scenarios.server_words import (
    BACKLOG_PLACE,
    at_rate,
    findings,
    interval_of,
    rows_of_table,
    short,
)
from scenarios.spec import ASSUMED_TIMES, Measured, Outcome, Replicated, Spec
from sim.estimators import quantile
from sim.steady_state import BatchMeans
from sim.streams import Replication

KINDS = (POISSON, BATCHES)
_A_KIND = f"one of {', '.join(KINDS)}"
_COURSE = 400  # times at which a figure has the queue -- chosen


@dataclass(frozen=True)
class Parameters:
    """What is asked; each field is a key of --set.

    rates: requests in a second -- input
    arrivals: poisson (one by one) or batches (several at once) -- input
    batch: mean number in a batch, geometric (assumed) -- input
    work_ms: mean processor time of a child, exponential (assumed) [ms] -- input
    execs: 1 if the child becomes another program first -- input
    stays_s: how long a slow client keeps its child, 0 for no such clients [s] -- input
    sockets: that listen; heap_kib: least size of the cygheap [KiB] -- input
    seconds: length of a run; most_s: where its batch means are correlated -- input
    processors: of the machine -- input
    """

    rates: tuple[float, ...] = parameter((10.0, 25.0, 40.0, 75.0), "1/s", 0.01, 10_000.0)
    arrivals: tuple[str, ...] = named(KINDS, _A_KIND)
    batch: float = parameter(2.0, "1", 1.0, 20.0)
    work_ms: float = parameter(10.0, "ms", 0.0, 10_000.0)
    execs: int = parameter(0, "1", 0, 1)
    stays_s: float = parameter(5.0, "s", 0.0, 3600.0)
    sockets: int = parameter(1, "1", 1, 60)
    heap_kib: int = parameter(16, "KiB", 16, 4096)
    seconds: float = parameter(120.0, "s", 1.0, 100_000.0)
    most_s: float = parameter(240.0, "s", 1.0, 100_000.0)
    processors: int = parameter(2, "1", 1, 60)

    def __post_init__(self) -> None:
        check(self)
        for kind in self.arrivals:
            if kind not in KINDS:
                raise ValueError(f"arrivals ({kind}) must be {_A_KIND}")

    @property
    def length(self) -> Length:
        """How long a run may be."""
        return Length(self.seconds, self.most_s)

    @property
    def short(self) -> Length:
        """The same for the backlog, which has far more requests in the time, and slow clients."""
        return Length(self.seconds / 4, self.most_s / 4)

    @property
    def slow_rate(self) -> float:
        """The rate at which clients are slow: the middle one."""
        return sorted(self.rates)[(len(self.rates) - 1) // 2]


SPEC = Spec(
    name="server_load",
    question=" ".join(__doc__.partition("\n\n")[0].split()),
    paragraph="hand-over",
    parameters=Parameters(),
    quick=(("rates", (30.0, 80.0)), ("arrivals", (POISSON,)), ("seconds", 24.0), ("most_s", 48.0)),
    limits=(
        ASSUMED_TIMES,
        "one server that forks one child at a time; select(), accept() and the network cost "
        "nothing, the listen queue has no end",
        "load up to where the queue grows, Poisson and geometric batches; heavier tails were "
        "not tried",
        "intervals by batch means held the known mean of like queues in 86 to 92 % of the "
        "runs, at a nominal 95 %",
        "after 4,096 creations their costs are drawn from those again",
    ),
    headlines=(
        (BACKLOG_PLACE, "most_per_s"),
        (f"arrivals={POISSON} rate={{rates[0]}}", "response_us"),
    ),
    narrow=(
        ("rates", (10.0,)),
        ("arrivals", (POISSON,)),
        ("seconds", 12.0),
        ("most_s", 48.0),
        ("stays_s", 0.0),
    ),
    terminating=False,
    steady_state=(
        "It begins with an idle machine and an empty queue; MSER-5 cuts the warm-up. A run is as "
        "long as `seconds`, set in advance, and up to `most_s` where neighbouring ones of its 20 "
        "batch means are correlated (von Neumann's ratio, 5 %). A queue that grows has no steady "
        "state and no mean."
    ),
    arrivals=(
        "requests come one by one (Poisson) or in batches of geometric size at Poisson times, from "
        "streams of their own (scenarios/server/arrivals, batch, work); they wait for the server "
        "first come, first served, without a limit (assumed), and leave with their reply, or "
        "refused where fork fails"
    ),
)


def run_point(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication
) -> Outcome:
    """All rates, the backlog and the slow clients under one scheme in one replication."""
    rows: list[Measured] = []
    drawn: dict[str, Any] = {}
    for place, demand in demands(point).items():
        server = _server(demand, point, scheme, system, profile, replication)
        if demand.kind == BACKLOG:
            rows += _of_backlog(place, server, point)
            continue
        found = judged(server, point.short if demand.stays_s else point.length)
        rows += _of_rate(place, server, found, point)
        drawn[place] = _to_draw(server, found)
    return Outcome(rows, [], drawn)


def demands(point: Parameters) -> dict[str, Demand]:
    """The points of the results, each with what arrives there."""
    common = (point.batch, point.work_ms)
    found = {
        at_rate(kind, rate): Demand(kind, rate, *common, 0.0, bool(point.execs))
        for kind in dict.fromkeys(point.arrivals)
        for rate in sorted(set(point.rates))
    }
    found[BACKLOG_PLACE] = Demand(BACKLOG, 0.0, *common, 0.0, bool(point.execs))
    if not point.stays_s:
        return found
    slow = Demand(POISSON, point.slow_rate, *common, point.stays_s, bool(point.execs))
    return found | {f"{at_rate(POISSON, point.slow_rate)} stays_s={point.stays_s:g}": slow}


def places(point: Parameters) -> Iterator[str]:
    """The points of the results, each a machine of its own."""
    yield from demands(point)


def watched(
    place: str, point: Parameters, scheme: str, system: str, profile: Profile,
    replication: Replication, watch: Watch,
) -> Machine:  # fmt: skip
    """The machine of one point where its run ended, with `watch` looking on. Raises KeyError."""
    demand = demands(point)[place]
    server = _server(demand, point, scheme, system, profile, replication, watch)
    if demand.kind == BACKLOG:
        most_per_s(server, point.short)
    else:
        judged(server, point.short if demand.stays_s else point.length)
    return server.machine


def table(results: dict[str, Replicated], point: Parameters) -> Iterator[list[str]]:
    """Rows of the printed table, heads first: one for each point and scheme."""
    yield from rows_of_table(results, list(demands(point)))


def conclusions(results: dict[str, Replicated], point: Parameters) -> Iterator[tuple[str, str]]:
    """(sentence, label): what follows from all replications."""
    yield from findings(results, demands(point))


def figures(results: dict[str, Replicated], point: Parameters, system: str, profile: Profile,
            seed: int, quick: bool) -> Iterator[tuple[str, Any]]:  # fmt: skip
    """(file stem, figure): response time over the rate; requests in the system over time."""
    from sim import plots_panels

    xs = sorted(set(point.rates))
    most = [o.value(BACKLOG_PLACE, "most_per_s") for o in results.values()]
    least = min((value for value in most if value is not None), default=None)
    beyond = [] if least is None or least >= xs[-1] else [
        plots_panels.Band(least, xs[-1], "more than the server can take: no steady state")
    ]  # fmt: skip
    groups = {
        kind: {short(name): _over_rate(o, kind, xs) for name, o in results.items()}
        for kind in dict.fromkeys(point.arrivals)
    }
    yield (
        "response_by_rate",
        plots_panels.panels(
            groups, "requests arriving [1/s]", "time to reply [ms]",
            f"Time from arrival to reply, band: 95 %; {system}", beyond,
        ),
    )  # fmt: skip
    for kind in groups:
        for rate, what in _worth_drawing(results, kind, xs):
            yield f"queue_{kind}_{rate:g}", _queue_figure(results, kind, rate, what)


# ---- measures ----------------------------------------------------------------------------------


def _server(
    demand: Demand, point: Parameters, scheme: str, system: str, profile: Profile,
    replication: Replication, watch: Watch | None = None,
) -> ServerMachine:  # fmt: skip
    return ServerMachine(
        scheme, system, profile, replication, point.processors, point.sockets, point.heap_kib,
        demand, watch,
    )  # fmt: skip


def _of_backlog(place: str, server: ServerMachine, point: Parameters) -> Iterator[Measured]:
    """The most that the server can take, and what the processors do then."""
    most, cycles = most_per_s(server, point.short)
    values = (most.mean, most.low, most.high) if most else (None, None, None)
    for name, value in zip(("", "_low", "_high"), values, strict=True):
        yield Measured(place, f"most_per_s{name}", "1/s", value, 0)
    yield from _independence(place, cycles)
    yield Measured(place, "busy", "1", busy_share(server.served.requests, point.processors), 0)
    yield Measured(place, "requests", "1", server.served.replied, 0)


def _of_rate(
    place: str, server: ServerMachine, found: Judged, point: Parameters
) -> Iterator[Measured]:
    """What holds at one rate. Without a steady state there are no means."""
    steady, means = found.steady, found.response if found.state == STEADY else None
    left = len(server.served.requests) - server.served.replied
    yield Measured(place, "state", "", found.state, 0)
    values: dict[str, float | None] = dict.fromkeys(
        ("response", "response_low", "response_high", "response_p50", "response_p95", "start")
    )
    if means is not None:
        took = responses_us(steady)
        low, high = (means.interval.low, means.interval.high) if means.interval else (None, None)
        p50, p95 = (quantile(took.tolist(), p) for p in (0.5, 0.95))
        begun = [r.started_us - r.arrived_us for r in steady if r.started_us is not None]
        values = dict(zip(values, (means.mean, low, high, p50, p95, sum(begun) / len(begun)),
                          strict=True))  # fmt: skip
    for name, value in values.items():
        yield Measured(place, f"{name}_us", "us", value, left if value is None else 0)
    yield Measured(place, "queue", "1", waiting(steady) if means else None, 0)
    yield Measured(place, "busy", "1", busy_share(steady, point.processors), 0)
    for name in ("slope", "low", "high"):
        value = getattr(found.queue, name) if found.queue else None
        yield Measured(place, f"queue_{name}_per_s", "1/s", value, 0)
    yield Measured(place, "warm_up", "1", found.warm_up.cut if found.warm_up else None, 0)
    yield from _independence(place, found.response)
    yield Measured(place, "requests", "1", len(found.requests), 0)
    yield Measured(place, "forked", "1", sum(not r.refused for r in server.served.requests), 0)
    yield Measured(place, "refused", "1", sum(r.refused for r in found.requests), 0)
    yield Measured(place, "children", "1", max(r.children for r in found.requests), 0)
    yield Measured(place, "unheard", "1", server.served.unheard, 0)


def _independence(place: str, means: BatchMeans | None) -> Iterator[Measured]:
    """What an interval by batch means rests on."""
    for name in ("batches", "batch_size", "lag1", "allowed_lag1"):
        value = getattr(means, name) if means is not None else None
        yield Measured(place, name, "1", value, 0)


# ---- figures -----------------------------------------------------------------------------------


def _to_draw(server: ServerMachine, found: Judged) -> dict[str, Any]:
    """Response times, and the course of the queue: as figures and paired differences need them."""
    last_us = found.requests[-1].arrived_us
    times = np.linspace(0.0, last_us, _COURSE)
    cut = found.warm_up.cut if found.warm_up is not None else None
    return {
        "responses_us": responses_us(found.requests).tolist() if found.response else [],
        "times_s": (times / 1e6).tolist(),
        "in_system": in_system(server.served.requests, times).tolist(),
        "warm_s": None if cut is None else found.requests[cut].arrived_us / 1e6 if cut else 0.0,
    }


def _over_rate(o: Replicated, kind: str, xs: list[float]) -> Any:
    """The line of one scheme; rates without a mean are left out."""
    from sim.plots_panels import Series

    found = [(x, interval_of(o, at_rate(kind, x))) for x in xs]
    kept = [(x, i.mean, i.low or i.mean, i.high or i.mean) for x, i in found if i is not None]
    columns = list(zip(*kept, strict=True)) or [(), (), (), ()]
    return Series(columns[0], *([ms / 1000 for ms in column] for column in columns[1:]))


def _worth_drawing(
    results: dict[str, Replicated], kind: str, xs: list[float]
) -> Iterator[tuple[float, str]]:
    """The highest rate with a steady state under all schemes, and the lowest without under any."""
    states = {x: {o.value(at_rate(kind, x), "state") for o in results.values()} for x in xs}
    steady = [x for x, found in states.items() if found == {STEADY}]
    growing = [x for x, found in states.items() if found == {GROWS}]
    if steady:
        yield steady[-1], STEADY
    if growing:
        yield growing[0], GROWS


def _queue_figure(results: dict[str, Replicated], kind: str, rate: float, what: str) -> Any:
    """Of the last scheme in the first replication; the others lie nearly on it."""
    from sim import plots_panels

    name, o = list(results.items())[-1]
    drawn = o.outcomes[0].drawn[at_rate(kind, rate)]
    warm_s = drawn["warm_s"]
    bands = []
    if warm_s is not None:
        bands = [plots_panels.Band(0.0, warm_s, f"warm-up by MSER-5: {warm_s:.3g} s")]
    line = plots_panels.Series(drawn["times_s"], drawn["in_system"])
    return plots_panels.panels(
        {f"{kind}, {rate:g}/s: {what}": {short(name): line}}, "time [s]",
        "requests in the system [1]", "Requests that have arrived and have no reply", bands,
        plain=True,
    )  # fmt: skip


def main() -> int:
    """Run the scenario from its own file, with the options of `cygsim run`."""
    from scenarios.cli_boundary import run

    return run(["run", SPEC.name, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
