"""Killed a few times and harmed, a run ends as an undisturbed one (`make kills`: 200 times)."""

from __future__ import annotations

import kill_run
import pytest

from sim.journal import Journal
from sim.streams import Replication


def test_a_run_killed_again_and_again_ends_alike(tmp_path):
    rounds = kill_run.Rounds(tmp_path, Replication(7, 0).stream("tests/kills"))
    rounds.round(0, 5)
    assert rounds.kills() > 0


def test_what_a_killed_writer_was_told_of_is_in_its_journal(tmp_path):
    assert kill_run.kill_writer(tmp_path, 5, Replication(7, 0).stream("tests/kills")) > 5


def test_a_lost_result_would_be_found(tmp_path, monkeypatch):
    monkeypatch.setattr(Journal, "finished", lambda _: {"0"})
    with pytest.raises(AssertionError, match="1"):
        kill_run.kill_writer(tmp_path, 2, Replication(7, 0).stream("tests/kills"))
