"""`make coverage`: how often the intervals of `sim` hold known answers; exit code 1 below a floor.

`--repeats N` for fewer than 2,000; `--write` measures Student's intervals anew and writes
`sim/student_coverage.csv` (`make coverage-table`).
"""

from __future__ import annotations

import argparse
import time

from tests.coverage_study.student_table import stale_rows, write
from tests.coverage_study.study import CASES, FLOORS, carry_out

REPEATS = 2000
SEED = 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if options.write:
        write()
        return 0
    began = time.perf_counter()
    print(f"How often a 95 % interval holds the known answer, {options.repeats:,} repeats")
    print(f"{'estimator, model':40} {'method':9} {'held':>7} {'floor':>7} {'no interval':>12}")
    missed = 0
    for case in CASES:
        found = carry_out(case, options.repeats, SEED)
        missed += not found.reached
        none = f"{found.without / found.repeats:.1%}" if found.without else "-"
        row = f"{case.name:40} {case.method:9} {found.coverage:7.1%} {FLOORS[case.method]:7.1%}"
        print(f"{row} {none:>12}{'' if found.reached else ' !'}", flush=True)
    stale = stale_rows(options.repeats)
    for line in stale:
        print(line)
    print(f"student_coverage.csv: {'stale' if stale else 'as measured again'}")
    print(f"{missed} of {len(CASES)} below their floor; {time.perf_counter() - began:.0f} s")
    return 1 if missed or stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
