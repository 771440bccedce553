"""The table of `sim.sample_size`: coverage of Student's intervals by kind, example and number."""

from __future__ import annotations

import math

import numpy as np

from sim.critical_values import student_t
from sim.sample_size import TABLE, measurements
from sim.streams import Replication
from tests.coverage_study.models import SPREADS, Floats, Spread

NUMBERS = (5, 10, 20, 30, 50, 100, 200, 400)
REPEATS = 100_000
CHUNK = 5_000
SEED = 1
HEAD = """\
# How often a 95 % interval by Student's t holds the mean, by kind of measure and replications.
# Written by `make coverage-table` (tests/coverage_study/models.py has the distributions);
# `make coverage` measures it again with 2,000 repeats.
"""


def half_widths(values: Floats) -> Floats:
    """As `mean_interval` has them, for each row at once."""
    count = values.shape[1]
    return student_t(count - 1, 0.975) * values.std(axis=1, ddof=1) / math.sqrt(count)


def coverage(spread: Spread, count: int, repeats: int, seed: int) -> float:
    stream = Replication(seed, 0).stream(f"student/{spread.name}/{count}")
    inside = 0
    for done in range(0, repeats, CHUNK):
        values = spread.draw(stream, (min(CHUNK, repeats - done), count))
        off = np.abs(values.mean(axis=1) - spread.mean)
        inside += int((off <= half_widths(values)).sum())
    return inside / repeats


def write() -> None:
    rows = ["kind,example,replications,coverage,repeats"]
    for spread in SPREADS:
        for count in NUMBERS:
            found = coverage(spread, count, REPEATS, SEED)
            rows.append(f"{spread.kind},{spread.name},{count},{found:.4f},{REPEATS}")
    TABLE.write_text(HEAD + "\n".join(rows) + "\n", encoding="utf-8", newline="\n")


def stale_rows(repeats: int) -> list[str]:
    """Rows of the table that a new measurement with another seed does not bear out."""
    by_name = {spread.name: spread for spread in SPREADS}
    rows = measurements()
    wrong = [f"{row.example}: not among the models" for row in rows if row.example not in by_name]
    wrong += [f"{name}: not in the table" for name in by_name.keys() - {r.example for r in rows}]
    for row in rows:
        if row.example in by_name:
            found = coverage(by_name[row.example], row.replications, repeats, SEED + 1)
            error = math.sqrt(row.coverage * (1 - row.coverage) * (1 / repeats + 1 / row.repeats))
            if abs(found - row.coverage) > 4 * error:
                what = f"{row.coverage:.4f} in the table, {found:.4f} measured"
                wrong.append(f"{row.example}, n={row.replications}: {what}")
    return wrong
