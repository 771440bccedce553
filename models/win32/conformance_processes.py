"""Verbs of conformance cases on processes and threads."""

from __future__ import annotations

from models.win32.conformance_script import Answers, CannotRun, Scope, Script, Step, Verb
from models.win32.errors import ERROR_ACCESS_DENIED, ERROR_BAD_EXE_FORMAT
from models.win32.image import Image, Layout, NoProgram, Part
from models.win32.kernel import Kernel
from models.win32.process_calls import CREATE_NEW_CONSOLE, CREATE_SUSPENDED, DETACHED_PROCESS
from models.win32.thread import Thread
from sim.engine import Steps

# Where Windows 2000 had them (assumed; only that they are taken matters).
SYMBOLS = {"#image": 0x400000, "#kernel32": 0x77E80000, "#ntdll": 0x77F80000}
_NO_PROGRAMS = {
    "missing": None,
    "folder": NoProgram("folder", ERROR_ACCESS_DENIED),
    "text": NoProgram("text", ERROR_BAD_EXE_FORMAT),
}


def layout() -> Layout:
    """What the program of every case occupies: its image, its stack and two system DLLs."""
    return Layout(
        (
            Part(SYMBOLS["#image"], 0x10000, "program", content=b"MZ"),
            Part(0x230000, 0xF0000, "stack", kind="stack"),
            Part(0x320000, 0x10000, "stack", writable=True, kind="stack"),
            Part(SYMBOLS["#kernel32"], 0xB5000, "kernel32.dll", content=b"MZ"),
            Part(SYMBOLS["#ntdll"], 0x79000, "ntdll.dll", content=b"MZ"),
        )
    )


def spawn(s: Script, step: Step) -> Steps:
    """CreateProcess of a program that runs the steps of `child`; NAME.process, NAME.thread.

    `program`: "missing", "folder" or "text" stands where the program should be; `directory`:
    "missing" is the current directory; `reserved2`: a string that is passed in lpReserved2.
    """
    name = step.word(0)
    names = s.scope.names
    scope = Scope(dict(names))
    steps = step.scripts.get("child", [])
    s.scope.children[name] = scope
    names[f"{name}.process"] = names[f"{name}.thread"] = 0

    def entry(k: Kernel, thread: Thread) -> Steps:
        return (yield from Script(k, thread, scope, s.symbols).run(steps))

    image: Image | NoProgram | None = Image(name, s.me.process.image.parts, entry)
    if "program" in step.options:
        program = step.text("program")
        if program not in _NO_PROGRAMS:
            raise CannotRun(f"program {program!r}")
        image = _NO_PROGRAMS[program]
    flags = CREATE_SUSPENDED if step.flag("suspended") else 0
    flags |= DETACHED_PROCESS if step.flag("detached") else 0
    flags |= CREATE_NEW_CONSOLE if step.flag("new_console") else 0
    process, thread, pid = yield from s.k.create_process(
        s.me,
        image,
        step.flag("inherit"),
        flags,
        startup=step.text("reserved2", "").encode("latin-1", "replace"),
        directory_exists=step.options.get("directory") != "missing",
    )
    names[f"{name}.process"], names[f"{name}.thread"] = process, thread
    scope.pid = pid
    return {}


def resume(s: Script, step: Step) -> Steps:
    """ResumeThread; `prev` and `out`: the count before."""
    before = yield from s.k.resume_thread(s.me, s.handle(step.targets[0]))
    return {"out": before, "prev": before}


def suspend(s: Script, step: Step) -> Steps:
    """SuspendThread; `prev` and `out`: the count before."""
    before = yield from s.k.suspend_thread(s.me, s.handle(step.targets[0]))
    return {"out": before, "prev": before}


def terminate(s: Script, step: Step) -> Steps:
    """TerminateProcess."""
    yield from s.k.terminate_process(s.me, s.handle(step.targets[0]), step.number("code", 0))
    return {}


def exit_code(s: Script, step: Step) -> Steps:
    """GetExitCodeProcess or GetExitCodeThread; with `wait` at its end."""
    handle = s.handle(step.targets[0])
    if step.flag("wait"):
        yield from s.k.wait_for_single_object(s.me, handle)
    yield from s.k.settle(s.me)
    if isinstance(s.k.object(s.me, handle), Thread):
        return {"out": s.k.get_exit_code_thread(s.me, handle)}
    return {"out": s.k.get_exit_code_process(s.me, handle)}


def open_process(s: Script, step: Step) -> Steps:
    """OpenProcess by the id of a child (`of`) or by a number (`id`)."""
    yield from s.k.settle(s.me)
    name = step.word(0)
    s.scope.names[name] = 0
    if "of" in step.options:
        of = step.text("of")
        pid = s.me.process.pid if of == "#self" else s.child(of).pid
    else:
        pid = step.number("id")
    s.scope.names[name] = s.k.open_process(s.me, pid, step.flag("inherit"))
    return {}


def leave(s: Script, step: Step) -> Steps:
    """ExitProcess."""
    code = step.targets[0]
    if not isinstance(code, int):
        raise CannotRun(f"{code!r} is no exit code")
    yield from s.k.exit_process(s.me, code)


def leave_thread(s: Script, step: Step) -> Steps:
    """ExitThread."""
    code = step.targets[0]
    if not isinstance(code, int):
        raise CannotRun(f"{code!r} is no exit code")
    yield from s.k.exit_thread(s.me, code)


def sleep(s: Script, step: Step) -> Steps:
    """Sleep [ms]."""
    ms = s.milliseconds(step.targets[0])
    yield from s.k.sleep(s.me, None if ms < 0 else ms * 1000.0)
    return {}


def thread(s: Script, step: Step) -> Steps:
    """CreateThread of a thread that runs the steps of `run` with the names of this one."""
    name = step.word(0)
    steps = step.scripts.get("run", [])
    s.scope.names[name] = 0

    def start(me: Thread) -> Steps:
        return (yield from Script(s.k, me, s.scope, s.symbols).run(steps))

    suspended = step.flag("suspended")
    s.scope.names[name] = yield from s.k.create_thread(s.me, start, suspended)
    return {}


def sum_codes(s: Script, step: Step) -> Steps:
    """The sum of the exit codes of processes or threads."""
    yield from s.k.settle(s.me)
    total = 0
    for target in step.several(0):
        handle = s.handle(target)
        if isinstance(s.k.object(s.me, handle), Thread):
            total += s.k.get_exit_code_thread(s.me, handle)
        else:
            total += s.k.get_exit_code_process(s.me, handle)
    return {"out": total}


def ids(s: Script, step: Step) -> Answers:
    """Looks at the process ids of children: `multiple_of_4`."""
    return {"multiple_of_4": all(s.child(name).pid % 4 == 0 for name in step.several(0))}


def system_info(s: Script, step: Step) -> Answers:
    """GetSystemInfo: `page` and `granularity`."""
    page, granularity = s.k.get_system_info(s.me)
    return {"page": page, "granularity": granularity}


def open_console(s: Script, step: Step) -> Answers:
    """CreateFile("CONOUT$")."""
    name = step.word(0)
    s.scope.names[name] = 0
    s.scope.names[name] = s.k.open_console(s.me)
    return {}


def got_reserved2(s: Script, step: Step) -> Answers:
    """Whether lpReserved2 holds this string."""
    return {"out": s.me.process.startup == step.word(0).encode("latin-1", "replace")}


_SPAWN = frozenset(
    ("child", "suspended", "inherit", "program", "directory", "detached", "new_console")
)
_COUNT = frozenset(("prev",))
VERBS = {
    "spawn": Verb(spawn, (1, 1), _SPAWN | {"reserved2"}),
    "resume": Verb(resume, (1, 1), answers=_COUNT, failed=0xFFFFFFFF),
    "suspend": Verb(suspend, (1, 1), answers=_COUNT, failed=0xFFFFFFFF),
    "terminate": Verb(terminate, (1, 1), frozenset(("code",))),
    "exit_code": Verb(exit_code, (1, 1), frozenset(("wait",))),
    "open_process": Verb(open_process, (1, 1), frozenset(("of", "id", "inherit"))),
    "exit": Verb(leave, (1, 1)),
    "exit_thread": Verb(leave_thread, (1, 1)),
    "sleep": Verb(sleep, (1, 1)),
    "thread": Verb(thread, (1, 1), frozenset(("run", "suspended"))),
    "sum_codes": Verb(sum_codes, (1, 1)),
    "ids": Verb(ids, (1, 1), answers=frozenset(("multiple_of_4",))),
    "system_info": Verb(system_info, (0, 0), answers=frozenset(("page", "granularity"))),
    "open_console": Verb(open_console, (1, 1)),
    "got_reserved2": Verb(got_reserved2, (1, 1)),
}
