"""The engine against SimPy's own environment, and what it adds: deadlines and taken-back events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from sim.engine import Engine

LIMIT_US = 300e6  # of a fork's wait

Log = list[tuple[float, Any]]


@pytest.fixture
def engine() -> Engine:
    return Engine()


def note(log: Log, engine: Engine, what: Any) -> Callable[[], None]:
    return lambda: log.append((engine.now, what))


def at(engine: Engine, us: float, action: Callable[[], Any]) -> None:
    """Let `action` be called `us` from now, by an event of its own."""
    event = simpy.Event(engine)
    event.callbacks.append(lambda _: action())
    engine.trigger(event, us)


# -- the same as SimPy --------------------------------------------------------------------------


@st.composite
def programs(draw) -> list[list[int]]:
    """For each process the delays of its time-outs; small ones, so that many are equal."""
    return draw(st.lists(st.lists(st.integers(0, 4), max_size=5), min_size=1, max_size=5))


def log_of(environment: simpy.Environment, delays: list[list[int]], until: float | None) -> Log:
    log: Log = []

    def steps(number: int):
        for i, delay in enumerate(delays[number]):
            yield environment.timeout(delay)
            log.append((environment.now, (number, i)))

    for number in range(len(delays)):
        environment.process(steps(number))
    environment.run(until)
    log.append((environment.now, "end"))
    return log


@given(programs(), st.none() | st.integers(1, 12))
def test_order_and_times_are_simpy_s(delays, until):
    assert log_of(Engine(), delays, until) == log_of(simpy.Environment(), delays, until)


def test_run_until_a_time_stops_before_the_events_of_that_time(engine):
    log: Log = []
    at(engine, 5, note(log, engine, "five"))
    engine.run(5)
    assert engine.now == 5
    assert log == []
    engine.run()
    assert log == [(5, "five")]


def test_run_until_a_time_moves_the_clock_even_if_nothing_happens(engine):
    assert engine.run(7.5) is None
    assert engine.now == 7.5


@pytest.mark.parametrize("until", [3, 2.0, 0])
def test_run_until_a_time_that_is_over_is_refused(engine, until):
    engine.run(3)
    with pytest.raises(ValueError, match=r"until \(.*\) must be greater than the current time"):
        engine.run(until)


def test_run_until_an_event_gives_its_value(engine):
    def steps():
        yield engine.timeout(4)
        return "done"

    process = engine.process(steps())
    at(engine, 9, lambda: pytest.fail("the run went on"))
    assert engine.run(process) == "done"
    assert engine.now == 4
    assert engine.run(process) == "done"  # again, after it has been processed


def test_run_until_an_event_that_cannot_come_says_so(engine):
    never = simpy.Event(engine)
    with pytest.raises(RuntimeError, match="No scheduled events left"):
        engine.run(never)


def test_error_of_a_process_nobody_waits_for_ends_the_run(engine):
    class Odd(Exception):
        pass

    def steps():
        yield engine.timeout(1)
        raise Odd("one", 2)

    engine.process(steps())
    with pytest.raises(Odd) as caught:
        engine.run()
    assert caught.value.args == ("one", 2)
    assert engine.now == 1


def test_error_that_a_waiting_process_handles_does_not_end_the_run(engine):
    seen = []

    def failing():
        yield engine.timeout(1)
        raise KeyError("lost")

    def waiting(other):
        try:
            yield other
        except KeyError as error:
            seen.append(error.args)
        yield engine.timeout(1)

    engine.process(waiting(engine.process(failing())))
    engine.run()
    assert seen == [("lost",)]
    assert engine.now == 2


def test_end_that_nobody_waits_for_takes_no_event_and_can_be_waited_for_later(engine):
    def ends():
        yield engine.timeout(5)
        return "over"

    ended = engine.process(ends())
    engine.step()  # it begins
    engine.step()  # its time-out
    assert ended.processed
    assert engine.peek() == float("inf")

    def asks():
        yield engine.timeout(1)
        return (yield ended)

    assert engine.run(until=engine.process(asks())) == "over"
    assert engine.now == 6
    assert engine.run(until=ended) == "over"


def test_end_that_somebody_waits_for_is_an_event(engine):
    log: Log = []

    def ends():
        yield engine.timeout(5)

    ended = engine.process(ends())
    ended.callbacks.append(lambda event: log.append((engine.now, "seen")))
    at(engine, 5, note(log, engine, "same time, asked before"))
    engine.run()
    assert [what for _, what in log] == ["same time, asked before", "seen"]
    assert {time for time, _ in log} == {5}


def test_failed_event_with_a_defused_error_is_dropped(engine):
    event = simpy.Event(engine)
    event.fail(ValueError("defused"))
    event.defused = True
    engine.run()


def test_interrupt_works(engine):
    log: Log = []

    def sleeper():
        try:
            yield engine.timeout(100)
        except simpy.Interrupt as interrupt:
            log.append((engine.now, interrupt.cause))

    process = engine.process(sleeper())
    at(engine, 3, lambda: process.interrupt("up"))
    engine.run(50)
    assert log == [(3, "up")]


def test_step_takes_one_event_at_a_time(engine):
    log: Log = []
    for us in (1, 2):
        at(engine, us, note(log, engine, us))
    engine.step()
    assert log == [(1, 1)]
    engine.step()
    with pytest.raises(simpy.core.EmptySchedule):
        engine.step()


# -- deadlines ----------------------------------------------------------------------------------


def test_deadline_expires_at_its_time(engine):
    log: Log = []
    engine.deadline(25, note(log, engine, "late"))
    engine.run()
    assert log == [(25, "late")]


def test_deadline_of_zero_expires_now_but_not_at_once(engine):
    log: Log = []
    engine.deadline(0, note(log, engine, "now"))
    assert log == []
    engine.run()
    assert log == [(0, "now")]


def test_negative_limit_is_refused(engine):
    with pytest.raises(ValueError, match=r"limit_us \(-1\) must not be negative"):
        engine.deadline(-1, lambda: None)


def test_equal_limits_expire_in_the_order_in_which_they_were_set(engine):
    log: Log = []
    for i in range(3):
        at(engine, 10 * i, lambda i=i: engine.deadline(100, note(log, engine, i)))
    for i in range(3, 5):
        at(engine, 20, lambda i=i: engine.deadline(100, note(log, engine, i)))
    engine.run()
    assert log == [(100, 0), (110, 1), (120, 2), (120, 3), (120, 4)]


def test_different_limits_expire_by_time(engine):
    log: Log = []
    for us in (70, 10, 40):
        engine.deadline(us, note(log, engine, us))
    engine.run()
    assert log == [(10, 10), (40, 40), (70, 70)]


def test_cancelled_deadline_does_not_expire(engine):
    first = engine.deadline(10, lambda: pytest.fail("expired"))
    log: Log = []
    engine.deadline(10, note(log, engine, "second"))
    first.cancel()
    engine.run()
    assert log == [(10, "second")]


def test_run_ends_at_its_last_real_event_not_at_a_cancelled_limit(engine):
    def waits():
        for _ in range(5):
            entry = engine.deadline(LIMIT_US, lambda: pytest.fail("expired"))
            yield engine.timeout(7)
            entry.cancel()

    engine.process(waits())
    engine.run()
    assert engine.now == 35


def test_limit_that_is_not_cancelled_keeps_the_run_alive(engine):
    log: Log = []
    engine.deadline(LIMIT_US, lambda: None).cancel()
    engine.deadline(LIMIT_US, note(log, engine, "timed out"))
    engine.run()
    assert log == [(LIMIT_US, "timed out")]


def test_limit_can_be_used_again_after_all_of_its_deadlines_were_cancelled(engine):
    log: Log = []
    engine.deadline(50, lambda: pytest.fail("expired")).cancel()
    at(engine, 20, lambda: engine.deadline(50, note(log, engine, "second")))
    engine.run()
    assert log == [(70, "second")]
    engine.deadline(50, note(log, engine, "third"))
    engine.run()
    assert log[1:] == [(120, "third")]


def test_deadline_may_set_the_next_one_of_its_own_limit(engine):
    log: Log = []

    def again() -> None:
        log.append((engine.now, "tick"))
        if len(log) < 4:
            engine.deadline(10, again)

    engine.deadline(10, again)
    engine.run()
    assert log == [(10.0 * i, "tick") for i in range(1, 5)]


def test_deadline_may_cancel_another_one_that_is_due(engine):
    entries = [engine.deadline(10, lambda: entries[1].cancel())]
    entries.append(engine.deadline(10, lambda: pytest.fail("expired")))
    engine.run()
    assert engine.now == 10


def test_cancelling_after_the_expiry_changes_nothing(engine):
    log: Log = []
    entry = engine.deadline(1, note(log, engine, "expired"))
    engine.run()
    entry.cancel()
    engine.run()
    assert log == [(1, "expired")]


def test_many_lost_deadlines_leave_at_most_one_entry_in_the_queue(engine):
    def waits():
        for _ in range(2000):
            entry = engine.deadline(LIMIT_US, lambda: pytest.fail("expired"))
            yield engine.timeout(1)
            entry.cancel()
            assert len(engine._queue) <= 2

    engine.process(waits())
    engine.run()
    assert engine._queue == []
    assert all(not tick.waiting for tick in engine._ticks.values())


def test_step_passes_over_lost_deadlines(engine):
    log: Log = []
    engine.deadline(1, lambda: pytest.fail("expired")).cancel()
    at(engine, 3, note(log, engine, "real"))
    engine.step()
    assert log == [(3, "real")]


def test_step_expires_deadlines(engine):
    log: Log = []
    engine.deadline(2, note(log, engine, "a"))
    engine.step()
    assert log == [(2, "a")]


def test_peek_sees_only_what_will_really_happen(engine):
    lost = engine.deadline(10, lambda: None)
    engine.deadline(40, lambda: None)
    taken_back = engine.timeout(5)
    taken_back.callbacks = None
    lost.cancel()
    assert engine.peek() == 40
    engine.run()
    assert engine.peek() == float("inf")


def test_peek_sees_the_first_living_deadline_behind_a_lost_one(engine):
    log: Log = []
    lost = engine.deadline(10, lambda: None)
    at(engine, 4, lambda: engine.deadline(10, note(log, engine, "second")))
    engine.run(5)
    lost.cancel()
    assert engine.peek() == 14
    engine.run()
    assert log == [(14, "second")]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 9),  # set at
            st.sampled_from([0, 3, 5, 50]),  # limit
            st.none() | st.integers(0, 60),  # cancelled that much later
        ),
        max_size=12,
    )
)
def test_deadlines_behave_like_timeouts_that_can_be_called_off(plan):
    engine = Engine()
    log: Log = []
    wanted = []
    last = 0.0

    def arm(i: int, limit: int, cancel: int | None) -> None:
        entry = engine.deadline(limit, note(log, engine, i))
        if cancel is not None:
            at(engine, cancel, entry.cancel)

    for i, (start, limit, cancel) in enumerate(plan):
        at(engine, start, lambda i=i, limit=limit, cancel=cancel: arm(i, limit, cancel))
        last = max(last, start if cancel is None else start + cancel)
        # At the same instant, an event that was there first is first: set before the run moves.
        if cancel is None or cancel > limit:
            wanted.append((start + limit, i))
            last = max(last, start + limit)
    engine.run()
    unsure = {i for i, (_, limit, cancel) in enumerate(plan) if cancel == limit}
    assert sorted((t, i) for t, i in log if i not in unsure) == sorted(wanted)
    assert [t for t, _ in log] == sorted(t for t, _ in log)
    assert engine.now == last


# -- events that were taken back ----------------------------------------------------------------


def test_taken_back_event_moves_no_clock(engine):
    event = engine.timeout(90)
    event.callbacks = None
    engine.timeout(3)
    engine.run()
    assert engine.now == 3


def test_trigger_gives_delay_and_value(engine):
    event = simpy.Event(engine)
    engine.trigger(event, 12.5, "value")
    assert engine.run(event) == "value"
    assert engine.now == 12.5


def test_first_time_can_be_given():
    engine = Engine(100.0)
    engine.timeout(5)
    engine.run()
    assert engine.now == 105
