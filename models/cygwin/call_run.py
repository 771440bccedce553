"""A log's processes, run on the simulator: the same requests, made by simulated processes.

One run is one lineage: the first process boots, its life goes on in steps, its children are forked,
exec'ed or spawned by the scheme and live theirs.  What the programs did beyond that is only how
long they took to end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from models.cygwin.arguments import Arguments
from models.cygwin.call_arguments import arguments_of, reduced_arguments
from models.cygwin.call_lives import (
    CLOEXEC,
    CLOSE,
    CREATE,
    DUP,
    EXIT,
    GROW,
    OPEN,
    REAP,
    SLEEP,
    TAKEN_BYTES,
    VFORK,
    Act,
    Life,
)
from models.cygwin.call_log import Call, CallLog
from models.cygwin.call_rows import calls_of
from models.cygwin.call_versions import Program, Variant
from models.cygwin.call_windows import SPAWN, is_reduced
from models.cygwin.cygheap.heap import early_heap
from models.cygwin.cygheap.layout import HeapType
from models.cygwin.descriptors import CONSOLE, DISK, PIPE, SOCKET, WRITES
from models.cygwin.errors import TryAgain
from models.cygwin.images import cygwin_image, native_image
from models.cygwin.installation import Creation, Installation
from models.cygwin.installation import Program as Steppable
from models.cygwin.protocol import P_DETACH, P_NOWAIT, P_NOWAITO, P_VFORK, P_WAIT
from models.cygwin.startup import entry
from models.win32.costs import CostRow
from models.win32.image import Image
from models.win32.kernel import Kernel
from models.win32.objects import File
from models.win32.processors import Processors
from models.win32.system import SYSTEMS
from models.win32.thread import Thread
from sim.engine import Engine, Steps
from sim.trace import Trace

if TYPE_CHECKING:
    from models.cygwin import children
    from models.cygwin.call_windows import Window
    from models.cygwin.process import CygwinProcess
    from models.cygwin.protocol import Scheme
    from models.cygwin.version import Version

# Every call takes a while, so that threads meet at different times -- chosen
COSTS = CostRow(
    create_process_us=2000.0, loader_us=6000.0, init_us=500.0, exit_us=400.0, wake_us=20.0,
    handle_us=2.0, map_us=30.0, thread_us=60.0, winsock_us=100.0, call_us=3.0, page_us=1.0,
    copy_us_per_byte=0.002,
)  # fmt: skip
PROCESSORS = 4  # so that nobody waits for one -- chosen
QUANTUM_US = 20_000.0
LINGER_US = 30_000.0  # how long a program runs that the log says nothing about -- chosen
KILLED = 0x900  # exit code of what was killed by signal 9
GROWTH_BYTES = 1 << 25  # most that malloc is grown to; the logs have less than 1 MiB -- chosen
HORIZON_US = 600e6  # longer than any log; what still waits then waits for ever
_DEVICES = {  # native and POSIX names; a new fhandler's native name is made with 16 spare bytes
    "nul": (b"nul", b"/dev/null"), PIPE: (b"\\dev\\piper", b"/dev/piper"),
    CONSOLE: (b"\\dev\\conin", b"/dev/conin"),
    SOCKET: (b"\\dev\\socket", b"/dev/socket"),
}  # fmt: skip
# What a sh does with its script, for logs that have no files: it keeps it out of the way.
SCRIPT_ACTS = (
    Act(OPEN, 3, kind=DISK, name="script.sh"), Act(DUP, 4, 3), Act(CLOSE, 3), Act(CLOEXEC, 4, 1),
)  # fmt: skip
_MODES = {0: P_VFORK, 1: P_WAIT, 2: P_NOWAIT, 4: P_NOWAITO, 5: P_DETACH}


class Seed(NamedTuple):
    """Heap that a process has and the log does not show.

    untagged_bytes: one block in use; freed: sizes of blocks that were freed again
    """

    untagged_bytes: int
    freed: tuple[int, ...] = ()


@dataclass
class LogRun:
    """One lineage on the simulator.

    log, windows, lives, variant, scheme: what is run -- input
    seeds: number of a creation -> what else is in the heap before it -- input
    console: the first process has one -- input
    kernel, installation: where it runs -- state
    pids: window's number -> Cygwin pid of the child -- state
    """

    log: CallLog
    windows: list[Window]
    lives: Mapping[str, Life]
    variant: Variant
    scheme: Scheme
    seeds: Mapping[int, Seed] = field(default_factory=dict)
    console: bool = False
    kernel: Kernel = field(init=False)
    installation: Installation = field(init=False)
    pids: dict[int, int] = field(default_factory=dict)

    def run(self) -> list[Call]:
        """The calls of the whole run, by time."""
        engine = Engine()
        system = SYSTEMS[self.variant.system]
        self.kernel = Kernel(
            engine, Processors(engine, PROCESSORS, QUANTUM_US), system, Trace(True)
        )
        self.installation = Installation(self.kernel, self.scheme, self.variant.version)
        first = next(iter(self.lives.values()))
        self.kernel.boot(self.image(first), COSTS).console = self.console
        engine.run(until=HORIZON_US)
        return calls_of(self.kernel)

    def image(self, life: Life) -> Image:
        """The program of a process that is not forked."""
        if life.native:
            return native_image(self.variant.version, life.image, self._native(life))
        version = self.version_of(life.image)
        start = entry(self.installation, self.program(life), version)
        return cygwin_image(version, life.image, self._or_dies(start))

    def _or_dies(self, start: children.EntryPoint) -> children.EntryPoint:
        """The same in the surroundings that the log shows.

        What the log found taken is taken.  A child that never came to life ends before the DLL
        starts.
        """

        def steps(k: Kernel, me: Thread) -> Steps:
            tag = me.process.tag
            window = self.windows[tag.place - 1] if isinstance(tag, Creation) else None
            if window is not None and window.native is None and self._full:
                yield from k.exit_process(me, _exit_code(window))
            if window is not None and self._full:
                yield from k.sleep(me, self._late_us(window))
            life = self._child(window) if window else next(iter(self.lives.values()))
            for address, committed_bytes in life.taken:
                info = me.process.startup
                if info is not None and address == self.windows[0].info.get("cygheap"):
                    address = info.cygheap
                region = me.process.space.reserve(address, TAKEN_BYTES, "taken")
                if region.memory is not None and committed_bytes:
                    region.memory.commit(0, committed_bytes)
            yield from start(k, me)

        return steps

    @property
    def _full(self) -> bool:
        """Whether the log kept all calls."""
        return not is_reduced(self.log.calls)

    def _late_us(self, window: Window) -> float:
        """How much later than usual a child started whose parent had ended by then [us].

        It is a matter of the machine that the log was taken on who of the two is faster.
        """
        child = window.made.args.get("child") if window.made else None
        started = next((c.t_us for c in self.log.calls if c.pid == child), 0.0)
        ended = next(
            (c.t_us for c in self.log.calls
             if c.pid == window.anchor.pid and c.api == "ExitProcess"), started,
        )  # fmt: skip
        if window.made is None or window.kind != SPAWN or ended >= started:
            return 0.0
        return max(0.0, started - window.made.t_us - COSTS.loader_us)

    def version_of(self, image: str) -> Version:
        """The release's numbers with the data of a program."""
        program = self.variant.programs.get(image)
        version = self.variant.version
        if program is None:
            return version
        return _with_program(version, program)

    def program(self, life: Life) -> Steppable:
        """What the process does after its start-up."""

        def steps(p: CygwinProcess) -> Steps:
            if life.made_by is None:
                for fd in life.standard or self.variant.standard:
                    self._standard(p, fd)
            forked = life.made_by is not None and life.made_by.kind == "fork"
            if life.image.startswith("sh") and not forked and self.variant.terminal:
                _look_for_terminal(p, life.made_by is None, self.console)
            if life.made_by is None:
                for size in self.seeds.get(1, Seed(0)).freed:
                    _put_freed(p, size)
            if not self._full and life.made_by is not None and ".sh" in self.log.command:
                life.high = {4}
                for act in SCRIPT_ACTS:
                    yield from self._act(p, life, act)
            yield from self._acts(p, life, iter(life.acts))
            yield from self._end(p, life)

        return steps

    def _acts(self, p: CygwinProcess, life: Life, acts: Iterator[Act]) -> Steps:
        """What a process does, or a guest in it, whose acts end with its exec."""
        for act in acts:
            if act.what == VFORK:
                pid = yield from p.vfork(lambda guest: self._acts(guest, life, acts))
                self.pids[act.fd] = pid
            else:
                yield from self._act(p, life, act)

    def _end(self, p: CygwinProcess, life: Life) -> Steps:
        """The end of a process whose end the log does not have."""
        yield from p.work(LINGER_US)
        if life.acts and self._full:
            yield from p.k.exit_process(p.me, KILLED)
        yield from p.exit(0)

    def _act(self, p: CygwinProcess, life: Life, act: Act) -> Steps:
        what = act.what
        if what == GROW:
            p.grow_user_heap(min(p.user_heap_bytes + act.fd, GROWTH_BYTES))
        elif what == OPEN:
            what = WRITES if act.name == WRITES else act.kind
            self._open(
                p, act.fd, act.kind, *self._names(act), self._closes_at_exec(life, act), what
            )
        elif what == DUP and self._fd(life, act.other) in p.fds.open:
            yield from p.dup2(self._fd(life, act.other), self._fd(life, act.fd))
        elif what == CLOSE and self._fd(life, act.fd) in p.fds.open:
            yield from p.close(self._fd(life, act.fd))
        elif what == CLOEXEC and self._fd(life, act.fd) in p.fds.open:
            p.set_cloexec(self._fd(life, act.fd), True)
        elif what == CREATE:
            yield from self._create(p, life, self.windows[act.fd - 1])
        elif what == REAP and act.fd in self.pids:
            yield from p.waitpid(self.pids[act.fd])
        elif what == EXIT:
            yield from p.work(act.other)
            yield from p.exit(act.fd)

    def _open(
        self, p: CygwinProcess, fd: int, kind: str, win32_name: bytes, name: bytes, cloexec: bool,
        what: str = "",
    ) -> None:  # fmt: skip
        handle = p.k.new_handle(p.me, File(what or kind), not cloexec)
        # POSIX name first, as the logs show; the room behind a device's name is not copied by dup
        p.fds.add(fd, kind, handle, 0, cloexec, name, win32_name).texts = None

    def _fd(self, life: Life, fd: int) -> int:
        """The descriptor's own number: sh moves its script out of the way."""
        return self.variant.high_fd if fd in life.high else fd

    def _standard(self, p: CygwinProcess, fd: int) -> None:
        """stdin, stdout and stderr as in these runs: a pipe, and consoles, have names."""
        kind = CONSOLE if self.console else DISK
        named = fd < 2 if self.console else fd == 1
        names = self._names(Act(OPEN, kind=kind if self.console else PIPE)) if named else (b"", b"")
        if fd == 1 and not self.console and names[1]:
            names = names[0], self.variant.stdout_name
        self._open(p, fd, kind, *names, False)

    def _names(self, act: Act) -> tuple[bytes, bytes]:
        """Win32 and POSIX name of what is opened; a device's first native name has spare room."""
        device = _DEVICES.get(act.name.lower() if act.kind == DISK else act.kind)
        if act.kind in (PIPE, SOCKET) and not self.variant.pipes_known:
            return b"", b""  # 1.3.19: what they hold is not known, but no less
        if device is not None and not self.variant.device_names:
            return b"", b""
        if device is not None:
            return device[0] + bytes(self.variant.spare_bytes), device[1]
        name = act.name.encode()
        return name, b"./" + name  # the Win32 name is relative to the directory

    def _closes_at_exec(self, life: Life, act: Act) -> bool:
        """perl's sockets are closed at exec unless the script lifts $^F; no call shows it."""
        return act.kind == SOCKET and life.image == "perl.exe" and "$^F" not in self.log.command

    def _create(self, p: CygwinProcess, caller: Life, window: Window) -> Steps:
        life = self._child(window)
        seed = self.seeds.get(window.number, Seed(0))
        if seed.untagged_bytes:
            _put_block(p, seed.untagged_bytes)
        if window.number > 1:
            for size in seed.freed:
                _put_freed(p, size)
        creation = Creation(window.number, window.kind, p.pid, str(window.anchor.args["image"]))
        try:
            if window.kind == "fork":
                p.stack_bytes = int(window.info["stack_bytes"]) - self.variant.frame_bytes
                program = self.program(life)
                self.pids[window.number] = yield from p.fork(program, creation)
                return
            image = self.image(life)
            arguments = self._arguments(window, life, caller)
            if window.kind == "exec" or p.vforking:
                yield from p.execute(image, arguments, creation)
            mode = _MODES[self._mode(window)]
            self.pids[window.number] = yield from p.spawn(mode, image, arguments, creation)
        except TryAgain:
            return

    def _arguments(self, window: Window, life: Life, caller: Life) -> Arguments:
        shell = self.log.command
        if self._full:
            return arguments_of(window, life.command, shell, self.variant, caller.script)
        return reduced_arguments(window, self.windows[0], shell, self.variant)

    def _mode(self, window: Window) -> int:
        before = [
            c
            for c in self.log.calls
            if c.tid == window.anchor.tid and c.place < window.anchor.place
        ]
        said = [int(c.args["mode"]) for c in before if c.api == "#app_spawn_call"]
        return said[-1] if said else 2

    def _child(self, window: Window) -> Life:
        child = str(window.made.args.get("child")) if window.made else ""
        made = Life(child, str(window.anchor.args["image"]), False, window)
        return self.lives.get(child, made)

    def _native(self, life: Life) -> children.EntryPoint:
        def steps(k: Kernel, me: Thread) -> Steps:
            code = life.killed or 0
            for act in life.acts:
                if act.what == SLEEP:
                    yield from k.sleep(me, act.fd * 1000.0)
                elif act.what == EXIT:
                    code = act.fd
            yield from k.exit_process(me, code)

        return steps


def _exit_code(window: Window) -> int:
    """What the parent read as the exit code of a child that never came to life."""
    codes = [c.args["code"] for c in window.parent if c.api == "GetExitCodeProcess"]
    return int(codes[0]) if codes else 1


def _look_for_terminal(p: CygwinProcess, first: bool, found: bool) -> None:
    """sh opens /dev/tty at its start, in vain: fhandler and names are freed again.

    In the first process something else takes the place of the native name at once.
    """
    heap = p.heap
    fhandler = heap.ccalloc(HeapType.HEAP_FHANDLER, 1, heap.era.fhandler_bytes[DISK])
    names = [b"/dev/tty"] if first else [b"/dev/tty", b"\\dev\\tty" + bytes(15)]
    made = [heap.cstrdup(name) for name in names]
    if not found:
        heap.cfree_many(made)
    heap.cfree(fhandler)


def _put_freed(p: CygwinProcess, size_bytes: int) -> None:
    """A block that the program had and freed again."""
    b = (size_bytes - 8).bit_length() - 1
    p.heap.cfree(_put_block(p, size_bytes, b))


def _put_block(p: CygwinProcess, size_bytes: int, b: int = 3) -> int:
    """One untagged block of that size, whatever its bucket says; its user address."""
    heap = early_heap(p.heap)
    offset = heap.csbrk(size_bytes) - heap.base
    heap.memory.write32(offset, b)
    heap.memory.write32(offset + 4, heap.head)
    heap.memory.write32(offset + 8, int(HeapType.HEAP_STR))
    heap.memory.write32(heap.era.chain_offset, heap.base + offset)
    return heap.base + offset + 16


def _with_program(version: Version, program: Program) -> Version:
    return replace(
        version, exe_data=program.data, exe_bss=program.bss, linked=program.linked,
        stack_base=program.stack_base,
    )  # fmt: skip
