"""The descriptor table: fhandlers in the cygheap, and the handles that they hold.

The table is a vector of pointers (HEAP_ARGV); each descriptor is an fhandler (HEAP_FHANDLER) with
its two names (HEAP_STR), a socket with a block of protocol information (HEAP_BUF) besides where its
handle cannot be inherited.  A child
learns all of it from its copy of the heap's bytes and from nowhere else.

During a vfork there are two of them: a copy in force, and the parent's own on hold (`vfork.py`).

What must stay true: `open[fd]` mirrors the bytes of the fhandler that `fds[fd]` points to.

Source: dtable.cc and fhandler.h of aa9d50a1c (CYGWIN.md §b4, §f).  Which word of an fhandler holds
what is assumed; their sizes are the era's.
"""

from __future__ import annotations

import numpy as np

from models.cygwin.cygheap.heap import Heap
from models.cygwin.cygheap.layout import HeapType

FIRST_SLOTS = 32  # NOFILE_INCR, dtable.cc
_CLOEXEC = 1
_FHANDLER = int(HeapType.HEAP_FHANDLER)

CONSOLE, DISK, PIPE, SOCKET = "console", "disk", "pipe", "socket"
WRITES = "pipe, write end"  # what such a file is, where a pipe is no more than its handles
CLASSES = (CONSOLE, DISK, PIPE, SOCKET)  # by the number that stands for each
_NUMBERS = {kind: number for number, kind in enumerate(CLASSES)}


class Descriptor:
    """One open descriptor as the heap's bytes describe it.

    address: of its fhandler -- constant
    kind: "console", "disk", "pipe" or "socket" -- constant
    handle, second: handles, 0 for none; a duplex socket has both -- state
    cloexec: closed at exec, so its handles are not inheritable -- state
    win32_name, name, info: addresses of its blocks, 0 for none -- constant
    """

    __slots__ = ("address", "cloexec", "handle", "info", "kind", "name", "second", "texts",
                 "win32_name")  # fmt: skip

    def __init__(
        self,
        address: int,
        kind: str,
        handle: int,
        second: int,
        cloexec: bool,
        win32_name: int = 0,
        name: int = 0,
        info: int = 0,
    ) -> None:
        self.address = address
        self.kind = kind
        self.handle = handle
        self.second = second
        self.cloexec = cloexec
        self.win32_name = win32_name
        self.name = name
        self.info = info
        self.texts: tuple[bytes, bytes] | None = None  # the names, once they were looked at


class DescriptorTable:
    """dtable: what a process has open.

    open: fd -> descriptor -- state
    held: the table that is on hold while this one is in force, None outside a vfork -- state
    """

    __slots__ = ("_body", "_heap", "_size", "_sockets", "_vector", "_word_bytes", "held", "open")

    def __init__(self, heap: Heap) -> None:
        """An empty table that lies nowhere yet; `create` or `read` gives it a place."""
        self._heap = heap
        self._body, self._word_bytes = heap.era.fhandler_words, heap.era.word_bytes
        self.open: dict[int, Descriptor] = {}
        self.held: DescriptorTable | None = None
        self._vector = 0
        self._size = 0
        self._sockets = 0

    def create(self) -> None:
        """dtable_init in the first process: 32 empty slots."""
        heap = self._heap
        self._size = FIRST_SLOTS
        self._vector = heap.ccalloc(HeapType.HEAP_ARGV, FIRST_SLOTS, self._word_bytes)
        self._store_header()

    def read(self) -> None:
        """Find the table, and one on hold, that the parent left in the heap's bytes."""
        heap = self._heap
        memory, era = heap.memory, heap.era
        self._vector = heap.word(era.fdtab_offset)
        self._sockets = memory.read32(era.socket_count_offset)
        self._size = memory.read32(era.fd_count_offset)
        self._read_vector()
        held = 0 if era.held_offset is None else heap.word(era.held_offset)
        if held:
            self.held = self._sister(held)
            self.held._read_vector()

    def _read_vector(self) -> None:
        if not self._vector:
            return
        heap, word_bytes = self._heap, self._word_bytes
        content = heap.memory.read(self._vector - heap.base, self._size * word_bytes)
        code, opened, load = heap.era.word_code, self.open, self._load
        words = memoryview(content).cast(code)
        for fd in np.frombuffer(content, code).nonzero()[0].tolist():
            opened[fd] = load(words[fd])

    def add(
        self,
        fd: int,
        kind: str,
        handle: int,
        second: int,
        cloexec: bool,
        win32_name: bytes,
        name: bytes,
        counted: bool = True,
        extend_first: bool = True,
    ) -> Descriptor:
        """Open `fd`, which must be free: a new fhandler with its names; b"" for none.

        A socket is `counted` among those to be fixed up, but not in the copy that a vfork makes.
        open finds room in the table first; dup2 has its new fhandler already when it does.
        """
        heap = self._heap
        if extend_first and fd >= self._size:
            self._extend(fd)
        size = heap.era.fhandler_bytes[kind]
        address = heap.ccalloc(_FHANDLER, 1, size)
        made = Descriptor(address, kind, handle, second, cloexec)
        made.win32_name = heap.cstrdup(win32_name) if win32_name else 0
        made.name = heap.cstrdup(name) if name else 0
        made.texts = win32_name, name
        if kind == SOCKET and heap.era.socket_info_bytes:
            made.info = heap.cmalloc(HeapType.HEAP_BUF, heap.era.socket_info_bytes)
            if counted:
                self._count_sockets(1)
        if fd >= self._size:
            self._extend(fd)
        self.open[fd] = made
        self.store(made)
        heap.set_word(self._vector + self._word_bytes * fd - heap.base, address)
        return made

    def names(self, descriptor: Descriptor) -> tuple[bytes, bytes]:
        """The Win32 and POSIX names of a descriptor."""
        if descriptor.texts is None:
            string = self._heap.string
            descriptor.texts = string(descriptor.win32_name), string(descriptor.name)
        return descriptor.texts

    def remove(self, fd: int) -> Descriptor:
        """Forget `fd` and free its blocks; its handles are the caller's to close."""
        heap = self._heap
        gone = self.open.pop(fd)
        if gone.info:
            heap.cfree(gone.info)
            self._count_sockets(-1)
        heap.cfree_many([b for b in (gone.name, gone.win32_name, gone.address) if b])
        heap.set_word(self._vector + self._word_bytes * fd - heap.base, 0)
        return gone

    def store(self, descriptor: Descriptor) -> None:
        """Write a descriptor's words into its fhandler."""
        d = descriptor
        body = self._body.pack(_NUMBERS[d.kind], _CLOEXEC if d.cloexec else 0, d.handle,
                          d.second, d.win32_name, d.name, d.info)  # fmt: skip
        self._heap.memory.write(d.address - self._heap.base, body)

    @property
    def sockets(self) -> int:
        """need_fixup_before: open descriptors whose socket must be duplicated for a child."""
        return self._sockets

    def blocks(self) -> list[int]:
        """Addresses of every block that the table refers to, for the audit of the heap."""
        found = [self._vector]
        for d in self.open.values():
            found += (d.address, d.win32_name, d.name, d.info)
        return found if self.held is None else found + self.held.blocks()

    # ---- two tables --------------------------------------------------------------------------

    def sister(self) -> DescriptorTable:
        """An empty table of the same size, not yet in force."""
        return self._sister(self._heap.ccalloc(HeapType.HEAP_ARGV, self._size, self._word_bytes))

    def put_on_hold(self, sister: DescriptorTable) -> None:
        """`sister` is in force from now on, and this table waits."""
        heap, held = self._heap, self._heap.era.held_offset
        assert held is not None
        heap.set_word(held, self._vector)
        heap.set_word(heap.era.fdtab_offset, sister._vector)
        sister.held = self

    def take_back(self) -> DescriptorTable:
        """Free this table, which must be empty; the one on hold is in force again.

        The count of sockets is not on hold: it stays what it has become.
        """
        back = self.held
        assert back is not None
        back._sockets = self._sockets
        back._store_header()
        self._none_held()
        self._heap.cfree(self._vector)
        return back

    def remove_held(self, fd: int) -> Descriptor:
        """`remove` from the table on hold; it counts the same sockets down."""
        held = self.held
        assert held is not None
        held._sockets = self._sockets
        gone = held.remove(fd)
        self._sockets = held._sockets
        return gone

    def drop_held(self) -> None:
        """Free the vector of the table on hold, which must be empty."""
        gone = self.held
        assert gone is not None
        self._heap.cfree(gone._vector)
        self._none_held()
        self.held = None

    def _sister(self, vector: int) -> DescriptorTable:
        made = DescriptorTable(self._heap)
        made._vector, made._size, made._sockets = vector, self._size, self._sockets
        return made

    def _load(self, address: int) -> Descriptor:
        offset = address - self._heap.base
        fields = self._body
        if offset & 4095 > 4096 - fields.size:
            body = fields.unpack(self._heap.memory.read(offset, fields.size))
        else:
            body = fields.unpack_from(self._heap.memory.page(offset >> 12), offset & 4095)
        number, flags, handle, second, win32_name, name, info = body
        return Descriptor(address, CLASSES[number], handle, second, flags & _CLOEXEC != 0,
                          win32_name, name, info)  # fmt: skip

    def _extend(self, fd: int) -> None:
        heap = self._heap
        size = FIRST_SLOTS * ((fd + FIRST_SLOTS) // FIRST_SLOTS)
        vector = heap.ccalloc(HeapType.HEAP_ARGV, size, self._word_bytes)
        old = heap.memory.read(self._vector - heap.base, self._word_bytes * self._size)
        heap.memory.write(vector - heap.base, old)
        heap.cfree(self._vector)
        self._vector, self._size = vector, size
        self._store_header()

    def _count_sockets(self, more: int) -> None:
        self._sockets = max(0, self._sockets + more)
        self._heap.memory.write32(self._heap.era.socket_count_offset, self._sockets)

    def _store_header(self) -> None:
        era = self._heap.era
        self._heap.set_word(era.fdtab_offset, self._vector)
        self._heap.memory.write32(era.fd_count_offset, self._size)

    def _none_held(self) -> None:
        held = self._heap.era.held_offset
        assert held is not None
        self._heap.set_word(held, 0)
