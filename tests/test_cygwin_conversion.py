"""Spawned and native programs, each on a trace written by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from recording import Recording, finishes, ops

from models.cygwin.conversion import convert
from models.cygwin.workload import (
    FROM_NATIVE,
    NATIVE,
    NOBLOCK,
    P_NOWAIT,
    P_WAIT,
    Conversion,
    Workload,
)
from sim.errors import InputError


@pytest.fixture
def recording(tmp_path) -> Recording:
    return Recording(tmp_path / "t.jsonl")


LS = frozenset(["ls"])


def spawn_op(workload: Workload, pid: int = 1) -> tuple:
    (op,) = ops(workload, pid, "SPAWN")
    return op


def test_fork_and_exec_become_one_spawn(recording):
    recording.fork(1, 2, mem={"heap": 132, "stk": 96}).exec(2, "ls", cwd=5).exit(2).wait(1, 2)
    workload = recording.exit(1).load()
    changed = convert(workload, Conversion(spawn=LS))
    assert spawn_op(changed) == (
        *("SPAWN", 2, 1, 2, P_WAIT, "ls", "ls", (4,), 1, False, 5, 0),
        *(132, 96, 4, 5, "fork"),
    )
    assert ops(changed, 1, "FORK", "WAIT") == []
    assert ops(changed, 2) == [("EXIT", 0, 0, False, 6)]
    assert (changed.converted, changed.not_converted) == (1, 0)
    assert changed.counts == workload.counts


def test_a_parent_that_does_something_else_first_does_not_wait_in_the_spawn(recording):
    recording.fork(1, 2).exec(2, "ls").add(1, "setsid").exit(2).wait(1, 2).exit(1)
    changed = convert(recording.load(), Conversion(spawn=LS))
    assert spawn_op(changed)[4] == P_NOWAIT
    assert ops(changed, 1, "WAIT") == [("WAIT", 2)]


def test_background_never_waits(recording):
    recording.fork(1, 2).exec(2, "ls").exit(2).wait(1, 2).exit(1)
    changed = convert(recording.load(), Conversion(spawn=LS, background=LS))
    assert spawn_op(changed)[4] == P_NOWAIT
    assert ops(changed, 1, "WAIT") == [("WAIT", 2)]


def test_the_parent_redirects_and_restores(recording):
    """The child's: 1 to a file, 3 closed, 4 kept, cd, a failed exec, a session of its own."""
    recording.rows[-1]["cwd"] = 9
    recording.open(1, 3).open(1, 4).open(1, 10, cx=1).fork(1, 2)
    recording.open(2, 5).dup(2, 1, 5).close(2, 5).close(2, 3).add(2, "chdir", cwd=30)
    recording.add(2, "setsid").add(2, "exec_fail", prog="ls", err=2, c=3).exec(2, "ls")
    recording.exit(2).exit(1)
    changed = convert(recording.load(), Conversion(background=LS))
    got = ops(changed, 1)
    at = got.index(spawn_op(changed))
    assert got[7:at] == [
        ("DUP", 11, 1, 1),
        ("OPEN", 5, "f", -1, -1, 0),
        ("DUP", 1, 5, 0),
        ("CLOSE", 5),
        ("CLOEXEC", 3, 1),
        ("CHDIR", 30),
        ("EXEC_FAIL", 3),
    ]
    assert got[at + 1 : -1] == [
        ("DUP", 1, 11, 0),
        ("CLOSE", 11),
        ("CLOEXEC", 3, 0),
        ("CHDIR", 9),
    ]
    assert ops(changed, 2, "SETSID", "EXIT") == [("SETSID",), ("EXIT", 0, 0, False, 16)]
    finishes(changed, 512)


def test_a_here_document_moves_to_the_parent(recording):
    """The child makes a pipe, fills it and makes it its standard input."""
    recording.fork(1, 2).pipe(2, 3, 4, 1).moved(2, "wr", 4, 9000).close(2, 4).dup(2, 0, 3)
    recording.close(2, 3).exec(2, "ls").fork(2, 3).moved(3, "rd", 0, 9000, eof=1).exit(3)
    recording.wait(2, 3).exit(2).wait(1, 2).exit(1)
    changed = convert(recording.load(), Conversion(spawn=LS))
    assert ops(changed, 1, "PIPE", "WRITE", "DUP", "CLOSE", "SPAWN") == [
        ("DUP", 10, 0, 1),
        ("PIPE", 3, 4, 0, 0),
        ("WRITE", 4, 0, 9000, NOBLOCK),
        ("CLOSE", 4),
        ("DUP", 0, 3, 0),
        ("CLOSE", 3),
        spawn_op(changed),
        ("DUP", 0, 10, 0),
        ("CLOSE", 10),
    ]
    finishes(changed, 512)


def test_the_parent_gives_up_a_write_end_before_it_waits(recording):
    """cat reads until its parent has closed the pipe; _P_WAIT must not hold it open."""
    recording.pipe(1, 3, 4, 1).moved(1, "wr", 4, 10).fork(1, 2)
    recording.close(2, 4).dup(2, 0, 3).close(2, 3).exec(2, "ls")
    recording.close(1, 3).close(1, 4).moved(2, "rd", 0, 10, eof=1).exit(2).wait(1, 2).exit(1)
    changed = convert(recording.load(), Conversion(spawn=LS))
    got = ops(changed, 1)
    assert spawn_op(changed)[4] == P_WAIT
    assert got.index(("CLOSE", 4)) < got.index(spawn_op(changed))
    assert got.count(("CLOSE", 4)) == 1
    finishes(changed, 512)


@pytest.mark.parametrize("event", ["sleep", "fork", "wr"])
def test_a_child_that_does_more_is_not_converted(recording, event):
    recording.pipe(1, 3, 4, 1).fork(1, 2)
    if event == "sleep":
        recording.add(2, "sleep", us=5)
    elif event == "fork":
        recording.fork(2, 3).exit(3)
    else:
        recording.moved(2, "wr", 4, 5)
    workload = recording.exec(2, "ls").exit(2).exit(1).load()
    changed = convert(workload, Conversion(spawn=LS))
    assert (changed.converted, changed.not_converted) == (0, 1)
    assert changed.programs == workload.programs


def test_a_posix_spawn_is_converted_like_a_fork(recording):
    recording.fork(1, 2, "spawn").exec(2, "ls").add(1, "vfork_done").exit(2).wait(1, 2).exit(1)
    workload = recording.load()
    assert workload.counts.spawns == 1
    assert spawn_op(convert(workload, Conversion(spawn=LS)))[4] == P_WAIT


def test_a_native_image_is_marked_and_starts_others_by_itself(recording):
    recording.fork(1, 2).exec(2, "make").fork(2, 3, "vfork").exec(3, "ls").exit(3).wait(2, 3)
    recording.exec(2, "sh", "bash").exit(2).wait(1, 2).exit(1)
    changed = convert(recording.load(), Conversion(native=frozenset(["make"])))
    assert [op[8] for op in ops(changed, 2, "EXEC")] == [NATIVE, FROM_NATIVE]
    assert spawn_op(changed, 2)[4:12] == (P_NOWAIT, "ls", "ls", (4,), 1, False, None, FROM_NATIVE)
    assert ops(changed, 2, "WAIT") == [("WAIT", 3)]
    assert (changed.converted, changed.not_converted) == (0, 0)
    finishes(changed, 512)


def test_a_native_image_can_be_named_by_its_file(recording):
    recording.fork(1, 2).exec(2, "cc", "gcc-12").exit(2).exit(1)
    asked = Conversion(native=frozenset(["gcc-12"]), spawn=frozenset(["cc"]))
    assert spawn_op(convert(recording.load(), asked))[11] == NATIVE


@pytest.mark.parametrize("execs", [False, True])
def test_a_native_image_whose_child_runs_on_is_refused(recording, execs):
    recording.fork(1, 2).exec(2, "make").fork(2, 3)
    if execs:
        recording.fork(3, 4).exit(4).exec(3, "ls")
    workload = recording.exit(3).exit(2).exit(1).load()
    with pytest.raises(InputError) as caught:
        convert(workload, Conversion(native=frozenset(["make"])))
    assert caught.value.args[0] == f"{recording.path}:6"
    assert "make" in str(caught.value)


@pytest.mark.parametrize("option", ["native", "spawn", "background"])
def test_a_program_that_does_not_occur_is_refused_with_near_names(recording, option):
    workload = recording.fork(1, 2).exec(2, "sed").exit(2).exit(1).load()
    with pytest.raises(InputError) as caught:
        convert(workload, replace(Conversion(), **{option: frozenset(["seed"])}))
    assert caught.value.args[0] == f"--{option} seed"
    assert "it has sed" in str(caught.value)


def test_nothing_asked_is_nothing_changed(recording):
    workload = recording.exit(1).load()
    assert convert(workload, Conversion()) is workload
