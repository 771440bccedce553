"""Processes and threads: suspended starts, exit codes, ends, and what ends with them."""

from __future__ import annotations

import pytest
from machine import FREE, SLOW, bare_kernel, run, start

from models.win32.errors import AccessViolation, Win32Error
from models.win32.handles import CURRENT_PROCESS
from models.win32.image import Image, Part
from models.win32.process_calls import CREATE_SUSPENDED
from models.win32.thread import STILL_ACTIVE
from models.win32.waits import WAIT_TIMEOUT

DATA = (Part(0x400000, 0x4000, "program data", writable=True),)


def image(steps, parts=DATA, name="child"):
    return Image(name, parts, steps)


def sleeps(us, code=0):
    def steps(k, me):
        yield from k.sleep(me, us)
        return code

    return steps


def refused(code, steps):
    with pytest.raises(Win32Error) as caught:
        yield from steps
    assert caught.value.code == code


# -- creation -----------------------------------------------------------------------------------


def test_suspended_child_runs_nothing_before_resume(kernel, trace):
    def main(k, me):
        h, t, pid = yield from k.create_process(me, image(sleeps(5)), True, CREATE_SUSPENDED)
        yield from k.sleep(me, 1000)
        assert trace.rows(pid=pid) == []
        assert k.get_exit_code_process(me, h) == STILL_ACTIVE
        assert (yield from k.resume_thread(me, t)) == 1
        assert (yield from k.wait_for_single_object(me, h)) == 0
        assert k.engine.now == 1005
        assert trace.rows(pid=pid)[0].name == "#process_start"

    run(kernel, main)


def test_suspended_child_can_be_worked_on_by_others(kernel):
    seen = []

    def child(k, me):
        memory, at = me.process.space.memory_at(0x400010)
        seen.append(memory.read(at, 6))
        yield from k.work(me, 0)

    def main(k, me):
        h, t, _pid = yield from k.create_process(me, image(child), True, CREATE_SUSPENDED)
        k.virtual_reserve(me, 0x20000000, 4096)
        k.virtual_commit(me, 0x20000000, 4096)
        me.process.space.memory_at(0x20000000)[0].write(0, b"parent")
        done = yield from k.write_process_memory(me, h, 0x400010, 0x20000000, 6)
        assert done == 6
        yield from k.read_process_memory(me, h, 0x400010, 0x20000100, 6)
        assert me.process.space.memory_at(0x20000000)[0].read(0x100, 6) == b"parent"
        yield from k.resume_thread(me, t)
        yield from k.wait_for_single_object(me, h)

    run(kernel, main)
    assert seen == [b"parent"]


def test_suspend_counts_add_up(kernel):
    log = []

    def child(k, me):
        log.append(k.engine.now)
        yield from k.work(me, 0)

    def main(k, me):
        _, t, _ = yield from k.create_process(me, image(child), True, CREATE_SUSPENDED)
        assert (yield from k.suspend_thread(me, t)) == 1
        assert (yield from k.suspend_thread(me, t)) == 2
        assert (yield from k.resume_thread(me, t)) == 3
        assert (yield from k.resume_thread(me, t)) == 2
        yield from k.sleep(me, 10)
        assert log == []
        assert (yield from k.resume_thread(me, t)) == 1
        yield from k.sleep(me, 10)
        assert (yield from k.resume_thread(me, t)) == 0

    run(kernel, main)
    assert log == [10]


def test_child_without_inheritance_starts_with_an_empty_table(kernel):
    def main(k, me):
        k.create_event(me, manual=True, inherit=True)
        _, _, a = yield from k.create_process(me, image(sleeps(9)), inherit=True)
        _, _, b = yield from k.create_process(me, image(sleeps(9)), inherit=False)
        assert k.processes[a].handles.handles() == [4]
        assert k.processes[b].handles.handles() == []

    run(kernel, main)


def test_child_s_own_process_and_thread_handles_are_not_inherited(kernel):
    def main(k, me):
        yield from k.create_process(me, image(sleeps(9)))
        _, _, second = yield from k.create_process(me, image(sleeps(9)))
        assert k.processes[second].handles.handles() == []

    run(kernel, main)


def test_startup_reaches_the_child_and_its_pid_the_parent(kernel):
    seen = []

    def child(k, me):
        seen.append((me.process.startup, me.process.pid, me.process.parent_pid))
        yield from k.work(me, 0)

    def main(k, me):
        _, _, pid = yield from k.create_process(me, image(child), startup=("info", 7))
        seen.append(pid)
        yield from k.sleep(me, 1)
        assert seen[1] == (("info", 7), pid, me.process.pid)

    run(kernel, main)


def test_missing_image_is_2(kernel):
    def main(k, me):
        yield from refused(2, k.create_process(me, None))
        assert k.created == 0

    run(kernel, main)


def test_creation_takes_time_on_both_sides():
    k = bare_kernel()
    seen = {}

    def child(k, me):
        yield from k.work(me, 0)
        seen["child"] = k.engine.now

    def main(k, me):
        yield from k.work(me, 0)
        begin = k.engine.now
        h, _, _ = yield from k.create_process(me, image(child))
        seen["create"] = k.engine.now - begin
        begin = k.engine.now
        yield from k.wait_for_single_object(me, h)
        seen["child"] -= begin

    run(k, main, costs=SLOW)
    assert seen["create"] == SLOW.create_process_us
    assert seen["child"] == SLOW.loader_us


def test_ids_differ_and_on_9x_have_the_top_bit():
    for system, top in (("nt", False), ("9x", True)):
        k = bare_kernel(system)

        def main(k, me):
            yield from k.create_process(me, image(sleeps(1)))
            yield from k.create_thread(me, lambda thread, k=k: k.sleep(thread, 1))

        run(k, main)
        ids = [n for p in k.processes.values() for n in (p.pid, *(t.tid for t in p.threads))]
        assert len(set(ids)) == len(ids) == 5
        assert {bool(n & 0x80000000) for n in ids} == {top}


# -- the end ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["return", "ExitProcess"])
def test_exit_code_is_259_while_it_runs(kernel, how):
    def child(k, me):
        yield from k.sleep(me, 10)
        if how == "ExitProcess":
            yield from k.exit_process(me, 42)
        return 42

    def main(k, me):
        h, _, _ = yield from k.create_process(me, image(child))
        assert k.get_exit_code_process(me, h) == 259
        yield from k.wait_for_single_object(me, h)
        assert k.get_exit_code_process(me, h) == 42

    run(kernel, main)


def test_exit_ends_every_thread(kernel):
    log = []

    def main(k, me):
        def endless(thread):
            yield from k.sleep(thread, 100)
            log.append("ran on")

        yield from k.create_thread(me, endless)
        yield from k.sleep(me, 10)
        yield from k.exit_process(me, 0)
        log.append("after the end")

    run(kernel, main)
    assert log == []
    assert kernel.engine.now == 10


def test_process_ends_with_its_main_thread_s_return_but_not_with_another_s(kernel):
    def main(k, me):
        yield from k.create_thread(me, lambda t: k.sleep(t, 5))
        yield from k.sleep(me, 10)
        assert me.process.alive
        return 6

    assert run(kernel, main).exit_code == 6


def test_process_lives_on_after_exit_thread_of_its_main_thread(kernel):
    def main(k, me):
        yield from k.create_thread(me, lambda t: k.sleep(t, 50))
        yield from k.exit_thread(me, 1)

    process = start(kernel, main)
    kernel.engine.run(20)
    assert process.alive
    kernel.engine.run()
    assert process.ended_us == 50


def test_terminate_ends_a_process_wherever_it_is(kernel):
    def waits(k, me):
        yield from k.wait_for_single_object(me, k.create_event(me, manual=True), 300_000)

    def works(k, me):
        yield from k.work(me, 1e9)

    def main(k, me):
        handles = []
        for steps in (waits, works, sleeps(None)):
            h, _, _ = yield from k.create_process(me, image(steps))
            handles.append(h)
        h, _, _ = yield from k.create_process(me, image(works), True, CREATE_SUSPENDED)
        handles.append(h)
        yield from k.sleep(me, 10)
        for h in handles:
            yield from k.terminate_process(me, h, 0x10900)
            assert (yield from k.wait_for_single_object(me, h, 0)) == 0
            assert k.get_exit_code_process(me, h) == 0x10900

    run(kernel, main)
    assert kernel.engine.now == 10


def test_terminating_twice_is_5_and_keeps_the_first_code(kernel):
    def main(k, me):
        h, _, _ = yield from k.create_process(me, image(sleeps(None)))
        yield from k.terminate_process(me, h, 1)
        yield from refused(5, k.terminate_process(me, h, 2))
        assert k.get_exit_code_process(me, h) == 1

    run(kernel, main)


def test_a_process_can_terminate_itself(kernel):
    def main(k, me):
        yield from k.terminate_process(me, CURRENT_PROCESS, 9)
        raise AssertionError("after the end")

    assert run(kernel, main).exit_code == 9


def test_memory_of_an_ended_process_cannot_be_touched(kernel):
    def main(k, me):
        h, _, pid = yield from k.create_process(me, image(sleeps(0)))
        yield from k.wait_for_single_object(me, h)
        k.virtual_reserve(me, 0x20000000, 4096)
        k.virtual_commit(me, 0x20000000, 4096)
        yield from refused(5, k.read_process_memory(me, h, 0x400000, 0x20000000, 4))
        yield from refused(5, k.write_process_memory(me, h, 0x400000, 0x20000000, 4))
        assert k.processes[pid].space.regions() == []

    run(kernel, main)


def test_an_unhandled_access_violation_ends_the_process_with_its_code(kernel):
    def main(k, me):
        yield from k.sleep(me, 3)
        me.process.space.memory_at(0x1000)
        yield from k.work(me, 0)

    process = start(kernel, main)
    kernel.engine.run()
    assert process.exit_code == 0xC0000005
    assert [(t, pid, name) for t, pid, name, _ in kernel.crashes] == [(3, process.pid, "program")]
    assert "0x00001000" in kernel.crashes[0][3]


def test_a_violation_that_the_program_handles_ends_nothing(kernel):
    def main(k, me):
        with pytest.raises(AccessViolation):
            me.process.space.memory_at(0x1000)
        yield from k.work(me, 0)
        return 5

    assert run(kernel, main).exit_code == 5


def test_error_of_the_model_is_not_swallowed(kernel):
    def main(k, me):
        yield from k.sleep(me, 1)
        raise KeyError("a bug")

    start(kernel, main)
    with pytest.raises(KeyError, match="a bug"):
        kernel.engine.run()


def test_finally_of_a_stopped_program_does_not_run_calls_of_the_dead(kernel):
    """Stopping closes the generator; what it does then must not come back into the machine."""
    log = []

    def child(k, me):
        try:
            yield from k.sleep(me, None)
        finally:
            log.append("unwound")

    def main(k, me):
        h, _, _ = yield from k.create_process(me, image(child))
        yield from k.sleep(me, 1)
        yield from k.terminate_process(me, h, 1)

    run(kernel, main)
    assert log == ["unwound"]


def test_process_object_outlives_its_process_as_long_as_a_handle(kernel):
    def main(k, me):
        h, t, pid = yield from k.create_process(me, image(sleeps(0)))
        yield from k.wait_for_single_object(me, h)
        k.close_handle(me, t)
        assert k.processes[pid].refs == 1
        k.close_handle(me, h)
        assert k.processes[pid].refs == 0

    run(kernel, main)


# -- commit charge ------------------------------------------------------------------------------


def test_commit_charge_is_0_when_everybody_has_gone(kernel):
    def child(k, me):
        k.virtual_reserve(me, 0x20000000, 1 << 20)
        k.virtual_commit(me, 0x20000000, 300_000)
        yield from k.sleep(me, 5)

    def main(k, me):
        section, _ = k.create_file_mapping(me, 50_000, inherit=True)
        k.map_view_of_file_ex(me, section)
        k.virtual_reserve(me, 0x30000000, 1 << 20)
        k.virtual_commit(me, 0x30000000, 4097)
        before = k.committed_bytes
        _, _t, _ = yield from k.create_process(me, image(child))
        assert k.committed_bytes == before + 4 * 4096
        yield from k.sleep(me, 1)
        assert k.committed_bytes == before + 4 * 4096 + 74 * 4096

    run(kernel, main)
    assert kernel.committed_bytes == 0
    assert kernel.committed_peak_bytes == (13 + 2 + 4 + 74) * 4096


def test_commit_limit_is_1455(trace):
    k = bare_kernel(trace=trace)
    k.commit_limit_bytes = 20 * 4096

    def main(k, me):
        k.virtual_reserve(me, 0x30000000, 1 << 20)
        k.virtual_commit(me, 0x30000000, 10 * 4096)
        for call in (
            lambda: k.virtual_commit(me, 0x30000000, 21 * 4096),
            lambda: k.create_file_mapping(me, 11 * 4096),
        ):
            with pytest.raises(Win32Error) as caught:
                call()
            assert caught.value.code == 1455
        assert k.committed_bytes == 10 * 4096
        memory, _ = me.process.space.memory_at(0x30000000)
        assert memory.committed_pages() == 10  # what was there before is kept
        yield from k.work(me, 0)

    run(k, main)
    assert k.committed_bytes == 0


def test_memory_that_runs_out_ends_a_program_that_does_not_handle_it(trace):
    k = bare_kernel(trace=trace)
    k.commit_limit_bytes = 20 * 4096

    def child(k, me):
        k.virtual_reserve(me, 0x30000000, 1 << 20)
        k.virtual_commit(me, 0x30000000, 1 << 20)
        yield from k.work(me, 0)

    def main(k, me):
        h, _, _ = yield from k.create_process(me, image(child))
        yield from k.wait_for_single_object(me, h)
        assert k.get_exit_code_process(me, h) == 0xC0000017
        k.virtual_reserve(me, 0x30000000, 1 << 20)
        k.virtual_commit(me, 0x30000000, 18 * 4096)
        yield from refused(1455, k.create_process(me, image(sleeps(0))))

    start(k, main)
    k.engine.run()
    assert len(k.crashes) == 1
    assert "1455" in k.crashes[0][3]
    assert k.committed_bytes == 0


def test_many_short_processes_leave_nothing_behind(kernel):
    def main(k, me):
        for i in range(50):
            h, t, _ = yield from k.create_process(me, image(sleeps(i)))
            yield from k.wait_for_single_object(me, h, 300_000)
            k.close_handle(me, h)
            k.close_handle(me, t)
        assert len(me.process.handles) == 0

    run(kernel, main)
    assert kernel.committed_bytes == 0
    assert kernel.engine.now == sum(range(50))
    assert kernel.created == 50
    assert kernel.committed_peak_bytes == 4 * 4096


def test_free_calls_take_no_time(kernel):
    assert set(FREE) == {0.0}

    def main(k, me):
        h, _, _ = yield from k.create_process(me, image(sleeps(0)))
        assert (yield from k.wait_for_single_object(me, h, 1)) != WAIT_TIMEOUT

    run(kernel, main)
    assert kernel.engine.now == 0
