"""`cygsim run heap_growth_race`: growth while a child is made, and the guards against it."""

from __future__ import annotations

import gzip
import hashlib
import json
from copy import copy
from dataclasses import replace
from pathlib import Path

import pytest

from models.cygwin import heap_guard, schemes
from models.cygwin.arguments import ArgumentBlocks
from models.cygwin.creation_window import CALLER, CHILD, steps_from_call, steps_of
from models.cygwin.cygheap.c_allocator import EndlessWalk
from models.cygwin.cygheap.layout import B, HeapType
from models.cygwin.cygheap.soundness import condition, starts
from models.cygwin.cygheap.transfer import transferred
from models.cygwin.descriptors import DescriptorTable
from models.cygwin.errors import TryAgain
from models.cygwin.exec_chain import exec_child, first_heap
from models.cygwin.machine import build
from models.cygwin.program_file import Program
from models.cygwin.programs import PLACES, start
from models.cygwin.schemes import shared_memory
from models.cygwin.schemes.guarded import GUARDS, HELD, NONE, READ, STORED, guarded, guards_of
from models.win32.cost_profile import load_profile
from models.win32.costs import CostDraws
from models.win32.memory import PAGE_BYTES
from models.win32.system import SYSTEMS
from scenarios.creation_ways import WAYS
from scenarios.race_cases import (
    BEYOND,
    CRASH,
    ENDLESS,
    LINKED,
    LOST,
    SOUND,
    TRUNCATED,
    TWICE,
    UNUSED,
    cases,
    longest,
    told_late,
)
from scenarios.race_machines import (
    LISTED_BYTES,
    Setting,
    native_spawn_us,
    reference,
    steps_of_call,
    to_page_end,
)
from sim.streams import Replication

P3 = load_profile("p3-800-w2000")
REP = Replication(1, 0)
DRAWS = CostDraws(P3, REP, PLACES)
GOLDEN = Path(__file__).parent / "data" / "golden" / "B"
SCHEMES = ("blocking", "shared-memory-1.3.3", "shared-memory")
SYSTEMS_OF_2001 = ("nt", "9x")
FRESH = 20  # bytes that no free list of the caller serves


def setting(scheme: str, system: str = "nt", guard: str = NONE, pad_bytes: int = 0) -> Setting:
    return Setting(scheme, guard, system, P3, REP, 3, DRAWS, pad_bytes)


def found(place: Setting, way: str, n: int, count: int = 3):
    """The cases of the longest steps, by the outcome's parts."""
    bare = reference(replace(place, guard=NONE), way, n)
    whole = reference(place, way, n)
    return list(cases(place, way, n, longest(steps_of_call(bare), count), whole))


def bad(place: Setting, way: str, n: int, count: int = 3):
    return [case for case in found(place, way, n, count) if case.outcome != SOUND]


# ---- the bytes: golden traces h19 to h21, and the same on the machine ---------------------------


def golden(name: str):
    with gzip.open(GOLDEN / f"{name}.jsonl.gz", "rt", encoding="ascii") as lines:
        return [json.loads(line) for line in lines]


def replayed(heap, ops) -> None:
    """Lay a golden trace's ops down in a heap, as `golden_early` does."""
    for op in ops:
        if op[0] == "z":
            heap.ccalloc(op[1], op[2], op[3])
        elif op[0] == "r":
            heap.crealloc(0, op[2])
        elif op[0] == "s":
            heap.cstrdup(op[1].encode())
        else:
            pattern = bytes((31 * op[1] + op[2] + 7 * i) & 255 for i in range(op[2]))
            heap.store(heap.cmalloc(op[1], op[2]), pattern)


def made_golden(p, ops) -> None:
    """The heap of a running process becomes that of a golden trace, but for its shared_h."""
    heap = p.dll.heap
    shared = heap.memory.read32(heap.era.shared_offset)
    heap.memory.write(0, bytes(heap.max))
    for offset, value in heap.era.init_dwords:
        heap.memory.write32(offset, value)
    heap.max = heap.era.header_bytes
    heap.memory.write32(heap.era.shared_offset, shared)
    replayed(heap, ops)
    p.dll.fds = DescriptorTable(heap)
    p.dll.fds._sockets = 1  # two steps, though the golden heap has no socket in it


def parted(lines, switch: str):
    """The ops before the first process switch, the switch, and the lines behind it."""
    at = next(i for i, line in enumerate(lines) if isinstance(line, list) and line[0] == switch)
    return [line for line in lines[1:at] if isinstance(line, list)], lines[at], lines[at + 1 :]


def grows(p, ops, growth):
    """A golden heap, and another thread that grows it while the child is made."""

    def other(thread):
        yield from p.dll.k.sleep(thread, 1_000.0)  # CreateProcess takes longer
        user = yield from heap_guard.allocate(p.dll, thread, 3, growth[2])
        assert user - p.dll.heap.base == growth[3]

    made_golden(p, ops)
    yield from heap_guard.start_thread(p.dll, other, "other")


def looks(heap):
    """What a checkpoint of a golden trace says of a heap."""
    heap.memory.write32(heap.era.shared_offset, 0)  # a handle, which the driver did not have
    chain = [[e.start - heap.base, e.word0, e.type] for e in heap.chain()]
    digest = hashlib.sha256(heap.load(heap.base, heap.max)).hexdigest()
    return {"max": heap.max, "chain": chain, "sha256": digest, "cycle": condition(heap, ()).cyclic}


@pytest.mark.parametrize(
    ("name", "system"), [("h19_grow_hazard_fork", "nt"), ("h21_grow_hazard_9x", "9x")]
)
def test_a_fork_that_grows_in_the_window_is_byte_equal_to_the_golden_trace(name, system):
    lines = golden(name)
    ops, growth, (after, *_) = parted(lines, "k")
    machine = build(schemes.get("shared-memory"), SYSTEMS[system], P3, REP, 3, PLACES)
    child = {}

    def look(p):
        child.update(looks(p.dll.heap))
        yield from p.work(1)

    def parent(p):
        yield from grows(p, ops, growth)
        p.dll.grow_user_heap(p.dll.installation.sizes.user_heap)
        pid = yield from p.fork(look)
        yield from p.waitpid(pid)

    start(machine, Program("sh", parent))
    machine.kernel.engine.run()
    assert set(child) == {"max", "chain", "sha256", "cycle"}
    assert child == {key: after[key] for key in child}


def test_an_exec_that_grows_in_the_window_is_byte_equal_to_h20(monkeypatch):
    """Without an argument set, which the golden heap has not; the child gets its heap and walks."""
    none = ArgumentBlocks(0, 0, [], 0, [])
    monkeypatch.setattr(shared_memory, "put_arguments", lambda *_: none)
    scheme = copy(shared_memory.SCHEME)
    scheme.version = replace(scheme.version, exec_startup=("heap", "walk"))
    ops, growth, after = parted(golden("h20_grow_hazard_exec"), "x")
    machine, found = build(scheme, SYSTEMS["nt"], P3, REP, 3, PLACES), []

    def look(p):
        heap = p.dll.heap
        found.append(looks(heap))
        heap.cmalloc(after[1][1], after[1][2])
        found.append(looks(heap))
        with pytest.raises(EndlessWalk):
            exec_child(heap)
        yield from p.dll.k.exit_process(p.dll.me, 0)

    def parent(p):
        yield from grows(p, ops, growth)
        yield from p.exec(Program("new", look))

    start(machine, Program("sh", parent))
    machine.kernel.engine.run()
    wanted = after[0], after[2]
    assert found == [{key: ck[key] for key in found[0]} for ck in wanted]
    assert after[-1]["end"] == "hang"


def test_told_and_copied_are_two_things():
    parent = first_heap(B)
    old, before = parent.max, starts(parent)
    parent.cmalloc(HeapType.HEAP_BUF, 200)
    late = transferred(parent, old, parent.max)
    assert condition(late, before) == (0, 1, False, None)
    cut = transferred(parent, old, old)
    assert condition(cut, before) == (len(before), 1, False, None)
    assert condition(transferred(parent, parent.max, parent.max), before).sound
    for child in (late, cut):
        user = child.cmalloc(HeapType.HEAP_BUF, 200)
        assert user - 16 == child.base + old
        assert condition(child, ()).cyclic


def test_a_chain_that_leaves_the_heap_is_a_fault_and_its_blocks_are_missing():
    heap = first_heap(B)
    before = starts(heap)
    heap.memory.write32(heap.head - heap.base + 4, heap.base + B.reserve_bytes - 4096)
    nowhere = heap.base + B.reserve_bytes - 4096
    found = condition(heap, before)
    assert found[:3] == (len(before) - 1, 0, False)
    assert nowhere <= found.fault < nowhere + 16


# ---- moments ------------------------------------------------------------------------------------


def test_steps_from_the_call_are_those_of_the_child_and_what_the_caller_did_before():
    ran = reference(setting("shared-memory"), "fork", FRESH)
    whole = steps_from_call(ran.machine.kernel, ran.creation)
    late = steps_of(ran.machine.kernel, ran.creation)
    assert whole[0].start_us == ran.creation.called_us
    assert (whole[0].who, whole[0].call) == (CALLER, "")
    before = [step for step in whole if step.end_us <= late[0].start_us]
    assert {step.who for step in before} == {CALLER}
    assert [s[1:] for s in whole[len(before) + 1 :]] == [s[1:] for s in late[1:]]
    assert CHILD in {step.who for step in late}


def test_the_longest_steps_keep_their_order():
    steps = steps_of_call(reference(setting("blocking"), "exec", FRESH))
    few = longest(steps, 4)
    shortest = min(step.end_us - step.start_us for step in few)
    others = [step for step in steps if step not in few]
    assert few == sorted(few, key=lambda step: step.start_us)
    assert all(step.end_us - step.start_us <= shortest for step in others)
    assert longest(steps, 1000) == steps


# ---- what growth comes to -----------------------------------------------------------------------


@pytest.mark.parametrize("system", SYSTEMS_OF_2001)
@pytest.mark.parametrize("way", [way for way in WAYS if way.endswith("socket")])
def test_two_steps_give_an_endless_walk_on_9x_after_a_truncated_chain(way, system):
    (first, *_) = bad(setting("shared-memory", system), way, FRESH)
    begins = BEYOND if system == "nt" else TRUNCATED
    assert first.found == (begins, TWICE, LINKED, ENDLESS)
    assert "next loops for ever" in first.said
    assert "wait" in first.said


@pytest.mark.parametrize("way", ["fork", "spawn"])
@pytest.mark.parametrize("scheme", ["shared-memory-1.3.3", "shared-memory"])
def test_one_step_has_no_window_that_a_step_holds(scheme, way):
    assert not bad(setting(scheme), way, FRESH, 1000)


def test_the_release_1_3_3_has_none_with_a_socket_either():
    assert not bad(setting("shared-memory-1.3.3"), "fork, socket", FRESH, 1000)


def test_the_old_scheme_is_open_from_the_note_to_the_childs_read():
    every = found(setting("blocking"), "fork", FRESH, 1000)
    wrong = [case.outcome != SOUND for case in every]
    first, last = wrong.index(True), len(wrong) - wrong[::-1].index(True)
    assert all(wrong[first:last])
    assert every[last].planned[1:3] == (CHILD, "ReadProcessMemory")
    assert {case.found for case in every[first:last]} == {(TRUNCATED, TWICE, LINKED, ENDLESS)}


def test_a_free_list_serves_without_harm_but_for_era_as_heads_that_are_copied_later():
    assert not bad(setting("shared-memory"), "fork, socket", LISTED_BYTES, 1000)
    every = bad(setting("blocking"), "fork", LISTED_BYTES, 1000)
    assert {case.found for case in every} == {(LOST,)}
    assert every[0].planned[1:3] == (CHILD, "ReadProcessMemory")


def test_where_the_heap_ends_with_a_page_the_truncated_chain_faults():
    place = setting("shared-memory", "9x")
    bare = reference(place, "spawn, socket", FRESH)
    padded = replace(place, pad_bytes=to_page_end(bare.creation.heap_bytes))
    told = reference(padded, "spawn, socket", FRESH).creation.heap_bytes
    assert told % PAGE_BYTES == 0
    (first, *_) = bad(padded, "spawn, socket", FRESH)
    assert first.found == (CRASH,)
    assert "the page is not committed" in first.said


def test_a_heap_of_1_3_3_never_ends_with_a_page():
    bare = reference(setting("shared-memory-1.3.3"), "fork", FRESH)
    assert to_page_end(bare.creation.heap_bytes) is None


@pytest.mark.parametrize("system", SYSTEMS_OF_2001)
def test_an_end_that_is_told_late_is_a_hole_or_a_page_that_is_not_there(system):
    assert told_late(B, system, 20) == UNUSED
    assert told_late(B, system, 5000) == CRASH
    assert told_late(B, system, 1_000_000) == CRASH


def test_on_one_processor_the_other_thread_gets_it_only_when_the_caller_waits():
    """CreateProcess and the copy are one burst of the caller, shorter than a quantum."""
    alone = replace(setting("shared-memory"), processors=1)
    assert bad(setting("shared-memory"), "fork, socket", FRESH)
    late = [case for case in found(alone, "fork, socket", FRESH) if case.waited_us > 100]
    assert late
    assert all(case.step is None or case.step.number > case.planned.number for case in late)


def test_where_nothing_takes_time_there_is_no_step_to_allocate_in(cygsim):
    words = ("--profile", "ideal", "--scheme", "blocking", "--system", "nt")
    done = cygsim("run", "heap_growth_race", "--quick", *words)
    assert done.returncode == 0, done.stderr
    assert b"none takes any time" in done.stdout


# ---- guards -------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", SYSTEMS_OF_2001)
@pytest.mark.parametrize("guard", [HELD, STORED, READ])
def test_each_guard_leaves_two_steps_sound(guard, system):
    for way in ("fork, socket", "exec, socket"):
        assert bad(setting("shared-memory", system), way, FRESH)
        assert not bad(setting("shared-memory", system, guard), way, FRESH, 12)


def test_only_the_lock_until_the_child_has_read_guards_the_old_scheme():
    assert bad(setting("blocking", guard=HELD), "fork", FRESH)
    for n in (FRESH, LISTED_BYTES):
        assert not bad(setting("blocking", guard=READ), "fork", n, 1000)


def test_a_guard_makes_the_other_thread_wait_and_the_stored_end_does_not():
    waits = {
        guard: max(c.waited_us for c in found(setting("shared-memory", guard=guard), WAYS[3], 20))
        for guard in GUARDS
    }
    assert waits[NONE] < 1
    assert waits[STORED] < 1
    assert waits[HELD] > 1000
    assert waits[READ] > 2 * waits[HELD]


@pytest.mark.parametrize("scheme", ["shared-memory-1.3.3", "shared-memory"])
def test_a_spawn_that_waits_for_the_read_waits_for_a_native_child_until_it_ends(scheme):
    assert native_spawn_us(setting(scheme), 2.0) < 10_000
    assert native_spawn_us(setting(scheme, guard=HELD), 2.0) < 10_000
    assert native_spawn_us(setting(scheme, guard=READ), 2.0) > 2_000_000


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("way", WAYS)
def test_a_guard_changes_no_creation_in_which_nothing_grows(scheme, way):
    bare = reference(setting(scheme), way, FRESH)
    for guard in guards_of(scheme)[1:]:
        ran = reference(setting(scheme, guard=guard), way, FRESH)
        assert ran.seen.went_on
        assert ran.seen.main.sound
        if guard != READ or not way.startswith("spawn"):
            assert ran.latency_us == pytest.approx(bare.latency_us, rel=1e-3)


def test_without_a_section_nothing_can_be_stored_in_it():
    with pytest.raises(ValueError, match="must be one of none, held, read"):
        guarded("blocking", STORED)
    assert guarded("blocking", NONE) is schemes.get("blocking")


@pytest.mark.parametrize("guard", [HELD, READ])
@pytest.mark.parametrize("scheme", ["blocking", "shared-memory"])
@pytest.mark.parametrize("kind", ["fork", "spawn"])
def test_a_creation_that_fails_lets_the_lock_go(scheme, guard, kind):
    machine = build(guarded(scheme, guard), SYSTEMS["nt"], P3, REP, 3, PLACES)
    seen = []

    def child(p):
        yield from p.exit(0)

    def parent(p):
        p.socket()
        p.malloc(p.dll.installation.sizes.user_heap)
        k = machine.kernel
        k.commit_limit_bytes = k.committed_bytes + 2 * PAGE_BYTES  # too little for a process
        spawned = Program("new", child)
        with pytest.raises(TryAgain):
            yield from (p.fork(child) if kind == "fork" else p.spawn("_P_NOWAIT", spawned))
        seen.append(p.dll.heap_lock.owner)

    start(machine, Program("sh", parent))
    machine.kernel.engine.run()
    assert seen == [None]


# ---- the command --------------------------------------------------------------------------------


def test_report_figures_and_results(cygsim, tmp_path):
    out = tmp_path / "out"
    words = ("--quick", "--scheme", "blocking", "--scheme", "shared-memory", "--out", out)
    done = cygsim("run", "heap_growth_race", *words)
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    assert max(map(len, text.splitlines())) <= 80
    for word in ("chain truncated", "chain beyond its end", "complaint is back", "[structural]"):
        assert word in text
    names = {path.name for path in out.iterdir()}
    assert {"results.csv", "race_blocking_nt.png", "race_shared-memory_9x.png"} <= names
    assert "other_thread_waits.png" in names


@pytest.mark.parametrize(
    "value", ["bytes_allocated=-1", "bytes_allocated=2000000", "longest=0", "processors=61"]
)
def test_bad_input_is_one_line_and_exit_2(cygsim, value):
    done = cygsim("run", "heap_growth_race", "--set", value)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_heap_of_3_6_is_refused_in_one_line(cygsim):
    done = cygsim("run", "heap_growth_race", "--quick", "--scheme", "child-copy", "--system", "nt")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
