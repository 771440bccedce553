"""Verbs of conformance cases on events, mutexes, semaphores and handles."""

from __future__ import annotations

from collections.abc import Callable

from models.win32.conformance_script import Answers, CannotRun, Script, Step, Verb
from models.win32.handles import CURRENT_PROCESS
from models.win32.object_calls import HANDLE_FLAG_INHERIT, HANDLE_FLAG_PROTECT_FROM_CLOSE
from models.win32.sync_calls import EVENT_MODIFY_STATE, SYNCHRONIZE
from models.win32.thread import Thread
from models.win32.waits import WAIT_ABANDONED_0, WAIT_TIMEOUT
from sim.engine import Steps

_ACCESS = {"SYNCHRONIZE": SYNCHRONIZE, "EVENT_MODIFY_STATE": EVENT_MODIFY_STATE}


def event(s: Script, step: Step) -> Answers:
    """CreateEvent."""
    name = step.word(0)
    s.scope.names[name] = 0
    manual, is_set = step.flag("manual"), step.flag("set")
    known = step.text("name", "")
    s.scope.names[name] = s.k.create_event(s.me, manual, step.flag("inherit"), is_set, name=known)
    return {}


def mutex(s: Script, step: Step) -> Answers:
    """CreateMutex."""
    name = step.word(0)
    s.scope.names[name] = 0
    owned, inherit = step.flag("owned"), step.flag("inherit")
    s.scope.names[name] = s.k.create_mutex(s.me, owned, inherit, step.text("name", ""))
    return {}


def semaphore(s: Script, step: Step) -> Answers:
    """CreateSemaphore."""
    name = step.word(0)
    s.scope.names[name] = 0
    s.scope.names[name] = s.k.create_semaphore(
        s.me,
        step.number("initial", 0),
        step.number("max", 0x7FFFFFFF),
        step.flag("inherit"),
        step.text("name", ""),
    )
    return {}


def open_event(s: Script, step: Step) -> Steps:
    """OpenEvent."""
    return _open(s, step, s.k.open_event)


def open_mutex(s: Script, step: Step) -> Steps:
    """OpenMutex."""
    return _open(s, step, s.k.open_mutex)


def open_semaphore(s: Script, step: Step) -> Steps:
    """OpenSemaphore."""
    return _open(s, step, s.k.open_semaphore)


def _open(s: Script, step: Step, call: Callable[[Thread, str, bool, int | None], int]) -> Steps:
    """One of the calls that open an object by its name; 0 stands there if it fails."""
    yield from s.k.settle(s.me)
    name = step.word(0)
    s.scope.names[name] = 0
    s.scope.names[name] = call(s.me, _known(step), step.flag("inherit"), _access(step))
    return {}


def set_event(s: Script, step: Step) -> Steps:
    """SetEvent."""
    yield from s.k.set_event(s.me, s.handle(step.targets[0]))
    return {}


def reset_event(s: Script, step: Step) -> Steps:
    """ResetEvent."""
    yield from s.k.reset_event(s.me, s.handle(step.targets[0]))
    return {}


def release_mutex(s: Script, step: Step) -> Steps:
    """ReleaseMutex."""
    yield from s.k.release_mutex(s.me, s.handle(step.targets[0]))
    return {}


def release_semaphore(s: Script, step: Step) -> Steps:
    """ReleaseSemaphore; `prev` is the count before."""
    handle = s.handle(step.targets[0])
    before = yield from s.k.release_semaphore(s.me, handle, step.number("n", 1))
    return {"prev": before}


def wait(s: Script, step: Step) -> Steps:
    """WaitForSingleObject or, for several handles, WaitForMultipleObjects.

    `elapsed`: it took 0.9 to 4 times the limit, as the cases' own program allowed.
    """
    handles = [s.handle(one) for one in step.several(0)]
    ms = s.milliseconds(step.options.get("ms", "INFINITE"))
    yield from s.k.settle(s.me)
    since_us = s.k.engine.now
    if len(handles) == 1:
        result = yield from s.k.wait_for_single_object(s.me, handles[0], ms)
    else:
        wait_all = step.flag("all")
        result = yield from s.k.wait_for_multiple_objects(s.me, handles, wait_all, ms)
    took_ms = (s.k.engine.now - since_us) / 1000.0
    return {"out": _result(result), "elapsed": 0.9 * ms <= took_ms <= 4.0 * ms}


def close(s: Script, step: Step) -> Steps:
    """CloseHandle."""
    yield from s.k.settle(s.me)
    s.k.close_handle(s.me, s.handle(step.targets[0]))
    return {}


def dup(s: Script, step: Step) -> Steps:
    """DuplicateHandle; `c:f` is handle `f` in child `c`. `differs`: the number is a new one.

    `close_source` or `close`: DUPLICATE_CLOSE_SOURCE.
    """
    yield from s.k.settle(s.me)
    from_process, source = _in_process(s, step.targets[0])
    to_process, names, name = CURRENT_PROCESS, s.scope.names, step.word(1)
    if ":" in name:
        child, name = name.split(":", 1)
        to_process, names = s.value(f"{child}.process"), s.child(child).names
    names[name] = 0
    close_source = step.flag("close_source") or step.flag("close")
    names[name] = s.k.duplicate_handle(
        s.me, from_process, source, to_process, step.flag("inherit"), close_source, _access(step)
    )
    return {"differs": names[name] != source, "same": names[name] == source}


def dup_close_remote(s: Script, step: Step) -> Steps:
    """DuplicateHandle without a target, with DUPLICATE_CLOSE_SOURCE: closes a remote handle."""
    yield from s.k.settle(s.me)
    process, source = _in_process(s, step.targets[0])
    s.k.duplicate_handle(s.me, process, source, 0, close_source=True)
    return {}


def set_inherit(s: Script, step: Step) -> Answers:
    """SetHandleInformation(HANDLE_FLAG_INHERIT)."""
    return _set_flag(s, step, HANDLE_FLAG_INHERIT)


def set_protect(s: Script, step: Step) -> Answers:
    """SetHandleInformation(HANDLE_FLAG_PROTECT_FROM_CLOSE)."""
    return _set_flag(s, step, HANDLE_FLAG_PROTECT_FROM_CLOSE)


def _set_flag(s: Script, step: Step, flag: int) -> Answers:
    flags = flag if step.flag("on", True) else 0
    s.k.set_handle_information(s.me, s.handle(step.targets[0]), flag, flags)
    return {}


def info(s: Script, step: Step) -> Answers:
    """GetHandleInformation: the flags."""
    return {"out": s.k.get_handle_information(s.me, s.handle(step.targets[0]))}


def exit_info(s: Script, step: Step) -> Steps:
    """Ends the process with 10 + the flags of a handle."""
    flags = s.k.get_handle_information(s.me, s.handle(step.targets[0]))
    yield from s.k.exit_process(s.me, 10 + flags)


def numbers(s: Script, step: Step) -> Answers:
    """Looks at handle values: `multiple_of_4`, `non_zero`, and the first `equal` to another."""
    values = {one: s.value(one) for one in step.several(0)}
    answers: dict[str, object] = {
        "multiple_of_4": all(value % 4 == 0 for value in values.values()),
        "non_zero": all(values.values()),
    }
    if "like" in step.options:
        like = s.value(step.options["like"])
        answers["equal"] = next((one for one, value in values.items() if value == like), "none")
    return answers


def _known(step: Step) -> str:
    """The name of an object: an option or the second target."""
    return step.word(1) if len(step.targets) > 1 else step.text("name")


def _access(step: Step) -> int | None:
    if "access" not in step.options:
        return None
    asked = step.text("access")
    if asked not in _ACCESS:
        raise CannotRun(f"access {asked!r}")
    return _ACCESS[asked]


def _in_process(s: Script, target: object) -> tuple[int, int]:
    """(process handle, handle in that process) of `f` or `c:f`."""
    if isinstance(target, str) and ":" in target:
        child, name = target.split(":", 1)
        names = s.child(child).names
        if name not in names:
            raise CannotRun(f"nothing is called {target!r} so far")
        return s.value(f"{child}.process"), names[name]
    return CURRENT_PROCESS, s.handle(target)


def _result(result: int) -> str:
    if result == WAIT_TIMEOUT:
        return "TIMEOUT"
    if result >= WAIT_ABANDONED_0:
        return f"ABANDONED_{result - WAIT_ABANDONED_0}"
    return f"OBJECT_{result}"


_NAMED = frozenset(("name", "inherit"))
_OPEN = _NAMED | {"access"}
VERBS = {
    "event": Verb(event, (1, 1), _NAMED | {"manual", "set"}),
    "mutex": Verb(mutex, (1, 1), _NAMED | {"owned"}),
    "semaphore": Verb(semaphore, (1, 1), _NAMED | {"initial", "max"}),
    "open_event": Verb(open_event, (1, 2), _OPEN),
    "open_mutex": Verb(open_mutex, (1, 2), _OPEN),
    "open_semaphore": Verb(open_semaphore, (1, 2), _OPEN),
    "set": Verb(set_event, (1, 1)),
    "reset": Verb(reset_event, (1, 1)),
    "release_mutex": Verb(release_mutex, (1, 1)),
    "release_semaphore": Verb(release_semaphore, (1, 1), frozenset(("n",)), frozenset(("prev",))),
    "wait": Verb(wait, (1, 1), frozenset(("ms", "all")), frozenset(("elapsed",)), "FAILED"),
    "close": Verb(close, (1, 1)),
    "dup": Verb(
        dup,
        (2, 2),
        frozenset(("inherit", "close_source", "close", "access")),
        frozenset(("differs", "same")),
    ),
    "dup_close_remote": Verb(dup_close_remote, (1, 1)),
    "set_inherit": Verb(set_inherit, (1, 1), frozenset(("on",))),
    "set_protect": Verb(set_protect, (1, 1), frozenset(("on",))),
    "info": Verb(info, (1, 1)),
    "exit_info": Verb(exit_info, (1, 1)),
    "numbers": Verb(
        numbers,
        (1, 1),
        frozenset(("like",)),
        frozenset(("multiple_of_4", "non_zero", "equal")),
    ),
}
