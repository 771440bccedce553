"""A process that runs Cygwin's DLL: what the DLL keeps, and the calls that a program makes.

A program is a function that takes a `CygwinProcess` and gives steps; each call below is a generator
used with `yield from`, as in C the calls of unistd.h.  What a child knows it has from its memory,
its handles and child_info; no Python object passes from a parent to its child but the program
itself, which a fork child finds by a number in the copied stack.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from models.cygwin import (
    children,
    directories,
    early_process,
    exec_pipe,
    given_pipe,
    heap_place,
    signal_pipe,
    vfork,
)
from models.cygwin.arguments import Arguments, Handed
from models.cygwin.child_info import ChildType
from models.cygwin.cygheap import heap as heaps
from models.cygwin.cygheap.heap import Heap
from models.cygwin.descriptors import CONSOLE, DISK, PIPE, SOCKET, DescriptorTable
from models.cygwin.errors import NotExecuted, SilentFailure, TryAgain, no_image, try_again
from models.cygwin.installation import Creation, Failure, Installation, Program
from models.cygwin.process_table import Record
from models.cygwin.protocol import P_OVERLAY, Request
from models.win32.address_space import Region
from models.win32.emulation import code_cache
from models.win32.errors import Win32Error
from models.win32.handles import CURRENT_PROCESS
from models.win32.image import Image
from models.win32.memory import Memory
from models.win32.object_calls import HANDLE_FLAG_INHERIT
from models.win32.objects import File, KernelObject
from models.win32.srw_lock import SrwLock
from models.win32.thread import Thread
from sim.engine import Steps

_CONSOLE_NAMES = (b"CON", b"/dev/conin")  # as in the golden traces h07


class CygwinProcess:
    """State of the DLL in one process, and its user's interface.

    pid: Cygwin pid -- state
    me: main thread -- constant
    heap: the cygheap -- state
    fds: descriptor table -- state
    children, waiter: see `children.py` -- state
    h_self, h_thread, signal_arrived, ...: handles in this process -- state
    h_execed: of what this stub of an exec stands in for -- state
    waits: for the signal thread, and threads that wait for a child's end (`given_pipe.py`) -- state
    handed: argv and environment as an exec left them in the heap, until start-up is over -- state
    environ: address of the environment vector in the user heap -- state
    argv, exec_info: addresses of argument vector and exec information, 0 if none -- state
    user_heap: region of malloc; stack_bytes: of the stack that fork copies -- state
    h_pinfo_mutex, h_parent_alive, directory: of a Cygwin without a cygheap (`early_process.py`)
        -- state
    wr_proc_pipe: by whose end the parent learns of this process's; 0 without such a parent -- state
    heap_lock: of whoever changes the heap, or keeps others from it -- state
    loaded: the program file as it was when this process was made -- constant
    has_threads: the program has threads of its own -- state
    code_cache: of an emulator, None where the processor runs the program itself -- state
    vforking: a vfork child runs in this process, with a table of its own -- state
    """

    # NOTE: for speed: without slots, so many attributes are a dictionary of 5 KB a process
    __slots__ = (
        "__weakref__", "argv", "children", "code_cache", "directory", "environ", "exec_info",
        "exiting", "fds", "h_cancel", "h_exec", "h_execed", "h_mutex", "h_parent_alive", "h_pinfo",
        "h_pinfo_mutex", "h_readsig", "h_root", "h_self", "h_sendsig", "h_shared", "h_thread",
        "h_wait", "h_wait_subproc", "handed", "has_threads", "heap", "heap_lock", "installation",
        "k", "loaded", "me", "pid", "pinfo", "pinfo_view", "ppid_handle", "ring", "sigcatch",
        "signal_arrived", "stack_bytes", "user_heap", "user_heap_bytes", "version", "vforking",
        "waiter", "waits", "wake_children", "wr_proc_pipe",
    )  # fmt: skip

    def __init__(self, installation: Installation, me: Thread) -> None:
        self.installation = installation
        self.k = installation.kernel
        self.me = me
        self.loaded = me.process.image
        self.version = installation.version
        self.pid = 0
        self.heap: Heap
        self.fds: DescriptorTable
        self.h_self = self.h_thread = self.h_mutex = self.h_shared = self.h_root = self.h_pinfo = 0
        self.h_pinfo_mutex = self.h_parent_alive = self.ppid_handle = self.wr_proc_pipe = 0
        self.h_exec = self.h_execed = self.h_cancel = self.h_wait = self.h_wait_subproc = 0
        self.signal_arrived = self.sigcatch = self.h_readsig = self.h_sendsig = 0
        self.wake_children = 0
        self.directory = b""
        self.pinfo: Memory | Record
        self.pinfo_view: Region
        self.heap_lock = SrwLock(self.version.lock_calls)
        self.code_cache = code_cache(installation.emulated)
        self.has_threads = self.exiting = self.vforking = False
        self.children: list[children.Child] = []
        self.waiter: children.Waiter | None = None
        self.waits = given_pipe.Waits()
        self.ring: list[int] = []
        self.argv = self.environ = self.exec_info = 0
        self.handed: Handed | None = None
        self.user_heap: Region
        self.user_heap_bytes = 0
        self.stack_bytes = installation.sizes.stack

    # ---- what a program calls ----------------------------------------------------------------

    def work(self, us: float) -> Steps:
        """Use the processor for `us`."""
        return self.k.work(self.me, us)

    def sleep(self, us: float | None) -> Steps:
        """Sleep for `us`; None sleeps for ever."""
        return self.k.sleep(self.me, us)

    def fork(self, program: Program, creation: Creation | None = None) -> Steps:
        """fork(): the child's pid. The child runs `program`. Raises TryAgain for EAGAIN."""
        image = self.me.process.image
        creation = self._creation("fork", "", image, creation)
        caller = self.me.process.pid
        self.installation.programs[caller] = program
        self._stack_word(caller)
        return self._make(Request(ChildType.FORK, "", image, creation))

    def vfork(
        self, program: Program, creation: Creation | None = None, last: Program | None = None
    ) -> Steps:
        """vfork(): the child's pid. `program` runs in this process until it execs or exits.

        If it exits, a fork child runs `last` (None: it exits too). Raises TryAgain.
        """
        if not vfork.is_real(self):
            return self.fork(program, creation)
        creation = self._creation("vfork", "", self.me.process.image, creation)
        return vfork.vfork(self, program, creation, last)

    def execute(
        self, image: Image | None, arguments: Arguments, creation: Creation | None = None
    ) -> Steps:
        """exec(): does not return; the same pid goes on as the new image.

        Raises NoSuchFile, NotExecuted (EAGAIN).
        """
        if self.vforking:
            yield from vfork.execute(self, image, arguments, creation)
        creation = self._creation("exec", "", image, creation)
        request = Request(ChildType.EXEC, P_OVERLAY, image, creation, arguments)
        try:
            yield from self.installation.scheme.parent_side(self, request)
        except Win32Error as error:
            again = str(try_again(error))
            self.fail(again, creation)
            raise NotExecuted(again) from error

    def spawn(
        self, mode: str, image: Image | None, arguments: Arguments, creation: Creation | None = None
    ) -> Steps:
        """spawn(): the child's pid, or its exit code after a wait. Raises TryAgain, NoSuchFile."""
        creation = self._creation("spawn", mode, image, creation)
        request = Request(ChildType.SPAWN, mode, image, creation, arguments)
        return self._make(request)

    def waitpid(self, pid: int) -> Steps:
        """waitpid(): the child's exit code, or None if there is no such child (ECHILD)."""
        return children.waitpid(self, pid)

    def kill(self, pid: int, signal: int) -> Steps:
        """kill() by a signal that ends a process: whether there is one. TryAgain from 2005 on."""
        if not self.version.has_heap:
            return early_process.kill(self, pid, signal)
        by_pipe = self.version.exec_pipe_bytes
        return (signal_pipe.kill if by_pipe else children.kill)(self, pid, signal)

    def exit(self, code: int) -> Steps:
        """exit(): does not return. Closes what is open, joins the DLL's threads."""
        if self.vforking:
            raise vfork.Longjmp(0, code)
        yield from self.close_all_files()
        if not self.version.has_heap:
            yield from early_process.leave(self, code)
        yield from children.stop_waiting(self)
        if self.version.ends_waiter:
            yield from exec_pipe.proc_terminate(self)
        k, me = self.k, self.me
        if self.version.exec_pipe_bytes:
            exec_pipe.leave(self, code)
        if self.signal_arrived:
            yield from k.set_event(me, self.signal_arrived)
        for handle in (self.h_mutex, self.h_shared, self.h_root):
            if handle:
                k.close_handle(me, handle)
        yield from k.exit_process(me, code)

    def open(self, fd: int, kind: str = DISK, cloexec: bool = False, name: bytes = b"") -> None:
        """open() of something that is no pipe, as descriptor `fd`; `name` b"" is not known."""
        handle = self.k.new_handle(self.me, File(kind), not cloexec)
        self._add(fd, kind, handle, 0, cloexec, name)

    def socket(self, fd: int, cloexec: bool = False) -> None:
        """socket() or accept(), as descriptor `fd`. In 2001 its handle is never inherited (§f)."""
        inherit = self.version.inherits(SOCKET) and not cloexec
        handle = self.k.new_handle(self.me, File("socket"), inherit)
        self._add(fd, SOCKET, handle, 0, cloexec)

    def pipe(self, fd: int, write_fd: int, cloexec: bool = False) -> None:
        """pipe(): `fd` is its read end, `write_fd` its write end."""
        capacity = self.installation.sizes.pipe_capacity
        r, w = self.k.create_pipe(self.me, capacity, not cloexec)
        self._add(fd, PIPE, r, 0, cloexec)
        self._add(write_fd, PIPE, w, 0, cloexec)

    def adopt(
        self, fd: int, kind: str, obj: KernelObject, second: KernelObject | None, cloexec: bool
    ) -> None:
        """Open `fd` on kernel objects that came from outside the model."""
        inherit = not cloexec and self.version.inherits(kind)
        handle = self.k.new_handle(self.me, obj, inherit)
        other = self.k.new_handle(self.me, second, inherit) if second is not None else 0
        self._add(fd, kind, handle, other, cloexec)

    def inherit(self, fd: int, kind: str, handle: int, second: int) -> None:
        """Open `fd` on handles that this process inherited from a creator without Cygwin."""
        self._add(fd, kind, handle, second, False)

    def dup2(self, old: int, new: int, cloexec: bool = False) -> Steps:
        """dup2(): `new` is another descriptor of what `old` is; an open `new` is closed."""
        if new in self.fds.open:
            yield from self.close(new)
        source = self.fds.open[old]
        inherit = not cloexec and self.version.inherits(source.kind)
        copies = [
            self.k.duplicate_handle(self.me, CURRENT_PROCESS, h, CURRENT_PROCESS, inherit)
            if h else 0
            for h in (source.handle, source.second)
        ]  # fmt: skip
        win32_name, name = self.fds.names(source)
        a, b = copies
        self.fds.add(new, source.kind, a, b, cloexec, win32_name, name, extend_first=False)

    def close(self, fd: int) -> Steps:
        """close()."""
        gone = self.fds.remove(fd)
        if gone.kind in (PIPE, SOCKET):
            yield from self.k.settle(self.me)
        if gone.handle:
            self.k.close_handle(self.me, gone.handle)
        if gone.second:
            self.k.close_handle(self.me, gone.second)

    def set_cloexec(self, fd: int, on: bool) -> None:
        """fcntl(F_SETFD): an inheritable handle is inherited by every child, so it follows."""
        d = self.fds.open[fd]
        d.cloexec = on
        self.fds.store(d)
        if self.version.inherits(d.kind):
            flags = 0 if on else HANDLE_FLAG_INHERIT
            for handle in (d.handle, d.second):
                if handle:
                    self.k.set_handle_information(self.me, handle, HANDLE_FLAG_INHERIT, flags)

    def chdir(self, name: int | bytes) -> None:
        """chdir() to a directory by its POSIX name, or to one with so many characters."""
        posix = b"/" * max(1, name) if isinstance(name, int) else name
        win32 = b"\\" * (len(posix) + self.installation.sizes.cwd_win32_extra)
        directories.change(self, posix, win32)

    def chroot(self, name: bytes) -> None:
        """chroot() to a directory by its POSIX name."""
        win32 = b"\\" * (len(name) + self.installation.sizes.cwd_win32_extra)
        directories.confine(self, name, win32)

    # ---- what the DLL's other parts use ------------------------------------------------------

    def now(self) -> float:
        """The time, with what this thread still owes [us]."""
        return self.k.engine.now + self.me.debt_us

    def fail(self, message: str, creation: Creation | None = None, told: bool = True) -> None:
        """Write down a message that the user saw, or that only the creation has."""
        program = self.me.process.image.name
        pid, made_by = self.pid, ""
        if creation is not None:
            creation.error = message
            pid = creation.pid
        elif isinstance(self.me.process.tag, Creation):
            pid, made_by = self.me.process.tag.pid, self.me.process.tag.kind
        now = self.k.engine.now
        if told:
            self.installation.failures.append(Failure(pid, program, now, message, made_by))

    def close_all_files(self) -> Steps:
        """Close the handles of every descriptor; the heap's blocks stay as they are."""
        k, me = self.k, self.me
        yield from k.settle(me)
        for d in self.fds.open.values():
            if d.handle:
                k.close_handle(me, d.handle)
                d.handle = 0
            if d.second:
                k.close_handle(me, d.second)
                d.second = 0

    def attach_heap(self, memory: Memory, base: int, max_bytes: int) -> None:
        """The heap is in place: work on it from now on."""
        commit = heap_place.committer(self, base, self.me)
        self.heap = heaps.attach(self.version.era, memory, base, max_bytes, commit)

    def environment(self) -> list[int]:
        """Addresses of the environment's strings, from the vector in the user heap."""
        return memoryview(self.environment_words()).cast(self.version.era.word_code).tolist()

    def environment_words(self) -> bytes:
        """`environment` as words."""
        if not self.environ:
            return b""
        memory = self.user_heap.memory
        assert memory is not None
        offset = self.environ - self.user_heap.base
        word_bytes = self.version.era.word_bytes
        return memory.read(offset + word_bytes, word_bytes * memory.read32(offset))

    def set_environment(self, strings: Sequence[int]) -> None:
        """Copy the environment vector into the user heap (malloc)."""
        memory = self.user_heap.memory
        assert memory is not None
        self.environ = self.user_heap.base
        memory.write(0, array(self.version.era.word_code, [len(strings), *strings]).tobytes())

    def continuation(self) -> Program:
        """The program that the copied stack returns to. Raises AccessViolation without one."""
        memory, at = self.me.process.space.memory_at(self._jmp_buf())
        caller = memory.read32(at & -4)
        if not caller:
            memory.page(-1)  # longjmp through zeros
        return self.installation.programs.pop(caller)

    def grow_user_heap(self, size_bytes: int) -> None:
        """sbrk() up to `size_bytes`; never shrinks."""
        if size_bytes > self.user_heap_bytes:
            memory = self.user_heap.memory
            assert memory is not None
            self.k.charge(memory.missing_pages(0, size_bytes), "sbrk")
            memory.commit(0, size_bytes)
            self.user_heap_bytes = size_bytes

    def stack_range(self) -> tuple[int, int]:
        """What fork copies of the stack: (address, bytes)."""
        return self._jmp_buf(), self.stack_bytes

    def _jmp_buf(self) -> int:
        version = self.version
        top = version.stack_base + version.stack_reserve_bytes
        return (top - self.stack_bytes) & -4

    def _stack_word(self, word: int) -> None:
        memory, at = self.me.process.space.memory_at(self._jmp_buf(), "write")
        if memory.read32(at) != word:  # as above
            memory.write32(at, word)

    def _creation(
        self, kind: str, mode: str, image: Image | None, creation: Creation | None
    ) -> Creation:
        if creation is None:
            creation = Creation(-1, kind, self.pid, image.name if image else "", mode)
        creation.called_us = self.now()
        self.k.trace.records.append(creation)
        return creation if image is not None else no_image(creation)

    def _make(self, request: Request) -> Steps:
        """Make a child; what keeps it from coming to life is written down. Raises TryAgain."""
        try:
            result = yield from self.installation.scheme.parent_side(self, request)
        except (TryAgain, Win32Error) as error:
            again = try_again(error)
            self.fail(str(again), request.creation, not isinstance(again, SilentFailure))
            raise again from error
        request.creation.returned_us = self.now()
        return result

    def _add(
        self, fd: int, kind: str, handle: int, second: int, cloexec: bool, name: bytes = b""
    ) -> None:
        sizes = self.installation.sizes
        if kind == CONSOLE:
            win32_name, name = _CONSOLE_NAMES
        else:
            name = name or b"/" * sizes.file_name
            win32_name = b"\\" * (len(name) + sizes.win32_extra)
        self.fds.add(fd, kind, handle, second, cloexec, win32_name, name)
