"""Whether a server reached steady state, and what holds in it: the books of `server_load`.

The length of a run is set in advance; it is made twice as long only where the batch means of its
response times do not pass for independent.  (To go on until an interval is narrow enough would stop
at runs that happen to look calm.)  A server that never waited for a request in the second half of a
run is in no steady state that the run could show.  Its queue grows if the number of requests in the
system rises over that half, by the interval of its slope, when the run is looked at twice running
before its end or once at it; else the run is too short.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from scenarios.server_machine import Request, ServerMachine
from sim.estimators import Interval
from sim.steady_state import BatchMeans, WarmUp, batch_means, mser5
from sim.trend import Trend, trend

Floats = NDArray[np.float64]

STEADY = "steady"
GROWS = "no steady state"
SHORT = "run too short"
ENDED = "server ended"
LEAST = 100  # requests that can be judged: 20 batches of two, and a warm-up as long -- chosen
_LOOKS = 200  # times at which the requests in the system are counted -- chosen
_S = 1e6


@dataclass(frozen=True)
class Length:
    """How long a run is. seconds: set in advance; most_s: where it has to be longer -- input"""

    seconds: float
    most_s: float

    def early_us(self) -> list[float]:
        """Times before the end at which a queue may be found to grow [us]."""
        return [self.seconds * _S / part for part in (8, 4, 2)]

    def ends_us(self) -> Iterator[float]:
        """When the run is judged: at its end, and where it is made longer [us]."""
        seconds = self.seconds
        while seconds < self.most_s:
            yield seconds * _S
            seconds *= 2
        yield max(self.seconds, self.most_s) * _S


@dataclass(frozen=True, eq=False)
class Judged:
    """What came of one run. Every field is *output*.

    requests: those that had their reply, up to the first that had none
    warm_up, response: of the response times [us]; None where there is no steady state
    queue: slope of the number in the system over the second half [1/s]; None if too few
    never_idle: the server waited for no request in that half
    """

    state: str
    requests: list[Request]
    warm_up: WarmUp | None
    response: BatchMeans | None
    queue: Trend | None
    never_idle: bool

    @property
    def steady(self) -> list[Request]:
        """The requests after the warm-up; all of them where none was found."""
        cut = self.warm_up.cut if self.warm_up is not None else None
        return self.requests[cut or 0 :]


def judged(server: ServerMachine, length: Length) -> Judged:
    """Let the server run as long as it takes, and say what it came to."""
    grew = False
    for until_us in (*length.early_us(), *length.ends_us()):
        found = _judge(server, server.run_on(until_us))
        grows = found.state == GROWS
        if found.state == ENDED or (grows and (grew or until_us >= length.seconds * _S)):
            return found
        if found.state == STEADY and until_us >= length.seconds * _S:
            return found
        grew = grows
    return found


def most_per_s(server: ServerMachine, length: Length) -> tuple[Interval | None, BatchMeans | None]:
    """How many requests a server can take that never runs out of them [1/s], by batch means.

    The mean time from one child's start to the next, inverted with its interval.  None where the
    run ended, or was too short for an interval.
    """
    cycles = None
    for until_us in length.ends_us():
        if not server.run_on(until_us):
            return None, None
        started = [r.started_us for r in server.served.requests if r.started_us is not None]
        cycles = _means(np.diff(np.sort(np.asarray(started))))[1]
        whole = cycles.interval if cycles is not None else None
        if whole is not None and whole.low is not None and whole.high is not None and whole.low > 0:
            most = (_S / bound for bound in (whole.mean, whole.high, whole.low))
            return Interval(whole.replications, *most), cycles
    return None, cycles


def in_system(requests: list[Request], times_us: Floats) -> Floats:
    """How many have arrived and have neither reply nor refusal, at each time [1]. Shape (n,).

    A refused request counts as gone at once.
    """
    kept = [r for r in requests if not r.refused]
    arrived = np.asarray([r.arrived_us for r in kept])
    replied = np.sort([np.inf if r.replied_us is None else r.replied_us for r in kept])
    return np.asarray(
        np.searchsorted(arrived, times_us, "right") - np.searchsorted(replied, times_us, "right"),
        dtype=np.float64,
    )


def responses_us(requests: list[Request]) -> Floats:
    """From arrival to reply [us], in order of arrival. Shape (n,); the refused have none."""
    return np.asarray([r.replied_us - r.arrived_us for r in requests if r.replied_us is not None])


def waiting(requests: list[Request]) -> float:
    """Mean number of requests that had arrived and had no child yet [1], over time."""
    first, last = requests[0].arrived_us, requests[-1].arrived_us
    stretches = [
        min(r.started_us, last) - r.arrived_us for r in requests if r.started_us is not None
    ]
    return sum(s for s in stretches if s > 0) / (last - first) if last > first else 0.0


def busy_share(requests: list[Request], processors: int) -> float:
    """Share of the processors' time that was used while these requests were taken up [1]."""
    taken = [r for r in requests if r.started_us is not None]
    if len(taken) < 2:
        return 0.0
    used = taken[-1].busy_us - taken[0].busy_us
    past = (taken[-1].started_us or 0.0) - (taken[0].started_us or 0.0)
    return used / past / processors if past > 0 else 0.0


def _judge(server: ServerMachine, goes_on: bool) -> Judged:
    served = server.served
    done = list(takewhile(lambda r: r.refused or r.replied_us is not None, served.requests))
    if not goes_on:
        return Judged(ENDED, done, None, None, None, False)
    if len(done) < LEAST:
        return Judged(SHORT, done, None, None, None, False)
    times = np.linspace(*_second_half(done), _LOOKS)
    queue = trend(times / _S, in_system(served.requests, times))
    never_idle = all(when < times[0] for when, _ in served.idle_us)
    if queue.grows and never_idle:
        return Judged(GROWS, done, None, None, queue, never_idle)
    warm_up, response = _means(responses_us(done))
    independent = response is not None and response.interval is not None
    state = STEADY if independent and not never_idle else SHORT
    return Judged(state, done, warm_up, response, queue, never_idle)


def _means(values: Floats) -> tuple[WarmUp | None, BatchMeans | None]:
    """The warm-up, and the batch means of the rest; None where there is too little for it."""
    if len(values) < LEAST:
        return None, None
    warm_up = mser5(values)
    return warm_up, None if warm_up.cut is None else batch_means(warm_up.steady(values))


def _second_half(requests: list[Request]) -> tuple[float, float]:
    last = requests[-1].arrived_us
    return (requests[0].arrived_us + last) / 2, last
