"""Recorded traces can be run to the end, and ask for what the trace has."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from recording import finishes
from unit_cost_executor import UnitCostExecutor

from models.cygwin.compile_trace import load_workload
from models.cygwin.conversion import OpenSet, convert
from models.cygwin.proctrace import ProcTrace
from models.cygwin.workload import Conversion, Op, Workload
from sim.errors import InputError

DATA = Path(__file__).parent / "data" / "traces"
TRACES = sorted(
    [*DATA.glob("*.jsonl.gz"), *Path(os.environ.get("CYGSIM_TRACES", DATA)).glob("*.jsonl.gz")]
)
TRACES = list({path.name: path for path in TRACES}.values())
EVERY_TRACE = pytest.mark.parametrize("path", TRACES, ids=lambda path: path.name)
CAPACITIES = (512, 4096, 65536)


def all_programs(workload: Workload) -> frozenset[str]:
    return frozenset(
        op[2] for program in workload.programs.values() for op in program if op[0] == Op.EXEC
    )


def native_programs(workload: Workload) -> frozenset[str]:
    """All that may be native: what forks no child that runs on."""

    def may(name: str) -> bool:
        try:
            convert(workload, Conversion(native=frozenset([name])))
        except InputError:
            return False
        return True

    return frozenset(filter(may, all_programs(workload)))


@pytest.mark.parametrize("creation_us", [100.0, 20_000.0])
@pytest.mark.parametrize("capacity", CAPACITIES)
@EVERY_TRACE
def test_a_recorded_trace_finishes_with_its_own_counts(path, capacity, creation_us):
    workload = load_workload(path)
    run = finishes(workload, capacity, creation_us)
    want = workload.counts
    assert run.counted["processes"] == want.processes
    assert run.counted["forks"] == want.forks
    assert run.counted["spawns"] == want.spawns
    assert run.counted["execs"] == want.execs


@EVERY_TRACE
def test_counts_are_those_of_the_trailer(path):
    tail = json.loads(gzip.decompress(path.read_bytes()).splitlines()[-1])["counts"]
    workload = load_workload(path)
    got = workload.counts
    assert got.processes == tail["exit"]
    assert got.forks == tail.get("fork", 0) + tail.get("vfork", 0)
    assert got.execs == tail["exec"]
    assert got.spawns == tail.get("spawn", 0)
    assert workload.creations == got.forks + got.spawns + got.execs


@EVERY_TRACE
def test_places_are_numbered_in_file_order(path):
    workload = load_workload(path)
    at = {Op.FORK: (2, 6), Op.EXEC: (1, 9)}
    places = sorted(
        (op[at[op[0]][1]], op[at[op[0]][0]])
        for program in workload.programs.values()
        for op in program
        if op[0] in at
    )
    assert [place for _, place in places] == list(range(workload.creations))


@EVERY_TRACE
def test_work_is_what_rule_1_says(path):
    """The sum of WORK is the sum of cpu(next) - cpu(prev) - kcpu(prev), none of it negative."""
    clock: dict[int, int] = {}
    want = 0
    for _, row in ProcTrace(path).rows():
        if "child" in row:
            clock[row["child"]] = 0
        if "cpu" in row:
            want += max(row["cpu"] - clock.get(row["pid"], row["cpu"]), 0)
            clock[row["pid"]] = row["cpu"] + row.get("kcpu", 0)
    workload = load_workload(path)
    if workload.work == "measured":
        got = sum(op[1] for p in workload.programs.values() for op in p if op[0] == Op.WORK)
        assert got == pytest.approx(want, abs=1e-3)
    else:
        assert "from-strace" in path.name


@EVERY_TRACE
def test_tables_at_every_fork_and_exec_follow_from_the_ops(path):
    recorded = recorded_tables(path)
    seen = dict(tables(load_workload(path)))
    assert seen == recorded


@EVERY_TRACE
def test_a_spawned_program_has_the_table_of_its_exec(path):
    """Whatever is converted, each fork and exec that is left, and each spawn, has its table."""
    workload = load_workload(path)
    recorded = recorded_tables(path)
    for asked in conversions(workload):
        for line, table in tables(convert(workload, asked)):
            assert table == recorded[line]


@pytest.mark.parametrize("capacity", CAPACITIES)
@EVERY_TRACE
def test_a_converted_trace_finishes(path, capacity):
    workload = load_workload(path)
    work_us = finishes(workload, capacity).work_us
    for asked in conversions(workload):
        changed = convert(workload, asked)
        run = finishes(changed, capacity)
        made = run.counted
        assert made["spawned"] >= changed.converted > 0
        assert changed.counts == workload.counts
        assert made["processes"] == workload.counts.processes
        assert made["execs"] + made["spawned"] == workload.counts.execs
        forked = workload.counts.forks + workload.counts.spawns
        assert made["forks"] + made["spawns"] + made["spawned"] == forked
        assert run.work_us == pytest.approx(work_us, abs=1e-3)


def conversions(workload: Workload) -> list[Conversion]:
    names = all_programs(workload)
    native = native_programs(workload)
    return [
        Conversion(spawn=names),
        Conversion(background=names),
        Conversion(native=native, spawn=names),
    ]


def recorded_tables(path: Path) -> dict[int, tuple]:
    """What the trace says: line -> descriptors and those with close-on-exec."""
    return {
        line: (
            {entry[0] for entry in row["fds"]},
            {entry[0] for entry in row["fds"] if entry[3]},
        )
        for line, row in ProcTrace(path).rows()
        if "fds" in row
    }


def tables(workload: Workload) -> Iterator[tuple[int, tuple]]:
    """The same from the ops: at a FORK, behind an EXEC, and of the child behind a SPAWN."""
    start = {1: OpenSet()}
    for pid in workload.processes:
        now = start.pop(pid)
        for op in workload.programs[pid]:
            now.apply(op)
            if op[0] == Op.FORK:
                start[op[1]] = now.copy()
                yield op[6], (now.fds.copy(), now.cloexec.copy())
            elif op[0] == Op.EXEC:
                yield op[9], (now.fds.copy(), now.cloexec.copy())
            elif op[0] == Op.SPAWN:
                child = start[op[1]] = now.copy()
                child.fds -= child.cloexec
                child.cloexec.clear()
                yield op[15], (child.fds.copy(), set())


def test_the_executor_finds_a_workload_that_cannot_finish():
    """Negative control: a wait that nobody answers."""
    workload = load_workload(DATA / "mini-pipeline.ptrec.jsonl.gz")
    programs = workload.programs | {2: ((Op.WAIT, 1), *workload.programs[2])}
    run = UnitCostExecutor(replace(workload, programs=programs), 4096)
    assert (2, (Op.WAIT, 1)) in run.run()
