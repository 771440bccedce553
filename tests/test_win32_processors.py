"""Round robin on one and two processors, against schedules by hand and a plain reference."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machine import FREE, SLOW, bare_kernel, run, start

from models.win32.image import Image
from models.win32.processors import Processors
from sim.engine import Engine

QUANTUM_US = 10.0


def machine(processors: int = 1):
    return bare_kernel(processors=processors, quantum_us=QUANTUM_US)


def worker(log, name, *bursts, pauses=()):
    """A program: bursts of work, between them pauses without; notes when each burst was done."""
    pauses = deque(pauses)

    def steps(k, me):
        for us in bursts:
            yield from k.work(me, us)
            log.append((name, k.engine.now))
            if pauses:
                yield from k.sleep(me, pauses.popleft())

    return steps


def schedule(processors: int, **programs):
    """When each program's bursts were done, all programs started at 0 in that order."""
    k, log = machine(processors), []
    for name, bursts in programs.items():
        start(k, worker(log, name, *bursts), name)
    k.engine.run()
    assert k.processors.busy_us == sum(sum(bursts) for bursts in programs.values())
    return log, k


# -- by hand ------------------------------------------------------------------------------------


def test_a_single_thread_runs_through():
    log, k = schedule(1, a=[35, 5])
    assert log == [("a", 35), ("a", 40)]
    assert k.engine.now == 40


def test_two_threads_take_turns_on_one_processor():
    """a 0-10, b 10-20, a 20-30, b 30-35, a 35-40."""
    log, _ = schedule(1, a=[25], b=[15])
    assert log == [("b", 35), ("a", 40)]


def test_three_threads_take_turns():
    """a 0-10, b 10-14, c 14-24, a 24-32, c 32-35."""
    log, _ = schedule(1, a=[18], b=[4], c=[13])
    assert log == [("b", 14), ("a", 32), ("c", 35)]


def test_two_processors_run_two_threads_at_once():
    log, k = schedule(2, a=[30], b=[25])
    assert log == [("b", 25), ("a", 30)]
    assert k.engine.now == 30


def test_three_threads_on_two_processors():
    """a 0-10 (1), b 0-6 (2), c 6-16 (2); then a has processor 1 for itself, as c has 2."""
    log, _ = schedule(2, a=[20], b=[6], c=[14])
    assert log == [("b", 6), ("a", 20), ("c", 20)]


def test_four_threads_on_two_processors():
    """a, b 0-10; c, d 10-20; a 20-25, b 20-25; c 25-27; d 25-30 in their order of the queue."""
    log, _ = schedule(2, a=[15], b=[15], c=[12], d=[15])
    assert log == [("a", 25), ("b", 25), ("c", 27), ("d", 30)]


def test_a_burst_that_ends_with_its_quantum_is_not_put_off():
    log, _ = schedule(1, a=[10], b=[10])
    assert log == [("a", 10), ("b", 20)]


def test_a_quantum_lasts_over_several_bursts():
    """a 0-4, 4-8, then 2 of its third burst; b 10-15; a 15-17."""
    log, _ = schedule(1, a=[4, 4, 4], b=[5])
    assert log == [("a", 4), ("a", 8), ("b", 15), ("a", 17)]


def test_nobody_is_preempted_while_nobody_is_ready():
    k, log = machine(), []
    start(k, worker(log, "a", 100))
    start(k, worker(log, "late", 1, 10, pauses=[50]))
    k.engine.run()
    # late: 10-11, then from 61 on; a has had its quantum since, so late runs at once.
    assert log == [("late", 11), ("late", 71), ("a", 111)]


def test_waiting_uses_no_processor():
    k, log = machine(), []
    start(k, worker(log, "a", 5, 5, pauses=[100]))
    start(k, worker(log, "b", 30))
    k.engine.run()
    assert log == [("a", 5), ("b", 35), ("a", 110)]
    assert k.processors.busy_us == 40


def test_a_thread_that_waits_gives_its_processor_up():
    k, log = machine(), []

    def main(k, me):
        event = k.create_event(me, manual=True)
        yield from k.create_thread(me, lambda t: setter(t, event))
        yield from k.wait_for_single_object(me, event)
        log.append(k.engine.now)

    def setter(thread, event):
        yield from k.work(thread, 15)
        yield from k.set_event(thread, event)

    run(k, main)
    assert log == [15]


def test_after_a_wait_the_quantum_begins_anew():
    k, log = machine(), []
    start(k, worker(log, "a", 8, 8, pauses=[0]))
    start(k, worker(log, "b", 20))
    k.engine.run()
    # a 0-8, b 8-18, a 18-26, b 26-36
    assert log == [("a", 8), ("a", 26), ("b", 36)]


@pytest.mark.parametrize(
    "count, quantum", [(0, 1.0), (-1, 1.0), (1, 0.0), (1, -5.0), (1, float("nan"))]
)
def test_impossible_machines_are_refused(count, quantum):
    with pytest.raises(ValueError, match="must be"):
        Processors(Engine(), count, quantum)


# -- calls are work -----------------------------------------------------------------------------


def test_calls_are_paid_at_the_next_call_that_others_can_notice():
    costs = FREE._replace(handle_us=4.0, call_us=1.0)
    k, seen = machine(), []

    def main(k, me):
        event = k.create_event(me, manual=True)
        k.create_event(me, manual=True)
        seen.append((k.engine.now, me.debt_us))
        yield from k.set_event(me, event)
        seen.append((k.engine.now, me.debt_us))

    run(k, main, costs=costs)
    assert seen == [(0, 8.0), (9, 0.0)]
    assert k.processors.busy_us == 9


def test_rows_carry_the_time_at_which_the_call_was_done():
    k = machine()

    def main(k, me):
        for _ in range(3):
            k.create_event(me, manual=True)
        yield from k.work(me, 0)

    run(k, main, costs=FREE._replace(handle_us=4.0))
    assert [r.t_us for r in k.trace.rows() if r.name == "CreateEvent"] == [4, 8, 12]


def test_two_threads_share_the_time_of_their_calls():
    """Both call for 3 us five times; on one processor the second ends at 30, on two at 15."""
    for processors, end in ((1, 30), (2, 15)):
        k = machine(processors)

        def main(k, me):
            event = k.create_event(me, manual=True)
            for _ in range(5):
                yield from k.set_event(me, event)

        for name in "ab":
            start(k, main, name, FREE._replace(call_us=3.0))
        k.engine.run()
        assert k.engine.now == end


# -- suspension and ends ------------------------------------------------------------------------


def suspended_in_the_middle(processors: int):
    """A child works 50 us; 20 us after its start it is suspended for 100 us."""
    k, log = machine(processors), []

    def main(k, me):
        image = Image("child", (), worker(log, "child", 50))
        _, t, _ = yield from k.create_process(me, image)
        yield from k.sleep(me, 20)
        yield from k.suspend_thread(me, t)
        busy = k.processors.busy_us
        yield from k.sleep(me, 100)
        assert k.processors.busy_us == busy
        yield from k.resume_thread(me, t)
        yield from k.sleep(me, 1000)

    run(k, main)
    return k, log


@pytest.mark.parametrize("processors", [1, 2])
def test_suspension_in_the_middle_of_a_burst_stops_it_for_that_long(processors):
    k, log = suspended_in_the_middle(processors)
    assert log == [("child", 150)]
    assert k.processors.busy_us == 50


def test_suspension_in_the_queue_takes_the_thread_out_of_it():
    k, log = machine(), []

    def main(k, me):
        image = Image("child", (), worker(log, "child", 5))
        _, t, _ = yield from k.create_process(me, image, flags=4)
        yield from k.resume_thread(me, t)
        yield from k.suspend_thread(me, t)
        yield from k.work(me, 40)
        log.append(("main", k.engine.now))
        yield from k.resume_thread(me, t)
        yield from k.sleep(me, 100)

    run(k, main)
    assert log == [("main", 40), ("child", 45)]


def test_a_thread_that_suspends_itself_gives_its_processor_up():
    k, log = machine(), []

    def main(k, me):
        def sleeper(thread):
            own = next(h for h in me.process.handles.handles() if k.object(me, h) is thread)
            yield from k.work(thread, 1)
            yield from k.suspend_thread(thread, own)
            yield from k.work(thread, 5)
            log.append(("thread", k.engine.now))

        t = yield from k.create_thread(me, sleeper)
        yield from k.sleep(me, 20)
        yield from k.work(me, 30)
        log.append(("main", k.engine.now))
        yield from k.resume_thread(me, t)
        yield from k.wait_for_single_object(me, t)

    run(k, main)
    assert log == [("main", 50), ("thread", 55)]


def test_a_killed_process_uses_no_processor_from_then_on():
    k, log = machine(), []

    def main(k, me):
        image = Image("child", (), worker(log, "child", 500))
        h, _, _ = yield from k.create_process(me, image)
        yield from k.sleep(me, 25)
        yield from k.terminate_process(me, h, 1)
        yield from k.work(me, 10)
        log.append(("main", k.engine.now))

    run(k, main)
    assert log == [("main", 35)]
    assert k.processors.busy_us == 35


def test_a_process_killed_in_the_queue_never_runs():
    k, log = machine(), []

    def main(k, me):
        image = Image("child", (), worker(log, "child", 500))
        h, _, _ = yield from k.create_process(me, image)
        yield from k.terminate_process(me, h, 1)
        yield from k.work(me, 10)

    run(k, main)
    assert log == []
    assert k.engine.now == 10


@pytest.mark.parametrize("how", ["killed", "suspended"])
def test_a_quantum_that_nobody_needs_any_more_does_not_prolong_the_run(how):
    """a and b work on one processor, so a's quantum is limited; then both are gone."""
    k = bare_kernel(processors=2, quantum_us=1000.0)
    log = []

    def main(k, me):
        yield from k.sleep(me, 0)
        handles = []
        for name in "abc":
            image = Image(name, (), worker(log, name, 5000))
            handles.append((yield from k.create_process(me, image))[:2])
        yield from k.sleep(me, 10)
        for h, t in handles:
            yield from k.suspend_thread(me, t)
            if how == "killed":
                yield from k.terminate_process(me, h, 1)

    start(k, main)
    k.engine.run()
    assert k.engine.now < 20


# -- against a reference ------------------------------------------------------------------------


def reference(processors: int, quantum: int, programs: list[list[tuple[int, int]]]):
    """Round robin in steps of 1 us, written without events: when each burst is done.

    A program is a list of (work, pause). A thread keeps its processor over bursts without a
    pause between; after a pause or a preemption it queues, and gets a new quantum.
    """
    n = len(programs)
    at = [0] * n
    left = [p[0][0] if p else 0 for p in programs]
    ready = deque(i for i in range(n) if programs[i])
    running: list[int] = []
    slice_left = [0] * n
    wakes: list[tuple[int, int]] = []
    done = []
    now = 0
    while ready or running or wakes:
        for wake in sorted(wakes):
            if wake[0] == now:
                ready.append(wake[1])
                wakes.remove(wake)
        for i in [i for i in running if slice_left[i] == 0]:
            if ready:
                running.remove(i)
                ready.append(i)
                i = ready.popleft()
                running.append(i)
                slice_left[i] = quantum
        while ready and len(running) < processors:
            i = ready.popleft()
            running.append(i)
            slice_left[i] = quantum
        now += 1
        for i in running[:]:
            left[i] -= 1
            slice_left[i] = max(0, slice_left[i] - 1)
            if left[i] == 0:
                done.append((i, now))
                pause = programs[i][at[i]][1]
                at[i] += 1
                if at[i] < len(programs[i]):
                    left[i] = programs[i][at[i]][0]
                    if pause:
                        wakes.append((now + pause, i))
                        running.remove(i)
                else:
                    running.remove(i)
    return done


loads = st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=3), min_size=1, max_size=4)


@given(loads)
def test_threads_on_one_processor_run_as_in_the_reference(programs):
    log, _ = schedule(1, **{str(i): bursts for i, bursts in enumerate(programs)})
    wanted = reference(1, int(QUANTUM_US), [[(us, 0) for us in p] for p in programs])
    assert log == [(str(i), t) for i, t in wanted]


@given(st.integers(2, 3), loads)
def test_no_processor_is_idle_while_a_thread_is_ready(processors, programs):
    """Then a schedule is at most by the longest program longer than work divided by processors."""
    _, k = schedule(processors, **{str(i): bursts for i, bursts in enumerate(programs)})
    total, longest = sum(map(sum, programs)), max(map(sum, programs))
    assert k.engine.now <= total / processors + longest * (processors - 1) / processors + 1e-9


@given(
    st.integers(1, 3),
    st.lists(
        st.lists(st.tuples(st.integers(1, 40), st.integers(0, 60)), min_size=1, max_size=4),
        min_size=1,
        max_size=5,
    ),
)
def test_processor_time_is_conserved_and_never_more_than_there_is(processors, programs):
    k, log = machine(processors), []
    for i, program in enumerate(programs):
        start(k, worker(log, i, *[w for w, _ in program], pauses=[p for _, p in program[:-1]]))
    k.engine.run()
    total = sum(w for program in programs for w, _ in program)
    assert k.processors.busy_us == pytest.approx(total)
    assert k.engine.now * processors >= total - 1e-6
    assert k.engine.now <= total + sum(p for program in programs for _, p in program[:-1]) + 1e-6
    for i, program in enumerate(programs):
        ends = [t for name, t in log if name == i]
        assert len(ends) == len(program)
        assert ends == sorted(ends)
    assert k.processors._running == []
    assert not k.processors._ready
    assert k.processors._free == processors


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 30), st.booleans()), max_size=14))
def test_suspending_and_resuming_loses_no_work(script):
    k, log = machine(2), []

    def main(k, me):
        threads = []
        for i in range(4):
            image = Image(str(i), (), worker(log, i, 50))
            _, t, _ = yield from k.create_process(me, image)
            threads.append(t)
        for who, us, on in script:
            yield from k.sleep(me, us)
            thread = k.object(me, threads[who])
            if not thread.ended:
                yield from (k.suspend_thread if on else k.resume_thread)(me, threads[who])
        for t in threads:
            while k.object(me, t).suspend_count:
                yield from k.resume_thread(me, t)

    run(k, main)
    assert sorted(name for name, _ in log) == [0, 1, 2, 3]
    assert k.processors.busy_us == pytest.approx(200)


def test_the_fast_way_through_a_burst_changes_nothing():
    """The same programs with and without somebody else's event in the way."""
    logs = []
    for ticks in (0, 400):
        k, log = machine(2), []

        def ticker(k, me, ticks=ticks):
            for _ in range(ticks):
                yield from k.sleep(me, 1)

        start(k, worker(log, "a", 12, 30, 7, pauses=[9, 40]))
        start(k, worker(log, "b", 25, 2, pauses=[33]))
        start(k, ticker)
        k.engine.run()
        logs.append(log)
    assert logs[0] == logs[1]


def test_slow_calls_and_free_calls_do_the_same_things():
    for costs in (FREE, SLOW):
        k, log = machine(1), []
        start(k, worker(log, "a", 30, 30, pauses=[5]), costs=costs)
        start(k, worker(log, "b", 30), costs=costs)
        k.engine.run()
        assert k.processors.busy_us == 90 + 2 * costs.loader_us
        assert len(log) == 3
