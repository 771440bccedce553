"""Words for what `server_load` found: table, the most a server takes, and what differs by scheme.

All from the results of all replications.  With one replication an interval is that of the batch
means within it; with several it is Student's over the replications.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from scenarios.server_machine import BACKLOG, Demand
from scenarios.server_steady import GROWS, STEADY
from scenarios.spec import Outcome, Replicated
from sim.estimators import Interval, mean_interval
from sim.steady_state import BATCHES, batch_means

Floats = NDArray[np.float64]
BACKLOG_PLACE = f"arrivals={BACKLOG}"
_COSTS = "all costs of the profile, work_ms"
_IDLE = 0.03  # share of the processors' time below which they count as used up -- chosen


def at_rate(kind: str, rate: float) -> str:
    """The point of a rate."""
    return f"arrivals={kind} rate={rate:g}"


def short(scheme: str) -> str:
    """A scheme's name for a narrow column."""
    return {"shared-memory-1.3.3": "1.3.3", "shared-memory": "1.3.4"}.get(scheme, scheme)


def interval_of(o: Replicated, place: str, measure: str = "response", unit: str = "_us"
                ) -> Interval | None:  # fmt: skip
    """A mean with its interval; None where a replication has no interval or no steady state."""
    lows = o.values(place, f"{measure}_low{unit}")
    if any(low is None for low in lows):
        return None
    if len(lows) > 1:
        return o.mean(place, f"{measure}{unit}")
    [outcome] = o.outcomes
    mean, low, high = (
        outcome.value(place, f"{measure}{end}{unit}") for end in ("", "_low", "_high")
    )
    return Interval(int(outcome.value(place, "batches")), mean, low, high)


def rows_of_table(results: Mapping[str, Replicated], places: Sequence[str]) -> Iterator[list[str]]:
    """Heads first; a row for each point and scheme."""
    heads = ["arrivals", "scheme", "reply after ms", "start", "queue", "busy", "of", "cut"]
    allowed = next((a for o in results.values() for a in _allowed(o, places)), None)
    yield [*heads, "lag1" if allowed is None else f"lag1<{allowed:.2f}"]
    for place in places:
        for name, o in results.items():
            yield [_arrivals(place), short(name), *_cells(o, place)]


def _cells(o: Replicated, place: str) -> Iterator[str]:
    if place == BACKLOG_PLACE:
        most = _most(o)
        yield "-" if most is None else f"{_with_half(most, 1)}/s"
        yield from ("-", "-")
    else:
        interval = interval_of(o, place)
        yield _state(o, place) if interval is None else _with_half(interval, 1000)
        yield from (
            _number(o.value(place, m), scale) for m, scale in (("start_us", 1e3), ("queue", 1))
        )
    yield f"{o.value(place, 'busy'):.0%}"
    yield _number(o.value(place, "requests"), 1)
    yield "-" if place == BACKLOG_PLACE else _number(o.value(place, "warm_up"), 1)
    lags = [lag for lag in o.values(place, "lag1") if lag is not None]
    yield f"{max(lags):.2f}" if lags else "-"


def _state(o: Replicated, place: str) -> str:
    """The state, or in how many replications it is steady where they differ."""
    states = o.values(place, "state")
    if len(set(states)) == 1:
        return str(states[0])
    return f"{states.count(STEADY)} of {len(states)} steady"


def findings(
    results: Mapping[str, Replicated], demands: Mapping[str, Demand]
) -> Iterator[tuple[str, str]]:
    """(sentence, label): the conclusions."""
    rates = [p for p, d in demands.items() if d.kind != BACKLOG and "stays_s" not in p]
    for name, o in results.items():
        yield f"{short(name)}: {_sustained(o, demands, rates)} ({_COSTS})", "assumed"
    used = {name: _what_is_used(o) for name, o in results.items() if _most(o) is not None}
    for who, text in _alike(used):
        yield f"{who}: {text} ({_COSTS})", "assumed"
    yield from _paired(results, demands, rates)
    for place, demand in demands.items():
        if "stays_s" in place:
            what = f"clients that stay {demand.stays_s:g} s at {demand.rate_per_s:g}/s"
            yield from _slow(results, place, what)


def _alike(texts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(schemes, text): those of which the same is true together."""
    who: dict[str, list[str]] = {}
    for scheme, text in texts.items():
        who.setdefault(text, []).append(short(scheme))
    for text, some in who.items():
        yield ", ".join(some), text


def _sustained(o: Replicated, demands: Mapping[str, Demand], rates: Sequence[str]) -> str:
    """The most that it takes, and how the rates bear it out."""
    most = _most(o)
    found = (
        "no maximum found"
        if most is None
        else f"{_in_words(most, 1, '')} requests a second at most"
    )
    words = [found]
    for kind in dict.fromkeys(demands[p].kind for p in rates):
        mine = [p for p in rates if demands[p].kind == kind]
        by_state: dict[str, list[str]] = {}
        for place in mine:
            state = _state(o, place)
            grown = o.value(place, "queue_slope_per_s")
            by = f" (by {grown:.2g}/s)" if state == GROWS and grown is not None else ""
            by_state.setdefault(state, []).append(f"{demands[place].rate_per_s:g}{by}")
        said = [
            f"{'the queue grows' if s == GROWS else s} at {', '.join(r)}"
            for s, r in by_state.items()
        ]
        words.append(f"{kind}: {'; '.join(said)}")
    return ". ".join(words)


def _what_is_used(o: Replicated) -> str:
    busy = float(o.value(BACKLOG_PLACE, "busy"))
    if busy > 1 - _IDLE:
        return f"with requests always there the processors are used up ({busy:.0%})"
    return (
        f"with requests always there the processors are used to {busy:.0%}: one server forks one "
        "child at a time, and waits in fork while the child starts"
    )


def _paired(
    results: Mapping[str, Replicated], demands: Mapping[str, Demand], rates: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """How much longer each scheme lets the same requests wait than the last one."""
    base = list(results)[-1]
    for kind in dict.fromkeys(demands[p].kind for p in rates):
        steady = [p for p in rates if demands[p].kind == kind
                  and all(o.value(p, "state") == STEADY for o in results.values())]  # fmt: skip
        if not steady or len(results) < 2:
            continue
        place = max(steady, key=lambda p: demands[p].rate_per_s)
        parts = [
            f"{short(name)} {_difference(results[base], o, place)}"
            for name, o in results.items()
            if name != base
        ]
        yield (
            f"{kind}, {demands[place].rate_per_s:g}/s, reply later than under {short(base)}, "
            f"request by request: {'; '.join(parts)} ({_COSTS})",
            "assumed",
        )


def _difference(base: Replicated, o: Replicated, place: str) -> str:
    """Mean of the differences: over the replications, or by batch means within the only one."""
    each = [_later(a, b, place) for a, b in zip(base.outcomes, o.outcomes, strict=True)]
    if len(each) > 1:
        return _signed(mean_interval([float(one.mean()) for one in each]))
    if len(each[0]) < 2 * BATCHES:
        return "too few"
    found = batch_means(each[0])
    if found.interval is None:
        return f"{found.mean / 1000:+.2g} ms (no interval: differences are correlated)"
    return _signed(found.interval)


def _later(a: Outcome, b: Outcome, place: str) -> Floats:
    """How much later the reply of each request is in `b` [us], after the longer warm-up."""
    times = [np.asarray(one.drawn[place]["responses_us"]) for one in (a, b)]
    cut = max(int(one.value(place, "warm_up")) for one in (a, b))
    both = min(map(len, times))
    later: Floats = times[1][cut:both] - times[0][cut:both]
    return later


def _signed(interval: Interval) -> str:
    low, high = (x / 1000 for x in interval.limits() or (interval.mean, interval.mean))
    return f"{interval.mean / 1000:+.2g} ms (95 %: {low:+.2g} to {high:+.2g})"


def _slow(results: Mapping[str, Replicated], place: str, what: str) -> Iterator[tuple[str, str]]:
    """How many children there are on record when clients keep them, and how many are not."""
    full: dict[str, str] = {}
    lost: dict[str, str] = {}
    for name, o in results.items():
        most, unheard = max(o.values(place, "children")), o.value(place, "unheard")
        if unheard:
            full[name] = f"{most} living children are on record, and no more"
            share = f"{unheard:,.0f} of {o.value(place, 'forked'):,.0f}"
            lost[name] = f"{share} run on unheard, and nobody reaps them"
        else:
            lost[name] = f"{most} living children at most, all of them on record"
    for who, text in _alike(full):
        yield f"{who}: {what}: {text}", "exact"
    for who, text in _alike(lost):
        yield f"{who}: {what}: {text} ({_COSTS})", "assumed"


def _most(o: Replicated) -> Interval | None:
    return interval_of(o, BACKLOG_PLACE, "most_per_s", "")


def _allowed(o: Replicated, places: Sequence[str]) -> Iterator[float]:
    yield from (a for p in places for a in o.values(p, "allowed_lag1") if a is not None)


def _arrivals(place: str) -> str:
    words = dict(part.split("=") for part in place.split())
    stays = f" {words['stays_s']} s" if "stays_s" in words else ""
    kind = "slow" if stays else words["arrivals"]
    return f"{kind} {words['rate']}/s{stays}" if "rate" in words else f"{kind}, most"


def _with_half(interval: Interval, scale: float) -> str:
    if interval.high is None:
        return f"{interval.mean / scale:.3g}"
    return f"{interval.mean / scale:.3g} ± {(interval.high - interval.mean) / scale:.2g}"


def _in_words(interval: Interval, scale: float, unit: str) -> str:
    limits = interval.limits()
    sure = "" if limits is None else f" (95 %: {limits[0] / scale:.3g} to {limits[1] / scale:.3g})"
    return f"{interval.mean / scale:.3g}{unit}{sure}"


def _number(value: float | None, scale: float) -> str:
    return (
        "-"
        if value is None
        else f"{value / scale:.3g}"
        if value / scale < 1000
        else f"{value / scale:.0f}"
    )
