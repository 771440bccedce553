"""The journal: what is in it is whole, of this run and plain."""

from __future__ import annotations

import os
import pickle
import sqlite3

import numpy as np
import pytest

from scenarios.spec import Measured, Outcome
from sim.encoded import decoded, encoded
from sim.errors import InputError
from sim.journal import FILE, Journal


def test_what_was_added_is_there_when_it_is_opened_again(tmp_path):
    with Journal(tmp_path, "this") as journal:
        journal.add([("a 0", b"first")])
        journal.add([("a 1", b"second")])
    with Journal(tmp_path, "this") as journal:
        assert journal.finished() == {"a 0", "a 1"}
        assert journal.content("a 1") == b"second"
        assert journal.damaged == []


def test_a_record_that_was_changed_is_missing_and_named(tmp_path):
    with Journal(tmp_path, "this") as journal:
        journal.add([("a 0", b"first")])
        journal.add([("a 1", b"second")])
    base = sqlite3.connect(tmp_path / FILE)
    base.execute("UPDATE record SET content = ? WHERE name = 'a 0'", (b"fir",))
    base.commit()
    base.close()
    with Journal(tmp_path, "this") as journal:
        assert journal.finished() == {"a 1"}
        assert journal.damaged == ["a 0"]
        with pytest.raises(InputError, match="a 0 is damaged"):
            journal.content("a 0")


def test_the_file_is_read_once_and_what_is_added_counts(tmp_path):
    with Journal(tmp_path, "run") as journal:
        journal.add([("a 0", b"one")])
    with Journal(tmp_path, "run") as journal:
        asked = []
        journal._base.set_trace_callback(asked.append)
        assert journal.finished() == {"a 0"}
        journal.add([("a 1", b"two")])
        assert journal.finished() == {"a 0", "a 1"}
        assert sum("SELECT * FROM record" in one for one in asked) == 1


def test_a_record_does_not_pass_for_another(tmp_path):
    with Journal(tmp_path, "this") as journal:
        journal.add([("a 0", b"first")])
    base = sqlite3.connect(tmp_path / FILE)
    base.execute("UPDATE record SET name = 'a 1'")
    base.commit()
    base.close()
    with Journal(tmp_path, "this") as journal:
        assert journal.finished() == set()


def test_another_runs_journal_is_refused(tmp_path):
    with Journal(tmp_path, "this"):
        pass
    with pytest.raises(InputError, match="another run"):
        Journal(tmp_path, "that")


def test_two_at_once_are_refused(tmp_path):
    with Journal(tmp_path, "this"), pytest.raises(InputError, match="going on"):
        Journal(tmp_path, "this")


def test_a_file_that_is_no_journal_is_refused(tmp_path):
    (tmp_path / FILE).write_bytes(b"not a data base" * 100)
    with pytest.raises(InputError, match="no journal"):
        Journal(tmp_path, "this")


@pytest.mark.parametrize("harm", ["cut", "flip"])
def test_of_a_damaged_file_what_is_whole_is_kept(tmp_path, harm):
    names = [f"a {number}" for number in range(50)]
    with Journal(tmp_path, "this") as journal:
        journal.add((name, name.encode() * 300) for name in names)
    whole = (tmp_path / FILE).read_bytes()
    kept, refused = [], []
    for place in (100, 5000, 20000, len(whole) // 2, len(whole) - 1):
        torn = bytearray(whole)
        if harm == "cut":
            del torn[place:]
        else:
            torn[place : place + 20] = bytes(byte ^ 0x55 for byte in torn[place : place + 20])
        (tmp_path / FILE).write_bytes(torn)
        try:
            with Journal(tmp_path, "this") as journal:
                found = {name: journal.content(name) for name in journal.finished()}
                lost = [*journal.damaged, *([journal.set_aside] if journal.set_aside else [])]
                journal.add((name, b"again") for name in names)
        except InputError as error:  # whose it is cannot be read any more
            refused.append(str(error))
            continue
        assert all(content == name.encode() * 300 for name, content in found.items())
        assert lost or set(found) == set(names)
        kept.append(len(found))
    assert all(words.endswith(("begin anew", "new folder")) for words in refused)
    assert max(kept) >= 49
    assert min(kept) < 50


def test_results_come_back_as_they_were():
    outcome = Outcome([Measured("n=1", "took", "us", 1.5, 0)], ["a note"], {"x": np.arange(3)})
    again = decoded(encoded(outcome))
    assert again.rows == outcome.rows
    assert again.notes == outcome.notes
    assert again.drawn["x"].tolist() == [0, 1, 2]


class Harmful:
    def __reduce__(self):
        return os.system, ("echo harm",)


@pytest.mark.parametrize("what", [Harmful(), os.system, decoded])
def test_nothing_but_values_is_made_of_a_record(what):
    with pytest.raises(pickle.UnpicklingError, match="no place in a journal"):
        decoded(encoded(what))
