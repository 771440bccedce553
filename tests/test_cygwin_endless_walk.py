"""A process whose walk never ends: it uses a processor for ever, and the run ends all the same."""

from __future__ import annotations

import pytest
from machine import bare_kernel, start

from models.cygwin import schemes
from models.cygwin.errors import TryAgain
from models.cygwin.replay import prepare, run
from models.cygwin.replay_result import result
from models.cygwin.schemes.shared_memory import SharedMemory
from models.win32.cost_profile import load_profile
from models.win32.system import SYSTEMS
from scenarios import Program
from scenarios import run as run_program
from sim.streams import Replication

P3 = load_profile("p3-800-w2000")
QUANTUM_US = 10.0
WORDS = "nothing: endless chain walk: chain is cyclic"


def spins(k, me):
    yield from k.spin(me, "a test")
    raise AssertionError("what never ends has ended")


def works(log, us):
    def steps(k, me):
        yield from k.work(me, us)
        log.append(k.engine.now)

    return steps


# ---- the processor ------------------------------------------------------------------------------


def test_a_run_with_nothing_but_endless_loops_ends_at_once():
    k = bare_kernel(processors=1, quantum_us=QUANTUM_US)
    for _ in range(3):
        start(k, spins)
    k.engine.run()
    assert k.engine.now == 0
    assert all(process.alive for process in k.processes.values())
    assert k.engine.peek() == float("inf")


def test_an_endless_loop_takes_its_share_of_a_processor():
    """loop 0-10, work 10-20, loop 20-30, work 30-35."""
    k, log = bare_kernel(processors=1, quantum_us=QUANTUM_US), []
    start(k, spins)
    start(k, works(log, 15))
    k.engine.run()
    assert log == [35]
    assert k.processors.busy_us == 35


def test_two_endless_loops_take_two_shares():
    """Each of the three has a quantum in turn."""
    k, log = bare_kernel(processors=1, quantum_us=QUANTUM_US), []
    start(k, spins)
    start(k, spins)
    start(k, works(log, 15))
    k.engine.run()
    assert log == [55]


def test_work_that_runs_is_preempted_for_an_endless_loop_that_comes_later():
    """work 0-10, loop 10-20, work 20-30, loop 30-40, work 40-45."""
    k, log = bare_kernel(processors=1, quantum_us=QUANTUM_US), []
    start(k, works(log, 25))
    start(k, spins)
    k.engine.run()
    assert log == [45]


def test_a_second_processor_is_not_taken():
    k, log = bare_kernel(processors=2, quantum_us=QUANTUM_US), []
    start(k, spins)
    start(k, works(log, 25))
    k.engine.run()
    assert log == [25]


def test_an_endless_loop_can_be_terminated_and_its_processor_is_free_again():
    k, log = bare_kernel(processors=1, quantum_us=QUANTUM_US), []
    loop = start(k, spins)

    def kills(k, me):
        yield from k.work(me, 5)
        handle = k.open_process(me, loop.pid)
        yield from k.terminate_process(me, handle, 7)
        yield from k.work(me, 100)
        log.append(k.engine.now)

    start(k, kills)
    k.engine.run()
    assert (loop.alive, loop.exit_code) == (False, 7)
    assert log == [115]  # the loop had 0-10; from 15 on nobody shares


def test_an_endless_loop_can_be_suspended_and_goes_on():
    k = bare_kernel(processors=1, quantum_us=QUANTUM_US)
    loop, log = start(k, spins), []

    def suspends(k, me):
        yield from k.work(me, 5)
        thread = loop.threads[0]
        thread.suspend()
        yield from k.work(me, 100)
        log.append(k.engine.now)
        thread.resume()
        yield from k.work(me, 20)
        log.append(k.engine.now)

    start(k, suspends)
    k.engine.run()
    assert log[0] == 115
    assert log[1] > 135  # it shares again
    assert loop.alive


# ---- a walk on the machine ----------------------------------------------------------------------


def links_to_itself(heap) -> None:
    """The newest block becomes its own older one."""
    heap.set_word(heap.head - heap.base + heap.era.word_bytes, heap.head)


def ends(p):
    yield from p.exit(0)


def damaged_child(p):
    links_to_itself(p.dll.heap)
    yield from p.exec(Program("new", ends))


@pytest.mark.parametrize("scheme", schemes.names())
def test_a_walk_that_never_ends_is_a_named_process_that_loops(scheme):
    def shell(p):
        pid = yield from p.fork(damaged_child)
        yield from p.waitpid(pid)

    done = run_program(shell, scheme=scheme)
    assert done.outcome == "blocked"
    assert not done.failures
    loops = [e for e in done.blocked if e["waits_for"][0]["kind"] == "loop"]
    [entry] = loops
    assert entry["program"] == "new"
    assert entry["waits_for"] == [{"kind": "loop", "name": WORDS, "who_could_signal": []}]
    assert 0 < entry["since_us"] <= done.end_us
    assert len(done.blocked) == 3  # the shell, the stub and the loop
    causes = {left["cause"]: left["processes"] for left in done.balance["left"]}
    assert causes["processes that loop for ever"] == 1
    assert not done.balance["unexplained"]
    assert f"new (pid {entry['pid']}) waits for {WORDS}" in str(done)


def test_others_go_on_with_what_the_loop_leaves_them():
    def shell(p):
        yield from p.fork(damaged_child)
        yield from p.work(100_000)
        return 5

    alone = run_program(lambda p: ends_after(p, 100_000), processors=1)
    done = run_program(shell, processors=1)
    assert done.exit_code == 5
    assert done.outcome == "blocked"
    assert done.end_us > 1.5 * alone.end_us


def ends_after(p, us):
    yield from p.work(us)


def test_a_fork_child_of_3_6_that_loops_is_given_up_after_300_s():
    """There the walk comes in a fork child too, whose parent waits with a limit."""

    def shell(p):
        links_to_itself(p.dll.heap)
        with pytest.raises(TryAgain):
            yield from p.fork(ends)

    done = run_program(shell, scheme="child-copy")
    assert done.outcome == "failed"
    assert any("258" in f.message for f in done.failures)
    assert done.end_us > 300e6
    assert not done.blocked


class Damaging(SharedMemory):
    """As 1.3.4, but a heap that comes by the exec of a fork child is given a chain in a circle."""

    def child_side(self, p, info):
        yield from super().child_side(p, info)
        if info.takes_over and info.pppid_handle:
            links_to_itself(p.heap)


def test_a_replay_of_it_is_blocked_and_names_the_process_that_loops(trace_of):
    workload = trace_of.fork(1, 2).exec(2, "cc1").exit(2).wait(1, 2).exit(1).load()
    ready = prepare(workload, Damaging(), P3, SYSTEMS["nt"], Replication(1, 0))
    done = result(run(ready), 0).document
    assert (done["outcome"], done["failures"]) == ("blocked", [])
    entries = {(e["pid"], e["program"]): e["waits_for"] for e in done["blocked"]}
    loops = [key for key, waits in entries.items() if waits[0]["kind"] == "loop"]
    assert loops == [(2, "cc1")]
    assert entries[2, "cc1"][0]["name"] == WORDS
    waits = [wait["name"] for key, found in entries.items() if key not in loops for wait in found]
    assert "process 2 cc1" in waits  # the stub of the exec
    assert done["makespan_us"] < 1e6
