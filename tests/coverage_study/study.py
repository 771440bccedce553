"""How often each interval of `sim` holds what it should: one case for each estimator and model.

A case draws its repeats, asks the estimator itself, and says for each repeat whether the interval
holds the known answer; None where there was no interval.  Methods:

* exact: what it says is what it does on this model; floor 93.5 %, three standard errors of 2,000
  repeats below 95 %;
* large n: right for many values, and those here are as many as `sim.sample_size` asks for (or as
  the method itself does); floor 92.5 %;
* discrete: it can only be more or less than it says; a floor only, 92 % for Wilson's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from sim.censoring import survival
from sim.comparisons import paired_ratio, several_differences
from sim.design import Factor, saltelli_points
from sim.estimators import mean_interval, paired_difference, proportion_interval
from sim.quantile_intervals import order_interval, quantile_interval
from sim.sample_size import needed_replications
from sim.sensitivity import rank_correlations
from sim.sobol_indices import sobol_indices
from sim.steady_state import batch_means, mser5
from sim.stopping import next_replications
from sim.streams import Replication
from tests.coverage_study import models
from tests.coverage_study.models import Spread

Held = Iterator[bool | None]
FLOORS = {"exact": 0.935, "large n": 0.925, "discrete": 0.92}
CHUNK = 100  # repeats drawn at a time, so that long runs fit into memory


@dataclass(frozen=True)
class Case:
    name: str
    method: str  # a key of FLOORS
    held: Callable[[np.random.Generator, int], Held]


@dataclass(frozen=True)
class Result:
    case: Case
    repeats: int
    held: int
    without: int  # repeats that had no interval

    @property
    def coverage(self) -> float:
        return self.held / max(self.repeats - self.without, 1)

    @property
    def reached(self) -> bool:
        """Whether the floor is; an interval that is hardly ever given proves nothing."""
        return self.coverage >= FLOORS[self.case.method] and 2 * self.without < self.repeats


def carry_out(case: Case, repeats: int, seed: int) -> Result:
    held: list[bool | None] = []
    stream = Replication(seed, 0).stream(f"coverage/{case.name}")
    for done in range(0, repeats, CHUNK):
        held += case.held(stream, min(CHUNK, repeats - done))
    return Result(case, repeats, held.count(True), held.count(None))


def within(limits: list[float] | None, truth: float) -> bool | None:
    return None if limits is None else limits[0] <= truth <= limits[1]


# -- cases -------------------------------------------------------------------------------------


def student(spread: Spread, count: int) -> Callable[[np.random.Generator, int], Held]:
    def held(generator: np.random.Generator, repeats: int) -> Held:
        for values in spread.draw(generator, (repeats, count)).tolist():
            yield within(mean_interval(values).limits(), spread.mean)

    return held


def queue_replications(generator: np.random.Generator, repeats: int) -> Held:
    waits = models.queue_waits(generator, 10 * repeats, 2200)[:, 200:].mean(axis=1)
    for values in waits.reshape(repeats, 10).tolist():
        yield within(mean_interval(values).limits(), models.QUEUE_WAIT)


def queue_batches(generator: np.random.Generator, repeats: int) -> Held:
    for waits in models.queue_waits(generator, repeats, 40_000):
        warm_up = mser5(waits)
        interval = None
        if warm_up.cut is not None:
            interval = batch_means(warm_up.steady(waits)).interval
        yield within(interval.limits() if interval else None, models.QUEUE_WAIT)


def weibull_runs(generator: np.random.Generator, repeats: int) -> Held:
    truth = models.weibull_quantile(1.5, 0.95)
    for runs in generator.weibull(1.5, (repeats, 10, 500)).tolist():
        found = quantile_interval(runs, 0.95).interval
        yield within(found.limits() if found else None, truth)


def weibull_order(count: int, probability: float) -> Callable[[np.random.Generator, int], Held]:
    def held(generator: np.random.Generator, repeats: int) -> Held:
        truth = models.weibull_quantile(0.7, probability)
        for values in generator.weibull(0.7, (repeats, count)).tolist():
            yield within(order_interval(values, probability).limits(), truth)

    return held


def differences(generator: np.random.Generator, repeats: int) -> Held:
    for a, b in zip(*models.pairs(generator, repeats, 10), strict=True):
        yield within(paired_difference(a.tolist(), b.tolist()).limits(), 2.0)


def ratios(generator: np.random.Generator, repeats: int) -> Held:
    for a, b in zip(*models.pairs(generator, repeats, 10), strict=True):
        yield within(paired_ratio(a.tolist(), b.tolist()).limits(), 1.2)


def creation_ratios(generator: np.random.Generator, repeats: int) -> Held:
    common = models.CREATION.draw(generator, (repeats, 30))
    wakes = models.lognormal(generator, 1.0, 2.5, (repeats, 30))
    truth = 1 + models.lognormal_mean(1.0, 2.5) / models.CREATION.mean
    for a, more in zip(common, wakes, strict=True):
        yield within(paired_ratio(a.tolist(), (a + more).tolist()).limits(), truth)


def four_differences(generator: np.random.Generator, repeats: int) -> Held:
    base = generator.normal(10, 3, (repeats, 12))
    others = base[:, None] + generator.normal(1, 1, (repeats, 4, 12))
    for a, four in zip(base.tolist(), others.tolist(), strict=True):
        found = several_differences(a, {str(i): b for i, b in enumerate(four)})
        yield all(within(interval.limits(), 1.0) for interval in found.values())


def wilson(probability: float, count: int) -> Callable[[np.random.Generator, int], Held]:
    def held(generator: np.random.Generator, repeats: int) -> Held:
        for hits in generator.binomial(count, probability, repeats).tolist():
            found = proportion_interval(hits, count)
            yield found.low <= probability <= found.high

    return held


def cut_off(generator: np.random.Generator, repeats: int) -> Held:
    truth = models.weibull_quantile(1.5, 0.5)
    lasts = generator.weibull(1.5, (repeats, 60))
    horizons = generator.exponential(2.0, (repeats, 60))
    for last, horizon in zip(lasts, horizons, strict=True):
        came, cut = last[last <= horizon], horizon[last > horizon]
        found = survival(came.tolist(), cut.tolist()).quantile_us(0.5)
        yield within(found.limits(), truth)


def sequential(spread: Spread, precision: float) -> Callable[[np.random.Generator, int], Held]:
    def held(generator: np.random.Generator, repeats: int) -> Held:
        least = needed_replications(spread.kind)
        for values in spread.draw(generator, (repeats, 1000)).tolist():
            count = 0
            while not (found := next_replications(values[:count], precision, least=least)).stop:
                count = found.replications
            limits = mean_interval(values[:count]).limits()
            yield within(limits, spread.mean) if found.reached else None

    return held


def ranks(generator: np.random.Generator, repeats: int) -> Held:
    truth = 6 / math.pi * math.asin(0.6 / 2)  # Spearman's of normal pairs correlated by 0.6
    both = generator.standard_normal((2, repeats, 50))
    for x, noise in zip(both[0].tolist(), (0.6 * both[0] + 0.8 * both[1]).tolist(), strict=True):
        row = rank_correlations([{"x": value} for value in x], noise)[0]
        yield None if row.low is None or row.high is None else row.low <= truth <= row.high


def sobol(generator: np.random.Generator, repeats: int) -> Held:
    """x + 2y over unit ranges: first-order and total index of y are both 0.8."""
    factors = [Factor("x", low=0, high=1), Factor("y", low=0, high=1)]
    for _ in range(repeats):
        seed = int(generator.integers(2**31))
        points = saltelli_points(factors, 128, seed)
        values = [float(point["x"]) + 2 * float(point["y"]) for point in points]
        found = sobol_indices(factors, values, seed)[0]
        yield found.first.low <= 0.8 <= found.first.high


CASES = (
    Case("mean, normal, n=10", "exact", student(models.NORMAL, 10)),
    Case("mean, lognormal sum, n=30", "exact", student(models.CREATION, 30)),
    Case("mean, mixture p=0.3, n=100", "large n", student(models.TAIL, 100)),
    Case("mean, mixture p=0.3, n=400", "exact", student(models.TAIL, 400)),
    Case("mean, M/M/1 waits, 10 runs", "exact", queue_replications),
    Case("mean, M/M/1 waits, MSER-5, 20 batches", "exact", queue_batches),
    Case("p95 in each run, Weibull, 10 runs", "exact", weibull_runs),
    Case("order statistics, Weibull p50, n=30", "discrete", weibull_order(30, 0.5)),
    Case("order statistics, Weibull p95, n=59", "discrete", weibull_order(59, 0.95)),
    Case("order statistics, Weibull p95, n=200", "discrete", weibull_order(200, 0.95)),
    Case("order statistics, Weibull p99, n=299", "discrete", weibull_order(299, 0.99)),
    Case("paired difference, n=10", "exact", differences),
    Case("paired ratio (Fieller), n=10", "exact", ratios),
    Case("paired ratio, lognormal sums, n=30", "large n", creation_ratios),
    Case("four differences together, n=12", "exact", four_differences),
    Case("share (Wilson) of 0.5, n=20", "discrete", wilson(0.5, 20)),
    Case("share (Wilson) of 0.1, n=50", "discrete", wilson(0.1, 50)),
    Case("share (Wilson) of 0.02, n=200", "discrete", wilson(0.02, 200)),
    Case("median, Weibull, part cut off, n=60", "large n", cut_off),
    Case("sequential to 5 %, normal", "large n", sequential(models.NORMAL, 0.05)),
    Case("sequential to 5 %, lognormal sum", "large n", sequential(models.CREATION, 0.05)),
    Case("rank correlation, normal, n=50", "large n", ranks),
    Case("Sobol index, x + 2y, 128 points", "large n", sobol),
)
