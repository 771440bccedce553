"""How a child comes to own its parent's heap: one suite over all schemes, found by running them."""

from __future__ import annotations

import pytest

from models.cygwin import schemes
from models.cygwin.arguments import Arguments
from models.cygwin.blocked import blocked
from models.cygwin.errors import TryAgain
from models.cygwin.images import cygwin_image, native_image
from models.cygwin.machine import Machine, build
from models.cygwin.protocol import P_DETACH, P_NOWAIT, P_WAIT
from models.cygwin.startup import entry
from models.win32.cost_profile import load_profile
from models.win32.system import SYSTEMS
from sim.streams import Replication

ARGUMENTS = Arguments([b"program", b"argument"], [b"A=1", b"PATH=/usr/bin"])
SECOND = 1e6  # [us]

every_scheme = pytest.mark.parametrize("name", schemes.names())
early_scheme = pytest.mark.parametrize("name", schemes.names()[:3])  # what 3.6 does otherwise
every_system = pytest.mark.parametrize("system", ["nt", "9x"])


def machine(name: str, system: str = "nt", profile: str = "p3-800-w2000") -> Machine:
    return build(
        schemes.get(name), SYSTEMS[system], load_profile(profile), Replication(1, 0), 2, 4, True
    )


def native(m: Machine, us: float | None, code: int = 6):
    def steps(kernel, thread):
        yield from kernel.sleep(thread, us)
        return code

    return native_image(m.installation.version, "nat", steps)


def program(m: Machine, steps, name="program"):
    return cygwin_image(m.installation.version, name, entry(m.installation, steps))


def finish(m: Machine, steps):
    process = m.start("sh", steps)
    m.kernel.engine.run()
    return process


@every_scheme
@every_system
def test_a_forked_child_owns_the_same_bytes_and_writes_only_its_own(name, system):
    m = machine(name, system)
    seen = {}

    def child(p):
        seen["child"] = p.heap.load(p.heap.base, seen["n"])
        p.heap.store(seen["block"], b"child!")
        yield from p.exit(3)

    def parent(p):
        seen["block"] = p.heap.cstrdup(b"parent")
        seen["n"] = p.heap.max
        seen["parent"] = p.heap.load(p.heap.base, p.heap.max)
        pid = yield from p.fork(child)
        seen["code"] = yield from p.waitpid(pid)
        seen["after"] = p.heap.load(seen["block"], 6)

    finish(m, parent)
    assert seen["child"] == seen["parent"]
    assert seen["after"] == b"parent"
    assert seen["code"] == 3
    assert m.kernel.committed_bytes == 0
    assert m.installation.failures == []


@early_scheme
@every_system
def test_an_exec_keeps_the_pid_and_hands_on_descriptors_and_arguments(name, system):
    m = machine(name, system)
    seen = {}

    def image_steps(p):
        seen["fds"] = sorted(p.fds.open)
        seen["pid"] = p.pid
        seen["argv"] = [p.heap.load(a, 16).split(b"\0")[0] for a in p.environment()]
        yield from p.exit(9)

    def child(p):
        p.set_cloexec(4, True)
        seen["forked"] = p.pid
        yield from p.execute(program(m, image_steps), ARGUMENTS)

    def parent(p):
        p.open(0)
        p.pipe(3, 4)
        pid = yield from p.fork(child)
        seen["code"] = yield from p.waitpid(pid)
        seen["waited"] = pid

    finish(m, parent)
    assert seen["fds"] == [0, 3]
    assert seen["pid"] == seen["forked"] == seen["waited"]
    assert seen["argv"] == [b"A=1", b"PATH=/usr/bin"]
    assert seen["code"] == 9


@every_scheme
@pytest.mark.parametrize("mode", [P_NOWAIT, P_DETACH])
def test_a_spawned_native_program_holds_its_caller_only_while_children_read(name, mode):
    m = machine(name)
    took = []

    def parent(p):
        began = p.now()
        yield from p.spawn(mode, native(m, SECOND), ARGUMENTS)
        took.append(p.now() - began)

    finish(m, parent)
    if name == "blocking":
        assert took[0] > SECOND
    else:
        assert took[0] < 0.05 * SECOND


@every_scheme
def test_a_native_program_that_a_fork_child_execs_holds_only_the_stub(name):
    m = machine(name)
    seen = {}

    def child(p):
        yield from p.execute(native(m, SECOND), ARGUMENTS)

    def parent(p):
        began = p.now()
        pid = yield from p.fork(child)
        seen["fork"] = p.now() - began
        seen["code"] = yield from p.waitpid(pid)
        seen["all"] = p.now() - began

    finish(m, parent)
    assert seen["fork"] < 0.1 * SECOND
    assert seen["all"] > SECOND
    assert seen["code"] == 6


@every_scheme
def test_a_program_that_never_ends_leaves_a_named_wait(name):
    m = machine(name)

    def parent(p):
        yield from p.spawn(P_NOWAIT, native(m, None), ARGUMENTS)

    finish(m, parent)
    waiting = {entry["program"]: entry["waits_for"] for entry in blocked(m.kernel)}
    assert ("sh" in waiting) == (name == "blocking")
    if name == "blocking":
        names = [wait["name"] for wait in waiting["sh"]]
        assert names[1:] == ["signal_arrived", "subproc_ready"]


@every_scheme
def test_a_waiting_spawn_returns_the_exit_code(name):
    m = machine(name)
    codes = []

    def parent(p):
        codes.append((yield from p.spawn(P_WAIT, native(m, 1000.0, 17), ARGUMENTS)))

    finish(m, parent)
    assert codes == [17]


@early_scheme
def test_open_sockets_suspend_the_child_and_only_the_release_hands_on_stale_ones(name):
    m = machine(name)

    def child(p):
        yield from p.exit(0)

    def parent(p):
        p.socket(5)
        pid = yield from p.fork(child)
        yield from p.waitpid(pid)

    finish(m, parent)
    created = next(r for r in m.kernel.calls if r.name == "CreateProcess" and r.phase == "call")
    answers = [r.args.get("err") for r in m.kernel.calls if r.name == "WSASocket"]
    assert created.args["flags"] & 4
    assert answers == ([10022] if name in ("shared-memory-1.3.3", "msys-1.0") else [None])
    fork = next(r for r in m.kernel.trace.records if r.kind == "fork")
    steps = {"blocking": 0, "shared-memory-1.3.3": 1, "shared-memory": 2, "msys-1.0": 1}
    assert fork.section_steps == steps[name]


def interrupted_fork(m: Machine, interrupt) -> tuple[str, float]:
    """Fork, and let `interrupt` happen to the child at 18 ms: (what fork says, when [us])."""
    seen = []

    def parent(p):
        try:
            yield from p.fork(lambda child: child.exit(0))
        except TryAgain as error:
            seen.append((str(error), m.kernel.engine.now))

    process = m.start("sh", parent)
    engine = m.kernel.engine
    engine.run(until=18_000.0)
    victim = max(m.kernel.processes.values(), key=lambda q: q.pid)
    assert victim is not process
    interrupt(victim)
    engine.run()
    return seen[0]


@early_scheme
def test_a_child_that_dies_early_gives_try_again_at_once(name):
    m = machine(name)
    message, at_us = interrupted_fork(m, lambda child: m.kernel.end_process(child, 0x77, None))
    assert "died before initialization with status code 0x77" in message
    assert at_us < 0.1 * SECOND


@early_scheme
def test_a_child_that_never_answers_times_out_after_300_seconds(name):
    def stop(child):
        for thread in child.threads:
            thread.suspend()

    message, at_us = interrupted_fork(machine(name), stop)
    assert message == "WaitForMultipleObjects timed out"
    assert at_us == pytest.approx(300 * SECOND, rel=0.001)


def names_of(m: Machine, tid: int, first: str, last: str) -> list[str]:
    rows = [r for r in m.kernel.trace.rows(tid=tid) if r.phase in ("", "call")]
    names = [r.name for r in rows]
    begin = names.index(first)
    return names[begin : names.index(last, begin) + 1]


# Parent of a fork, from its duplicate for the child to the wait; order from the call logs.
REMEMBER = [
    "CreateFileMapping",
    "MapViewOfFile",
    "DuplicateHandle",
    "DuplicateHandle",
    "SetEvent",
    "DuplicateHandle",
    "WaitForMultipleObjects",
]
BEGIN = ["DuplicateHandle", "CreateEvent", "CreateEvent", "VirtualQuery"]
SETUP = ["CreateFileMapping", "MapViewOfFileEx", "VirtualAlloc", "#memcpy"]
FORK_ORDER = {
    "blocking": [*BEGIN, "CreateProcess", "CloseHandle", *REMEMBER],
    "shared-memory-1.3.3": [
        *BEGIN, *SETUP, "UnmapViewOfFile", "CreateProcess", "CloseHandle", "CloseHandle", *REMEMBER,
    ],
    "shared-memory": [
        *BEGIN, *SETUP, "CreateProcess", "CloseHandle", "UnmapViewOfFile", "CloseHandle", *REMEMBER,
    ],
}  # fmt: skip
FORK_ORDER["msys-1.0"] = FORK_ORDER["shared-memory-1.3.3"]


@early_scheme
def test_a_fork_parent_makes_the_calls_of_the_real_one_in_their_order(name):
    m = machine(name)

    def parent(p):
        first = yield from p.fork(lambda child: child.exit(0))
        yield from p.waitpid(first)
        m.kernel.calls.clear()
        yield from p.fork(lambda child: child.exit(0))

    process = finish(m, parent)
    tid = process.threads[0].tid
    found = names_of(m, tid, "DuplicateHandle", "WaitForMultipleObjects")
    assert found == FORK_ORDER[name]


def test_a_scheme_that_forgets_to_resume_the_child_is_found_blocked(monkeypatch):
    m = machine("shared-memory")

    def forgets(me, handle):
        yield from ()
        return 1

    monkeypatch.setattr(m.kernel, "resume_thread", forgets)

    def parent(p):
        yield from p.spawn(P_WAIT, native(m, 1000.0), ARGUMENTS)

    finish(m, parent)
    assert [entry["program"] for entry in blocked(m.kernel)] == ["sh"]
