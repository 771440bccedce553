"""Recorded workloads on the machine: small ones by hand, the small public ones, conversions."""

from __future__ import annotations

from pathlib import Path

import pytest
from recording import TABLE, Recording

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

TRACES = Path(__file__).parent / "data" / "traces"
PUBLIC = sorted(path.name for path in TRACES.glob("*.jsonl.gz"))
SMALL = [name for name in PUBLIC if name.startswith("mini")]
IDEAL = load_profile("ideal")
P3 = load_profile("p3-800-w2000")


@pytest.fixture(params=schemes.names())
def nt_replay(request):
    def carry_out(workload, profile=IDEAL, calls=False, **more):
        scheme = schemes.get(request.param)
        ready = prepare(workload, scheme, profile, SYSTEMS["nt"], Replication(1, 0), calls=calls)
        return run(ready, **more)

    carry_out.scheme = request.param
    return carry_out


def finished(done):
    """It ended by itself, with the trace's own counts and nothing left over."""
    assert done.outcome == "finished", blocked(done.kernel)
    counts, tally = done.workload.counts, done.tally
    assert tally.processes == counts.processes
    assert tally.forks == counts.forks
    assert tally.execs == counts.execs
    assert tally.failed_execs == counts.failed_execs
    assert tally.spawns == counts.spawns
    assert done.ended.keys() == done.workload.programs.keys()
    assert done.installation.failures == []
    assert done.kernel.crashes == []
    assert done.kernel.committed_bytes == 0
    return done


# -- by hand ------------------------------------------------------------------------------------


def test_one_process_that_only_exits(trace_of, replay):
    workload = trace_of.exit(1).load()
    done = finished(replay(workload))
    assert (done.tally.processes, done.tally.execs) == (1, 1)
    assert list(done.ended) == [1]


def test_work_is_all_the_time_there_is_on_an_ideal_machine(trace_of, nt_replay):
    trace_of.rows[1]["cpu"] = 0
    trace_of.fork(1, 2, cpu=300).exit(2, cpu=700).wait(1, 2).exit(1, cpu=1000)
    done = finished(nt_replay(trace_of.load()))
    assert done.ended[2] == pytest.approx(1000)  # 300 before the fork, 700 in the child
    assert 1000 < done.ended[1] < 1700  # its own 700 before and after the wait
    assert done.kernel.processors.busy_us == pytest.approx(1700)


def test_fork_exec_wait(trace_of, replay):
    trace_of.fork(1, 2).exec(2, "true").exit(2, code=3).wait(1, 2).exit(1)
    done = finished(replay(trace_of.load()))
    assert done.tally.forks == 1
    assert done.tally.execs == 2
    assert [record.kind for record in done.kernel.trace.records] == ["fork", "exec"]
    assert done.tally.lost_waits == 0


@pytest.mark.parametrize("kind", ["vfork", "spawn"])
def test_vfork_and_posix_spawn_can_be_forks_and_are_counted_as_themselves(trace_of, replay, kind):
    trace_of.fork(1, 2, kind).exec(2, "true").exit(2).wait(1, 2).exit(1)
    done = finished(replay(trace_of.load(), vfork=False))
    assert (done.tally.forks, done.tally.spawns) == ((1, 0) if kind == "vfork" else (0, 1))
    assert [record.kind for record in done.kernel.trace.records] == ["fork", "exec"]


def test_wait_lasts_until_the_child_has_gone(trace_of, replay):
    trace_of.fork(1, 2, cpu=0).exit(2, cpu=50_000).wait(1, 2).exit(1, cpu=0)
    done = finished(replay(trace_of.load()))
    assert done.ended[1] >= done.ended[2] >= 50_000


def test_a_pipe_between_parent_and_child(trace_of, replay):
    trace_of.pipe(1, 3, 4, 70).fork(1, 2).close(1, 4).close(2, 3)
    trace_of.moved(2, "wr", 4, 50_000).exit(2)
    trace_of.moved(1, "rd", 3, 50_000, eof=1).wait(1, 2).exit(1)
    done = finished(replay(trace_of.load()))
    assert done.tally.stale_reads == 0
    (pipe,) = done.channels.values()
    assert pipe.held_bytes == 0


def test_a_pipe_survives_an_exec(trace_of, replay):
    trace_of.pipe(1, 3, 4, 70).fork(1, 2).close(1, 4).dup(2, 1, 4).close(2, 3).close(2, 4)
    trace_of.exec(2, "yes").moved(2, "wr", 1, 40_000).exit(2)
    trace_of.moved(1, "rd", 3, 40_000, eof=1).wait(1, 2).exit(1)
    done = finished(replay(trace_of.load()))
    assert done.tally.stale_reads == 0


def test_reader_that_goes_early_breaks_the_pipe_of_its_writer(trace_of, replay):
    trace_of.pipe(1, 3, 4, 70).fork(1, 2).close(1, 4).close(2, 3)
    trace_of.moved(1, "rd", 3, 10).close(1, 3)
    trace_of.moved(2, "wr", 4, 500_000).exit(2).wait(1, 2).exit(1)
    finished(replay(trace_of.load()))


def test_kill_that_ends_its_target_ends_it(trace_of, replay):
    trace_of.fork(1, 2).exec(2, "sleep").add(2, "sleep", us=100)
    trace_of.add(1, "kill", to=2, sig=15)
    trace_of.add(2, "exit", prog="sleep", sig=15).wait(1, 2).exit(1)
    finished(replay(trace_of.load()))


def test_sleep_lasts(trace_of, replay):
    trace_of.add(1, "sleep", us=2_000_000).exit(1)
    assert finished(replay(trace_of.load())).kernel.engine.now >= 2e6


def test_sockets_make_two_steps_in_shared_memory_only(trace_of, nt_replay):
    trace_of.opened(1, "socket_open", 3, "s", 90, dom="inet", type=1)
    trace_of.fork(1, 2).exit(2).wait(1, 2).exit(1)
    done = finished(nt_replay(trace_of.load()))
    document = result(done, 0).document
    two = nt_replay.scheme == "shared-memory"
    one = nt_replay.scheme in ("shared-memory-1.3.3", "msys-1.0")
    assert document["creations_two_step"] == int(two)
    assert document["creations_one_step"] == int(one)


def test_failed_execs_are_counted(trace_of, replay):
    trace_of.fork(1, 2).add(2, "exec_fail", prog="nix", err=2, c=5, te=0.5)
    trace_of.exit(2).wait(1, 2).exit(1)
    done = finished(replay(trace_of.load()))
    assert done.tally.failed_execs == 5


def test_wait_for_a_child_of_an_earlier_image_is_lost(trace_of, nt_replay):
    trace_of.fork(1, 2).exit(2).exec(1, "second").wait(1, 2).exit(1)
    done = finished(nt_replay(trace_of.load()))
    assert done.tally.lost_waits == 1


def test_names_and_lengths_go_into_the_heap(trace_of, nt_replay):
    trace_of.rows[1]["argv"] = [4, 100, 2000]
    done = finished(nt_replay(trace_of.exit(1).load()))
    assert done.tally.heap_end_bytes > 0
    short = Recording(trace_of.path.with_name("short.jsonl"))
    less = finished(nt_replay(short.fork(1, 2).exec(2, "x").exit(2).wait(1, 2).exit(1).load()))
    long = Recording(trace_of.path.with_name("long.jsonl")).fork(1, 2)
    long.exec(2, "x")
    long.rows[-1]["argv"] = [4, 4000]
    more = finished(nt_replay(long.exit(2).wait(1, 2).exit(1).load()))
    assert more.tally.heap_peak_bytes > less.tally.heap_peak_bytes + 4000


def test_stdio_of_the_root_is_open(trace_of, replay):
    trace_of.fork(1, 2).exec(2, "cat").exit(2).wait(1, 2).exit(1)
    assert len(TABLE) == 3
    done = finished(replay(trace_of.load()))
    assert done.tally.stale_reads == 0


# -- blocked and cut ----------------------------------------------------------------------------


def background(trace_of):
    """A pipe's reader is a background program; the writer is its parent, later."""
    trace_of.pipe(1, 3, 4, 70).fork(1, 2).dup(2, 0, 3).close(2, 3).close(2, 4)
    trace_of.exec(2, "nat").moved(2, "rd", 0, 5, eof=1).exit(2)
    trace_of.close(1, 3).moved(1, "wr", 4, 5).close(1, 4).wait(1, 2).exit(1)
    return trace_of.load()


def test_native_in_the_background_blocks_under_blocking_only(trace_of, nt_replay):
    """The parent is held by the spawn, so it never writes what the native program reads."""
    asked = Conversion(native=frozenset({"nat"}), background=frozenset({"nat"}))
    workload = convert(background(trace_of), asked)
    assert workload.converted == 1
    done = nt_replay(workload)
    if nt_replay.scheme != "blocking":
        assert done.outcome == "finished"
        return
    assert done.outcome == "blocked"
    report = blocked(done.kernel)
    holder = next(entry for entry in report if entry["pid"] == 1)
    assert [w["kind"] for w in holder["waits_for"]] == ["process", "event", "event"]
    process, signal, ready = holder["waits_for"]
    assert process["name"] == "process 2 nat"
    assert process["who_could_signal"] == ["2 nat (not Cygwin)"]
    assert ready["name"] == "subproc_ready"
    assert ready["who_could_signal"] == ["2 nat (not Cygwin)"]  # it inherited it; it never will
    assert signal["name"] == "signal_arrived"
    reader = next(entry for entry in report if entry["pid"] == 2)
    assert reader["waits_for"][0]["kind"] == "pipe"
    assert reader["waits_for"][0]["name"].startswith("read end of channel")
    assert reader["waits_for"][0]["who_could_signal"] == ["1 sh"]
    document = result(done, 0).document
    assert document["outcome"] == "blocked"
    assert document["blocked"] == report


def test_native_that_is_forked_and_execed_blocks_nobody(trace_of, replay):
    workload = convert(background(trace_of), Conversion(native=frozenset({"nat"})))
    done = replay(workload)
    assert done.outcome == "finished", blocked(done.kernel)


def test_spawn_of_a_cygwin_program_blocks_nobody(trace_of, replay):
    workload = convert(background(trace_of), Conversion(background=frozenset({"nat"})))
    done = replay(workload)
    assert done.outcome == "finished", blocked(done.kernel)
    assert [record.mode for record in done.kernel.trace.records] == ["_P_NOWAIT"]


def cycle_of_pipes(trace_of):
    """Parent and child each read before they write."""
    trace_of.pipe(1, 3, 4, 70).pipe(1, 5, 6, 71).fork(1, 2)
    trace_of.close(1, 3).close(1, 6).close(2, 4).close(2, 5)
    trace_of.moved(1, "rd", 5, 1).moved(1, "wr", 4, 1)
    trace_of.moved(2, "rd", 3, 1).moved(2, "wr", 6, 1)
    return trace_of.exit(2).wait(1, 2).exit(1).load()


def test_a_cycle_of_pipes_is_blocked_with_who_waits_for_what(trace_of, nt_replay):
    done = nt_replay(cycle_of_pipes(trace_of))
    assert done.outcome == "blocked"
    report = {entry["pid"]: entry for entry in blocked(done.kernel)}
    assert report[1]["waits_for"][0]["who_could_signal"] == ["2 sh"]
    assert report[2]["waits_for"][0]["who_could_signal"] == ["1 sh"]
    assert all(entry["since_us"] <= done.kernel.engine.now for entry in report.values())


def test_cut_is_cut_and_not_blocked(trace_of, nt_replay):
    trace_of.add(1, "sleep", us=2_000_000).exit(1)
    done = nt_replay(trace_of.load(), until_us=1000.0)
    assert done.outcome == "cut"
    assert done.kernel.engine.now == 1000
    assert done.ended == {}


def test_blocked_before_the_cut_is_blocked(trace_of, nt_replay):
    """The limits that were lost on the way, 300 s of each wait of a fork, are no future."""
    done = nt_replay(cycle_of_pipes(trace_of), until_us=100e6)
    assert done.outcome == "blocked"


@pytest.mark.parametrize("limit_kib", range(600, 4200, 450))
def test_memory_that_runs_out_fails_processes_and_not_the_run(limit_kib, replay):
    """fork and spawn give EAGAIN, a child that cannot start is dead; nothing is charged twice."""
    workload = load_workload(TRACES / SMALL[0])
    done = replay(workload, limit_bytes=limit_kib * 1024)
    assert done.outcome in ("finished", "failed", "blocked")
    assert 0 <= done.kernel.committed_peak_bytes <= limit_kib * 1024
    messages = [failure.message for failure in done.installation.failures]
    messages += [message for _, _, _, message in done.kernel.crashes]
    assert all("1455" in m or "died before initialization" in m or "died unexpectedly" in m
               or "initial cygheap" in m or "write copy" in m or " pass " in m
               for m in messages)  # fmt: skip
    assert bool(messages) == (done.outcome == "failed")
    if not any(process.alive for process in done.kernel.processes.values()):
        assert done.kernel.committed_bytes == 0


# -- the public traces --------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("profile", [IDEAL, P3], ids=["ideal", "p3"])
def test_small_public_traces_finish_with_their_own_counts(name, profile, replay):
    done = finished(replay(load_workload(TRACES / name), profile))
    assert done.tally.lost_waits == 0


@pytest.mark.parametrize("name", [name for name in PUBLIC if name not in SMALL])
@pytest.mark.parametrize("scheme", schemes.names())
def test_larger_public_traces_finish_too(name, scheme):
    ready = prepare(
        load_workload(TRACES / name), schemes.get(scheme), IDEAL, SYSTEMS["nt"], Replication(1, 0)
    )
    finished(run(ready))


@pytest.mark.parametrize("processors", [1, 2, 7])
def test_any_number_of_processors_will_do(processors):
    workload = load_workload(TRACES / SMALL[0])
    ends = []
    for name in schemes.names():
        done = run(
            prepare(workload, schemes.get(name), P3, SYSTEMS["nt"], Replication(1, 0), processors)
        )
        finished(done)
        ends.append(done.kernel.engine.now)
    assert min(ends) > 0


def test_leaks_are_of_era_a_alone():
    workload = load_workload(TRACES / SMALL[0])
    leaked = {}
    for name in schemes.names():
        scheme = schemes.get(name)
        done = run(prepare(workload, scheme, IDEAL, SYSTEMS["nt"], Replication(1, 0)))
        leaked[name] = done.tally.leaked_bytes
    assert leaked["blocking"] > 0
    assert leaked["shared-memory-1.3.3"] == leaked["shared-memory"] == 0


def test_two_schemes_draw_identical_costs():
    workload = load_workload(TRACES / SMALL[0])
    rows = []
    for name in schemes.names():
        ready = prepare(workload, schemes.get(name), P3, SYSTEMS["nt"], Replication(3, 2))
        rows.append([ready.draws.at(place) for place in range(-1, workload.creations)])
        run(ready)
    assert rows[0] == rows[1] == rows[2]


def test_calls_are_kept_only_when_asked_for(trace_of, nt_replay):
    workload = trace_of.fork(1, 2).exit(2).wait(1, 2).exit(1).load()
    assert nt_replay(workload).kernel.trace.calls is None
    with_calls = nt_replay(workload, calls=True)
    assert with_calls.kernel.trace.calls
    assert nt_replay(workload).digest() == with_calls.digest()


def test_document_of_a_run_sums_up_what_happened(nt_replay):
    done = nt_replay(load_workload(TRACES / "mini-pipeline.ptrec.jsonl.gz"), P3)
    document = result(done, 4).document
    assert document["scheme"] == nt_replay.scheme
    assert document["replication"] == 4
    assert document["outcome"] == "finished"
    assert document["makespan_us"] == max(done.ended.values())
    assert document["handshake_wait_us"] > 0
    assert document["blocked"] == document["failures"] == []
    assert document["cygheap"]["digest"] == done.digest()
    read = document["read_process_memory_bytes"]
    assert (read > 0) == (nt_replay.scheme in ("blocking", "child-copy"))
    assert document["bytes_copied"] > document["write_process_memory_bytes"] > 0


@pytest.mark.parametrize("limit_bytes", [4096, 310_000, 400_000, 800_000])
def test_too_little_memory_for_the_first_programs_is_a_failed_run(replay, limit_bytes):
    done = replay(load_workload(TRACES / "mini-pipeline.ptrec.jsonl.gz"), P3, limit_bytes)
    assert done.outcome == "failed"
    assert result(done, 0).document["failures"]


def test_a_first_program_without_memory_fails_with_its_message(replay):
    done = replay(load_workload(TRACES / "mini-pipeline.ptrec.jsonl.gz"), P3, 4096)
    [failure] = result(done, 0).document["failures"]
    assert (failure["pid"], failure["program"], failure["at_us"]) == (1, "bash", 0.0)
    assert failure["message"].startswith("CreateProcess: Win32 error 1455")
    assert done.kernel.committed_bytes == 0
