"""The plain numbers of one release of the DLL: addresses, sizes, and what it does at start-up.

A scheme says *how* a child comes to own the heap; a `Version` says how large everything is while it
does.  Two releases with the same scheme differ in data only.

Source: CYGWIN.md §a8, §c, §i; sizes of DLL and program data from the logs of release 1.3.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.cygwin.cygheap.heap_layout import HeapLayout
from models.win32.memory import PAGE_BYTES
from models.win32.process_calls import CREATE_DEFAULT_ERROR_MODE, NORMAL_PRIORITY_CLASS

FORK_WAIT_MS = 300_000  # FORK_WAIT_TIMEOUT, fork.cc of every era
MAX_CHILDREN = 62  # PSIZE - 1, sigproc.cc
MAX_ZOMBIES = 256  # NZOMBIES, sigproc.cc of 2003 and 2004; that it was so in 2001 is assumed
POLL_MS = 1000  # wait_subproc's time-out, seen in the logs (§i)
SIGNAL_DONE_MS = 60_000  # how long the main thread waits for its signal thread
JOIN_MS = 20_000  # how long exit waits for wait_subproc
MAX_SIGNAL_WAKES = 100  # signals that the exec wait tolerates, spawn.cc
EXIT_SIGNALLED = 0x10000  # and the signal, as in 0x10900 (§i)
EXIT_REPARENTED = 0x20000  # exit code of a stub whose child was given to its parent
PID_RING = 8  # handles kept against quick reuse of a pid, fork.cc

# Steps of a start-up: what dcrt0.cc does before main(), in order. A word is one call or one part.
# fmt: off
FIRST_STARTUP = (
    "self", "thread", "muto", "shared", "heap", "descriptors", "user-heap", "muto", "heap-page",
    "root", "title", "muto", "muto", "pinfo",
)
FIRST_STARTUP_A = (
    "self", "thread", "muto", "shared", "user-heap", "muto", "heap-page", "root", "muto", "heap",
    "descriptors", "title", "muto", "muto", "pinfo",
)
FORK_STARTUP = (
    "self", "thread", "grandparent", "muto", "heap", "muto", "stack", "pinfo", "shared",
    "user-heap", "muto", "open-root", "title", "muto", "muto",
)
EXEC_STARTUP = (
    "self", "thread", "grandparent", "muto", "hexec", "heap", "walk", "muto", "pinfo", "arguments",
    "descriptors", "parent", "shared", "user-heap", "muto", "heap-page", "root", "held", "title",
    "muto", "muto",
)
# 1.3.19 (its logs)
FIRST_STARTUP_1_3_19 = (
    "self", "thread", "mutex", "mutex", "shared", "muto", "heap", "fdtab", "user-heap", "muto",
    "heap-page", "root", "muto", "signal-event", "thread", "title", "muto", "muto", "pinfo",
)
FORK_STARTUP_1_3_19 = (
    "self", "thread", "mutex", "mutex", "heap", "muto", "stack", "shared",
    "user-heap", "muto", "root", "pinfo", "grandparent", "muto", "title", "muto", "muto",
)
EXEC_STARTUP_1_3_19 = (
    "self", "thread", "ppid", "mutex", "mutex", "hexec", "heap", "walk", "muto",
    "arguments", "shared", "user-heap", "muto", "heap-page", "root", "settle", "pinfo",
    "descriptors", "parent", "muto", "signal-event", "thread", "held", "title", "muto", "muto",
)
# 1.5.18 (its logs)
FIRST_STARTUP_1_5_18 = (
    "self", "thread", "muto", "heap", "muto", "shared-section", "fdtab", "user-heap", "root",
    "mtinfo", "muto", "tty-mutex", "muto", "muto", "muto", "heap-page", "thread", "signal-event",
    "arrived", "pinfo", "muto",
)
FORK_STARTUP_1_5_18 = (
    "self", "thread", "muto", "stack", "heap", "muto", "shared-section", "user-heap", "root",
    "mtinfo", "pinfo", "hexec-away", "muto", "tty-mutex", "muto", "muto", "muto", "arrived",
)
FORK_END_1_5_18 = (
    "finished-away", "signals-wait", "thread", "signal-event", "ask-signals", "ready-away",
)
EXEC_STARTUP_1_5_18 = (
    "self", "thread", "muto", "heap", "parent-away", "walk", "muto", "shared-section", "user-heap",
    "root", "mtinfo", "arguments", "hexec-kept", "pinfo", "pid-link", "ready", "muto",
    "descriptors", "muto", "tty-mutex", "muto", "muto", "muto", "first-page", "thread",
    "signal-event", "arrived", "settle", "environ",
)
# 1.7.7 (its logs)
FIRST_STARTUP_1_7_7 = (
    "thread", "heap", "fdtab", "shared-at", "user-heap", "user-at", "first-page", "signal-event",
    "arrived", "pinfo-at",
)
FORK_STARTUP_1_7_7 = (
    "thread", "stack", "heap", "shared-at", "user-heap", "user-at", "pinfo-at", "hexec-away",
    "dll-memory", "program-memory", "signal-event", "arrived", "signals",
)
FORK_END_1_7_7 = ("finished-away", "thread", "ready-away", "ask-signals")
EXEC_STARTUP_1_7_7 = (
    "thread", "heap", "walk", "shared-at", "user-heap", "user-at", "hexec-kept", "pinfo-at",
    "arguments", "first-page", "environ", "descriptors", "pid-link", "ready", "parent-away",
    "signal-event", "arrived",
)
# 1.1.3 (its logs); 1.1.1 has one muto less
FIRST_STARTUP_1_1 = (
    "start-up-event", "self", "thread", "shared-records", "muto", "user-heap", "muto", "first-page",
    "pinfo-mutex", "title", "muto", "muto", "token", "record", "first-table",
)
FORK_STARTUP_1_1 = (
    "start-up-event", "self", "thread", "parent-alive", "stack", "shared-records", "muto",
    "user-heap", "muto", "pinfo-mutex", "title", "muto", "muto", "token", "record",
)
EXEC_STARTUP_1_1 = (
    "start-up-event", "self", "thread", "parent-alive", "shared-records", "muto", "user-heap",
    "muto", "first-page", "pinfo-mutex", "title", "muto", "muto", "token", "record", "given-table",
    "command-line",
)
FORK_RETURN_1_1 = ("fixups",)
FORK_END_1_1 = ("parent-away", "events-away", "signals")
# 3.6: no logs of it are at hand; the order is that of the source, and what comes of it is assumed
FIRST_STARTUP_3_6 = (
    "self", "thread", "shared", "heap", "descriptors", "user-heap", "heap-page", "root", "pinfo",
)
FORK_STARTUP_3_6 = (
    "self", "thread", "heap", "fork-walk", "shared", "root", "user-heap", "proc-pipe", "dll-memory",
    "program-memory", "pinfo", "dll-space", "signals", "stack",
)
EXEC_STARTUP_3_6 = (
    "self", "thread", "heap", "walk", "shared", "root", "user-heap", "proc-pipe", "pinfo-by-name",
    "arguments", "descriptors", "reattach", "ready", "parent", "heap-page",
)
# fmt: on
# "settle" in such a list lets the process be as late as its calls have made it.


UNGUARDED, HANDED_OVER, CHILD_HAS_READ = "", "handed over", "child has read"


@dataclass(frozen=True)
class VforkRules:
    """What a release's own vfork does. Every field is *constant*.

    keeps_cloexec: the copied table has the parent's close-on-exec flags; otherwise none, and the
        copied handles are inherited
    closes_source: a flag is set by one DuplicateHandle that closes its source, not by two calls
    nested_forks: a vfork in a vfork child is a fork; otherwise it takes the place of the first
    """

    keeps_cloexec: bool
    closes_source: bool
    nested_forks: bool


VFORK_A = VforkRules(keeps_cloexec=False, closes_source=False, nested_forks=False)
VFORK_R = VforkRules(keeps_cloexec=True, closes_source=False, nested_forks=True)
VFORK_B = VforkRules(keeps_cloexec=True, closes_source=True, nested_forks=True)


@dataclass(frozen=True, eq=False)
class Version:
    """One release. Every field is *constant*; addresses are absolute, sizes in bytes.

    era: its heap
    heap_address: where the first process puts the heap; 0 lets the system choose
    child_info_bytes: cb of child_info for fork, and for exec and spawn
    pinfo_bytes, pid_link_bytes: the cygpid sections of a process and of an exec'ed Windows pid
    dll_data, dll_bss: (address, size) of the DLL's own data, copied by fork
    exe_data, exe_bss: the same of a program
    stack_commit_bytes: touched part of a stack (assumed)
    linked: the same of the DLLs that the program is linked with, data and bss in turn
    pinfo_view_ex: a pinfo is mapped by MapViewOfFileEx, not MapViewOfFile
    spawn_flags: of CreateProcess in an exec or spawn, beside suspension and console
    thread_suspended: the DLL creates its threads suspended and closes their handles
    mount_in_fork: a fork child inherits the mount table's handle instead of opening it
    hexec_last: a fork child makes its handle for execs after it has let its parent go
    pinfo_amid: an exec duplicates its pinfo between arguments and environment, not after both
    pipe_guards: a fork child makes an event for each pipe that it reads
    orphan_signals: a stub without a Cygwin parent first stops its signals
    cancel_points: waitpid also looks at an event by which a thread is told to stop
    signal_objects: what is made around the signal thread
    ring_first: a fork keeps its handle against reuse of the pid before it registers the child
    orphan_code: exit code of a stub without a Cygwin parent whose child took the heap; None for
        that of the child
    directory: POSIX and Win32 name of the directory that an image asks for at its first exec or
        spawn, whatever the one before knew; None where it is inherited
    place_is_fatal: where the heap finds its place taken, what lies there comes last, as the fatal
        text, and the error is still that of the call
    null_pointer_said: a first process without a place for its heap says that first
    heap_page_bytes: malloc's first piece
    user_heap_reserve_bytes: address space that malloc may grow into
    user_heap_new_bytes: what a first process or new image reserves for it; 0: the same as a fork
    user_heap_address: where a first process or new image puts it; 0 lets the system choose
    exec_pipe_bytes: of the pipe by whose end a parent learns of its child's; 0: it waits for the
        process's handle, which an exec changes
    handles_faults: an access violation is a signal, and ends the process as exit() does
    death_arrives: a signal that ends a process wakes what waits for a signal first
    asks_before_wait: waitpid first asks the signal thread to deliver what is there
    fork_waits_twice: a fork child waits for its parent once more after its fix-ups
    heap_in_image: the heap is a section of the DLL's image, so that nothing reserves it
    first_heap_in_section: systems on which a first process has its heap in a section
    waiter_inherited: children inherit the handle of wait_subproc
    poll_ms: how often wait_subproc wakes by itself
    asks_for_code: wait_subproc asks how a child ended before it looks whether that was an exec
    threads_closed: the handle of a thread of the DLL's own is closed as soon as it is made
    fork_return, fork_end: steps of a fork child once it has its parent's memory, and after it has
        said so the second time; without the latter, what the releases up to 2005 do
    lock_calls: how the rows name taking the heap's lock and letting it go
    heap_guard: until when the heap lock is held from before the heap's end is noted or copied:
        UNGUARDED, HANDED_OVER or CHILD_HAS_READ
    heap_end_stored: the header's last word is the end of the heap as of the copy, and a child that
        is given a section believes it instead of child_info (no release did so)
    ends_waiter: how an exit ends the threads that wait for children; "" without such threads
    max_children: how many children, zombies among them, are on record at most; 0 where the limits
        are MAX_CHILDREN and MAX_ZOMBIES, or not known (1.5.18, 1.7.7)
    proc_retry: what `early_death` counts down for a child that died early (CYGWIN=proc_retry)
    vfork: how it vforks; None where vfork is fork
    """

    name: str
    era: HeapLayout
    heap_address: int
    child_info_bytes: Mapping[str, int]
    pinfo_bytes: int = 988
    pid_link_bytes: int = 12
    pinfo_view_ex: bool = False
    spawn_flags: int = NORMAL_PRIORITY_CLASS | CREATE_DEFAULT_ERROR_MODE
    dll_base: int = 0x61000000
    dll_bytes: int = 0xFB000
    dll_data: tuple[int, int] = (0x61095000, 14_184)
    dll_bss: tuple[int, int] = (0x610B2000, 221_976)
    exe_base: int = 0x400000
    exe_data: tuple[int, int] = (0x485000, 21_688)
    exe_bss: tuple[int, int] = (0x48B000, 31_708)
    linked: tuple[tuple[int, int], ...] = ()
    stack_base: int = 0x4A0000
    stack_reserve_bytes: int = 0x200000
    stack_commit_bytes: int = 2 * PAGE_BYTES
    shared_address: int = 0xA000000
    shared_bytes: int = 47_108
    root_bytes: int = 16_484
    thread_suspended: bool = False
    mount_in_fork: bool = False
    hexec_last: bool = False
    pinfo_amid: bool = False
    pipe_guards: bool = False
    orphan_signals: bool = True
    cancel_points: bool = False
    signal_objects: tuple[str, ...] = ("ready", "arrived", "thread", "mask")
    ring_first: bool = False
    orphan_code: int | None = None
    directory: tuple[bytes, bytes] | None = None
    place_is_fatal: bool = False
    null_pointer_said: bool = False
    heap_page_bytes: int = 4096
    user_heap_reserve_bytes: int = 268_435_456
    user_heap_new_bytes: int = 0
    user_heap_address: int = 0
    exec_pipe_bytes: int = 0
    handles_faults: bool = False
    death_arrives: bool = False
    asks_before_wait: bool = False
    fork_waits_twice: bool = False
    heap_in_image: bool = False
    first_heap_in_section: tuple[str, ...] = ()
    waiter_inherited: bool = False
    poll_ms: int = POLL_MS
    asks_for_code: bool = False
    threads_closed: bool = False
    fork_return: tuple[str, ...] = ()
    fork_end: tuple[str, ...] = ()
    lock_calls: tuple[str, str] = ("cygheap_protect->acquire", "cygheap_protect->release")
    heap_guard: str = UNGUARDED
    heap_end_stored: bool = False
    ends_waiter: str = ""
    max_children: int = 0
    proc_retry: int = 0
    first_startup: tuple[str, ...] = FIRST_STARTUP
    fork_startup: tuple[str, ...] = FORK_STARTUP
    exec_startup: tuple[str, ...] = EXEC_STARTUP
    vfork: VforkRules | None = None

    @property
    def has_heap(self) -> bool:
        """Whether there is a cygheap at all; before September 2000 there was none."""
        return self.era.cygheapsize > 0

    @property
    def pipe_given(self) -> bool:
        """Whether a child is given the end of its pipe, not left to inherit it (1.5.18, 1.7.7)."""
        return bool(self.exec_pipe_bytes and self.fork_end)

    @property
    def signal_pipe(self) -> bool:
        """Whether signals come through a pipe of the process (3.6), not by a semaphore."""
        return "pipe" in self.signal_objects

    @property
    def fork_reads(self) -> bool:
        """Whether a fork child reads its parent's data, which only the stack is not of."""
        return "dll-memory" in self.fork_startup

    def inherits(self, kind: str) -> bool:
        """Whether the handles of a descriptor of that kind are inherited unless it is closed."""
        return kind != "socket" or not self.era.socket_info_bytes
