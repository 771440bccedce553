"""Streams: what they depend on, and what not."""

from __future__ import annotations

import pytest

from sim.streams import Replication

FIRST = 0.46569678408402615  # of Replication(1, 0).stream("x"), recorded when the scheme was fixed


def draws(rep, name, count=5):
    return rep.stream(name).random(count).tolist()


def test_same_seed_number_and_name_give_the_same_numbers():
    assert draws(Replication(7, 3), "win32/wake") == draws(Replication(7, 3), "win32/wake")


@pytest.mark.parametrize(
    ("seed", "number", "name"), [(8, 3, "win32/wake"), (7, 4, "win32/wake"), (7, 3, "win32/wakes")]
)
def test_another_seed_number_or_name_gives_other_numbers(seed, number, name):
    assert draws(Replication(seed, number), name) != draws(Replication(7, 3), "win32/wake")


def test_a_stream_does_not_notice_the_others():
    rep = Replication(1, 0)
    draws(rep, "a", 1000)
    assert draws(rep, "b") == draws(Replication(1, 0), "b")


def test_a_stream_goes_on_where_it_stands():
    rep = Replication(1, 0)
    first, second = draws(rep, "a", 2), draws(rep, "a", 2)
    assert first + second == draws(Replication(1, 0), "a", 4)
    assert rep.stream("a") is rep.stream("a")


def test_fresh_begins_anew_and_leaves_the_stream_alone():
    rep = Replication(1, 0)
    before = draws(rep, "a", 3)
    assert rep.fresh("a").random(3).tolist() == before
    assert draws(rep, "a", 3) != before


def test_hash_seed_of_python_plays_no_part(python):
    script = "from sim.streams import Replication as R; print(R(1, 0).stream('x').random())"
    runs = [python("-c", script, PYTHONHASHSEED=seed) for seed in ("1", "2")]
    expected = Replication(1, 0).stream("x").random()
    assert [float(run.stdout) for run in runs] == [expected, expected]


def test_first_number_stays_what_it_was():
    """A change here changes every result of every user."""
    assert Replication(1, 0).stream("x").random() == pytest.approx(FIRST, abs=1e-15)


@pytest.mark.parametrize(("seed", "number"), [(-1, 0), (0, -1)])
def test_negative_seed_or_number_is_refused(seed, number):
    with pytest.raises(ValueError, match=r"\(-1\) must not be negative"):
        Replication(seed, number)
