"""Every machine of every scenario explains what it leaves; a report shows it by cause."""

from __future__ import annotations

import pytest

from models.cygwin.installation import Installation
from models.cygwin.left_behind import balance
from scenarios import Program, run, run_command
from scenarios.cli_catalogue import questions
from scenarios.options import RunOptions

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
    run_command.report(RunOptions(scenario, quick=True))
    assert bool(made) == (scenario not in HEAPS_ALONE)
    left = 0
    for installation in made:
        found = balance(installation)
        assert found.unexplained == []
        assert found.document()["committed_bytes"] == installation.kernel.committed_bytes
        left += len(found.left)
    assert bool(left) == (scenario in MAY_LEAVE)


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
