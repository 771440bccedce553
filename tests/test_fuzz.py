"""A sample of the mutations of `make fuzz`, and that a finding would be found."""

from __future__ import annotations

import time

import fuzz_run
import pytest
from fuzz_inputs import inputs
from fuzz_mutations import SAME, mutate

from models.cygwin import listing
from sim.streams import Replication

SEED, BATCH, BATCHES = 7, 20, 11


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory):
    return fuzz_run.Fuzzer(SEED, tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_mutation_gives_one_clear_line_or_a_correct_run(fuzzer, batch):
    for number in range(batch * BATCH, (batch + 1) * BATCH):
        case = fuzzer.case(number)
        wrong = fuzzer.wrong(case)
        assert wrong is None, f"{case.label}: {' '.join(case.words)}: {wrong}"


def test_the_sample_has_every_kind_of_answer(fuzzer):
    assert {0, 1, 2} <= set(fuzzer.codes)


def test_a_mutation_is_the_same_whenever_it_is_made(fuzzer, tmp_path):
    again = fuzz_run.Fuzzer(SEED, fuzzer._folder)
    for number in (0, 3, 17):
        assert again.case(number) == fuzzer.case(number)


# -- negative controls ---------------------------------------------------------------------------


@pytest.fixture
def listing_case(fuzzer):
    """A good listing, given to `layout check`."""
    source = next(source for source in inputs() if source.name == "lines.txt")
    path = str(fuzzer._folder / source.name)
    return fuzz_run.Case("as it is", ("layout", "check", path), source.data)


def test_a_good_file_is_taken_rightly(fuzzer, listing_case):
    assert fuzzer.wrong(listing_case) is None


def test_an_error_of_the_program_itself_is_found(fuzzer, listing_case, monkeypatch):
    def broken(*_):
        raise KeyError("planted")

    monkeypatch.setattr(listing, "_list_image", broken)
    assert "internal error: KeyError: 'planted'" in fuzzer.wrong(listing_case)


def test_another_result_for_the_same_meaning_is_found(fuzzer, listing_case):
    case = fuzz_run.Case("", listing_case.words, listing_case.file, wanted=(0, "something else"))
    assert "another result" in fuzzer.wrong(case)


def test_a_command_that_does_not_end_is_interrupted_and_named(fuzzer, listing_case, monkeypatch):
    def endless(*_):
        while True:
            time.sleep(0.0)

    monkeypatch.setattr(listing, "_list_image", endless)
    monkeypatch.setattr(fuzz_run, "CPU_LIMIT_S", 0.2)
    assert "of processor time" in fuzzer.wrong(listing_case)


def test_a_command_that_takes_too_much_memory_is_interrupted(fuzzer, listing_case, monkeypatch):
    def greedy(*_):
        kept = []
        while len(kept) < 200:
            kept.append(bytearray(b"x" * (1 << 20)))
            time.sleep(0.005)
        return kept

    if not fuzz_run._resident_bytes():
        pytest.skip("the system does not tell how much memory a process has")
    monkeypatch.setattr(listing, "_list_image", greedy)
    monkeypatch.setattr(fuzz_run, "MEMORY_LIMIT_BYTES", 30 << 20)
    assert fuzzer.wrong(listing_case) == "more than 30 MiB"


@pytest.mark.parametrize("source", inputs(), ids=lambda source: source.name)
def test_every_mutation_has_its_input_left_alone(source):
    draw = Replication(1, 0).stream("test")
    before = bytes(source.data)
    mutate(source.kind, source.data, draw)
    for change in SAME[source.kind]:
        assert change(source.data, draw)
    assert source.data == before
