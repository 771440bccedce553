"""--as-of: the scheme of a day, and what differed between the trees of the summer of 2001."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from machine import ARGUMENTS, World, leave

from models.cygwin import schemes
from models.cygwin.schemes.timeline import DAYS, LAST_DAY, as_of
from scenarios.__main__ import main as command
from sim.errors import InputError

MINI = str(Path(__file__).parent / "data" / "traces" / "mini-pipeline.ptrec.jsonl.gz")


@pytest.fixture
def replayed(capsys):
    def runs(*words):
        assert command(["replay", MINI, *words, "--json"]) == 0
        return {run["scheme"]: run for run in json.loads(capsys.readouterr().out)["runs"]}

    return runs


@pytest.mark.parametrize(("since", "name"), DAYS)
def test_each_day_has_the_scheme_of_the_tree_until_the_next(since, name):
    before = (date.fromisoformat(since) - timedelta(1)).isoformat()
    earlier = [n for s, n in DAYS if s < since]
    assert as_of(since) == name == schemes.get(name).name
    if earlier:
        assert as_of(before) == earlier[-1]
    assert schemes.get(name).since <= since


@pytest.mark.parametrize("day", ["2000-05-13", "2026-08-08", "2001-02-30", "2001-7-17", "", "now"])
def test_a_day_without_a_scheme_is_refused(day):
    with pytest.raises(InputError, match=f"from {DAYS[0][0]} to {LAST_DAY}"):
        as_of(day)


def test_days_can_be_named_more_than_once_and_beside_schemes(replayed):
    runs = replayed("--as-of", "2001-07-20", "--scheme", "blocking", "--as-of", "2001-07-25")
    assert list(runs) == ["blocking", "2001-07-18"]


# -- what the days of 2001 differed in -------------------------------------------------------------


def test_until_august_no_child_on_98_finds_a_place_for_its_heap(replayed):
    runs = replayed("--system", "9x", "--as-of", "2001-07-17", "--as-of", "2001-08-04")
    assert runs["2001-07-17"]["outcome"] == "failed"
    assert "Couldn't reserve space" in runs["2001-07-17"]["failures"][0]["message"]
    assert runs["2001-08-04"]["outcome"] == "finished"


def test_until_september_an_exec_loses_what_was_free(replayed):
    days = ("2001-07-17", "2001-08-04", "2001-08-20", "2001-08-31", "2001-09-06")
    runs = replayed(*(word for day in days for word in ("--as-of", day)))
    lost = [run["cygheap"]["leaked_bytes"] for run in runs.values()]
    assert all(lost[:4])
    assert lost[4] == 0


def test_larger_blocks_came_a_day_after_the_section(replayed):
    runs = replayed("--as-of", "2001-07-17", "--as-of", "2001-07-18")
    first, second = (run["cygheap"]["peak_bytes"] for run in runs.values())
    assert first < second


@pytest.mark.parametrize(
    ("name", "kind"),
    [("2001-07-17", "view"), ("2001-08-04", "private"), ("2001-08-20", "view"),
     ("2001-08-31", "private")],
)  # fmt: skip
def test_a_first_process_has_its_heap_where_that_day_put_it(name, kind):
    world = World(schemes.get(name))
    seen = {}

    def main(p):
        region = p.me.process.space.find(p.heap.base)
        seen["kind"], seen["base"] = region.kind, p.heap.base
        pid = yield from p.spawn("_P_NOWAIT", world.native(800_000), ARGUMENTS)
        seen["took"] = p.now()
        yield from p.waitpid(pid)
        yield from p.fork(leave(0))

    world.finish(main)
    assert seen["kind"] == kind
    assert seen["took"] < 100_000  # a native holds nobody any more
    fixed = schemes.get("shared-memory-1.3.3").version.heap_address
    assert (seen["base"] == fixed) == (name == "2001-08-31")


def test_eleven_days_of_a_section_were_for_nt_alone():
    world = World(schemes.get("2001-08-20"), "9x")
    kinds = []

    def main(p):
        kinds.append(p.me.process.space.find(p.heap.base).kind)
        yield from p.fork(leave(0))

    world.run(main)
    assert kinds == ["private"]


def test_a_scenario_says_which_day_it_cannot_be_asked_of(capsys):
    for words, why in (
        (["placement", "--as-of", "2005-07-01"], "its heap is in the DLL's image"),
        (["nt_vs_9x", "--as-of", "2001-07-17"], "no child of it comes to life on 98"),
        (["child_dies", "--as-of", "2005-07-01"], "a spawned Cygwin child reads too late"),
    ):
        assert command(["run", *words, "--quick"]) == 2
        assert why in capsys.readouterr().err
