"""Recorded vforks: the release's own, or forks, with the trace's counts either way."""

from __future__ import annotations

from machine import early_replay
from test_cygwin_replay import TRACES, finished

from models.cygwin import schemes
from models.cygwin.blocked import blocked
from models.cygwin.compile_trace import load_workload
from models.cygwin.conversion import convert
from models.cygwin.replay import prepare, run
from models.cygwin.replay_result import result
from models.cygwin.workload import Conversion
from models.win32.cost_profile import load_profile
from models.win32.system import SYSTEMS
from sim.streams import Replication

NATIVE = Conversion(native=frozenset({"nat"}))


def kinds(done):
    return [record.kind for record in done.kernel.trace.records]


@early_replay
def test_a_vfork_and_its_exec_make_one_process_by_a_spawn(trace_of, replay):
    trace_of.fork(1, 2, "vfork").exec(2, "true").exit(2, code=3).wait(1, 2).exit(1)
    done = finished(replay(trace_of.load()))
    assert kinds(done) == ["vfork", "spawn"]
    assert len(done.kernel.processes) == 2
    assert (done.tally.forks, done.tally.execs, done.tally.processes) == (1, 2, 2)
    assert done.tally.lost_waits == 0


@early_replay
def test_the_document_says_which_vfork_there_was(trace_of, replay):
    trace_of.fork(1, 2, "vfork").exec(2, "true").exit(2).wait(1, 2).exit(1)
    workload = trace_of.load()
    real = result(replay(workload), 0).document
    assert (real["vfork"], real["vforks"], real["creations"]) == ("real", 1, 2)
    assert (real["vfork_latency_us"]["n"], real["spawn_latency_us"]["n"]) == (1, 1)
    assert (real["fork_latency_us"]["n"], real["exec_latency_us"]["n"]) == (0, 0)
    fork = result(replay(workload, vfork=False), 0).document
    assert (fork["vfork"], fork["vforks"], fork["creations"]) == ("fork", 0, 3)
    assert (fork["fork_latency_us"]["n"], fork["exec_latency_us"]["n"]) == (1, 1)
    assert (real["forks"], real["execs"]) == (fork["forks"], fork["execs"])


def test_redirections_of_a_guest_reach_the_program_and_not_its_parent(trace_of, replay):
    trace_of.pipe(1, 3, 4, 70).fork(1, 2, "vfork")
    trace_of.dup(2, 1, 4).close(2, 3).close(2, 4)
    trace_of.add(1, "vfork_done").exec(2, "yes").close(1, 4)
    trace_of.moved(2, "wr", 1, 40_000).exit(2)
    trace_of.moved(1, "rd", 3, 40_000, eof=1).wait(1, 2).exit(1)
    done = finished(replay(trace_of.load()))
    assert done.tally.stale_reads == 0
    (pipe,) = done.channels.values()
    assert pipe.held_bytes == 0


def test_a_pipe_with_close_on_exec_tells_the_exec_but_not_in_era_a(trace_of, replay):
    """How gcc learns that its child has exec'ed; era A's copied table has lost the flag."""
    trace_of.pipe(1, 3, 4, 70, cx=1).cloexec(1, 4, 1).fork(1, 2, "vfork").close(2, 3)
    trace_of.exec(2, "cc1").close(1, 4).add(2, "sleep", us=50_000).exit(2)
    trace_of.moved(1, "rd", 3, 0, eof=1).fork(1, 3).exit(3).wait(1, 2).wait(1, 3).exit(1)
    done = finished(replay(trace_of.load()))
    assert (done.ended[3] > done.ended[2]) == replay.blocking


@early_replay
def test_a_guest_that_exits_is_a_process_all_the_same(trace_of, replay):
    trace_of.fork(1, 2, "vfork").add(2, "exec_fail", prog="nix", err=2, c=5, te=0.5)
    trace_of.exit(2, code=127).wait(1, 2).exit(1)
    done = finished(replay(trace_of.load()))
    assert kinds(done) == ["vfork", "fork"]
    assert done.tally.failed_execs == 5
    assert done.tally.lost_waits == 0
    left = [p.exit_code for p in done.kernel.processes.values() if p.parent_pid]
    assert left == [127]


def test_a_guest_that_dies_of_a_signal(trace_of, replay):
    trace_of.fork(1, 2, "vfork").add(1, "kill", to=2, sig=9)
    trace_of.add(2, "exit", prog="sh", sig=9).wait(1, 2).exit(1)
    finished(replay(trace_of.load()))


@early_replay
def test_a_vfork_in_a_guest(trace_of, replay):
    """A fork from 1.3.3 on. In era A it takes the place of the first, whose parent is lost."""
    trace_of.fork(1, 2, "vfork").fork(2, 3, "vfork").exec(3, "inner").exit(3)
    trace_of.exec(2, "outer").exit(2).wait(1, 2).exit(1)
    done = replay(trace_of.load())
    if not replay.blocking:
        finished(done)
        assert kinds(done) == ["vfork", "fork", "exec", "spawn"]
        return
    assert kinds(done) == ["vfork", "vfork", "spawn", "exec"]
    assert done.outcome == "blocked"  # pid 1 never ended: its process has become "outer"
    assert done.ended.keys() == {2, 3}


def test_the_spawn_in_a_vfork_holds_the_caller_under_blocking(trace_of, replay):
    """The native program reads what its parent writes later: a deadlock, found by running."""
    trace_of.pipe(1, 3, 4, 70).cloexec(1, 4, 1)
    trace_of.fork(1, 2, "vfork").dup(2, 0, 3).close(2, 3)
    trace_of.exec(2, "nat").moved(2, "rd", 0, 5).exit(2)
    trace_of.close(1, 3).moved(1, "wr", 4, 5).close(1, 4).wait(1, 2).exit(1)
    workload = convert(trace_of.load(), NATIVE)
    done = replay(workload)
    if not replay.blocking:
        finished(done)
        return
    assert done.outcome == "blocked"
    holder = next(entry for entry in blocked(done.kernel) if entry["pid"] == 1)
    assert [w["name"] for w in holder["waits_for"]] == [
        "process 2 nat", "signal_arrived", "subproc_ready",
    ]  # fmt: skip
    finished(replay(workload, vfork=False))


@early_replay
def test_a_native_program_has_the_handles_of_the_table_on_hold_too(trace_of, replay):
    """It waits for an end of file that its own second handle of the pipe holds back."""
    trace_of.pipe(1, 3, 4, 70)
    trace_of.fork(1, 2, "vfork").dup(2, 0, 3).close(2, 3).close(2, 4)
    trace_of.exec(2, "nat").moved(2, "rd", 0, 5, eof=1).exit(2)
    trace_of.close(1, 3).moved(1, "wr", 4, 5).close(1, 4).wait(1, 2).exit(1)
    recorded = trace_of.load()
    workload = convert(recorded, NATIVE)
    done = replay(workload)
    assert done.outcome == "blocked"
    reader = next(entry for entry in blocked(done.kernel) if entry["pid"] == 2)
    assert "2 nat (not Cygwin)" in reader["waits_for"][0]["who_could_signal"]
    finished(replay(workload, vfork=False))
    finished(replay(recorded))  # a Cygwin program closes the table on hold


def test_memory_that_runs_out_in_a_vfork_fails_it_and_not_the_run(trace_of, replay):
    for child in (2, 3, 4):
        trace_of.fork(1, child, "vfork").exec(child, "true").exit(child).wait(1, child)
    workload = trace_of.exit(1).load()
    enough = replay(workload).kernel.committed_peak_bytes
    outcomes = set()
    for limit_bytes in range(enough // 2, enough + 8192, 8192):
        done = replay(workload, limit_bytes=limit_bytes)
        outcomes.add(done.outcome)
        if not any(process.alive for process in done.kernel.processes.values()):
            assert done.kernel.committed_bytes == 0
        if done.outcome == "failed":
            assert done.installation.failures or done.kernel.crashes
    assert outcomes == {"finished", "failed"}


def test_costs_of_real_vforks_are_those_of_their_places():
    workload = load_workload(TRACES / "make-j4-sed.jsonl.gz")
    p3 = load_profile("p3-800-w2000")
    for name in schemes.names()[:3]:
        done = finished(
            run(prepare(workload, schemes.get(name), p3, SYSTEMS["nt"], Replication(1, 0)))
        )
        document = result(done, 0).document
        assert document["vforks"] == 170
        assert document["creations"] == 1439 - 170
        assert document["lost_waits"] == document["stale_reads"] == 0
        leaked = document["cygheap"]["leaked_bytes"]
        assert bool(leaked) == (name == "blocking")
