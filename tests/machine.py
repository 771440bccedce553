"""Small machines for tests: bare Windows with free calls, and a Cygwin installation on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from models.cygwin import command_line, schemes
from models.cygwin.arguments import Arguments
from models.cygwin.child_info import ChildInfo
from models.cygwin.images import cygwin_image, native_image
from models.cygwin.installation import Installation, Program
from models.cygwin.process import CygwinProcess
from models.cygwin.schemes import child_copy, first_heap_2000, trees_2001
from models.cygwin.startup import entry
from models.win32.costs import CostRow
from models.win32.image import Image
from models.win32.kernel import Kernel
from models.win32.objects import KernelObject
from models.win32.processors import Processors
from models.win32.system import SYSTEMS
from models.win32.thread import Process, Thread
from sim.engine import Engine, Steps
from sim.trace import Row, Trace

FREE = CostRow(*[0.0] * len(CostRow._fields))
# Every call takes a while, so that threads meet at different times.
SLOW = CostRow(
    create_process_us=2000.0, loader_us=3000.0, init_us=500.0, exit_us=400.0, wake_us=20.0,
    handle_us=2.0, map_us=30.0, thread_us=60.0, winsock_us=100.0, call_us=3.0, page_us=1.0,
    copy_us_per_byte=0.002,
)  # fmt: skip
ARGUMENTS = Arguments([b"program", b"argument"], [b"A=1", b"PATH=/usr/bin"])


def bare_kernel(
    system: str = "nt",
    processors: int = 4,
    quantum_us: float = 20_000.0,
    trace: Trace | None = None,
) -> Kernel:
    engine = Engine()
    trace = Trace(calls=True) if trace is None else trace
    return Kernel(engine, Processors(engine, processors, quantum_us), SYSTEMS[system], trace)


def start(
    k: Kernel,
    steps: Callable[[Kernel, Thread], Steps],
    name: str = "program",
    costs: CostRow = FREE,
) -> Process:
    """Boot a process without parts whose main thread runs `steps(kernel, thread)`."""
    return k.boot(Image(name, (), steps), costs)


def run(k: Kernel, steps: Callable[[Kernel, Thread], Steps], costs: CostRow = FREE) -> Process:
    """Boot a process and run to the end of everything; it must have ended without a crash."""
    process = start(k, steps, costs=costs)
    k.engine.run()
    assert k.crashes == []
    assert not process.alive
    return process


def systems_of(name: str) -> tuple[str, ...]:
    """The systems that a scheme is tested on: no 64-bit program ran on 9x, nor did Cygwin 1.7."""
    return ("nt",) if name.startswith(("child-copy", "1.7")) else ("nt", "9x")


# What the guard of 3.6's heap makes of a creation has tests of its own, and so has what differs
# between 1.3.3 and the five trees before it, which are made of it (`test_scenarios_as_of.py`), and
# between the first heaps and `blocking` (`test_cygwin_ancestors.py`).
_APART = {
    child_copy.BEFORE_3_6_5.name,
    *(scheme.name for scheme in (*first_heap_2000.HEAPS, *trees_2001.TREES)),
}
VARIANTS = [name for name in schemes.variant_names() if name not in _APART]
CELLS = [(name, system) for name in VARIANTS for system in systems_of(name)]
# For tests that look into a heap; 1.1, which has none, has others (`test_cygwin_before_heap.py`).
_WITH_HEAP = [name for name in VARIANTS if schemes.get(name).version.has_heap]
_HEAP_CELLS = [cell for cell in CELLS if cell[0] in _WITH_HEAP]
heap_world = pytest.mark.parametrize(
    "world", _HEAP_CELLS, indirect=True, ids=["-".join(cell) for cell in _HEAP_CELLS]
)
heap_nt_world = pytest.mark.parametrize("nt_world", _WITH_HEAP, indirect=True)
# For tests that say what the releases of 2001 did, and those from 2005 on do not.
EARLY = [name for name in _WITH_HEAP if schemes.get(name).since < "2005"]
_EARLY_CELLS = [cell for cell in CELLS if cell[0] in EARLY]
early_world = pytest.mark.parametrize(
    "world", _EARLY_CELLS, indirect=True, ids=["-".join(cell) for cell in _EARLY_CELLS]
)
_EARLY_LISTED = [cell for cell in _EARLY_CELLS if cell[0] in schemes.names()]
early_replay = pytest.mark.parametrize(
    "replay", _EARLY_LISTED, indirect=True, ids=["-".join(cell) for cell in _EARLY_LISTED]
)
early_nt_world = pytest.mark.parametrize("nt_world", EARLY, indirect=True)


class WatchedKernel(Kernel):
    """A kernel that notes the creator's heap whenever a Cygwin child is made or resumed.

    at_create, at_resume: pid of the child -> bytes of the parent's heap then
    """

    def create_process(self, me: Thread, image: Any, *rest: Any, **more: Any) -> Steps:
        info = rest[2] if len(rest) > 2 else None
        heap = heap_at(me.process, info)
        made = yield from super().create_process(me, image, *rest, **more)
        self.__dict__.setdefault("at_create", {})[made[2]] = heap
        return made

    def resume_thread(self, me: Thread, handle: int) -> Steps:
        child = self.object(me, handle).process
        self.__dict__.setdefault("at_resume", {})[child.pid] = heap_at(me.process, child.startup)
        return (yield from super().resume_thread(me, handle))


def heap_at(process: Process, info: ChildInfo | None) -> bytes:
    """What lies in `process` where `info` says that the heap is."""
    if not isinstance(info, ChildInfo) or not info.cygheap:
        return b""
    memory, offset = process.space.memory_at(info.cygheap)
    return memory.read(offset, info.n)


class Watched:
    """A scheme that notes what each child finds as its heap; otherwise the one it is given.

    received: pid of the child -> its heap right after cygheap_fixup_in_child
    """

    def __init__(self, scheme: Any) -> None:
        self._scheme = scheme
        self.name = scheme.name
        self.version = scheme.version
        self.received: dict[int, bytes] = {}

    def parent_side(self, p: CygwinProcess, request: Any) -> Steps:
        return self._scheme.parent_side(p, request)

    def child_side(self, p: CygwinProcess, info: ChildInfo) -> Steps:
        yield from self._scheme.child_side(p, info)
        self.received[p.me.process.pid] = p.heap.memory.read(0, info.n)


class World:
    """One installation with one scheme.

    k, scheme, installation: of this world
    """

    def __init__(
        self, scheme: Any, system: str = "nt", costs: CostRow = SLOW, processors: int = 4
    ) -> None:
        engine = Engine()
        self.trace = Trace(calls=True)
        cpus = Processors(engine, processors, 20_000.0)
        words = SYSTEMS[system].of_words(scheme.version.era.word_bytes)
        self.k = WatchedKernel(engine, cpus, words, self.trace)
        self.scheme = Watched(scheme)
        self.costs = costs
        self.installation = Installation(self.k, self.scheme, self.scheme.version)

    def cygwin(self, program: Program, name: str = "program") -> Image:
        return cygwin_image(self.scheme.version, name, entry(self.installation, program))

    def native(self, us: float | None, code: int = 0) -> Image:
        """A program without Cygwin that runs for `us` (None: for ever) and exits."""

        def steps(k: Kernel, me: Thread) -> Steps:
            yield from k.sleep(me, us)
            return code

        return native_image(self.scheme.version, "native", steps)

    def boot(self, program: Program) -> Process:
        """Start a first Cygwin process."""
        return self.k.boot(self.cygwin(program, "sh"), self.costs)

    def run(self, program: Program, until: float | None = None) -> Process:
        """Start a first Cygwin process and run everything."""
        process = self.boot(program)
        self.k.engine.run(until)
        return process

    def finish(self, program: Program) -> Process:
        """Run everything; nothing may fail, stay or be left behind."""
        process = self.run(program)
        self.check_clean()
        return process

    def check_clean(self) -> None:
        assert self.installation.failures == []
        assert self.k.crashes == []
        assert not any(process.alive for process in self.k.processes.values())
        assert self.k.committed_bytes == 0
        assert all(obj.refs == 0 for obj in self.k.names.values())

    def create(self, kind: str, program: Program, arguments: Arguments = ARGUMENTS) -> Program:
        """A program that makes a child by fork, fork and exec, or a spawn mode, and waits."""
        image = self.cygwin(program, "new")

        def stub(p: CygwinProcess) -> Steps:
            yield from p.execute(image, arguments)

        def steps(p: CygwinProcess) -> Steps:
            if kind in ("fork", "exec"):
                pid = yield from p.fork(program if kind == "fork" else stub)
                return (yield from p.waitpid(pid))
            return (yield from p.spawn(kind, image, arguments))

        return steps

    def rows(self, pid: int, *names: str) -> list[Row]:
        return [row for row in self.trace.rows(pid=pid) if row.name in names]

    def first_child(self) -> Process | None:
        return next((q for q in self.k.processes.values() if q.parent_pid), None)

    @property
    def is_blocking(self) -> bool:
        return self.scheme.name == "blocking"

    @property
    def steps_with_a_socket(self) -> int:
        """In how many steps a section is filled while a socket is open; 0 if there is none."""
        if self.child_reads:
            return 0
        return 1 if self.copies_before_sockets else 2

    @property
    def child_reads(self) -> bool:
        """Whether the child reads its parent's memory; otherwise it is given a section."""
        readers = "blocking", "1.5.18", "1.7.7", "child-copy", "child-copy-3.6.4"
        return self.scheme.name in readers

    def keeps(self, kind: str) -> bool:
        """Whether a child of that kind has the heap: 1.5.18 loses what nobody waits for."""
        return self.scheme.name != "1.5.18" or kind in ("fork", "exec", "_P_WAIT")

    @property
    def waits_for_spawned(self) -> bool:
        """Whether a spawn that does not wait for its child's end waits until it has the heap."""
        return self.child_reads and self.scheme.name != "1.5.18"

    @property
    def copies_before_sockets(self) -> bool:
        """Whether the copy of the heap is taken before the sockets are fixed up."""
        return self.scheme.name in ("shared-memory-1.3.3", "msys-1.0", "2001-09-06")


def leave(code: int) -> Program:
    """A program that only exits."""

    def program(p: CygwinProcess) -> Steps:
        yield from p.exit(code)

    return program


def strings(p: CygwinProcess, addresses: Sequence[int]) -> list[bytes]:
    """C strings of argv or environment."""
    return [command_line.string(p, address) for address in addresses]


def top(p: CygwinProcess) -> int:
    """How large the heap is; nothing where there is none."""
    return p.heap.max if p.version.has_heap else 0


def word(row: Row) -> str:
    """A row as the lists of the tests spell it: the call, and what it was about."""
    if row.phase == "begin":
        return f"{row.name} {{"
    if row.phase == "end":
        return f"}} {row.name}"
    args = row.args
    if "hs" in args:
        return f"{row.name} {','.join(_about(obj) for obj in args['hs'])} {args['ms']}"
    if "type" in args:
        return f"{row.name} {args['type']}"
    if row.name == "CreateProcess":
        return f"{row.name} {args['flags']:#x}"
    obj = next((args[key] for key in ("h", "src", "s") if args.get(key) is not None), None)
    return row.name if obj is None else f"{row.name} {_about(obj)}"


def _about(obj: KernelObject) -> str:
    return obj.role or obj.kind


def words(trace: Trace, tid: int) -> list[str]:
    """What a thread called, in order; a blocking call where it began."""
    return [word(row) for row in trace.rows(tid=tid) if row.phase != "return"]
