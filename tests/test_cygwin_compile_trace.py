"""The rules of replaying, each on a trace written by hand."""

from __future__ import annotations

import pytest
from recording import Recording, finishes, ops

from models.cygwin.trace_scripts import is_script
from models.cygwin.workload import EOF, NOBLOCK, Channel, Op


@pytest.fixture
def recording(tmp_path) -> Recording:
    return Recording(tmp_path / "t.jsonl")


def test_the_root_opens_what_it_was_started_with(recording):
    assert ops(recording.exit(1).load(), 1) == [
        ("OPEN", 0, "t", -1, -1, 0),
        ("OPEN", 1, "t", -1, -1, 0),
        ("OPEN", 2, "t", -1, -1, 0),
        ("EXEC", 0, "sh", "bash", (4,), 1, False, None, 0, 3),
        ("EXIT", 0, 0, False, 4),
    ]


def test_cpu_time_is_spread_over_the_gaps_between_what_others_see(recording):
    recording.rows[-1].update(cpu=100, kcpu=50)
    recording.pipe(1, 3, 4, 1).fork(1, 2, cpu=300, kcpu=20)
    recording.moved(1, "wr", 4, 5).exit(1, cpu=920)
    recording.moved(2, "rd", 3, 5).exit(2, cpu=70)
    # 600 us over two gaps: 997 us before the write (3 in the call), 1000 us after it.
    got = ops(recording.load(), 1, "WORK", "PIPE", "FORK", "WRITE")
    assert [op[0] for op in got] == ["WORK", "PIPE", "FORK", "WORK", "WRITE", "WORK"]
    assert got[0][1] == 150
    assert got[3][1] == pytest.approx(600 * 997 / 1997)
    assert got[5][1] == pytest.approx(600 * 1000 / 1997)


def test_a_clock_that_runs_backwards_is_no_work(recording):
    recording.rows[-1].update(cpu=100, kcpu=50)
    recording.fork(1, 2, cpu=120).exit(1, cpu=121).exit(2, cpu=0)
    workload = recording.load()
    assert ops(workload, 1, "WORK") == [("WORK", 1.0)]
    assert ops(workload, 2, "WORK") == []


def test_an_import_has_estimated_work(recording):
    recording.fork(1, 2, us=400).wait(1, 2).exit(2).exit(1)
    workload = recording.load()
    assert workload.work == "estimated"
    assert ops(workload, 1, "WORK", "FORK", "WAIT")[0] == ("WORK", pytest.approx(600))


def test_a_trace_without_calls_times_has_unknown_work(recording):
    recording.fork(1, 2).exit(2).exit(1)
    workload = recording.load()
    assert workload.work == "unknown"
    assert ops(workload, 1, "WORK") == []


def test_only_waits_that_reaped_somebody_stay(recording):
    recording.fork(1, 2).add(1, "wait_poll", got=0).wait(1, 2).add(1, "wait_end", got=0, err=10)
    assert ops(recording.exit(2).exit(1).load(), 1, "WAIT") == [("WAIT", 2)]


def test_a_write_by_the_only_reader_never_blocks(recording):
    recording.pipe(1, 3, 4, 1).moved(1, "wr", 4, 9000).fork(1, 2)
    recording.moved(1, "wr", 4, 100).close(1, 3).moved(1, "wr", 4, 7).exit(1)
    recording.moved(2, "rd", 3, 9107).exit(2)
    workload = recording.load()
    assert [op[4] for op in ops(workload, 1, "WRITE")] == [NOBLOCK, 0, 0]
    finishes(workload, 512)


def test_a_pipe_of_one_process_alone_has_no_reads_and_writes(recording):
    recording.pipe(1, 3, 4, 1).moved(1, "wr", 4, 1).moved(1, "rd", 3, 1).exit(1)
    workload = recording.load()
    assert workload.channels == (Channel(0, True, False, False),)
    assert ops(workload, 1, "READ", "WRITE") == []


def test_bytes_of_nobody_are_there_from_the_start(recording):
    recording.pipe(1, 3, 4, 1).fork(1, 2).moved(1, "rd", 3, 900).exit(1)
    recording.moved(2, "wr", 4, 200).exit(2)
    workload = recording.load()
    assert workload.channels[0].prefilled_bytes == 700
    finishes(workload, 512)


def test_a_failed_read_or_write_never_blocks(recording):
    recording.pipe(1, 3, 4, 1).fork(1, 2)
    recording.moved(1, "rd", 3, 0, err=1).moved(1, "rd", 3, 9000, err=1)
    recording.moved(2, "wr", 4, 9000).moved(2, "wr", 4, 0, err=1)
    recording.close(1, 4).exit(2).moved(1, "rd", 3, 0, eof=1).exit(1)
    workload = recording.load()
    assert ops(workload, 1, "READ") == [("READ", 3, 0, 9000, NOBLOCK), ("READ", 3, 0, 0, EOF)]
    assert ops(workload, 2, "WRITE") == [("WRITE", 4, 0, 9000, 0)]
    finishes(workload, 512)


def test_what_comes_from_outside_is_ready_at_its_time(recording):
    recording.opened(1, "socket_open", 3, "s", 1, dom="inet", type=1)
    recording.opened(1, "accept", 4, "s", 2, on=3, us=7).moved(1, "rd", 4, 50)
    recording.moved(1, "wr", 4, 50).open(1, 5, "p", 9).moved(1, "rd", 5, 50).exit(1)
    assert ops(recording.load(), 1)[4:-1] == [
        ("SOCKET", 3, -1, -1, 0, "inet"),
        ("UNTIL", 3000.0),
        ("SOCKET", 4, -1, -1, 0, None),
        ("UNTIL", 4000.0),
        ("OPEN", 5, "p", -1, -1, 0),
        ("UNTIL", 7000.0),
    ]


@pytest.mark.parametrize("event", ["rd", "wr", None])
def test_a_pipe_end_from_outside_is_what_its_copies_are_used_for(recording, event):
    """Rule 7: through dup and fork; without any use it is a read end."""
    recording.pipe(1, 3, 4, 1).open(1, 5, "p", 1).dup(1, 6, 5).fork(1, 2)
    if event:
        recording.moved(2, event, 6, 1)
    got = ops(recording.exit(1).exit(2).load(), 1, "OPEN")[-1]
    assert got == ("OPEN", 5, "p", *((-1, 0) if event == "wr" else (0, -1)), 0)


def test_a_socketpair_is_two_channels(recording):
    recording.opened(1, "socketpair", 3, "s", 1, dom="unix", type=1)
    recording.opened(1, "socketpair", 4, "s", 2, dom="unix", type=1)
    recording.fork(1, 2).close(1, 4).moved(1, "wr", 3, 90000).moved(1, "rd", 3, 5, eof=1)
    recording.close(2, 3).moved(2, "rd", 4, 90000).moved(2, "wr", 4, 5).exit(2).exit(1)
    workload = recording.load()
    assert [op[2:4] for op in ops(workload, 1, "SOCKET")] == [(0, 1), (1, 0)]
    assert ops(workload, 1, "WRITE", "READ") == [
        ("WRITE", 3, 1, 90000, NOBLOCK),
        ("READ", 3, 0, 5, EOF),
    ]
    assert all(channel.socket for channel in workload.channels)
    finishes(workload, 512)


def test_a_descriptor_that_was_passed_keeps_its_pipe_alive(recording):
    recording.pipe(1, 3, 4, 1).fork(1, 2).close(2, 3).close(2, 4).close(1, 3)
    recording.open(2, 7, "p", 1, passed=1).moved(1, "wr", 4, 9000).close(1, 4)
    recording.moved(2, "rd", 7, 9000, eof=1).exit(2).exit(1)
    workload = recording.load()
    assert workload.channels[0].passed
    finishes(workload, 512, creation_us=20_000.0)


def test_a_kill_stays_only_if_its_target_dies_of_it(recording):
    for child in (2, 3, 4):
        recording.fork(1, child)
    recording.add(1, "kill", to=2, sig=15).add(1, "kill", to=3, sig=15)
    recording.exit(2).exit(3, sig=15).exit(4, sig=15).add(1, "kill", to=4, sig=15).exit(1)
    del recording.rows[-4]["code"]
    workload = recording.load()
    assert ops(workload, 1, "KILL") == [("KILL", 3, 15)]
    assert [workload.programs[pid][-1][2:4] for pid in (2, 3, 4)] == [
        (0, False),
        (15, True),
        (15, False),
    ]
    finishes(workload, 512)


def test_a_process_killed_in_a_write_ends(recording):
    """Nobody reads the rest; a smaller pipe than the recorded one never takes it."""
    recording.pipe(1, 3, 4, 1).fork(1, 2).close(1, 4).close(2, 3).moved(2, "wr", 4, 9000)
    recording.moved(1, "rd", 3, 100).add(1, "kill", to=2, sig=9)
    recording.add(2, "exit", sig=9, prog="sh").wait(1, 2).exit(1)
    finishes(recording.load(), 512)


def test_a_descriptor_copied_onto_itself_stays(recording):
    recording.dup(1, 2, 2, cx=1).exit(1)
    assert ops(recording.load(), 1)[4:-1] == [("CLOEXEC", 2, 1)]


def test_a_process_without_exit_ends_at_its_last_row(recording):
    workload = recording.fork(1, 2).load()
    assert workload.programs[2] == ((Op.EXIT, 0, 0, False, 0),)
    assert workload.processes[2].exit_line == 0


def test_a_table_that_changed_unseen_is_made_the_recorded_one(recording):
    recording.open(1, 3).close(1, 3).fork(1, 2)
    recording.rows[-1]["fds"] = [[0, "t", 0, 0], [1, "t", 0, 1], [5, "f", 0, 0]]
    got = ops(recording.exit(1).exit(2).load(), 1)[6:-2]
    assert got == [("CLOSE", 2), ("CLOEXEC", 1, 1), ("OPEN", 5, "f", -1, -1, 0)]


def test_a_range_is_closed_one_by_one(recording):
    recording.open(1, 3).open(1, 4).open(1, 9).add(1, "fd_close_range", lo=4, hi=1 << 32, fl=0)
    recording.add(1, "fd_close_range", lo=3, hi=3, fl=4).exit(1)
    assert ops(recording.load(), 1)[7:-1] == [("CLOSE", 4), ("CLOSE", 9), ("CLOEXEC", 3, 1)]


@pytest.mark.parametrize(
    ("prog", "img", "script"),
    [
        ("configure", "bash", True),
        ("plain.py", "python3.11", True),
        ("git-submodule", "bash", True),
        ("pre-commit", "dash", True),
        ("perldoc", "perl5.36", True),
        ("sh", "bash", False),
        ("bash", "bash", False),
        ("awk", "gawk", False),
        ("python3", "python3.11", False),
        ("gcc", "x86_64-linux-gnu-gcc-12", False),
        ("git-upload-pack", "git", False),
    ],
)
def test_a_script_is_what_no_alias_explains(prog, img, script):
    assert is_script(prog, img) is script
