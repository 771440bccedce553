"""Measurements of `make bench`: ratios within one run, printed, nothing asserted.

Machines are noisy; every figure stands beside one that was taken in the same run, in turns.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from pathlib import Path

import simpy

from models.cygwin import schemes
from models.cygwin.compile_trace import load_workload
from models.cygwin.machine import build
from models.cygwin.process import CygwinProcess
from models.cygwin.replay import prepare, run
from models.win32.cost_profile import load_profile
from models.win32.system import NT
from sim.engine import Steps
from sim.streams import Replication
from tests.benchmarks import replications

TRACES = Path(__file__).resolve().parent.parent / "data" / "traces"
LIVE = 10_000
HEAP_BYTES = 160 * 1024
FAN_OUT = 22  # 22 + 22^2 + 22^3 is above 10,000; Cygwin allows 62 children
ROUNDS = 3


def main() -> int:
    """Print all measurements; arguments are traces to replay instead of the tests' own."""
    paths = [Path(p) for p in sys.argv[1:]] or [TRACES / "git-workflow.jsonl.gz"]
    live_processes()  # first, since a peak of before would hide a part of it
    for path in paths:
        replays(path)
    start_up()
    replications.main()
    return 0


def replays(path: Path) -> None:
    """Creations a second of a replay with full heap bytes, beside bare SimPy doing as many."""
    workload = load_workload(path)
    profile = load_profile("p3-800-w2000")
    counts = workload.counts
    creations = counts.forks + counts.execs + counts.spawns
    ours, bare = [], []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        ready = prepare(workload, schemes.get("shared-memory"), profile, NT, Replication(1, 0))
        run(ready)
        ours.append(time.perf_counter() - began)
        began = time.perf_counter()
        bare_creations(creations)
        bare.append(time.perf_counter() - began)
        gc.collect()
    command = [sys.executable, "-m", "scenarios", "replay", str(path), "--scheme", "shared-memory"]
    anew, again = whole(command, 2, CYGSIM_CACHE=""), whole(command, ROUNDS)
    print(f"{path.name}: {creations} creations, best of {ROUNDS}")
    print(f"  replay alone          {creations / min(ours):8,.0f} creations/s")
    print(f"  start-up included     {creations / again:8,.0f} creations/s; the first time, when")
    print(f"                        {creations / anew:8,.0f} the trace has to be read and checked")
    print(f"  bare SimPy            {creations / min(bare):8,.0f} creations/s (same waits)")
    print(f"  one of ours costs {min(ours) / min(bare):.1f} of SimPy's")
    records = ready.kernel.trace.records
    print(f"  records kept: {len(records)}; peak memory so far {replications.peak_mb():.0f} MB")


def whole(command: list[str], rounds: int, **environment: str) -> float:
    """The best time of a command from its start to its end [s]."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run(
            [*command, "--json"], check=True, stdout=subprocess.DEVNULL,
            env={**os.environ, **environment},
        )  # fmt: skip
        times.append(time.perf_counter() - began)
    return min(times)


def bare_creations(count: int) -> None:
    """As many processes, waits with a limit and time-outs as PEERS.md §a counts for a creation."""
    env = simpy.Environment()

    def child(ready: simpy.Event, go: simpy.Event) -> simpy.events.ProcessGenerator:
        yield env.timeout(3.0)
        ready.succeed()
        yield go | env.timeout(300e6)
        yield env.timeout(1.0)

    def parent() -> simpy.events.ProcessGenerator:
        for _ in range(count):
            ready, go = env.event(), env.event()
            process = env.process(child(ready, go))
            yield ready | env.timeout(300e6)
            yield env.timeout(1.0)
            go.succeed()
            yield process | env.timeout(300e6)
            yield env.timeout(1.0)

    env.run(until=env.process(parent()))


def start_up() -> None:
    """`--version` and `--help` against `import click`, in turns."""
    commands = {
        "import click": [sys.executable, "-c", "import click"],
        "--version": [sys.executable, "-m", "scenarios", "--version"],
        "--help": [sys.executable, "-m", "scenarios", "--help"],
    }
    best = dict.fromkeys(commands, 9.0)
    for _ in range(9):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            best[name] = min(best[name], time.perf_counter() - began)
    for name, seconds in best.items():
        print(f"{name:14} {seconds * 1e3:6.1f} ms, {seconds / best['import click']:.2f} of click")


def live_processes() -> None:
    """Memory of 10,000 live forks of a process with a 160 KiB heap."""
    profile = load_profile("ideal")
    machine = build(schemes.get("shared-memory"), NT, profile, Replication(1, 0), 2, 1)
    before = replications.peak_mb()
    machine.start("many", lambda p: many(p))
    machine.kernel.engine.run()
    alive = sum(process.alive for process in machine.kernel.processes.values())
    print(
        f"{alive} live processes, heap of {HEAP_BYTES >> 10} KiB each: "
        f"{replications.peak_mb() - before:.0f} MB more than before"
    )


def many(p: CygwinProcess) -> Steps:
    """Fill the heap, then a tree of forks three levels deep; all of them stay."""
    while p.heap.max < HEAP_BYTES:
        p.heap.cmalloc(1, 1000)
    yield from tree(p, 3, [LIVE - 1])


def tree(p: CygwinProcess, levels: int, left: list[int]) -> Steps:
    """Fork children as long as some are left, which do the same, and stay."""
    for _ in range(FAN_OUT if levels else 0):
        if left[0] > 0:
            left[0] -= 1
            yield from p.fork(lambda child: tree(child, levels - 1, left))
    yield from p.sleep(None)


if __name__ == "__main__":
    sys.exit(main())
