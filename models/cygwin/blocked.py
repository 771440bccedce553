"""Who waits for what when nothing can happen any more.

A process that loops for ever waits for nothing, and nothing will ever come of it either: it is
named among the others, with what it does.

Found by looking at the machine: every living process's main thread, the objects it waits for, and
the processes that hold a handle by which they could be signalled.
"""

from __future__ import annotations

from typing import Any

from models.cygwin.installation import Creation
from models.win32.kernel import Kernel
from models.win32.objects import KernelObject, PipeEnd
from models.win32.thread import Parked, Process

_HELD_BY = {  # what holds a thread that waits for no kernel object
    "sleep": "nothing, it sleeps",
    "lock": "a lock of its own process",
    "io": "a call on a device",
    "context": "a thread that is to stop",
}


def blocked(kernel: Kernel) -> list[dict[str, Any]]:
    """One entry for each process whose main thread is held or loops, oldest wait first.

    Keys: pid (as the workload counts), program, since_us, waits_for: kind, name, who_could_signal.
    """
    entries = []
    alive = [process for process in kernel.processes.values() if process.alive]
    for process in alive:
        wait, loop = process.threads[0].wait, process.threads[0].loop
        if loop is not None:
            what = {"kind": "loop", "name": f"nothing: {loop.what}", "who_could_signal": []}
            entries.append(_entry(process, loop.since_us, [what]))
            continue
        if wait is None:
            continue
        if isinstance(wait, Parked):
            objects = [wait.obj] if wait.obj is not None else []
            waits_for = [_describe(kernel, obj, process, alive) for obj in objects]
            if not waits_for:
                waits_for = [
                    {"kind": wait.kind, "name": _HELD_BY[wait.kind], "who_could_signal": []}
                ]
        else:
            waits_for = [_describe(kernel, obj, process, alive) for obj in wait.objects]
        entries.append(_entry(process, wait.since_us, waits_for))
    return sorted(entries, key=lambda entry: (entry["since_us"], entry["pid"]))


def _entry(process: Process, since_us: float, waits_for: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "pid": workload_pid(process),
        "program": process.image.name,
        "since_us": since_us,
        "waits_for": waits_for,
    }


def workload_pid(process: Process) -> int:
    """The pid of the trace that a Windows process belongs to; its own without a trace."""
    tag = process.tag
    return tag.child if isinstance(tag, Creation) and tag.child else process.pid


def _describe(
    kernel: Kernel, obj: KernelObject, waiter: Process, alive: list[Process]
) -> dict[str, Any]:
    if isinstance(obj, Process):
        name = f"process {workload_pid(obj)} {obj.image.name}"
        return {"kind": "process", "name": name, "who_could_signal": [_label(obj)]}
    needed = obj
    if isinstance(obj, PipeEnd):
        needed = obj.pipe.read_end if obj.writes else obj.pipe.write_end
    holders = [
        _label(process)
        for process in alive
        if (process is not waiter or isinstance(obj, PipeEnd))
        and process.handles.find(needed) is not None
    ]
    if isinstance(obj, PipeEnd):
        name = f"{obj.role} of {obj.pipe.name or 'a pipe'}"
    else:
        name = obj.role or obj.kind
    return {"kind": obj.kind, "name": name, "who_could_signal": holders}


def _label(process: Process) -> str:
    """A process as a report names it. One that was started with Cygwin's DLL says nothing more."""
    dll = any(region.name.startswith("cygwin1.dll") for region in process.space.regions())
    return f"{workload_pid(process)} {process.image.name}{'' if dll else ' (not Cygwin)'}"
