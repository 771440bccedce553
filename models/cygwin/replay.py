"""A recorded workload on a simulated machine: who runs which program, and what came of it.

Each process of the workload is an actor: one pid of the trace, first as its parent's fork child,
then as whatever it execs.  Its ops are carried out one by one through the calls of `CygwinProcess`
(or on bare Windows, `native_program.py`); times come from the simulation alone.

A run ends when nothing can happen any more.  If processes are left then, it is blocked, which is a
result like any other: `blocked.py` says who waits for what.

Source: the rules in the traces' README.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from models.cygwin.arguments import Arguments
from models.cygwin.exit_audit import ExitAudit
from models.cygwin.images import cygwin_image, native_image
from models.cygwin.installation import Creation, Installation
from models.cygwin.machine import boot, build
from models.cygwin.native_program import NativeProgram
from models.cygwin.process import CygwinProcess
from models.cygwin.protocol import Scheme
from models.cygwin.recorded_program import RecordedProgram
from models.cygwin.startup import entry
from models.cygwin.workload import NATIVE, Item, Op, Workload
from models.win32.cost_profile import Profile
from models.win32.costs import CostDraws
from models.win32.image import Image
from models.win32.kernel import Kernel
from models.win32.objects import Event, Pipe
from models.win32.system import System
from sim.streams import Replication


@dataclass(slots=True)
class Tally:
    """What was carried out, and what the heaps looked like at the end. Every field is *output*.

    processes .. failed_execs: as the trace counts
    lost_waits: waits for children of an earlier image, answered with ECHILD
    stale_reads: reads of descriptors that the hand-over left without a handle
    heap_end_bytes, leaked_bytes, pending_bytes: summed over processes at their own exit
    heap_peak_bytes: largest heap of any process
    """

    processes: int = 0
    forks: int = 0
    execs: int = 0
    spawns: int = 0
    failed_execs: int = 0
    lost_waits: int = 0
    stale_reads: int = 0
    heap_end_bytes: int = 0
    heap_peak_bytes: int = 0
    leaked_bytes: int = 0
    pending_bytes: int = 0


@dataclass(slots=True, eq=False)
class ReplayRun:
    """One run, before or after it has been carried out.

    workload, scheme, draws, kernel, installation: what it consists of -- input
    vfork: a vfork is the release's own, where it has one; else a fork -- input
    tally: counts -- output
    ended: pid of the trace -> when it ended [us] -- output
    heaps: heap sizes at each exec, as (execs in the line of descent, bytes) -- output
    outcome: "finished", "blocked", "failed" or "cut" -- output
    """

    workload: Workload
    scheme: Scheme
    draws: CostDraws
    kernel: Kernel
    installation: Installation
    vfork: bool = True
    tally: Tally = field(default_factory=Tally)
    ended: dict[int, float] = field(default_factory=dict)
    heaps: list[tuple[int, int]] = field(default_factory=list)
    outcome: str = ""
    channels: dict[int, Pipe] = field(default_factory=dict)
    kills: dict[int, Event] = field(default_factory=dict)
    started: set[int] = field(default_factory=set)
    generations: dict[int, int] = field(default_factory=dict)
    _audit: ExitAudit = field(default_factory=ExitAudit)
    _digest: Any = field(default_factory=hashlib.sha256)
    _exits: list[tuple[int, memoryview]] = field(default_factory=list)
    _exits_at_us: float = -1.0
    _texts: dict[Any, Any] = field(default_factory=dict)

    # ---- what programs ask of the run --------------------------------------------------------

    def image(self, op_flags: int, name: str, pid: int, start: int, fds: Any = None) -> Image:
        """The program file by which `pid` goes on at op number `start` of its program.

        `fds` is what the creator opened for it: handles by descriptor, for an image that does
        not find them in a cygheap.
        """
        version = self.scheme.version
        if op_flags & NATIVE:
            native = NativeProgram(self, pid, start, fds or {})
            return native_image(version, name, native.steps)
        program = RecordedProgram(self, pid, start, fds)
        return cygwin_image(version, name, entry(self.installation, program.steps))

    def arguments(self, argv: tuple[int, ...], env: int, script: bool) -> Arguments:
        """argv and environment of the recorded lengths; what the strings say is assumed."""
        return Arguments(self._strings(argv), self._strings(self.workload.envs[env]), script)

    def channel(self, number: int) -> Pipe:
        """The pipe that a channel of the workload is; made when it is first asked for."""
        pipe = self.channels.get(number)
        if pipe is None:
            facts = self.workload.channels[number]
            pipe = Pipe(self.installation.sizes.pipe_capacity, f"channel {number}")
            pipe.held_bytes = facts.prefilled_bytes
            self.channels[number] = pipe
        return pipe

    def kill_event(self, pid: int) -> Event:
        """What a process that dies of a recorded signal waits for at its end."""
        return self.kills.setdefault(pid, Event(manual=True, is_set=False, role="signal"))

    def killed(self, pid: int) -> bool:
        """Whether the signal by which `pid` dies has been sent."""
        event = self.kills.get(pid)
        return event is not None and event.is_set

    def begin(self, pid: int, parent: int = 0) -> None:
        """The process `pid` of the trace exists now, with the line of descent of `parent`."""
        if pid not in self.started:
            self.started.add(pid)
            self.generations[pid] = self.generations.get(parent, 0)
            self.tally.processes += 1

    def new_image(self, pid: int) -> None:
        """The process `pid` of the trace is to run another image."""
        self.generations[pid] += 1
        self.tally.execs += 1

    def count_creation(self, kind: str) -> None:
        """A fork, vfork or spawn of the trace was carried out."""
        if kind == "spawn":
            self.tally.spawns += 1
        else:
            self.tally.forks += 1

    def heap_seen(self, p: CygwinProcess) -> None:
        """Note how large a heap is now."""
        if p.version.has_heap and p.heap.max > self.tally.heap_peak_bytes:
            self.tally.heap_peak_bytes = p.heap.max

    def image_started(self, pid: int, p: CygwinProcess) -> None:
        """A new image has its heap: note its size by the execs in its line of descent."""
        if p.version.has_heap:
            self.heaps.append((self.generations[pid], p.heap.max))

    def at_exit(self, pid: int, p: CygwinProcess | None) -> None:
        """The process `pid` of the trace ends by itself; `p` is None for a native image.

        Of a process without a cygheap there is nothing to be looked at.
        """
        now = self.kernel.engine.now
        self.ended[pid] = now
        if p is None or not p.version.has_heap:
            return
        tally = self.tally
        self.heap_seen(p)
        tally.heap_end_bytes += p.heap.max
        leaked, pending, content = self._audit.look(p)
        tally.leaked_bytes += leaked
        tally.pending_bytes += pending
        if now != self._exits_at_us:
            self._flush()
            self._exits_at_us = now
        self._exits.append((pid, content))

    def digest(self) -> str:
        """SHA-256 over the heaps of all processes at their exits, by (time, pid)."""
        self._flush()
        return str(self._digest.hexdigest())

    def _flush(self) -> None:
        for _, heap in sorted(self._exits, key=_pid):
            self._digest.update(heap)
        self._exits.clear()

    def _strings(self, lengths: tuple[int, ...]) -> Any:
        texts = self._texts.get(lengths)
        if texts is None:
            texts = self._texts[lengths] = [b"a" * n for n in lengths]
        return texts


def _pid(exit_: tuple[int, memoryview]) -> int:
    return exit_[0]


def prepare(
    workload: Workload,
    scheme: Scheme,
    profile: Profile,
    system: System,
    replication: Replication,
    processors: int | None = None,
    calls: bool = False,
    vfork: bool = True,
) -> ReplayRun:
    """A run that is ready to start. `calls` keeps rows of all Win32 calls.

    `vfork`: as the scheme's time had it, otherwise every vfork is a fork.
    """
    count = processors or workload.cpus
    machine = build(scheme, system, profile, replication, count, workload.creations, calls)
    real = vfork and scheme.version.vfork is not None
    return ReplayRun(workload, scheme, machine.draws, machine.kernel, machine.installation, real)


def run(ready: ReplayRun, until_us: float | None = None) -> ReplayRun:
    """Carry the run out, to its end or to `until_us`; the same object, with its outputs."""
    workload, engine = ready.workload, ready.kernel.engine
    first = next(
        i for i, op in enumerate(workload.programs[1]) if op[0] == Op.EXEC
    )  # every trace has its root's exec
    _boot(ready, workload.programs[1][first], workload.programs[1][:first], first + 1)
    engine.run(until_us)
    for creation in ready.kernel.trace.records:
        if creation.waiting_since_us is not None:
            creation.waited_us += engine.now - creation.waiting_since_us
    ready.outcome = _outcome(ready, until_us)
    return ready


def _boot(ready: ReplayRun, first_exec: Item, before: tuple[Item, ...], start: int) -> None:
    """Start the root as a first Cygwin process; its ops before the exec only open descriptors."""
    opened = [op for op in before if op[0] in (Op.OPEN, Op.SOCKET)]
    ready.tally.failed_execs += sum(op[1] for op in before if op[0] == Op.EXEC_FAIL)
    ready.begin(1)
    ready.new_image(1)
    _, place, prog, _, _, _, _, cwd, flags, _ = first_exec
    image = ready.image(flags, prog, 1, start, {"ops": opened, "cwd": cwd})
    tag = Creation(place, "boot", 1, prog, child=1)
    boot(ready.installation, image, ready.draws.at(-1), tag)


def _outcome(ready: ReplayRun, until_us: float | None) -> str:
    alive = any(process.alive for process in ready.kernel.processes.values())
    if ready.installation.failures or ready.kernel.crashes:
        return "failed"
    if until_us is not None and alive and ready.kernel.engine.peek() != float("inf"):
        return "cut"
    missing = len(ready.ended) < len(ready.workload.programs)
    return "blocked" if alive or missing else "finished"
