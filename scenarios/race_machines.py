"""The machines of `heap_growth_race`: a process with two threads, of which one makes a child.

The other thread sleeps until a given moment of the creation and then allocates once.  The child
looks at the heap that it got, allocates a block of the same size, looks again, and execs a program
that ends at once.  What is wrong with the heap is read off its bytes in the child.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.cygwin import heap_guard
from models.cygwin.creation_window import Step, steps_from_call
from models.cygwin.cygheap.audit import listed_blocks
from models.cygwin.cygheap.heap import Heap, early_heap
from models.cygwin.cygheap.layout import HeapType
from models.cygwin.cygheap.soundness import Condition, condition, starts
from models.cygwin.errors import TryAgain
from models.cygwin.exec_chain import lost_blocks
from models.cygwin.installation import Creation, Watch
from models.cygwin.machine import Machine, build
from models.cygwin.program_file import Program
from models.cygwin.programs import PLACES, UserProcess, start
from models.cygwin.protocol import P_NOWAIT
from models.cygwin.schemes.guarded import guarded
from models.win32.cost_profile import Profile
from models.win32.costs import CostDraws
from models.win32.memory import PAGE_BYTES
from models.win32.system import SYSTEMS
from models.win32.thread import Thread
from sim.engine import Steps
from sim.streams import Replication

_NO_BLOCKS = (1, 2, 4, 7)  # multiples of 8 bytes that no blocks of 8 + 2^b add up to
LISTED_BYTES = 100  # what a free block serves, because the program has freed one -- chosen


@dataclass(frozen=True)
class Setting:
    """What the machines of one scheme have in common. Every field is *input*.

    draws: what creations cost under that profile in that replication
    pad_bytes: how much the program allocates first, so that its heap ends so much later
    """

    scheme: str
    guard: str
    system: str
    profile: Profile
    replication: Replication
    processors: int
    draws: CostDraws
    pad_bytes: int = 0


@dataclass(eq=False)
class Seen:
    """What was seen. Every field is *output*; None where it never came to that.

    before: where the parent's blocks were when the child was asked for
    asked_us, had_us: when the other thread asked for its block, and had it
    told, main, later: the child's cygheap_max in bytes, its heap in main(), and after it has
        allocated
    twice: the child was given a block that its chain had already
    lost: free blocks of the child that no list leads to
    went_on: the program that the child execs has reached main()
    """

    before: frozenset[int] = frozenset()
    asked_us: float | None = None
    had_us: float | None = None
    main: Condition | None = None
    later: Condition | None = None
    twice: bool = False
    lost: int = 0
    went_on: bool = False


@dataclass(eq=False)
class Ran:
    """One run. creation: the one that this is about, a mere request if it never came to it"""

    machine: Machine
    seen: Seen
    creation: Creation

    @property
    def latency_us(self) -> float | None:
        """From the call to its return; of an exec, to main() of the new image. None: never."""
        c = self.creation
        end = c.main_us if c.kind == "exec" else c.returned_us
        return None if end is None else end - c.called_us


def reference(setting: Setting, way: str, n: int, watch: Watch | None = None) -> Ran:
    """The run in which the other thread never wakes up."""
    return grown(setting, way, n, None, watch)


def steps_of_call(ran: Ran) -> list[Step]:
    """The steps of such a run."""
    return steps_from_call(ran.machine.kernel, ran.creation)


def native_spawn_us(setting: Setting, seconds: float) -> float | None:
    """How long _P_NOWAIT of a program without Cygwin takes that runs for `seconds` [us].

    None if it never returns.
    """
    machine = _machine(setting)

    def caller(p: UserProcess) -> Steps:
        yield from p.spawn(P_NOWAIT, Program.native("native", seconds=seconds))

    start(machine, Program("sh", caller))
    machine.kernel.engine.run()
    return next(
        r.returned_us and r.returned_us - r.called_us
        for r in machine.kernel.trace.records
        if isinstance(r, Creation) and r.kind == "spawn"
    )


def grown(
    setting: Setting, way: str, n: int, at_us: float | None, watch: Watch | None = None
) -> Ran:
    """The run in which the other thread allocates `n` bytes at that moment; None: never."""
    machine = _machine(setting, calls=at_us is None)
    machine.installation.watch = watch
    seen = Seen()
    start(machine, Program("sh", lambda p: _caller(p, setting, way, n, at_us, seen)))
    machine.kernel.engine.run()
    kind = way.partition(",")[0]
    records = [r for r in machine.kernel.trace.records if isinstance(r, Creation)]
    made = next((r for r in records if r.kind == kind), Creation(-1, kind, 0, ""))
    return Ran(machine, seen, made)


def _machine(setting: Setting, calls: bool = False) -> Machine:
    return build(
        guarded(setting.scheme, setting.guard), SYSTEMS[setting.system], setting.profile,
        setting.replication, setting.processors, PLACES, calls, setting.draws,
    )  # fmt: skip


def _caller(
    p: UserProcess, setting: Setting, way: str, n: int, at_us: float | None, seen: Seen
) -> Steps:
    """The process with two threads."""
    for _ in range(3):
        p.open("/dev/tty")
    if way.endswith("socket"):
        p.socket()
    heap = p.dll.heap
    _pad(heap, setting.pad_bytes)
    heap.cfree(heap.cmalloc(HeapType.HEAP_BUF, LISTED_BYTES))
    other = heap_guard.start_thread(p.dll, lambda t: _other(p, t, n, at_us, seen), "other thread")
    yield from other
    seen.before = starts(heap)
    kind = way.partition(",")[0]
    program = Program("new", lambda child: _child(child, n, seen))
    try:
        if kind == "exec":
            yield from p.exec(program)
        elif kind == "spawn":
            pid = yield from p.spawn(P_NOWAIT, program)
        else:
            pid = yield from p.fork(lambda child: _child(child, n, seen))
    except TryAgain:
        return  # the message is written down
    yield from p.waitpid(pid)


def to_page_end(told: int) -> int | None:
    """What must be allocated for a heap that ends at `told` to end with a page [bytes].

    None if it cannot: blocks are multiples of 8 bytes, and era R's header is none.
    """
    room = -told % PAGE_BYTES
    if room % 8:
        return None
    return room + PAGE_BYTES if room // 8 in _NO_BLOCKS else room


def _pad(heap: Heap, size_bytes: int) -> None:
    """Allocate blocks that live on and take exactly that much. Multiples of 8 only."""
    while size_bytes:
        block = max(
            8 + (1 << b)
            for b in range(4, 17)
            if 8 + (1 << b) <= size_bytes and (size_bytes - 8 - (1 << b)) // 8 not in _NO_BLOCKS
        )
        heap.cmalloc(HeapType.HEAP_BUF, block - 24)
        size_bytes -= block


def _other(p: UserProcess, thread: Thread, n: int, at_us: float | None, seen: Seen) -> Steps:
    """Steps of the other thread: it wakes up just before its moment, and allocates."""
    k = p.dll.k
    yield from k.settle(thread)
    early_us = k.engine.now + thread.costs.wake_us
    yield from k.sleep(thread, None if at_us is None else max(0.0, at_us - early_us))
    seen.asked_us = k.engine.now
    yield from heap_guard.allocate(p.dll, thread, HeapType.HEAP_BUF, n)
    seen.had_us = k.engine.now


def _child(p: UserProcess, n: int, seen: Seen) -> Steps:
    """What the child does with its heap."""
    heap = early_heap(p.dll.heap)
    known = starts(heap) - listed_blocks(heap)
    seen.main = condition(heap, seen.before)
    seen.lost = sum(lost.count for lost in lost_blocks(heap)) if seen.main.sound else 0
    user = heap.cmalloc(HeapType.HEAP_BUF, n)
    seen.twice = user - heap.era.user_offset_bytes in known
    seen.later = condition(heap, seen.before)
    yield from p.exec(Program("next", lambda new: _ends(new, seen)))


def _ends(p: UserProcess, seen: Seen) -> Steps:
    seen.went_on = True
    yield from p.exit(0)
