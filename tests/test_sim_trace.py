"""Rows of calls and flat records of a run."""

from __future__ import annotations

from sim.trace import Row, Trace


def row(t_us: float, pid: int = 1, tid: int = 11, name: str = "SetEvent") -> Row:
    return Row(t_us, pid, tid, name, "", {})


def test_calls_are_not_kept_unless_asked_for():
    trace = Trace()
    assert trace.calls is None
    assert trace.rows() == []


def test_records_are_always_kept():
    trace = Trace()
    trace.records.append("creation")
    assert trace.records == ["creation"]


def test_two_traces_share_nothing():
    first, second = Trace(calls=True), Trace(calls=True)
    first.calls.append(row(1))
    first.records.append(1)
    assert second.calls == []
    assert second.records == []


def test_rows_come_by_time_whatever_the_order_they_were_written_in():
    trace = Trace(calls=True)
    trace.calls += [row(3), row(1), row(2)]
    assert [r.t_us for r in trace.rows()] == [1, 2, 3]


def test_rows_of_one_instant_keep_their_order():
    trace = Trace(calls=True)
    trace.calls += [row(1, name=name) for name in "abc"]
    assert [r.name for r in trace.rows()] == ["a", "b", "c"]


def test_rows_of_one_process_or_thread():
    trace = Trace(calls=True)
    trace.calls += [row(1, 1, 11), row(2, 1, 12), row(3, 2, 21)]
    assert [r.t_us for r in trace.rows(pid=1)] == [1, 2]
    assert [r.t_us for r in trace.rows(tid=12)] == [2]
    assert trace.rows(pid=2, tid=12) == []
