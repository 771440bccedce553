"""The order of calls, thread by thread, against lists written from the call logs of real DLLs.

The lists follow "What 1.3.3 does, step by step" and its sections on eras A and B in the README of
the logs.  A word is the call and what it was about; a wait carries its limit.
"""

from __future__ import annotations

import pytest
from machine import ARGUMENTS, World, early_nt_world, early_world, leave, words

from models.cygwin import children, schemes
from models.cygwin.arguments import Arguments
from models.cygwin.errors import TryAgain
from models.cygwin.schemes import blocking, shared_memory, shared_memory_1_3_3

A, R, B, M = "blocking", "shared-memory-1.3.3", "shared-memory", "msys-1.0"


def listed(text: str) -> list[str]:
    """The words of a list: one a line, or several with ` -> ` between; {} brackets a function."""
    return [word.strip() for line in text.splitlines() for word in line.split("->") if word.strip()]


# -- the parent ---------------------------------------------------------------------------------

SUBPROC_INIT = "CreateEvent wait_subproc -> CreateThread wait_subproc"
REMEMBER = """CreateFileMapping pinfo -> MapViewOfFile pinfo
    DuplicateHandle process -> DuplicateHandle process -> SetEvent wait_subproc"""
FORK_EVENTS = """DuplicateHandle process
    CreateEvent subproc_ready -> CreateEvent forker_finished -> VirtualQuery"""
HANDSHAKE = f"""{REMEMBER} -> DuplicateHandle process
    WaitForMultipleObjects subproc_ready,process 300000
    {"WriteProcessMemory process -> " * 6}
    SetEvent forker_finished -> WaitForMultipleObjects subproc_ready,process 300000
    CloseHandle subproc_ready -> CloseHandle thread -> CloseHandle forker_finished"""
SECTION = "CreateFileMapping cygheap copy -> MapViewOfFileEx cygheap copy"
FILL = "VirtualAlloc COMMIT -> #memcpy"
LET_GO = "UnmapViewOfFile -> CloseHandle cygheap copy"
SETUP = "cygheap_setup_for_child {{ -> {} -> }} cygheap_setup_for_child"
SETUP_R = SETUP.format(f"{SECTION} -> {FILL} -> UnmapViewOfFile")
SETUP_B = SETUP.format(f"{SECTION} -> {FILL}")
SETUP_B2 = SETUP.format(SECTION)
CLEANUP = "cygheap_setup_for_child_cleanup {{ -> {} -> }} cygheap_setup_for_child_cleanup"
FORK_SOCKETS = "fixup_before_fork { -> WSADuplicateSocket socket -> } fixup_before_fork"
EXEC_SOCKETS = "fixup_before_exec { -> WSADuplicateSocket socket -> } fixup_before_exec"

FORK = {
    A: f"""{SUBPROC_INIT} -> {FORK_EVENTS}
        CreateProcess 0x20 -> CloseHandle process -> {HANDSHAKE}""",
    R: f"""{SUBPROC_INIT} -> {FORK_EVENTS} -> {SETUP_R}
        CreateProcess 0x20 -> CloseHandle process -> CloseHandle cygheap copy -> {HANDSHAKE}""",
    B: f"""{SUBPROC_INIT} -> {FORK_EVENTS} -> {SETUP_B}
        CreateProcess 0x20 -> CloseHandle process -> {CLEANUP.format(LET_GO)} -> {HANDSHAKE}""",
}
FORK_WITH_SOCKET = {
    A: f"""{SUBPROC_INIT} -> {FORK_EVENTS}
        CreateProcess 0x24 -> CloseHandle process -> {FORK_SOCKETS} -> ResumeThread thread
        {HANDSHAKE}""",
    R: f"""{SUBPROC_INIT} -> {FORK_EVENTS} -> {SETUP_R}
        CreateProcess 0x24 -> CloseHandle process -> CloseHandle cygheap copy
        {FORK_SOCKETS} -> ResumeThread thread -> {HANDSHAKE}""",
    B: f"""{SUBPROC_INIT} -> {FORK_EVENTS} -> {SETUP_B2}
        CreateProcess 0x24 -> CloseHandle process -> {FORK_SOCKETS}
        {CLEANUP.format(f"{FILL} -> {LET_GO}")} -> ResumeThread thread -> {HANDSHAKE}""",
}
EXEC_WAIT = "WaitForMultipleObjects process,signal_arrived,subproc_ready -1"
SPAWN_A = f"""{SUBPROC_INIT} -> CreateEvent subproc_ready -> DuplicateHandle process
    CreateProcess 0x4000024 -> {{sockets}} {REMEMBER} -> ResumeThread thread -> CloseHandle thread
    {EXEC_WAIT} -> CloseHandle subproc_ready -> CloseHandle process"""
SPAWN_R = f"""{SUBPROC_INIT} -> DuplicateHandle process -> {{setup}}
    CreateProcess 0x4000024 -> {{cleanup}} {REMEMBER} -> {{pinfo}}
    ResumeThread thread -> CloseHandle thread -> CloseHandle process"""
NOWAIT = {
    A: SPAWN_A.format(sockets=""),
    R: SPAWN_R.format(setup=SETUP_R, cleanup="CloseHandle cygheap copy -> ", pinfo=""),
    B: SPAWN_R.format(
        setup=SETUP_B, cleanup=CLEANUP.format(LET_GO) + " -> ", pinfo="DuplicateHandle pinfo -> "
    ),
}
NOWAIT_WITH_SOCKET = {
    A: SPAWN_A.format(sockets=f"{EXEC_SOCKETS} -> "),
    R: SPAWN_R.format(
        setup=SETUP_R, cleanup=f"CloseHandle cygheap copy -> {EXEC_SOCKETS} -> ", pinfo=""
    ),
    B: SPAWN_R.format(
        setup=SETUP_B2,
        cleanup=f"{EXEC_SOCKETS} -> {CLEANUP.format(f'{FILL} -> {LET_GO}')} -> ",
        pinfo="DuplicateHandle pinfo -> ",
    ),
}
STUB_BEGIN = "CreateEvent subproc_ready -> DuplicateHandle process -> DuplicateHandle pinfo"
STUB_END = f"""CloseHandle thread -> {EXEC_WAIT} -> WaitForSingleObject process 0
    CloseHandle subproc_ready -> DuplicateHandle process -> CloseHandle process -> ExitProcess"""
STUB = {
    A: f"{STUB_BEGIN} -> CreateProcess 0x4000020 -> {STUB_END}",
    R: f"""{STUB_BEGIN} -> {SETUP_R} -> CreateProcess 0x4000020 -> CloseHandle cygheap copy
        CloseHandle console -> CloseHandle read end -> {STUB_END}""",
    B: f"""{STUB_BEGIN} -> {SETUP_B} -> CreateProcess 0x4000020 -> {CLEANUP.format(LET_GO)}
        CloseHandle console -> CloseHandle read end -> {STUB_END}""",
}
for lists in (FORK, FORK_WITH_SOCKET):
    lists[M] = lists[R]
for lists in (NOWAIT, NOWAIT_WITH_SOCKET, STUB):  # MSYS: CREATE_UNICODE_ENVIRONMENT, too
    lists[M] = lists[R].replace("CreateProcess 0x40000", "CreateProcess 0x40004")
for lists in (NOWAIT, NOWAIT_WITH_SOCKET):
    lists[M] = lists[M].replace("ResumeThread", "DuplicateHandle pinfo -> ResumeThread")

# -- the child ----------------------------------------------------------------------------------

SELF = "#process_start -> DuplicateHandle process -> DuplicateHandle thread"
FIXUP = "cygheap_fixup_in_child {{ -> {} -> }} cygheap_fixup_in_child"
READ = FIXUP.format("VirtualAlloc RESERVE -> VirtualAlloc COMMIT -> ReadProcessMemory process")
MAP = FIXUP.format("MapViewOfFileEx cygheap copy -> CloseHandle cygheap copy")
COPY = FIXUP.format(
    "MapViewOfFileEx cygheap copy -> VirtualAlloc RESERVE -> VirtualAlloc COMMIT -> #memcpy"
    " -> UnmapViewOfFile -> CloseHandle cygheap copy"
)
HEAP = {(A, "nt"): READ, (R, "nt"): MAP, (B, "nt"): MAP,
        (M, "nt"): MAP, (A, "9x"): READ, (R, "9x"): COPY, (B, "9x"): COPY,
        (M, "9x"): COPY}  # fmt: skip
# those that are 1.3.3 as long as no socket is open
SAME = {"1.3.3-two-step": R, "2001-09-06": R}
SHARED = {  # on 9x the wanted address is refused, so a second call takes any
    "nt": "MapViewOfFileEx cygwin shared",
    "9x": "MapViewOfFileEx cygwin shared -> MapViewOfFileEx cygwin shared",
}
SIGNALS = """CreateEvent signal thread ready -> CreateEvent signal_arrived
    CreateThread signal -> CreateEvent signal mask"""
FORK_CHILD = f"""{SELF} -> {{grandparent}} CreateEvent muto -> {{heap}}
    CreateEvent muto -> VirtualQuery -> CreateFileMapping pinfo -> MapViewOfFile pinfo
    {{shared}} -> VirtualAlloc RESERVE -> VirtualAlloc COMMIT -> CreateEvent muto
    OpenFileMapping cygwin root -> MapViewOfFileEx cygwin root
    CreateMutex mutex -> CreateEvent muto -> CreateEvent muto
    SetEvent subproc_ready -> WaitForSingleObject forker_finished 300000
    {{hexec}} DuplicateHandle process -> SetEvent subproc_ready
    CloseHandle process -> CloseHandle subproc_ready -> CloseHandle forker_finished -> {SIGNALS}"""
EXEC_CHILD = f"""{SELF} -> CreateEvent muto -> {{heap}} -> CreateEvent muto
    {{pinfo}} -> MapViewOfFile pinfo -> CloseHandle process
    {{shared}} -> VirtualAlloc RESERVE -> CreateEvent muto -> VirtualAlloc COMMIT
    MapViewOfFileEx cygwin root -> CreateMutex mutex -> CreateEvent muto -> CreateEvent muto
    {SIGNALS} -> WaitForSingleObject signal thread ready -1 -> CloseHandle signal thread ready"""


def main_thread(world, process):
    """What its main thread called, without heap growth."""
    return words(world.trace, process.threads[0].tid)


def without_growth(called: list[str]) -> list[str]:
    """csbrk commits where it must; the lists leave that out, as the heap's size decides it."""
    inside = 0
    kept = []
    for word in called:
        inside += word.endswith("{") - word.startswith("}")
        if word != "VirtualAlloc COMMIT" or inside:
            kept.append(word)
    return kept


def parent_calls(name, kind, sockets=0, system="nt"):
    """(world, what a first process calls for one creation)."""
    world = World(schemes.get(name), system)
    called = []

    def main(p):
        p.open(0, "console")
        p.pipe(1, 2)
        if sockets:
            p.socket(3)
        yield from p.work(0.5)
        before = len(main_thread(world, p.me.process))
        if kind == "fork":
            pid = yield from p.fork(leave(0))
        else:
            pid = yield from p.spawn(kind, world.cygwin(leave(0), "new"), ARGUMENTS)
        called.extend(main_thread(world, p.me.process)[before:])
        yield from p.waitpid(pid)

    world.run(main)
    return world, without_growth(called)


@pytest.mark.parametrize("name", [A, R, B])
@pytest.mark.parametrize("system", ["nt", "9x"])
@pytest.mark.parametrize("sockets", [0, 1])
def test_fork_in_the_parent(name, system, sockets):
    _, called = parent_calls(name, "fork", sockets, system)
    assert called == listed((FORK_WITH_SOCKET if sockets else FORK)[name])


@pytest.mark.parametrize("name", [A, R, B])
@pytest.mark.parametrize("sockets", [0, 1])
def test_spawn_in_the_parent(name, sockets):
    _, called = parent_calls(name, "_P_NOWAIT", sockets)
    assert called == listed((NOWAIT_WITH_SOCKET if sockets else NOWAIT)[name])


@early_world
def test_second_fork_makes_no_second_wait_subproc(world):
    called = []

    def main(p):
        for _ in range(2):
            begin = len(main_thread(world, p.me.process))
            yield from p.fork(leave(0))
            called.append(main_thread(world, p.me.process)[begin:])

    world.run(main)
    first, second = called
    assert first[2:] == second


@early_nt_world
def test_ninth_fork_closes_the_oldest_of_eight_kept_pids(nt_world):
    called = []

    def main(p):
        for _ in range(10):
            begin = len(main_thread(nt_world, p.me.process))
            pid = yield from p.fork(leave(0))
            called.append(main_thread(nt_world, p.me.process)[begin:])
            yield from p.waitpid(pid)

    nt_world.run(main)
    closed = [calls.count("CloseHandle process") for calls in called]
    assert closed == [1] * 8 + [2] * 2


@pytest.mark.parametrize(("name", "system"), HEAP, ids=map("-".join, HEAP))
def test_fork_in_the_child(name, system):
    world, _ = parent_calls(name, "fork", 0, system)
    called = main_thread(world, world.first_child())
    wanted = FORK_CHILD.format(
        grandparent="", hexec="", heap=HEAP[name, system], shared=SHARED[system]
    )
    assert called[: len(listed(wanted))] == listed(wanted)


@early_world
def test_fork_child_of_a_fork_child_closes_the_handle_of_its_grandparent(world):
    def main(p):
        yield from p.fork(world.create("fork", leave(0)))

    world.run(main)
    last = list(world.k.processes.values())[2]
    cell = SAME.get(world.scheme.name, world.scheme.name), world.k.system.name
    wanted = FORK_CHILD.format(
        grandparent="CloseHandle process -> ",
        hexec="CloseHandle process -> ",
        heap=HEAP[cell],
        shared=SHARED[cell[1]],
    )
    assert main_thread(world, last)[: len(listed(wanted))] == listed(wanted)


@pytest.mark.parametrize("name", [A, R, B])
@pytest.mark.parametrize("system", ["nt", "9x"])
def test_exec_in_its_stub_and_in_the_new_image(name, system):
    world = World(schemes.get(name), system)
    called = []

    def stub(p):
        yield from p.work(0.5)
        called.append(len(main_thread(world, p.me.process)))
        yield from p.execute(world.cygwin(leave(0), "new"), ARGUMENTS)

    def main(p):
        p.open(0, "console")
        p.pipe(1, 2)
        yield from p.close(2)
        pid = yield from p.fork(stub)
        yield from p.waitpid(pid)

    world.run(main)
    stub_process, new = list(world.k.processes.values())[1:]
    assert without_growth(main_thread(world, stub_process)[called[0] :]) == listed(STUB[name])
    wanted = EXEC_CHILD.format(
        heap=HEAP[name, system], shared=SHARED[system], pinfo="DuplicateHandle pinfo"
    )
    assert main_thread(world, new)[: len(listed(wanted))] == listed(wanted)


@pytest.mark.parametrize("name", [A, R, M])
def test_pinfo_goes_along_when_all_strings_lie_in_the_heap(name):
    """In the logs of 1.3.2, 1.3.3 and MSYS no heap is committed for arguments after it."""
    world = World(schemes.get(name))

    def main(p):
        yield from p.execute(world.cygwin(leave(0), "new"), Arguments([b"new"], [b"A" * 5000] * 3))

    process = world.run(main)
    called = main_thread(world, process)
    creation = next(i for i, word in enumerate(called) if word.startswith("CreateProcess"))
    begin = called.index("CreateEvent subproc_ready")
    grown = [i for i in range(begin, creation) if called[i] == "VirtualAlloc COMMIT"]
    pinfo = called.index("DuplicateHandle pinfo")
    setup = called.index("cygheap_setup_for_child {") if name != A else creation
    assert sum(i < setup for i in grown) > 1
    assert all(i < pinfo or i > setup for i in grown)


@pytest.mark.parametrize("name", [A, R, B])
def test_spawn_in_the_child(name):
    world, _ = parent_calls(name, "_P_NOWAIT")
    wanted = EXEC_CHILD.format(
        heap=HEAP[name, "nt"], shared=SHARED["nt"], pinfo="CreateFileMapping pinfo"
    )
    called = main_thread(world, world.first_child())
    assert called[: len(listed(wanted))] == listed(wanted)


@early_world
def test_child_says_that_it_is_ready_in_its_signal_thread_long_after_the_copy(world):
    def stub(p):
        yield from p.execute(world.cygwin(leave(0), "new"), ARGUMENTS)

    def main(p):
        yield from p.fork(stub)

    world.run(main)
    new = list(world.k.processes.values())[2]
    ready = next(row for row in world.rows(new.pid, "SetEvent"))
    copied = next(r for r in world.rows(new.pid, "cygheap_fixup_in_child") if r.phase == "end")
    closed = next(r for r in world.rows(new.pid, "CloseHandle") if r.args["h"].kind == "process")
    assert ready.args["h"].role == "subproc_ready"
    assert ready.tid == new.threads[1].tid
    assert copied.t_us < closed.t_us < ready.t_us


# -- negative controls --------------------------------------------------------------------------


class NoResume(shared_memory.SharedMemory):
    """Forgets ResumeThread after a spawn."""

    def parent_side(self, p, request):
        resume = p.k.resume_thread
        p.k.resume_thread = lambda me, handle: iter(())
        try:
            return (yield from super().parent_side(p, request))
        finally:
            p.k.resume_thread = resume


def test_a_scheme_that_forgets_to_resume_hangs():
    world = World(NoResume())
    seen = []

    def main(p):
        pid = yield from p.spawn("_P_NOWAIT", world.cygwin(leave(0)), ARGUMENTS)
        seen.append((yield from p.waitpid(pid)))

    process = world.run(main)
    assert process.alive
    assert seen == []
    assert world.rows(world.first_child().pid, "#process_start") == []


@pytest.mark.parametrize("module", [blocking, shared_memory_1_3_3, shared_memory])
@pytest.mark.parametrize("system", ["nt", "9x"])
@pytest.mark.parametrize("kind", ["fork", "exec", "_P_WAIT"])
def test_a_scheme_with_a_wrong_heap_base_kills_the_child(module, system, kind):
    class Shifted(type(module.SCHEME)):
        def child_side(self, p, info):
            wrong = info.cygheap + 0x1000000
            info = info._replace(cygheap=wrong, cygheap_max=wrong + info.n)
            return super().child_side(p, info)

    world = World(Shifted(), system)
    ran = []

    def child(p):
        ran.append(p.pid)
        yield from p.exit(0)

    def main(p):
        yield from p.sleep(1)
        try:
            ran.append((yield from world.create(kind, child)(p)) == 0)
        except TryAgain:
            ran.append(False)

    world.run(main)
    assert True not in ran
    assert len(ran) <= 1
    assert world.k.crashes or world.installation.failures


class NoUnmap(shared_memory_1_3_3.SharedMemory133):
    """Leaves the parent's view of the section mapped."""

    def parent_side(self, p, request):
        p.k.unmap_view_of_file, unmap = (lambda me, address: None), p.k.unmap_view_of_file
        try:
            return (yield from super().parent_side(p, request))
        finally:
            p.k.unmap_view_of_file = unmap


def test_a_scheme_that_does_not_unmap_is_found_by_the_order(monkeypatch):
    monkeypatch.setattr(schemes, "get", lambda name: NoUnmap())
    _, called = parent_calls(R, "fork")
    wanted = listed(FORK[R])
    assert called != wanted
    wanted.remove("UnmapViewOfFile")
    assert called == wanted


def test_a_scheme_that_waits_before_it_registers_is_found_by_the_order(monkeypatch):
    def late(p, h_process, winpid):
        yield from p.k.wait_for_single_object(p.me, h_process, 1)
        return (yield from remember(p, h_process, winpid))

    remember = children.remember
    monkeypatch.setattr(children, "remember", late)
    _, called = parent_calls(B, "fork")
    assert called != listed(FORK[B])
