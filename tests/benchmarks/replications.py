"""What a replication costs beside its own work, what a pool costs to start, and memory of a sweep.

The work is next to nothing, so that only what is around it shows; each figure is the best of a few
rounds in one process, Dask's beside it where it is installed.
"""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from scenarios import run_command
from scenarios.options import RunOptions
from scenarios.tasks import Tasks
from sim.pool import Pool, Work, Workers
from sim.results import Manifest, open_run
from tests.benchmarks import cheap_scenario

ROOT = Path(__file__).resolve().parent.parent.parent
COUNT = 2_000
DASK_COUNT = 500
SWEEP = 100_000
ROUNDS = 3
START = """
import operator, sys, time
from sim.pool import Pool, processes

began = time.perf_counter()
for _ in Pool(operator.index, processes(2, sys.argv[1])).run(range(2), range(2)):
    pass
print(time.perf_counter() - began)
"""
PLAIN = """
import operator, sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

began = time.perf_counter()
with ProcessPoolExecutor(2, get_context(sys.argv[1])) as executor:
    list(executor.map(operator.index, range(2)))
print(time.perf_counter() - began)
"""
LIMITS = "aimed at: 0.5 ms a replication, 150 ms to start, 500 MB for the sweep"


def main() -> None:
    """Print all of it."""
    print(f"replications of no work, best of {ROUNDS} ({LIMITS})")
    for name, jobs in (("serial", 1), ("two processes", 2)):
        for journal in (False, True):
            kept = "journal in --out" if journal else "no --out"
            took_s = best(partial(overhead_s, jobs, COUNT, journal))
            print(f"  {name + ', ' + kept:34} {took_s / COUNT * 1e3:7.3f} ms each")
    for method in multiprocessing.get_all_start_methods():  # the default of the system first
        ours, plain = (best(partial(clean_start_s, one, method)) * 1e3 for one in (START, PLAIN))
        what = f"start two processes by {method}"
        print(f"  {what:34} {ours:7.0f} ms (the standard library's pool alone {plain:.0f} ms)")
    if find_spec("distributed") is None:
        print("  Dask distributed is not installed")
    else:
        with ExitStack() as stack:
            beside_dask(stack)
    sweep()


def best(seconds: Callable[[], float]) -> float:
    """The smallest of a few rounds."""
    return min(seconds() for _ in range(ROUNDS))


def nothing(number: int) -> int:
    """The work."""
    return number


def overhead_s(jobs: int, count: int, journal: bool, cluster: str | None = None) -> float:
    """Time of so many replications of no work, until all are counted [s]."""
    names = [f"nothing {number}" for number in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        manifest = Manifest(["bench"], 1, {}, {})
        directory = open_run(Path(folder) / "out", manifest) if journal else None
        tasks = Tasks(nothing, range(count), names, jobs, False, cluster)
        began = time.perf_counter()
        with tasks.results(directory) as found:
            took = time.perf_counter() - began
            assert found[count - 1] == count - 1
    return took


def clean_start_s(program: str, method: str) -> float:
    """The same in a process that has imported no more than it must [s]."""
    found = subprocess.run(
        [sys.executable, "-c", program, method], cwd=ROOT, check=True, capture_output=True
    )
    return float(found.stdout)


def start_s(start: Callable[[Work], Workers]) -> float:
    """Time from nothing to the results of two tasks, and the end of the workers [s]."""
    began = time.perf_counter()
    for _ in Pool(nothing, start).run(range(2), range(2)):
        pass
    return time.perf_counter() - began


def beside_dask(stack: ExitStack) -> None:
    """The same on a scheduler with two workers on loopback."""
    from scenarios.cluster import workers

    def started(kind: str, *words: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{kind}", *words, "--no-dashboard"],
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        stack.callback(process.wait)
        stack.callback(process.terminate)
        return process

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    file = folder / "scheduler.json"
    began = time.perf_counter()
    words = ["--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file)]
    scheduler = started("scheduler", *words)
    while not (file.exists() and file.read_text().endswith("}")):
        assert scheduler.poll() is None
        time.sleep(0.005)
    address = json.loads(file.read_text())["address"]
    for _ in range(2):
        started("worker", address, "--nthreads", "1", "--local-directory", str(folder))
    from distributed import Client

    with Client(address, timeout=60, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
    print(f"  {'Dask: scheduler and two workers':34} {(time.perf_counter() - began) * 1e3:7.0f} ms")
    took_s = best(partial(overhead_s, 1, DASK_COUNT, True, address)) - best(
        partial(start_s, partial(workers, address))
    )
    print(f"  {'Dask, journal in --out':34} {took_s / DASK_COUNT * 1e3:7.3f} ms each")


def sweep() -> None:
    """Peak memory of a sweep, in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.replications"]
    began = time.perf_counter()
    document = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    took_s = time.perf_counter() - began
    (mean,) = [r for r in json.loads(document.stdout)["results"] if r["measure"] == "draw_0"]
    print(
        f"  {SWEEP:,} replications of {cheap_scenario.MEASURES} measures: {took_s:.0f} s, "
        f"{float(document.stderr):.0f} MB at most; mean {mean['value']:.4f}"
    )


def one_sweep() -> None:
    """`cygsim run` of a scenario that costs next to nothing, in this process; MB to stderr."""
    sys.modules["scenarios.cheap_scenario"] = cheap_scenario
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "out")
        options = RunOptions("cheap_scenario", replications=SWEEP, out=out, json=True)
        run_command.report(options)
    print(peak_mb(), file=sys.stderr)


def peak_mb() -> float:
    """Peak memory of this process [MB]. getrusage counts what its parent had when it forked."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    one_sweep()
