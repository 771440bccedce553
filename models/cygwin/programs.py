"""Programs written in a few lines: what a simulated process does, as a generator.

    def child(p):
        yield from p.work(500)
        return 3

    def parent(p):
        pid = yield from p.fork(child)
        code = yield from p.waitpid(pid)

A program gets a `UserProcess`: the calls of `CygwinProcess`, checked, with the file names, argv and
environment of unistd.h.  It adds nothing of its own to what a call does or costs; a recorded
program makes the same calls.  What takes time or can be noticed by others is used with `yield
from`; open, socket, pipe, chdir and chroot concern the process alone and return at once.

What must stay true: what a creation costs depends on its place in the program (the how-manieth of
its process, and that process's own place), never on who came first.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from models.cygwin import children, command_line, directories, dlls_3_6
from models.cygwin.arguments import Arguments
from models.cygwin.cygheap.layout import HeapType
from models.cygwin.descriptors import CONSOLE, DISK, FIRST_SLOTS, PIPE
from models.cygwin.errors import CygwinError
from models.cygwin.images import cygwin_image, native_image
from models.cygwin.installation import Creation
from models.cygwin.machine import Machine
from models.cygwin.program_calls import Call, Caller, checked
from models.cygwin.program_checks import (
    WORD,
    Text,
    directory,
    exit_code,
    function,
    number,
    text,
    texts,
    whole,
)
from models.cygwin.program_file import Body, Program, program_of
from models.cygwin.protocol import P_DETACH, P_NOWAIT, P_NOWAITO, P_OVERLAY, P_VFORK, P_WAIT
from models.cygwin.startup import entry
from models.win32.image import Image
from models.win32.library_calls import Library

if TYPE_CHECKING:
    from models.cygwin.process import CygwinProcess
    from models.win32.kernel import Kernel
    from models.win32.thread import Process, Thread
    from sim.engine import Steps

PLACES = 4096  # rows of costs of one machine; two creations in so many share theirs
MODES = (P_WAIT, P_NOWAIT, P_NOWAITO, P_VFORK, P_DETACH, P_OVERLAY)
MAX_FD = 100 * FIRST_SLOTS - 1  # largest descriptor (assumed)
FIRST_ENVIRONMENT = (b"PATH=/usr/local/bin:/usr/bin:/bin", b"HOME=/home/user", b"TERM=cygwin")
_CONSOLES = (b"/dev/tty", b"/dev/console", b"/dev/conin", b"/dev/conout")


class NoChild(CygwinError):
    """waitpid() of a process that is no child of the caller (ECHILD). Args: (pid, children)."""

    def __str__(self) -> str:
        pid, own = self.args
        known = f"its children are {', '.join(map(str, own))}" if own else "it has none"
        return f"{pid} is no child of this process: {known}"


class UserProcess(Caller):
    """A process of Cygwin, as its program sees it.

    dll: what the DLL keeps: heap, descriptors, handles -- constant
    line: its place: of each creation in its line of descent the how-manieth it was -- constant
    """

    def __init__(self, dll: CygwinProcess, machine: Machine, line: str = "1") -> None:
        self.dll = dll
        self.line = line
        self._machine = machine
        self._creations = 0

    # ---- processes ---------------------------------------------------------------------------

    def fork(self, child: Body) -> Call[int]:
        """fork(): the child's pid; the child does `child`. Raises TryAgain (EAGAIN)."""
        return self.call("fork", self._fork(child))

    def vfork(self, child: Body) -> Call[int]:
        """vfork(): the child's pid. `child` runs in this process until it execs or exits."""
        return self.call("vfork", self._vfork(child))

    def exec(
        self,
        program: Program | Body,
        argv: Sequence[Text] | None = None,
        env: Sequence[Text] | None = None,
    ) -> Call[NoReturn]:
        """exec(): the process goes on as `program`. argv: its name alone; env: this process's."""
        return self.call("exec", self._exec(program, argv, env))

    def spawn(
        self,
        mode: str,
        program: Program | Body,
        argv: Sequence[Text] | None = None,
        env: Sequence[Text] | None = None,
    ) -> Call[int]:
        """spawn(): the child's pid; its exit code for _P_WAIT, 0 for _P_DETACH.

        Raises ValueError for an unknown mode, TryAgain (EAGAIN).
        """
        if mode not in MODES:
            raise ValueError(f"mode ({mode!r}) must be one of {', '.join(MODES)}")
        if mode == P_OVERLAY:
            return self.call("spawn", self._exec(program, argv, env))
        return self.call("spawn", self._spawn(mode, program, argv, env))

    def waitpid(self, pid: int) -> Call[int]:
        """waitpid(): the child's exit code, once it has ended. Raises NoChild (ECHILD)."""
        self.check_made()
        return self.call("waitpid", self._waitpid(whole("pid", pid, 1)))

    def exit(self, code: int = 0) -> Call[NoReturn]:
        """exit(): the process ends. Returning a code from the program does the same."""
        return self.call("exit", self.dll.exit(exit_code(code)))

    def work(self, us: float) -> Call[None]:
        """Use the processor for `us`."""
        return self.call("work", self.dll.work(number("us", us)))

    def sleep(self, us: float | None) -> Call[None]:
        """Sleep for `us`; None sleeps for ever."""
        limit = None if us is None else number("us", us, "None sleeps for ever")
        return self.call("sleep", self.dll.sleep(limit))

    # ---- what is open ------------------------------------------------------------------------

    def open(self, name: str = "", cloexec: bool = False) -> int:
        """open(): the lowest free descriptor. /dev/tty is the console."""
        posix = text("name", name)
        fd = self._free()
        self.dll.open(fd, CONSOLE if posix in _CONSOLES else DISK, cloexec, posix)
        return fd

    def socket(self, cloexec: bool = False) -> int:
        """socket() or accept(): the lowest free descriptor."""
        fd = self._free()
        self.dll.socket(fd, cloexec)
        return fd

    def pipe(self, cloexec: bool = False) -> tuple[int, int]:
        """pipe(): the descriptors of its read end and of its write end."""
        r = self._free()
        w = self._free(r)
        self.dll.pipe(r, w, cloexec)
        return r, w

    def read(self, fd: int, size_bytes: int) -> Call[int]:
        """read() from a pipe: bytes read, 0 at its end."""
        d = self._open(fd, PIPE)
        size = whole("size_bytes", size_bytes)
        return self.call("read", self.dll.k.read_file(self.dll.me, d.handle, size))

    def write(self, fd: int, size_bytes: int) -> Call[int]:
        """write() to a pipe: bytes written. Waits while the pipe is full."""
        d = self._open(fd, PIPE)
        size = whole("size_bytes", size_bytes)
        return self.call("write", self.dll.k.write_file(self.dll.me, d.handle, size))

    def dup2(self, old: int, new: int) -> Call[None]:
        """dup2(): `new` is another descriptor of what `old` is; an open `new` is closed."""
        self._open(old)
        return self.call("dup2", self._dup2(old, whole("new", new, 0, MAX_FD)))

    def close(self, fd: int) -> Call[None]:
        """close()."""
        self._open(fd)
        return self.call("close", self.dll.close(fd))

    # ---- what else is inherited --------------------------------------------------------------

    def chdir(self, name: str) -> None:
        """chdir() to a directory by its POSIX name."""
        self.check_running()
        self.dll.chdir(directory(name))

    def chroot(self, name: str) -> None:
        """chroot() to a directory by its POSIX name; `/` lifts it."""
        self.check_running()
        self.dll.chroot(directory(name))

    def dlopen(self, name: str, base: int, size_bytes: int) -> int:
        """dlopen() of a DLL that wants to lie at `base`: where it lies. Under Cygwin 3.6 only."""
        self.check_running()
        if not self.dll.version.signal_pipe:
            raise ValueError(f"dlopen ({name!r}) must be under child-copy; no other has its fork")
        highest = self.dll.me.process.space.highest - 1
        library = Library(
            text("name", name).decode(), whole("base", base, 1 << 16, highest),
            whole("size_bytes", size_bytes, 1, WORD - 1),
        )  # fmt: skip
        return dlls_3_6.dlopen(self.dll, library)

    def malloc(self, size_bytes: int) -> None:
        """Let the user heap, which a fork copies, be at least so large."""
        self.check_running()
        self.dll.grow_user_heap(whole("size_bytes", size_bytes, 0, WORD - 1))

    def fill_heap(self, size_bytes: int) -> None:
        """Fill the cygheap up to a size with blocks that live on, the largest that fit first."""
        self.check_running()
        if not self.dll.version.has_heap:
            raise ValueError(f"fill_heap: {self.dll.version.name} has no cygheap to fill")
        heap, size = self.dll.heap, whole("size_bytes", size_bytes, 0, WORD - 1)
        entry_bytes, least = heap.era.entry_bytes, heap.era.user_offset_bytes
        for power in range(16, 3, -1):
            while least <= 1 << power <= size - heap.max - entry_bytes:
                heap.cmalloc(HeapType.HEAP_BUF, (1 << power) - least)

    @property
    def pid(self) -> int:
        """getpid()."""
        return self.dll.pid

    @property
    def cwd(self) -> str:
        """getcwd(), "" before the first chdir."""
        return directories.directory_of(self.dll).decode()

    @property
    def root(self) -> str:
        """The root of its names, "/" where there was no chroot."""
        return directories.root_name(self.dll).decode()

    @property
    def argv(self) -> list[str]:
        """What it was started with; empty in a first process."""
        p = self.dll
        return [command_line.string(p, address).decode() for address in command_line.argv(p)]

    @property
    def environ(self) -> list[str]:
        """Its environment; the session's in a first process."""
        return [text.decode() for text in self._environment()]

    @property
    def fds(self) -> dict[int, str]:
        """Open descriptors and what each is: console, disk, pipe or socket."""
        return {fd: d.kind for fd, d in sorted(self.dll.fds.open.items())}

    # ---- how a call is made ------------------------------------------------------------------

    def _fork(self, child: Body) -> Steps:
        p = self.dll
        p.grow_user_heap(p.installation.sizes.user_heap)
        creation, line = self._creation("fork", p.me.process.image.name)
        return (yield from p.fork(main(self._machine, child, line), creation))

    def _vfork(self, child: Body) -> Steps:
        creation, line = self._creation("vfork", self.dll.me.process.image.name)
        return (yield from self.dll.vfork(main(self._machine, child, line), creation))

    def _exec(
        self, program: Program | Body, argv: Sequence[Text] | None, env: Sequence[Text] | None
    ) -> Steps:
        file = program_of(program)
        creation, line = self._creation("exec", file.name, P_OVERLAY, file.is_native)
        arguments = self._arguments(file, argv, env)
        yield from self.dll.execute(image_of(self._machine, file, line), arguments, creation)

    def _spawn(
        self,
        mode: str,
        program: Program | Body,
        argv: Sequence[Text] | None,
        env: Sequence[Text] | None,
    ) -> Steps:
        file = program_of(program)
        creation, line = self._creation("spawn", file.name, mode, file.is_native)
        arguments = self._arguments(file, argv, env)
        image = image_of(self._machine, file, line)
        return (yield from self.dll.spawn(mode, image, arguments, creation))

    def _waitpid(self, pid: int) -> Steps:
        if children.find(self.dll, pid) is None:
            raise NoChild(pid, [child.pid for child in self.dll.children])
        return (yield from self.dll.waitpid(pid))

    def _dup2(self, old: int, new: int) -> Steps:
        if new != old:
            yield from self.dll.dup2(old, new)

    def _creation(
        self, kind: str, name: str, mode: str = "", native: bool = False
    ) -> tuple[Creation, str]:
        """The record of a creation and its line; from now on calls cost what it costs."""
        line = f"{self.line}.{self._creations}"
        self._creations += 1
        place = zlib.crc32(line.encode()) % PLACES
        self.dll.me.costs = self._machine.draws.at(place)
        return Creation(place, kind, self.dll.pid, name, mode, native), line

    def _arguments(
        self, file: Program, argv: Sequence[Text] | None, env: Sequence[Text] | None
    ) -> Arguments:
        words = [file.name] if argv is None else argv
        return Arguments(
            texts("argv", words), self._environment() if env is None else texts("env", env)
        )

    def _environment(self) -> list[bytes]:
        if not self.dll.environ:
            return list(FIRST_ENVIRONMENT)
        return [command_line.string(self.dll, address) for address in self.dll.environment()]

    def _open(self, fd: int, kind: str = "") -> Any:
        """What a descriptor is, for a call that needs one of that kind. Raises ValueError."""
        self.check_running()
        fds = {n: of for n, of in self.fds.items() if not kind or of == kind}
        if fd not in fds:
            which = f"an open {kind}" if kind else "open"
            raise ValueError(f"fd ({fd!r}) must be {which}; there are {list(fds) or 'none'}")
        return self.dll.fds.open[fd]

    def _free(self, *taken: int) -> int:
        """The lowest free descriptor, for a call that is made at once."""
        self.check_running()
        fd = 0
        while fd in self.dll.fds.open or fd in taken:
            fd += 1
        return fd


def main(machine: Machine, body: Body, line: str = "1") -> Callable[[CygwinProcess], Steps]:
    """What the DLL is to run for a program: its steps, checked, and then exit()."""
    function(body)

    def steps(dll: CygwinProcess) -> Steps:
        p = UserProcess(dll, machine, line)
        code = yield from checked(p, body)
        yield from dll.exit(code or 0)

    return steps


def start(machine: Machine, program: Program | Body) -> Process | None:
    """Start a program as a first Cygwin process; it runs when the engine does.

    None if the memory does not suffice for it, which is a failure of the installation.
    """
    file = program_of(program)
    if file.steps is None:
        raise ValueError(f"{file.name} is not linked with Cygwin; a first process must be")
    return machine.start(file.name, main(machine, file.steps))


def image_of(machine: Machine, file: Program, line: str) -> Image:
    """What CreateProcess loads for a program file."""
    version = machine.installation.version
    if file.steps is not None:
        body = main(machine, file.steps, line)
        return cygwin_image(version, file.name, entry(machine.installation, body))

    def steps(k: Kernel, me: Thread) -> Steps:
        creation = me.process.tag
        if isinstance(creation, Creation) and creation.main_us is None:
            creation.main_us = k.engine.now + me.debt_us
        yield from k.sleep(me, None if file.seconds is None else file.seconds * 1e6)
        return file.code

    return native_image(version, file.name, steps)
