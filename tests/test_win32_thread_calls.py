"""What one thread does to another: terminated, stopped and cancelled threads, and their locks."""

from __future__ import annotations

import pytest
from machine import SLOW, bare_kernel, run, start

from models.win32.emulation import CodeCache, Translation
from models.win32.errors import Win32Error
from models.win32.handles import CURRENT_THREAD
from models.win32.srw_lock import SrwLock
from models.win32.thread import STILL_ACTIVE
from models.win32.waits import WAIT_ABANDONED_0, WAIT_OBJECT_0, WAIT_TIMEOUT


def refused(code, steps):
    with pytest.raises(Win32Error) as caught:
        yield from steps
    assert caught.value.code == code


def sleeper(kernel):
    return lambda thread: kernel.sleep(thread, None)


# -- TerminateThread ------------------------------------------------------------------------------


def test_a_terminated_thread_runs_nothing_more_and_is_signalled(kernel):
    ran = []

    def other(thread):
        yield from kernel.sleep(thread, 100)
        ran.append("after")

    def main(k, me):
        handle = yield from k.create_thread(me, other)
        yield from k.sleep(me, 50)
        assert (yield from k.wait_for_single_object(me, handle, 0)) == WAIT_TIMEOUT
        yield from k.terminate_thread(me, handle, 7)
        assert (yield from k.wait_for_single_object(me, handle)) == WAIT_OBJECT_0
        assert k.object(me, handle).exit_code == 7
        yield from k.sleep(me, 100)

    run(kernel, main)
    assert ran == []


@pytest.mark.parametrize("steps", ["work", "wait", "read"])
def test_a_thread_is_terminated_wherever_it_is(kernel, steps):
    def other(thread):
        if steps == "work":
            yield from kernel.work(thread, 1000)
        elif steps == "wait":
            event = kernel.create_event(thread, manual=True)
            yield from kernel.wait_for_single_object(thread, event)
        else:
            r, _ = kernel.create_pipe(thread, 16)
            yield from kernel.read_file(thread, r, 1)
        raise AssertionError("it went on")

    def main(k, me):
        handle = yield from k.create_thread(me, other)
        yield from k.sleep(me, 50)
        yield from k.terminate_thread(me, handle)
        yield from k.sleep(me, 2000)

    run(kernel, main)


def test_a_mutex_of_a_terminated_thread_is_abandoned(kernel):
    def main(k, me):
        mutex = k.create_mutex(me)

        def other(thread):
            yield from k.wait_for_single_object(thread, mutex)
            yield from k.sleep(thread, None)

        handle = yield from k.create_thread(me, other)
        yield from k.sleep(me, 1)
        yield from k.terminate_thread(me, handle)
        assert (yield from k.wait_for_single_object(me, mutex)) == WAIT_ABANDONED_0

    run(kernel, main)


def test_a_lock_of_a_terminated_thread_stays_taken(kernel):
    lock = SrwLock()

    def other(thread):
        yield from lock.acquire(kernel, thread)
        yield from kernel.sleep(thread, None)

    def main(k, me):
        handle = yield from k.create_thread(me, other)
        yield from k.sleep(me, 1)
        yield from k.terminate_thread(me, handle)
        yield from lock.acquire(k, me)

    process = start(kernel, main)
    kernel.engine.run()
    assert process.alive
    assert lock.owner is not None
    assert lock.owner.ended


def test_a_terminated_thread_that_waited_for_a_lock_is_passed_over(kernel):
    lock, order = SrwLock(), []

    def waits(name):
        def steps(thread):
            yield from lock.acquire(kernel, thread)
            order.append(name)
            lock.release(kernel, thread)

        return steps

    def main(k, me):
        yield from lock.acquire(k, me)
        first = yield from k.create_thread(me, waits("first"))
        second = yield from k.create_thread(me, waits("second"))
        yield from k.sleep(me, 1)
        yield from k.terminate_thread(me, first)
        lock.release(k, me)
        yield from k.wait_for_single_object(me, second)

    run(kernel, main)
    assert order == ["second"]


def test_a_thread_can_terminate_itself(kernel):
    def main(k, me):
        def other(thread):
            yield from k.terminate_thread(thread, CURRENT_THREAD, 3)
            raise AssertionError("it went on")

        handle = yield from k.create_thread(me, other)
        yield from k.wait_for_single_object(me, handle)
        assert k.object(me, handle).exit_code == 3

    run(kernel, main)


def test_the_last_thread_takes_its_process_with_it(kernel):
    process = start(kernel, lambda k, me: k.terminate_thread(me, CURRENT_THREAD, 9))
    kernel.engine.run()
    assert not process.alive
    assert process.exit_code == 9


def test_an_ended_thread_and_a_handle_of_something_else(kernel):
    def main(k, me):
        handle = yield from k.create_thread(me, lambda thread: k.exit_thread(thread, 4))
        yield from k.wait_for_single_object(me, handle)
        yield from k.terminate_thread(me, handle, 5)
        assert k.object(me, handle).exit_code == 4
        event = k.create_event(me, manual=True)
        for call in (k.terminate_thread, k.get_thread_context, k.cancel_synchronous_io):
            yield from refused(6, call(me, event))

    run(kernel, main)


# -- SuspendThread and GetThreadContext -----------------------------------------------------------


@pytest.fixture
def cache():
    return CodeCache(Translation(translate_us=100.0, run_us=50.0))


def test_a_thread_with_the_emulators_lock_stops_when_it_leaves(kernel, cache):
    def main(k, me):
        handle = yield from k.create_thread(me, lambda thread: cache.new_code(k, thread, 2))
        yield from k.sleep(me, 10)
        thread = k.object(me, handle)
        assert thread.doing == "shielded"
        yield from k.suspend_thread(me, handle)
        assert cache.lock.owner is thread
        yield from k.get_thread_context(me, handle)
        assert k.engine.now == 100
        assert cache.lock.owner is None
        yield from k.sleep(me, 1000)
        assert thread.exit_code == STILL_ACTIVE
        assert (yield from k.resume_thread(me, handle)) == 1
        yield from k.wait_for_single_object(me, handle)
        assert k.engine.now == 1300  # it still had 50 of its first piece and 150 of its second

    run(kernel, main)


def test_a_thread_that_is_resumed_in_time_does_not_stop(kernel, cache):
    def main(k, me):
        handle = yield from k.create_thread(me, lambda thread: cache.new_code(k, thread, 2))
        yield from k.sleep(me, 10)
        assert (yield from k.suspend_thread(me, handle)) == 0
        assert (yield from k.suspend_thread(me, handle)) == 1
        assert (yield from k.resume_thread(me, handle)) == 2
        assert (yield from k.resume_thread(me, handle)) == 1
        assert (yield from k.resume_thread(me, handle)) == 0
        yield from k.get_thread_context(me, handle)
        yield from k.wait_for_single_object(me, handle)
        assert k.engine.now == 300

    run(kernel, main)


def test_a_stopped_thread_is_looked_at_at_once(kernel):
    def main(k, me):
        handle = yield from k.create_thread(me, lambda thread: k.work(thread, 1000))
        yield from k.sleep(me, 10)
        yield from k.suspend_thread(me, handle)
        yield from k.get_thread_context(me, handle)
        assert k.engine.now == 10
        yield from k.terminate_thread(me, handle)

    run(kernel, main)


@pytest.mark.parametrize("look", [False, True])
def test_terminated_in_the_emulator_a_thread_keeps_the_lock_unless_it_was_looked_at(
    kernel, cache, look
):
    reached = []

    def main(k, me):
        handle = yield from k.create_thread(me, lambda thread: cache.new_code(k, thread, 2))
        yield from k.sleep(me, 10)
        yield from k.suspend_thread(me, handle)
        if look:
            yield from k.get_thread_context(me, handle)
        yield from k.terminate_thread(me, handle)
        yield from cache.new_code(k, me, 1)
        reached.append(k.engine.now)

    process = start(kernel, main)
    kernel.engine.run()
    assert process.alive != look
    assert cache.orphaned != look
    assert bool(reached) == look


def test_new_code_is_translated_by_one_thread_at_a_time(kernel, cache):
    done = []

    def other(thread):
        yield from cache.new_code(kernel, thread, 1)
        done.append(kernel.engine.now)

    def main(k, me):
        for _ in range(2):
            yield from k.create_thread(me, other)
        yield from k.sleep(me, 1000)

    run(kernel, main)
    assert done == [150, 250]


# -- CancelSynchronousIo --------------------------------------------------------------------------


def test_a_cancelled_read_fails_with_995(kernel):
    def main(k, me):
        r, _ = k.create_pipe(me, 16)
        handle = yield from k.create_thread(
            me, lambda thread: refused(995, k.read_file(thread, r, 1))
        )
        yield from k.sleep(me, 10)
        yield from k.cancel_synchronous_io(me, handle)
        assert (yield from k.wait_for_single_object(me, handle)) == WAIT_OBJECT_0

    run(kernel, main)


def test_a_cancelled_write_fails_with_995(kernel):
    def main(k, me):
        _, w = k.create_pipe(me, 16)
        handle = yield from k.create_thread(
            me, lambda thread: refused(995, k.write_file(thread, w, 100))
        )
        yield from k.sleep(me, 10)
        yield from k.cancel_synchronous_io(me, handle)
        yield from k.wait_for_single_object(me, handle)

    run(kernel, main)


def test_a_thread_in_no_such_call_is_not_found(kernel):
    def main(k, me):
        handle = yield from k.create_thread(me, sleeper(k))
        yield from k.sleep(me, 10)
        yield from refused(1168, k.cancel_synchronous_io(me, handle))

    run(kernel, main)


def test_a_call_on_another_file_is_cancelled_as_well(kernel):
    carried_out = []

    def other(thread):
        carried_out.append((yield from kernel.synchronous_io(thread, 100)))
        carried_out.append((yield from kernel.synchronous_io(thread, 100)))

    def main(k, me):
        handle = yield from k.create_thread(me, other)
        yield from k.sleep(me, 10)
        yield from k.cancel_synchronous_io(me, handle)
        yield from k.wait_for_single_object(me, handle)
        assert k.engine.now == 110

    run(kernel, main)
    assert carried_out == [False, True]


@pytest.mark.parametrize("end", ["written", "cancelled", "terminated"])
def test_a_pipe_end_that_is_read_is_closed_when_the_read_is_over(kernel, end):
    def main(k, me):
        r, w = k.create_pipe(me, 16)

        def reads(thread):
            try:
                yield from k.read_file(thread, r, 1)
            except Win32Error:
                yield from k.exit_thread(thread)

        reader = yield from k.create_thread(me, reads)

        def later(thread):
            yield from k.sleep(thread, 100)
            if end == "written":
                yield from k.write_file(thread, w, 1)
            elif end == "cancelled":
                yield from k.cancel_synchronous_io(thread, reader)
            else:
                yield from k.terminate_thread(thread, reader)

        yield from k.create_thread(me, later)
        yield from k.sleep(me, 10)
        yield from k.close_pipe_end(me, r)
        assert k.engine.now == 100
        yield from refused(6, k.close_pipe_end(me, r))

    run(kernel, main)


def test_calls_on_threads_take_their_time():
    k = bare_kernel()

    def main(k, me):
        handle = yield from k.create_thread(me, sleeper(k))
        began = k.engine.now
        yield from k.suspend_thread(me, handle)
        yield from k.get_thread_context(me, handle)
        yield from k.terminate_thread(me, handle)
        assert k.engine.now == pytest.approx(began + 3 * SLOW.call_us)

    run(k, main, SLOW)
