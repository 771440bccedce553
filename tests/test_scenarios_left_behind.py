"""Every machine of every scenario explains what it leaves; a report shows it by cause."""

from __future__ import annotations

import json

import pytest

from models.cygwin import schemes
from models.cygwin.installation import Installation
from models.cygwin.left_behind import BLOCKED, SLEEPS, balance
from models.cygwin.left_in_all import LeftInAll, together
from models.cygwin.machine import build
from models.cygwin.programs import start
from models.win32.cost_profile import load_profile
from models.win32.system import SYSTEMS
from scenarios import Program, run, run_command
from scenarios.cli_catalogue import questions
from scenarios.options import RunOptions
from sim.streams import Replication

# what never ends is their question: native programs, a walk without an end, a server, an exit
MAY_LEAVE = {"background_native", "limits", "heap_growth_race", "server_load", "double_fork"}
HEAPS_ALONE = {"growth_window", "short_strings"}  # no machine


@pytest.fixture
def made(monkeypatch):
    """Every installation that is made during a test."""
    found, original = [], Installation.__init__

    def note(self, *rest, **more):
        original(self, *rest, **more)
        found.append(self)

    monkeypatch.setattr(Installation, "__init__", note)
    return found


@pytest.mark.parametrize("scenario", list(questions()))
def test_a_scenario_explains_all_that_its_machines_leave(scenario, made, capsys):
    document = run_command.report(RunOptions(scenario, quick=True))
    assert bool(made) == (scenario not in HEAPS_ALONE)
    left, each = 0, []
    for installation in made:
        found = balance(installation)
        assert found.unexplained == []
        assert found.document()["committed_bytes"] == installation.kernel.committed_bytes
        left += len(found.left)
        each.append({"machines": 1, **found.document()})
    assert bool(left) == (scenario in MAY_LEAVE)
    reported = document["left_behind"]
    assert together(reported)["left"] == together(each)["left"]
    assert bool(made) == bool(sum(one["machines"] for one in reported))
    text = capsys.readouterr().out
    assert bool(reported) == ("left at the end" in text)


def test_what_is_left_is_summed_over_schemes_replications_and_points(cygsim):
    asked = (
        "run",
        "background_native",
        "--quick",
        "--set",
        "seconds=never",
        "--scheme",
        "blocking",
    )
    one = json.loads(cygsim(*asked, "--json").stdout)["left_behind"]
    two = json.loads(cygsim(*asked, "--replications", "2", "--json").stdout)["left_behind"]
    assert [left["cause"] for left in one[0]["left"]][:2] == [BLOCKED, SLEEPS]
    assert two == [{"scheme": "blocking", **together([*one, *one])}]
    text = cygsim(*asked, "--design", "2k").stdout.decode()
    assert "left at the end of" in text


def test_a_machine_that_goes_on_is_looked_at_when_it_is_over():
    def sleeper(p):
        yield from p.sleep(5)

    every = LeftInAll()
    first = machine_of(every)
    start(first, sleeper)
    first.kernel.engine.run(1e6)
    machine_of(every)  # the first one is cut off and may go on
    first.kernel.engine.run()
    assert every.document() == {"machines": 2, "left": [], "unexplained": []}


def machine_of(every):
    return build(
        schemes.get("shared-memory"), SYSTEMS["nt"], load_profile("p3-800-w2000"),
        Replication(1, 0, every.made), 1, 1,
    )  # fmt: skip


def blocked_parent(p):
    yield from p.spawn("_P_NOWAIT", Program.native("notepad"))


def test_a_run_reports_by_cause_what_is_left():
    result = run(blocked_parent, scheme="shared-memory-1.3.3")
    causes = {left["cause"]: left for left in result.balance["left"]}
    assert causes["heap sections that native programs keep"]["committed_bytes"] == 4096
    assert "left at the end:\n  processes that sleep for ever: processes 1" in str(result)
    assert max(map(len, str(result).splitlines())) <= 80


def test_a_replay_reports_by_cause_what_is_left(cygsim):
    trace = "tests/data/traces/mini-pipeline.ptrec.jsonl.gz"
    done = cygsim("replay", trace, "--until", "0.06", "--scheme", "blocking")
    text = done.stdout.decode()
    assert "\nblocking: left at the end\n  processes under way when the run was cut:" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_finished_run_leaves_nothing():
    def leave(p):
        yield from p.exit(0)

    result = run(leave)
    assert result.balance == {
        "handles": 0, "sections": 0, "committed_bytes": 0, "left": [], "unexplained": [],
    }  # fmt: skip
    assert "left" not in str(result)
