"""Columns, sequences made on demand, and results that are read from the journal."""

from __future__ import annotations

import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenarios.spec import Measured, Outcome, Replicated
from scenarios.tasks import Tasks
from sim.columns import Column
from sim.finished import Finished
from sim.journal import Journal
from sim.mapped import Mapped

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-3, 3),
    st.floats(),
    st.sampled_from([0.0, -0.0, 1.0, 1.5]),
    st.sampled_from(["finished", "blocked", ""]),
)


def exact(values):
    return [(type(value), repr(value)) for value in values]


@given(st.lists(VALUES) | st.lists(st.sampled_from([None, 0.0, -0.0, 2.5])))
def test_a_column_gives_back_what_was_put_in(values):
    column = Column()
    for value in values:
        column.append(value)
    assert len(column) == len(values)
    assert exact(column) == exact(values)
    assert exact(column[at] for at in range(len(values))) == exact(values)
    with pytest.raises(IndexError):
        column[len(values)]


def test_a_column_of_one_value_or_of_floats_is_small():
    alike, floats = Column(), Column()
    for number in range(10_000):
        alike.append(12345)
        floats.append(number / 7)
    assert alike._many is None
    assert floats._many.itemsize == 8


def test_a_mapped_sequence_makes_an_item_when_it_is_asked_for():
    asked = []
    squares = Mapped(lambda n: asked.append(n) or n * n, range(10))
    assert len(squares) == 10
    assert asked == []
    assert list(squares[2:8:3]) == [4, 25]
    assert asked == [2, 5]


def test_replications_are_the_same_gathered_or_read_one_by_one():
    outcomes = [
        Outcome([Measured("n=1", "took", "us", took, 0), Measured("n=1", "what", "", "x", 0, "nt")],
                [], {"seen": number})
        for number, took in enumerate([1.5, None, 2.5])
    ]  # fmt: skip
    found = Replicated(Mapped(outcomes.__getitem__, range(3)))
    assert found.values("n=1", "took") == [1.5, None, 2.5]
    assert found.values("n=1", "what", "nt") == ["x"] * 3
    assert list(found.drawn("seen")) == [0, 1, 2]
    with pytest.raises(KeyError, match="what at n=1"):
        found.values("n=1", "what")
    uneven = Replicated([outcomes[0], Outcome([], [])])
    with pytest.raises(KeyError, match="took at n=1"):
        uneven.values("n=1", "took")


def outcome(number):
    return Outcome([Measured("n=1", "number", "1", number, 0)], [])


@pytest.mark.parametrize("jobs", [1, 2])
def test_no_more_than_one_result_is_in_memory(jobs):
    with Tasks(outcome, range(20), [f"n {n}" for n in range(20)], jobs).results(None) as results:
        assert isinstance(results, Finished)
        alive = []
        for number, found in enumerate(results):
            assert found.rows[0].value == number
            alive.append(weakref.ref(found))
        del found
        gc.collect()
        assert sum(reference() is not None for reference in alive) == 1
        assert [o.rows[0].value for o in results[15:]] == [15, 16, 17, 18, 19]


def test_a_result_that_is_not_there_is_missed():
    with Journal(None, "") as journal, pytest.raises(KeyError, match="n 0"):
        Finished(journal, ["n 0"])[0]
