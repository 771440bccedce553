"""Sections 2, 5.2 and 5.3 of a STRESS-DES report: the logic that all runs of the models share."""

from __future__ import annotations

from collections.abc import Iterator

from models.cygwin import schemes
from scenarios.stress_items import Item
from scenarios.stress_subject import Subject, parameter_lines

_DIAGRAM = (
    "caller                       Windows                 child",
    "",
    "fork, exec or spawn",
    "  heap into a section  ----> section",
    "  CreateProcess  ----------> process, thread  -----> image, DLL, entry point",
    "  [two steps: sockets fixed up, section filled, then ResumeThread]",
    "                                                     heap: mapped, copied (9x),",
    "                                                     or read out of the caller",
    "  waits for an event  <----- event  <--------------- ready",
    "  fork: data and stack  ---> WriteProcessMemory ---> goes on behind fork()",
    "returns                                              main(), work",
    "  waitpid, wait_subproc <--- process signalled  <--- ExitProcess",
)
_HEAP_DIAGRAM = (
    "image: cmalloc, cfree -> free lists by power of two, or csbrk at the top",
    "exec:  argv, environment into the heap, tagged -> same bytes in the next image",
    "next image: walk marks what is tagged -> the one after it frees what is marked",
)


def logic(subject: Subject) -> Iterator[Item]:
    """Items 2.1 to 2.5.5."""
    if not subject.has_processes:
        yield from _heap_alone(subject)
        return
    yield Item("2.1", ["One creation of a process:"], drawn=_DIAGRAM)
    yield Item(
        "2.2",
        [
            "Every process is simulated: handle table, address space, threads, and the cygheap "
            "byte for byte. A call of the Win32 API is a step of its thread: it changes kernel "
            "objects, and its thread owes the processor time that it costs. What a thread waits "
            "for is a kernel object or the end of a time limit; who blocks, and for how long, "
            "follows from these objects and is nowhere declared.",
            "Schemes (how the child comes to own its parent's heap) of this run:",
        ],
        _scheme_lines(subject),
    )
    yield _scenario_logic(subject)
    yield Item(
        "2.4",
        points=[
            "allocator of the cygheap: cmalloc, cfree, crealloc and csbrk as in cygheap.cc of the "
            "scheme's era, checked against golden traces of the real code",
            "mark and sweep of argument blocks: cygheap_fixup_in_child, by generations",
            "round-robin over equal processors with a quantum (quantum_us of the profile)",
        ],
    )
    yield Item(
        "2.5.1",
        points=[
            "process: pid, image, handles, address space, exit code",
            "thread: steps, processor time owed, suspend count, what it waits for",
            "kernel objects: section, event, mutex, semaphore, pipe, file, process, thread",
        ],
    )
    yield Item(
        "2.5.2",
        points=[
            "creation: fork, vfork, exec, spawn, step by step in caller and child",
            "work and sleep of a program; waitpid; exit",
            "calls on descriptors: open, socket, pipe, dup2, close, read, write",
        ],
    )
    yield Item("2.5.3", points=_resources(subject))
    yield Item(
        "2.5.4",
        points=[
            "ready threads: first come, first served; a thread whose quantum is used up goes to "
            "the end",
            "waiters of an object: first come, first served; an event of manual reset wakes all",
            "a pipe: bytes in order; a writer waits while it is full",
            "zombies of a process: until waitpid asks for them",
        ],
    )
    yield Item("2.5.5", points=_entries(subject))


def execution(subject: Subject) -> Iterator[Item]:
    """Items 5.2 and 5.3."""
    yield Item(
        "5.2",
        [
            f"PCG64 of numpy, seeded by SeedSequence from the seed ({subject.manifest['seed']}), "
            "the number of the replication and the SHA-256 of the stream's name. One stream for "
            "each purpose (win32/CreateProcess, machine/antivirus, ...), none for a scheme: all "
            "schemes meet the same random numbers, creation by creation (common random numbers). "
            "Element i of a cost belongs to creation i whatever is asked first.",
        ],
    )
    yield Item(
        "5.3",
        [
            "Process interaction: SimPy's event loop, with deadlines of its own. Events of the "
            "same time happen in the order in which they were scheduled; the end of a run goes "
            "before events of its time. Nothing depends on hash order, on the number of jobs, or "
            "on the time of day. Replications are independent and may run in several processes "
            "(--jobs), which changes no result.",
        ],
    )


def _heap_alone(subject: Subject) -> Iterator[Item]:
    yield Item("2.1", ["The life of a heap along a chain of images:"], drawn=_HEAP_DIAGRAM)
    yield Item(
        "2.2",
        ["Only the heap is simulated, byte for byte; no process runs and nothing takes time."],
        _scheme_lines(subject),
    )
    yield _scenario_logic(subject)
    yield Item("2.4", points=["allocator and walk of the cygheap as in the scheme's era"])
    yield Item("2.5.1", points=["block: offset, size, type, generation, in use or free"])
    yield Item("2.5.2", points=["allocation, free, fork (same bytes), exec (arguments, walk)"])
    yield Item("2.5.3", points=["the reserve of the heap [bytes], which the top may not pass"])
    yield Item("2.5.4", ["No queue but the free lists, last in first out."])
    yield Item("2.5.5", ["A first image with an empty heap; the last image of the chain."])


def _scheme_lines(subject: Subject) -> list[str]:
    known = {row["name"]: row for row in schemes.describe()}
    lines = []
    for name in subject.parameters["schemes"]:
        found = schemes.get(name)
        until = f" to {found.until}" if found.until else ""
        variant = "" if name in known else " (a variant)"
        lines.append(f"`{name}`{variant}: {found.summary} ({found.since}{until})")
    return lines


def _scenario_logic(subject: Subject) -> Item:
    """What differs from the base: schemes, systems, and parameters that are no defaults."""
    changed = [
        f"`{key}` is {value}, by default {default}"
        for key, value, default, _ in parameter_lines(subject)
        if value != default
    ]
    many = len(subject.parameters["schemes"])
    texts = [
        f"Scheme by scheme ({many}) nothing but the scheme differs. "
        f"Design points: {len({row.point for row in subject.rows})}, each run on its own."
    ]
    if subject.spec is None:
        kept = ("native", "background", "spawn", "vfork", "set", "until_s")
        changed = [f"`{key}`: {subject.parameters[key]}" for key in kept if subject.parameters[key]]
    return Item("2.3", texts, changed)


def _resources(subject: Subject) -> list[str]:
    count = subject.parameters.get("processors")
    processors = "as the trace's header says" if count is None else str(count)
    if subject.spec is not None and count is None:
        processors = "as the scenario's programs ask for"
    return [
        f"processors: {processors}; used by every step that costs time",
        "memory: one commit limit for all processes (commit_limit_bytes); 0 is none",
        "records of children in a process: 62 living ones (PSIZE - 1), 256 zombies",
    ]


def _entries(subject: Subject) -> list[str]:
    own = [subject.spec.arrivals] if subject.spec is not None and subject.spec.arrivals else []
    return [
        *own,
        "a first process at time 0, which nobody in the model created",
        "further processes by creation; each leaves at its exit, when the last handle is closed",
    ]
