"""The same seed gives the same bytes, in any process; another seed does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from machine import World, leave

from models.cygwin import schemes
from models.cygwin.compile_trace import load_workload
from models.cygwin.replay import prepare, run
from models.cygwin.replay_result import result
from models.win32.cost_profile import load_profile
from models.win32.system import SYSTEMS
from sim.streams import Replication

TRACE = Path(__file__).parent / "data" / "traces" / "mini-sockets.ptrec.jsonl.gz"

# Prints everything that a run leaves: its document, its calls and their times.
PROGRAM = f"""
import hashlib, json, sys
from models.cygwin import schemes
from models.cygwin.compile_trace import load_workload
from models.cygwin.replay import prepare, run
from models.cygwin.replay_result import result
from models.win32.cost_profile import load_profile
from models.win32.system import SYSTEMS
from sim.streams import Replication
for name in schemes.names():
    for system in ("nt", "9x"):
        done = run(prepare(
            load_workload({str(TRACE)!r}), schemes.get(name), load_profile("p3-800-w2000"),
            SYSTEMS[system], Replication(int(sys.argv[1]), 0), calls=True,
        ))
        print(json.dumps(result(done, 0).document))
        for row in done.kernel.trace.rows():
            print(repr(row.t_us), row.pid, row.tid, row.name, row.phase, sorted(row.args))
"""


def replayed(scheme, seed=1, number=0, calls=False):
    workload = load_workload(TRACE)
    ready = prepare(
        workload, schemes.get(scheme), load_profile("p3-800-w2000"), SYSTEMS["nt"],
        Replication(seed, number), calls=calls,
    )  # fmt: skip
    return run(ready)


def test_hash_seeds_change_nothing(python):
    outputs = set()
    for hash_seed in ("1", "2"):
        done = python("-c", PROGRAM, "7", PYTHONHASHSEED=hash_seed)
        assert done.returncode == 0, done.stderr.decode()
        assert len(done.stdout) > 100_000
        outputs.add(done.stdout)
    assert len(outputs) == 1


@pytest.mark.parametrize("name", schemes.names())
def test_the_same_seed_gives_the_same_run(name):
    first, second = replayed(name, 5, calls=True), replayed(name, 5, calls=True)
    assert first.digest() == second.digest()
    assert result(first, 0).document == result(second, 0).document
    rows = [
        [(row.t_us, row.pid, row.tid, row.name, row.phase) for row in done.kernel.trace.rows()]
        for done in (first, second)
    ]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("name", schemes.names())
def test_another_seed_or_replication_gives_another_run(name):
    makespans = {
        result(replayed(name, seed, number), number).document["makespan_us"]
        for seed, number in ((5, 0), (6, 0), (5, 1))
    }
    assert len(makespans) == 3


def test_an_ideal_machine_draws_nothing():
    workload = load_workload(TRACE)
    ends = set()
    for seed in (1, 2):
        ready = prepare(
            workload, schemes.get("blocking"), load_profile("ideal"), SYSTEMS["nt"],
            Replication(seed, 0),
        )  # fmt: skip
        ends.add(run(ready).kernel.engine.now)
    assert len(ends) == 1


@pytest.mark.parametrize("name", schemes.names())
def test_keeping_the_calls_changes_nothing(name):
    plain, watched = replayed(name, 5), replayed(name, 5, calls=True)
    assert plain.digest() == watched.digest()
    assert result(plain, 0).document == result(watched, 0).document


@pytest.mark.parametrize("name", schemes.names())
def test_programs_by_hand_run_the_same_twice(name):
    logs = []
    for _ in range(2):
        world = World(schemes.get(name), processors=1)

        def main(p):
            p.pipe(3, 4)
            pids = []
            for n in range(4):
                pids.append((yield from p.fork(leave(n))))
            for pid in reversed(pids):
                yield from p.waitpid(pid)

        world.finish(main)
        logs.append([(row.t_us, row.pid, row.tid, row.name) for row in world.trace.rows()])
    assert logs[0] == logs[1]


def test_later_places_draw_the_same_whatever_came_before():
    """A longer trace meets the same durations as its own beginning."""
    profile = load_profile("p3-800-w2000")
    workload = load_workload(TRACE)
    whole = prepare(workload, schemes.get("blocking"), profile, SYSTEMS["nt"], Replication(1, 0))
    other = prepare(
        load_workload(TRACE.with_name("mini-pipeline.ptrec.jsonl.gz")),
        schemes.get("shared-memory"), profile, SYSTEMS["nt"], Replication(1, 0),
    )  # fmt: skip
    count = min(workload.creations, other.workload.creations)
    assert [whole.draws.at(n) for n in range(-1, count)] == [
        other.draws.at(n) for n in range(-1, count)
    ]
