"""Whose each block of a process's cygheap is, and watching a run for the heap of one process.

An owner is what the living image refers to the block by: its fd table, an fhandler (with names and
protocol information), cwd, chroot, user, argv, environment; while a child is being made also the
exec information that waits for it.  A block in use without an owner is garbage, exactly that which
`audit.garbage` counts.

What must stay true: a watch only looks; a run with one leaves the same bytes and times as without.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from models.cygwin.arguments import argv_of, read_arguments
from models.cygwin.blocked import workload_pid
from models.cygwin.child_info import ChildInfo
from models.cygwin.cygheap import audits
from models.cygwin.cygheap.modern_layout import ModernType
from models.cygwin.installation import Creation
from models.cygwin.process import CygwinProcess
from models.win32.kernel import Kernel
from models.win32.thread import Process

FD_TABLE, FHANDLER, CWD, CHROOT, USER = "fd table", "fhandler", "cwd", "chroot", "user"
ARGV, ENVIRONMENT, EXEC_INFO = "argv", "environment", "exec info"
SIGNALS, GARBAGE, FREE = "signals, threads", "garbage", "free"
OWNERS = (FD_TABLE, FHANDLER, CWD, CHROOT, USER, ARGV, ENVIRONMENT, EXEC_INFO, SIGNALS, GARBAGE)
_NEVER = "never"
_DIES = {None: _NEVER, 0: "second exec from here", 1: "next exec"}


class OwnedBlock(NamedTuple):
    """One block. Every field is *output*.

    type: name of its HEAP_ type
    owner: one of OWNERS, or "free"; what: which of the owner's things it is, "" if there is one
    freed_by: of garbage, what will free it; "never" also of a free block that no list reaches
    """

    offset_bytes: int
    size_bytes: int
    in_use: bool
    type: str
    owner: str
    what: str
    freed_by: str


@dataclass(frozen=True)
class HeapPicture:
    """A heap at one moment. Every field is *output*.

    pid: as the workload counts; at_exit: False if the run ended before the process did
    making: program of a child whose creation has not returned, "" if there is none
    leaked_bytes, pending_bytes: garbage for ever and lost free blocks; garbage until some exec
    """

    pid: int
    program: str
    at_us: float
    at_exit: bool
    making: str
    base: int
    header_bytes: int
    top_bytes: int
    committed_bytes: int
    leaked_bytes: int
    pending_bytes: int
    blocks: list[OwnedBlock]


def owners(p: CygwinProcess) -> dict[int, tuple[str, str]]:
    """User address -> (owner, what) of every block that the image refers to."""
    return {address: (owner, what) for address, owner, what in _owned(p) if address}


def named_blocks(p: CygwinProcess) -> Iterator[OwnedBlock]:
    """Every block of the heap as it is now, with its owner, by address."""
    heap = p.heap
    known = owners(p)
    reached = audits.listed_blocks(heap)
    for b in audits.blocks(heap):
        start = heap.base + b.offset_bytes
        owner, what, dies = FREE, "", ""
        if b.in_use:
            owner, what = known.get(start + heap.era.user_offset_bytes, (GARBAGE, ""))
            dies = _DIES[b.generation] if owner == GARBAGE else ""
        elif start not in reached:
            dies = _NEVER
        yield OwnedBlock(b.offset_bytes, b.size_bytes, b.in_use, b.label, owner, what, dies)


class HeapWatch:
    """Keeps the heap of one process: of its last image, as it was when that image exited.

    pid: whom to watch, as the workload counts; without a workload the Cygwin pid -- constant
    picture: the heap at the exit, None while there was none -- state
    seen: pids of all images that reached main(), in their order, each once -- output
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.picture: HeapPicture | None = None
        self.seen: dict[int, None] = {}
        self._image: CygwinProcess | None = None

    def started(self, p: CygwinProcess) -> None:
        """An image has reached main()."""
        pid = _number(p.me.process, p.pid)
        self.seen[pid] = None
        if pid == self.pid:
            self._image, self.picture = p, None

    def ending(self, p: CygwinProcess) -> None:
        """An image exits by itself; its memory is still there."""
        if p is self._image:
            self.picture = _picture(p, self.pid, True)

    def final(self) -> HeapPicture | None:
        """The picture once the run is over; None if no image of the process has a heap."""
        image = self._image
        if self.picture is None and image is not None and image.me.process.alive:
            return _picture(image, self.pid, False)
        return self.picture


def last_image(kernel: Kernel, pid: int) -> Process | None:
    """The newest Windows process of a pid of the workload, with or without Cygwin."""
    mine = [process for process in kernel.processes.values() if workload_pid(process) == pid]
    return mine[-1] if mine else None


def _number(process: Process, cygpid: int) -> int:
    tag = process.tag
    return tag.child if isinstance(tag, Creation) and tag.child else cygpid


def _owned(p: CygwinProcess) -> Iterator[tuple[int, str, str]]:
    """(address, owner, what); a later one of the same address counts more."""
    heap = p.heap
    word, era = heap.word, heap.era
    yield from _handed_on(p)
    yield p.fds.blocks()[0], FD_TABLE, ""
    for fd, d in p.fds.open.items():
        yield d.address, FHANDLER, f"fd {fd}"
        yield d.win32_name, FHANDLER, f"fd {fd}, Win32 name"
        yield d.name, FHANDLER, f"fd {fd}, name"
        yield d.info, FHANDLER, f"fd {fd}, protocol info"
    yield word(era.cwd_offset), CWD, "POSIX"
    yield word(era.cwd_win32_offset), CWD, "Win32"
    yield word(era.root_offset), CHROOT, ""
    for i, offset in enumerate(era.user_words):
        yield word(offset), USER, f"string {i}"
    for offset, kind, _, _ in era.first_blocks:
        yield word(offset), SIGNALS, ModernType(kind).name
    if p.exec_info:
        yield p.argv, ARGV, "vector"
        strings = argv_of(heap, p.exec_info, p.argv)
        yield from ((address, ARGV, f"argv[{i}]") for i, address in enumerate(strings))
        yield from ((a, ENVIRONMENT, f"environ[{i}]") for i, a in enumerate(p.environment()))


def _handed_on(p: CygwinProcess) -> Iterator[tuple[int, str, str]]:
    """What is laid out for a child whose creation has not returned."""
    child = _child_in_the_making(p)
    if child is None:
        return
    info = child.startup
    whom = f"for {child.image.name}"
    heap = p.heap
    handed = read_arguments(heap, info.moreinfo)
    argv = argv_of(heap, info.moreinfo, handed.vector)
    yield handed.info, EXEC_INFO, whom
    yield handed.vector, ARGV, f"{whom}, vector"
    yield from ((address, ARGV, f"{whom}, argv[{i}]") for i, address in enumerate(argv))
    yield handed.env_vector, ENVIRONMENT, f"{whom}, vector"
    yield from ((a, ENVIRONMENT, f"{whom}, environ[{i}]") for i, a in enumerate(handed.env))


def _child_in_the_making(p: CygwinProcess) -> Process | None:
    """The child of an exec or spawn that this process is still in."""
    for q in reversed(p.k.processes.values()):
        if q.parent_pid == p.me.process.pid:
            info, tag = q.startup, q.tag
            made = isinstance(info, ChildInfo) and info.moreinfo and isinstance(tag, Creation)
            return q if made and tag.returned_us is None else None
    return None


def _picture(p: CygwinProcess, pid: int, at_exit: bool) -> HeapPicture:
    heap = p.heap
    blocks = list(named_blocks(p))
    lost = {b: b.freed_by for b in blocks if b.freed_by}
    child = _child_in_the_making(p)
    return HeapPicture(
        pid,
        p.me.process.image.name,
        p.now(),
        at_exit,
        child.image.name if child is not None else "",
        heap.base,
        heap.era.header_bytes,
        heap.max,
        heap.memory.committed_pages() << 12,
        sum(b.size_bytes for b, dies in lost.items() if dies == _NEVER),
        sum(b.size_bytes for b, dies in lost.items() if dies != _NEVER),
        blocks,
    )
