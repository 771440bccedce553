"""Waiting for events, mutexes, semaphores and processes."""

from __future__ import annotations

import pytest
from machine import FREE, run, start

from models.win32.errors import Win32Error
from models.win32.handles import CURRENT_THREAD
from models.win32.image import Image
from models.win32.waits import INFINITE, WAIT_ABANDONED_0, WAIT_TIMEOUT


def refused(code: int, steps):
    with pytest.raises(Win32Error) as caught:
        yield from steps
    assert caught.value.code == code


def waiter(k, log, handles, wait_all=False, ms=INFINITE):
    """Steps of a thread that waits once and notes (time, result)."""

    def steps(thread):
        got = yield from k.wait_for_multiple_objects(thread, handles, wait_all, ms)
        log.append((k.engine.now, got))

    return steps


# -- events -------------------------------------------------------------------------------------


def test_set_event_ends_a_wait_at_once(kernel):
    log = []

    def main(k, me):
        event = k.create_event(me, manual=True)
        yield from k.create_thread(me, waiter(k, log, [event]))
        yield from k.sleep(me, 50)
        yield from k.set_event(me, event)
        yield from k.sleep(me, 50)

    run(kernel, main)
    assert log == [(50, 0)]


def test_event_that_is_set_does_not_hold_anybody(kernel):
    def main(k, me):
        event = k.create_event(me, manual=True, is_set=True)
        assert (yield from k.wait_for_single_object(me, event)) == 0
        assert (yield from k.wait_for_single_object(me, event)) == 0
        yield from k.reset_event(me, event)
        assert (yield from k.wait_for_single_object(me, event, 0)) == WAIT_TIMEOUT

    run(kernel, main)
    assert kernel.engine.now == 0


def test_manual_event_wakes_everybody(kernel):
    log = []

    def main(k, me):
        event = k.create_event(me, manual=True)
        for _ in range(3):
            yield from k.create_thread(me, waiter(k, log, [event]))
        yield from k.sleep(me, 10)
        yield from k.set_event(me, event)
        yield from k.sleep(me, 10)
        assert k.object(me, event).is_set

    run(kernel, main)
    assert log == [(10, 0)] * 3


def test_auto_event_wakes_exactly_one_the_one_that_waits_longest(kernel):
    log = []

    def main(k, me):
        event = k.create_event(me, manual=False)
        for i in range(3):
            yield from k.create_thread(me, waiter(k, log, [event], ms=100 + i))
            yield from k.sleep(me, 1)
        yield from k.set_event(me, event)
        assert not k.object(me, event).is_set
        yield from k.sleep(me, 1_000_000)

    run(kernel, main)
    assert log == [(3, 0), (101_001, WAIT_TIMEOUT), (102_002, WAIT_TIMEOUT)]


def test_auto_event_set_twice_without_a_wait_is_set_once(kernel):
    def main(k, me):
        event = k.create_event(me, manual=False)
        yield from k.set_event(me, event)
        yield from k.set_event(me, event)
        assert (yield from k.wait_for_single_object(me, event, 0)) == 0
        assert (yield from k.wait_for_single_object(me, event, 0)) == WAIT_TIMEOUT

    run(kernel, main)


def test_the_wake_up_takes_its_time(kernel):
    log = []

    def main(k, me):
        event = k.create_event(me, manual=True)
        yield from k.create_thread(me, waiter(k, log, [event]))
        yield from k.sleep(me, 50)
        yield from k.set_event(me, event)
        yield from k.wait_for_single_object(me, CURRENT_THREAD, 1)

    run(kernel, main, costs=FREE._replace(wake_us=7))
    assert log == [(64, 0)]  # 7 us behind the sleeper's own wake-up, which was 7 us late


# -- several objects ----------------------------------------------------------------------------


def test_lowest_index_wins_if_several_are_signalled(kernel):
    def main(k, me):
        a, b, c = (k.create_event(me, manual=False, is_set=s) for s in (False, True, True))
        assert (yield from k.wait_for_multiple_objects(me, [a, b, c])) == 1
        assert (yield from k.wait_for_multiple_objects(me, [a, b, c])) == 2
        assert (yield from k.wait_for_multiple_objects(me, [a, b, c], ms=0)) == WAIT_TIMEOUT

    run(kernel, main)


def test_any_wait_takes_only_the_object_that_woke_it(kernel):
    log = []

    def main(k, me):
        a, b = k.create_event(me, manual=False), k.create_event(me, manual=False)
        yield from k.create_thread(me, waiter(k, log, [a, b]))
        yield from k.sleep(me, 5)
        yield from k.set_event(me, b)
        yield from k.set_event(me, a)
        yield from k.sleep(me, 5)
        assert k.object(me, a).is_set
        assert not k.object(me, b).is_set

    run(kernel, main)
    assert log == [(5, 1)]


def test_all_wait_takes_nothing_before_it_can_take_everything(kernel):
    log = []

    def main(k, me):
        a, b = k.create_event(me, manual=False), k.create_event(me, manual=False)
        yield from k.create_thread(me, waiter(k, log, [a, b], wait_all=True))
        yield from k.sleep(me, 5)
        yield from k.set_event(me, a)
        yield from k.sleep(me, 5)
        assert k.object(me, a).is_set
        assert (yield from k.wait_for_single_object(me, a, 0)) == 0  # somebody else takes it
        yield from k.set_event(me, b)
        yield from k.sleep(me, 5)
        assert log == []
        yield from k.set_event(me, a)
        yield from k.sleep(me, 5)
        assert not k.object(me, a).is_set
        assert not k.object(me, b).is_set

    run(kernel, main)
    assert log == [(15, 0)]


def test_all_wait_does_not_stand_in_the_way_of_another_wait(kernel):
    log, other = [], []

    def main(k, me):
        a, b = k.create_event(me, manual=False), k.create_event(me, manual=False)
        yield from k.create_thread(me, waiter(k, log, [a, b], wait_all=True))
        yield from k.sleep(me, 1)
        yield from k.create_thread(me, waiter(k, other, [a]))
        yield from k.sleep(me, 1)
        yield from k.set_event(me, a)
        yield from k.sleep(me, 1)
        yield from k.exit_process(me, 0)

    run(kernel, main)
    assert (log, other) == ([], [(2, 0)])


@pytest.mark.parametrize("count", [0, 65])
def test_none_or_more_than_64_handles_is_87(kernel, count):
    def main(k, me):
        event = k.create_event(me, manual=True)
        with pytest.raises(Win32Error) as caught:
            yield from k.wait_for_multiple_objects(me, [event] * count)
        assert caught.value.code == 87

    run(kernel, main)


def test_64_handles_are_allowed(kernel):
    def main(k, me):
        events = [k.create_event(me, manual=True, is_set=i == 63) for i in range(64)]
        assert (yield from k.wait_for_multiple_objects(me, events)) == 63

    run(kernel, main)


def test_one_object_twice_is_87_only_if_all_are_wanted(kernel):
    def main(k, me):
        event = k.create_event(me, manual=True, is_set=True)
        assert (yield from k.wait_for_multiple_objects(me, [event, event])) == 0
        yield from refused(87, k.wait_for_multiple_objects(me, [event, event], True))

    run(kernel, main)


@pytest.mark.parametrize("kind", ["section", "pipe", "closed"])
def test_what_cannot_be_waited_for_is_6(kernel, kind):
    def main(k, me):
        if kind == "section":
            handle, _ = k.create_file_mapping(me, 4096)
        elif kind == "pipe":
            handle, _ = k.create_pipe(me, 512)
        else:
            handle = k.create_event(me, manual=True)
            k.close_handle(me, handle)
        yield from refused(6, k.wait_for_single_object(me, handle))

    run(kernel, main)


# -- limits -------------------------------------------------------------------------------------


def test_limit_is_in_milliseconds(kernel):
    def main(k, me):
        event = k.create_event(me, manual=True)
        assert (yield from k.wait_for_single_object(me, event, 300_000)) == WAIT_TIMEOUT

    run(kernel, main)
    assert kernel.engine.now == 300_000_000


def test_run_ends_when_its_last_thread_does_not_with_the_limits_it_had(kernel):
    def main(k, me):
        for _ in range(20):
            event = k.create_event(me, manual=False)

            def setter(thread, event=event):
                yield from k.sleep(thread, 10)
                yield from k.set_event(thread, event)

            yield from k.create_thread(me, setter)
            assert (yield from k.wait_for_single_object(me, event, 300_000)) == 0

    run(kernel, main)
    assert kernel.engine.now == 200


def test_a_wait_that_timed_out_is_not_woken_later(kernel):
    log = []

    def main(k, me):
        event = k.create_event(me, manual=False)
        yield from k.create_thread(me, waiter(k, log, [event], ms=1))
        yield from k.sleep(me, 5000)
        yield from k.set_event(me, event)
        assert k.object(me, event).is_set
        assert k.object(me, event).waiters == []

    run(kernel, main)
    assert log == [(1000, WAIT_TIMEOUT)]


# -- mutexes and semaphores ---------------------------------------------------------------------


def test_mutex_is_recursive_and_freed_by_as_many_releases(kernel):
    log = []

    def main(k, me):
        mutex = k.create_mutex(me, owned=True)
        assert (yield from k.wait_for_single_object(me, mutex)) == 0
        yield from k.create_thread(me, waiter(k, log, [mutex]))
        yield from k.sleep(me, 1)
        yield from k.release_mutex(me, mutex)
        yield from k.sleep(me, 1)
        assert log == []
        yield from k.release_mutex(me, mutex)
        yield from k.sleep(me, 1)
        yield from refused(288, k.release_mutex(me, mutex))

    run(kernel, main)
    assert log == [(2, 0)]


def test_mutex_of_a_thread_that_ended_is_abandoned_once(kernel):
    def main(k, me):
        mutex = k.create_mutex(me)

        def taker(thread):
            yield from k.wait_for_single_object(thread, mutex)

        yield from k.create_thread(me, taker)
        yield from k.sleep(me, 1)
        other = k.create_event(me, manual=True)
        got = yield from k.wait_for_multiple_objects(me, [other, mutex])
        assert got == WAIT_ABANDONED_0 + 1
        yield from k.release_mutex(me, mutex)
        assert (yield from k.wait_for_single_object(me, mutex)) == 0

    run(kernel, main)


def test_abandoned_mutex_wakes_a_thread_that_waits_already(kernel):
    log = []

    def main(k, me):
        mutex = k.create_mutex(me)

        def taker(thread):
            yield from k.wait_for_single_object(thread, mutex)
            yield from k.sleep(thread, 30)

        yield from k.create_thread(me, taker)
        yield from k.create_thread(me, waiter(k, log, [mutex]))
        yield from k.sleep(me, 100)

    run(kernel, main)
    assert log == [(30, WAIT_ABANDONED_0)]


def test_mutex_of_a_killed_process_is_abandoned(kernel):
    def taker(k, me):
        mutex = k.create_mutex(me, owned=True, name="title")
        yield from k.wait_for_single_object(me, mutex)
        yield from k.sleep(me, None)

    def main(k, me):
        h, _, _ = yield from k.create_process(me, Image("taker", (), taker))
        yield from k.sleep(me, 5)
        mutex = k.create_mutex(me, name="title")
        assert (yield from k.wait_for_single_object(me, mutex, 0)) == WAIT_TIMEOUT
        yield from k.terminate_process(me, h, 1)
        assert (yield from k.wait_for_single_object(me, mutex)) == WAIT_ABANDONED_0

    run(kernel, main)


def test_semaphore_lets_as_many_through_as_its_count(kernel):
    log = []

    def main(k, me):
        semaphore = k.create_semaphore(me, 1, 3)
        for _ in range(4):
            yield from k.create_thread(me, waiter(k, log, [semaphore], ms=1))
        yield from k.sleep(me, 10)
        assert (yield from k.release_semaphore(me, semaphore, 2)) == 0
        yield from k.sleep(me, 10_000)
        yield from refused(298, k.release_semaphore(me, semaphore, 4))

    run(kernel, main)
    assert log == [(0, 0), (10, 0), (10, 0), (1000, WAIT_TIMEOUT)]


@pytest.mark.parametrize("count, maximum", [(-1, 1), (2, 1), (0, 0)])
def test_impossible_semaphore_is_87(kernel, count, maximum):
    def main(k, me):
        with pytest.raises(Win32Error) as caught:
            k.create_semaphore(me, count, maximum)
        assert caught.value.code == 87
        yield from k.work(me, 0)

    run(kernel, main)


# -- processes and threads as wait objects ------------------------------------------------------


def test_process_handle_is_signalled_at_the_end_and_stays_so(kernel):
    def child(k, me):
        yield from k.sleep(me, 40)
        return 3

    def main(k, me):
        h, t, _ = yield from k.create_process(me, Image("child", (), child))
        assert (yield from k.wait_for_single_object(me, h)) == 0
        assert k.engine.now == 40
        assert (yield from k.wait_for_single_object(me, h, 0)) == 0
        assert (yield from k.wait_for_single_object(me, t, 0)) == 0
        assert k.get_exit_code_process(me, h) == 3

    run(kernel, main)


def test_thread_handle_is_signalled_when_the_thread_ends(kernel):
    def main(k, me):
        def steps(thread):
            yield from k.sleep(thread, 12)

        t = yield from k.create_thread(me, steps)
        assert (yield from k.wait_for_single_object(me, t)) == 0
        assert k.engine.now == 12

    run(kernel, main)


# -- suspended waiters --------------------------------------------------------------------------


def test_suspended_waiter_goes_on_only_when_it_is_resumed(kernel):
    log = []

    def main(k, me):
        event = k.create_event(me, manual=False)
        t = yield from k.create_thread(me, waiter(k, log, [event]))
        yield from k.sleep(me, 1)
        assert (yield from k.suspend_thread(me, t)) == 0
        yield from k.set_event(me, event)
        assert not k.object(me, event).is_set  # the wait has taken it
        yield from k.sleep(me, 100)
        assert log == []
        assert (yield from k.resume_thread(me, t)) == 1
        yield from k.sleep(me, 1)

    run(kernel, main)
    assert log == [(101, 0)]


def test_suspended_waiter_times_out_when_it_is_resumed(kernel):
    log = []

    def main(k, me):
        event = k.create_event(me, manual=False)
        t = yield from k.create_thread(me, waiter(k, log, [event], ms=1))
        yield from k.sleep(me, 1)
        yield from k.suspend_thread(me, t)
        yield from k.sleep(me, 5000)
        yield from k.resume_thread(me, t)
        yield from k.sleep(me, 1)

    run(kernel, main)
    assert log == [(5001, WAIT_TIMEOUT)]


def test_waiter_suspended_on_its_way_goes_on_only_when_it_is_resumed(kernel):
    log = []

    def main(k, me):
        event = k.create_event(me, manual=False)
        t = yield from k.create_thread(me, waiter(k, log, [event]))
        yield from k.sleep(me, 1)
        yield from k.set_event(me, event)
        yield from k.suspend_thread(me, t)
        yield from k.sleep(me, 1000)
        assert log == []
        yield from k.resume_thread(me, t)
        yield from k.sleep(me, 100)

    run(kernel, main, costs=FREE._replace(wake_us=20.0))
    assert log == [(1061, 0)]


def test_a_killed_waiter_leaves_its_objects(kernel):
    def child(k, me):
        event = k.create_semaphore(me, 0, 5, name="shared")
        yield from k.wait_for_single_object(me, event, 300_000)

    def main(k, me):
        semaphore = k.create_semaphore(me, 0, 5, name="shared")
        h, _, _ = yield from k.create_process(me, Image("child", (), child))
        yield from k.sleep(me, 10)
        assert len(k.object(me, semaphore).waiters) == 1
        yield from k.terminate_process(me, h, 1)
        assert k.object(me, semaphore).waiters == []
        yield from k.release_semaphore(me, semaphore)
        assert k.object(me, semaphore).count == 1

    run(kernel, main)
    assert kernel.engine.now == 10


# -- sleep --------------------------------------------------------------------------------------


def test_sleep_lasts_its_time_and_for_ever(kernel):
    def main(k, me):
        yield from k.sleep(me, 33)
        assert k.engine.now == 33
        yield from k.sleep(me, None)

    process = start(kernel, main)
    kernel.engine.run()
    assert kernel.engine.now == 33
    assert process.alive


def test_polling_wait_has_no_events_of_its_own(kernel):
    log = []

    def main(k, me):
        event = k.create_event(me, manual=False)

        def poller(thread):
            log.append((yield from k.wait_polling(thread, [event], 1000)))

        yield from k.create_thread(me, poller)
        yield from k.sleep(me, 10e6)
        yield from k.set_event(me, event)
        yield from k.sleep(me, 1)

    run(kernel, main)
    assert log == [0]
    assert [r.args["ms"] for r in kernel.trace.rows() if r.name.startswith("WaitFor")] == [
        1000,
        1000,
    ]
