"""What all Cygwin processes of one run have in common, and the flat records they leave.

An installation is one release of the DLL on one machine: the scheme by which heaps are handed
over, the release's numbers, the sizes that stand in for what nobody recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from weakref import ReferenceType

from models.cygwin.cygheap.allocator import Cygheap
from models.cygwin.cygheap.effects import HeapEffects
from models.cygwin.cygheap.heap import Heap
from models.cygwin.version import Version
from models.win32.emulation import Translation
from models.win32.kernel import Kernel
from models.win32.library_calls import Library

if TYPE_CHECKING:
    from models.cygwin.process import CygwinProcess
    from models.cygwin.protocol import Scheme
    from sim.engine import Steps

Result = TypeVar("Result")
Program = Callable[
    ["CygwinProcess"], Generator[Any, Any, Any]
]  # what a process does after start-up


@dataclass(slots=True, eq=False)
class Creation:
    """One fork, exec or spawn that was asked for.

    place: its place in the workload, for its costs -- input
    kind: "fork", "vfork", "exec" or "spawn"; mode: of a spawn -- input
    pid: who asked, as the workload counts -- input
    program: what was to be started -- input
    child: the process that came of it, as the workload counts; 0 if unknown -- input
    native: the image is not linked with Cygwin -- input
    called_us, returned_us: in the caller; None if it never returned -- output
    main_us: when the child reached main() or its entry point -- output
    waits: how often the caller waited for the child in the hand-over -- output
    waited_us: time spent waiting for the child in the hand-over -- output
    waiting_since_us: begin of such a wait that has not ended -- state
    section_steps: 0 no section, 1 filled before CreateProcess, 2 after it -- output
    heap_bytes: n, what was handed over -- output
    error: why it failed -- output
    """

    place: int
    kind: str
    pid: int
    program: str
    mode: str = ""
    native: bool = False
    child: int = 0
    called_us: float = 0.0
    returned_us: float | None = None
    main_us: float | None = None
    waits: int = 0
    waited_us: float = 0.0
    waiting_since_us: float | None = None
    section_steps: int = 0
    heap_bytes: int = 0
    error: str = ""


@dataclass(slots=True)
class Failure:
    """A message that a user saw. Every field is *output*.

    pid: as the workload counts
    made_by: how the process that said it had been made; "" for a first process and for who asked
        for a creation
    """

    pid: int
    program: str
    at_us: float
    message: str
    made_by: str = ""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a recorded workload does not say [bytes]. All *input*, from the profile's `workload`."""

    file_name: int = 20
    win32_extra: int = 6
    cwd_win32_extra: int = 6
    user_heap: int = 24_576
    stack: int = 1_908
    pipe_capacity: int = 16_384


class Watch(Protocol):
    """Somebody who looks at the images of a run, and changes nothing."""

    def started(self, p: CygwinProcess) -> None:
        """`p` has reached main()."""

    def ending(self, p: CygwinProcess) -> None:
        """`p` exits by itself; its memory is still there."""


@dataclass(eq=False)
class Installation:
    """One release of Cygwin on one machine.

    programs: what the child of a fork under way is to go on with, by the caller's pid -- state
    failures: messages that users saw of what failed for good -- output
    messages: those after which the program went on -- output
    watch: who looks on, None for nobody -- input
    emulated: what new code costs where programs are translated, None where they are not -- input
    waiter_io_us: of a call on some device that a waiting thread begins with, 0 for none -- input
    exit_work_us: what an exit does between ending such a thread and closing its pipe -- input
    loaded: the DLL's state in each process that has come as far as its entry point, by Windows
        pid; gone when the process is; for reports only -- output
    taken_for_cygwin: programs whose import table nobody looks into, as they lie on a cygexec mount
        or cannot be read (3.6) -- input
    forkables: the directory is there in which fork makes hard links of what it runs (3.6) -- input
    libraries: DLL files that programs load while they run, by name -- state
    effects: of steps that many heaps of the run meet -- state
    """

    kernel: Kernel
    scheme: Scheme
    version: Version
    sizes: Sizes = field(default_factory=Sizes)
    programs: dict[int, Program] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    messages: list[Failure] = field(default_factory=list)
    watch: Watch | None = None
    emulated: Translation | None = None
    waiter_io_us: float = 0.0
    exit_work_us: float = 0.0
    loaded: dict[int, ReferenceType[CygwinProcess]] = field(default_factory=dict)
    taken_for_cygwin: frozenset[str] = frozenset()
    forkables: bool = False
    libraries: dict[str, Library] = field(default_factory=dict)
    effects: HeapEffects = field(init=False)

    def __post_init__(self) -> None:
        self.effects = HeapEffects(self.version.era)

    def say(self, pid: int, program: str, message: str) -> None:
        """system_printf: a line on the program's stderr."""
        self.messages.append(Failure(pid, program, self.kernel.engine.now, message))

    def on_heap(self, heap: Heap, step: Hashable, carry_out: Callable[[], Result]) -> Result:
        """What `carry_out` returns, which changes nothing but the heap; see `HeapEffects.of`."""
        limit, most = self.kernel.commit_limit_bytes, heap.era.cygheapsize
        may_fail = limit is not None and self.kernel.committed_bytes + most > limit
        if may_fail or not isinstance(heap, Cygheap):
            return carry_out()
        return self.effects.of(heap, step, carry_out)

    def bracket(self, p: CygwinProcess, name: str, steps: Steps) -> Steps:
        """Run `steps` between two rows that carry the name of a function of Cygwin's own."""
        return steps if self.kernel.calls is None else self._bracketed(p, name, steps)

    def _bracketed(self, p: CygwinProcess, name: str, steps: Steps) -> Steps:
        self.kernel.row(p.me, name, "begin")
        result = yield from steps
        self.kernel.row(p.me, name, "end")
        return result
