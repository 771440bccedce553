"""The calls of a vfork against the logs `vfork-make` of 1.3.2 rebuilt, 1.3.3 and 1.3.19."""

from __future__ import annotations

from dataclasses import replace

import pytest
from call_logs import FOLDER, calls_between, log_of
from machine import ARGUMENTS, World, leave, words

from models.cygwin import schemes
from models.cygwin.call_check import check
from models.cygwin.call_lives import CLOEXEC, CREATE, VFORK, lives
from models.cygwin.call_versions import variants
from models.cygwin.call_windows import windows
from models.cygwin.descriptors import DISK

A, R, B = "blocking", "shared-memory-1.3.3", "shared-memory"
HANDLES = ("DuplicateHandle", "CloseHandle")
MORE = ("CreateEvent", "CreateThread", "CreateFileMapping", "UnmapViewOfFile", "CreateProcess",
        "SetEvent", "ResumeThread", "WaitForMultipleObjects")  # fmt: skip


def make_like(world, seen):
    """The make of the logs: three files, the read end of its job pipe with close-on-exec."""

    def execs_true(p):
        yield from p.execute(world.cygwin(leave(0), "true"), ARGUMENTS)

    def main(p):
        for fd in range(3):
            p.open(fd, DISK)
        p.pipe(3, 4)
        p.set_cloexec(3, True)
        yield from p.close(4)
        seen["from"] = len(world.trace.rows(tid=p.me.tid))
        pid = yield from p.vfork(execs_true)
        seen["to"] = len(world.trace.rows(tid=p.me.tid))
        seen["tid"] = p.me.tid
        yield from p.waitpid(pid)

    return main


def told(name, about, inherit, close_source):
    """A call as both sides spell it."""
    if name != "DuplicateHandle":
        return name, about
    return name, about, bool(inherit), bool(close_source)


def simulated(rows):
    found = []
    for row in rows:
        if row.phase == "return" or row.name not in HANDLES + MORE:
            continue
        args = row.args
        obj = args.get("src") if row.name == "DuplicateHandle" else args.get("h")
        found.append(
            told(row.name, thing(obj), args.get("inherit"), args.get("close_source"))
            if row.name in HANDLES
            else (row.name,)
        )
    return found


def thing(obj):
    return {"file": "file", "process": "process", "thread": "thread", "section": "section",
            "event": "event"}.get(obj.kind, "pipe")  # fmt: skip


def logged(calls):
    found = []
    for call in calls:
        args = call.args
        if call.api not in HANDLES:
            found.append((call.api,))
            continue
        name = str(args.get("src") or args.get("h"))
        kind = (
            "file" if name.startswith("STD")
            else "pipe" if name.startswith("PIPE")
            else "process" if name.endswith(".proc")
            else "thread" if name.endswith(".thread")
            else "section" if name.startswith("S")
            else "event"
        )  # fmt: skip
        found.append(told(call.api, kind, args.get("inherit"), args.get("options", 2) == 3))
    return found


@pytest.mark.parametrize("name", [A, R])
def test_calls_of_make_are_those_of_the_log(name):
    """From the first duplicate to the wait for the child: every call of the main thread."""
    world, seen = World(schemes.get(name)), {}
    world.finish(make_like(world, seen))
    log = log_of(name, "vfork-make")
    mine = calls_between(log, "P3.t1", "CreatePipe", "ResetEvent", *HANDLES, *MORE)
    real = logged(mine)[3:-1]  # closing the write end, marking the read end; waitpid's event
    rows = world.trace.rows(tid=seen["tid"])[seen["from"] : seen["to"]]
    assert simulated(rows) == real


def test_duplicates_of_1_3_19_are_flagged_by_one_call_that_closes_its_source():
    world, seen = World(schemes.get(B)), {}
    world.finish(make_like(world, seen))
    log = log_of(B, "vfork-make")
    real = [
        call
        for call in logged(
            calls_between(log, "P3.t1", "CreatePipe", "CreateProcess", "DuplicateHandle")
        )
        if call[1] == "file"
    ]
    rows = world.trace.rows(tid=seen["tid"])[seen["from"] : seen["to"]]
    mine = [call for call in simulated(rows) if call[:2] == ("DuplicateHandle", "file")]
    assert mine[:4] == real


@pytest.mark.parametrize("name", [A, R])
def test_child_of_a_guest_lets_go_of_the_held_table_where_the_log_does(name):
    """After the mount table, before the title: the handles that came along under old numbers."""
    world = World(schemes.get(name))
    world.finish(make_like(world, {}))
    child = next(q for q in world.k.processes.values() if q.image.name == "true")
    calls = [word.split()[0] for word in words(world.trace, child.threads[0].tid)]
    log = log_of(name, "vfork-make")
    real = [c.api for c in log.calls if c.tid == "P4.t1" and c.phase != "return"]
    around = ["MapViewOfFileEx", "CloseHandle", "CloseHandle", "CloseHandle", "CreateMutex"]
    for found in (calls, real):
        assert [found[i : i + 5] for i in range(len(found))].count(around) == 1


@pytest.mark.parametrize("name", [A, R])
def test_the_real_child_of_era_a_has_the_pipe_that_its_parent_had_marked(name):
    closed = [
        call.args["h"]
        for call in log_of(name, "vfork-make").calls
        if call.tid == "P4.t1" and call.api == "CloseHandle"
    ]
    assert ("PIPE1.r" in closed) == (name == A)


@pytest.mark.parametrize("name", [A, R])
def test_order_check_runs_the_spawn_of_make_as_a_vfork(name):
    verdict = check(
        log_of(name, "vfork-make"), variants(schemes.get)[FOLDER[name]], schemes.get(name)
    )
    assert (verdict.creations, verdict.difference, verdict.skipped) == (3, None, "")


@pytest.mark.parametrize("name", [A, R])
def test_order_check_finds_a_child_that_keeps_the_table_on_hold(name):
    variant = variants(schemes.get)[FOLDER[name]]
    startup = tuple(word for word in variant.version.exec_startup if word != "held")
    keeps = replace(variant, version=replace(variant.version, exec_startup=startup))
    found = check(log_of(name, "vfork-make"), keeps, schemes.get(name)).difference
    assert found.creation == 3
    assert found.real == "child close files(count=3)"


@pytest.mark.parametrize("name", [A, R])
def test_life_of_make_has_one_guest_whose_descriptors_are_its_own(name):
    log = log_of(name, "vfork-make")
    found = windows(log.calls)
    make = lives(log.calls, found)["P3"]
    what = [act.what for act in make.acts]
    assert what.count(VFORK) == 1
    begin = what.index(VFORK)
    assert what[begin : what.index(CREATE) + 1].count(CLOEXEC) == 0  # it changed nothing
    assert sorted(make.handles.values()) == []  # all closed at the end
    handles, cloexec = make.given[found[2].number]
    assert sorted(handles.values()) == [0, 1, 2, 3]
    assert cloexec == ({3} if name == R else set())
    assert make.held is None
    assert make.restored == set()
