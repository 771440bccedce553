"""Sections, views, allocations and copies between processes, as a program calls them."""

from __future__ import annotations

from models.win32.address_space import Region
from models.win32.errors import (
    ERROR_ACCESS_DENIED,
    ERROR_ALREADY_EXISTS,
    ERROR_FILE_NOT_FOUND,
    ERROR_INVALID_ADDRESS,
    ERROR_INVALID_HANDLE,
    ERROR_INVALID_PARAMETER,
    ERROR_NOACCESS,
    ERROR_PARTIAL_COPY,
    AccessViolation,
    PartialCopy,
    ReadOnlyPage,
    Win32Error,
)
from models.win32.kernel_core import KernelCore
from models.win32.memory import PAGE_BYTES
from models.win32.objects import Section
from models.win32.thread import Process, Thread
from sim.engine import Steps


class MemoryCalls(KernelCore):
    """Calls on memory.

    bytes_copied: by `copy_memory` -- state
    read_process_memory_bytes, write_process_memory_bytes: by those calls -- state
    """

    bytes_copied = 0
    read_process_memory_bytes = 0
    write_process_memory_bytes = 0

    def create_file_mapping(
        self,
        me: Thread,
        size_bytes: int,
        inherit: bool = False,
        name: str = "",
        reserve: bool = False,
        role: str = "",
    ) -> tuple[int, bool]:
        """CreateFileMapping on the paging file: (handle, whether it existed under that name).

        `reserve` is SEC_RESERVE: nothing is committed yet.
        Raises Win32Error 1455, 87 for size 0, 6 if the name is that of another kind of object.
        """
        me.debt_us += me.costs.handle_us
        section = self.named(name, Section, "CreateFileMapping") if name else None
        existed = section is not None
        me.last_error = ERROR_ALREADY_EXISTS if existed else 0
        if section is None:
            if size_bytes <= 0:
                raise Win32Error(
                    ERROR_INVALID_PARAMETER, "CreateFileMapping", "size must be positive"
                )
            section = Section(size_bytes, name, role)
            if not reserve:
                self.charge(section.memory.size_bytes // PAGE_BYTES, "CreateFileMapping")
                section.memory.commit(0, size_bytes)
            if name:
                self.names[name] = section
        handle = me.process.handles.add(section, inherit)
        if self.calls is not None:
            self.row(me, "CreateFileMapping", size=size_bytes, inherit=inherit, name=name,
                     reserve=reserve, existed=existed, h=section, hv=handle)  # fmt: skip
        return handle, existed

    def open_file_mapping(self, me: Thread, name: str, inherit: bool = False) -> int | None:
        """OpenFileMapping: the handle, or None if there is no such section (last error 2)."""
        me.debt_us += me.costs.handle_us
        section = self.named(name, Section, "OpenFileMapping")
        handle = None
        me.last_error = ERROR_FILE_NOT_FOUND if section is None else 0
        if section is not None:
            handle = me.process.handles.add(section, inherit)
        if self.calls is not None:
            self.row(me, "OpenFileMapping", name=name, inherit=inherit, hv=handle,
                     h=section if handle else None)  # fmt: skip
        return handle

    def map_view_of_file_ex(
        self,
        me: Thread,
        handle: int,
        address: int = 0,
        name: str = "",
        size_bytes: int = 0,
        offset: int = 0,
        ex: bool = True,
    ) -> Region:
        """MapViewOfFileEx: the region. Size 0 maps the section from `offset` to its end.

        Without `ex` it is MapViewOfFile, which has no address.

        Raises Win32Error 487 (taken), 1132 (not on 64 KiB), 5 (more than there is), 8 (no room),
        87 (out of range), 6.
        """
        me.debt_us += me.costs.map_us
        section = self.object(me, handle)
        if not isinstance(section, Section):
            raise Win32Error(ERROR_INVALID_HANDLE, "MapViewOfFileEx", f"{handle:#x}")
        base = 0
        try:
            if address and self.system.map_view_of_file_ex_sucks:
                self._refuse_in_arena(me, section, address)
            region = me.process.space.map_view(section, address, name, size_bytes, offset)
            base = region.base
        finally:
            if self.calls is not None:
                api = "MapViewOfFileEx" if ex else "MapViewOfFile"
                self.row(me, api, h=section, addr=address, ret=base)
        return region

    def _refuse_in_arena(self, me: Thread, section: Section, address: int) -> None:
        """On 9x a view is at its place in all processes: another section cannot be there, too.

        Raises Win32Error 487. Source: Microsoft's description of the shared arena; that a view at
        a given address is refused for it follows from CYGWIN.md §d (the tree of 2001-07-17).
        """
        for other in self.processes.values():
            region = other.space.find(address) if other.alive and other is not me.process else None
            if region is not None and region.section not in (None, section):
                what = f"{address:#x} is a view of another section in process {other.pid}"
                raise Win32Error(ERROR_INVALID_ADDRESS, "MapViewOfFileEx", what)

    def unmap_view_of_file(self, me: Thread, address: int) -> None:
        """UnmapViewOfFile of the view around `address`; its cost is part of the mapping's.

        Raises Win32Error 487 if there is none.
        """
        space = me.process.space
        region = space.find(address)
        if region is None or region.section is None:
            raise Win32Error(ERROR_INVALID_ADDRESS, "UnmapViewOfFile", f"{address:#x} is no view")
        space.remove(region)
        region.section.views -= 1
        self.section_unused(region.section)
        if self.calls is not None:
            self.row(me, "UnmapViewOfFile", addr=address)

    def virtual_reserve(self, me: Thread, address: int, size_bytes: int, name: str = "") -> Region:
        """VirtualAlloc(MEM_RESERVE): the region. Raises Win32Error 487, 87, 8."""
        me.debt_us += me.costs.call_us
        base = 0
        try:
            region = me.process.space.reserve(address, size_bytes, name)
            base = region.base
        finally:
            if self.calls is not None:
                self.row(me, "VirtualAlloc", addr=address, size=size_bytes, type="RESERVE",
                         ret=base)  # fmt: skip
        return region

    def virtual_commit(
        self, me: Thread, address: int, size_bytes: int, touched_bytes: int | None = None
    ) -> None:
        """VirtualAlloc(MEM_COMMIT) inside a reservation or a view. Raises Win32Error 487, 1455.

        Its pages are paid for as touched at once; where far more is committed than touched, for
        `touched_bytes` of them.
        """
        me.debt_us += me.costs.call_us
        region = me.process.space.find(address)
        if (
            region is None
            or region.memory is None
            or address + size_bytes > region.base + region.size_bytes
        ):
            raise Win32Error(
                ERROR_INVALID_ADDRESS, "VirtualAlloc", f"{address:#x} is not reserved so far"
            )
        memory, offset = region.memory, address - region.base + region.offset_bytes
        new = memory.missing_pages(offset, size_bytes)
        self.charge(new, "VirtualAlloc")
        memory.commit(offset, size_bytes)
        if touched_bytes is not None:
            new = min(new, (touched_bytes + PAGE_BYTES - 1) // PAGE_BYTES)
        me.debt_us += new * me.costs.page_us
        if self.calls is not None:
            self.row(me, "VirtualAlloc", addr=address, size=size_bytes, type="COMMIT",
                     ret=address & -PAGE_BYTES)  # fmt: skip

    def virtual_free(self, me: Thread, address: int, size_bytes: int = 0) -> None:
        """VirtualFree(MEM_RELEASE) of a whole reservation.

        Raises Win32Error 487 if none begins there, 87 for a size or for a view or image.
        """
        me.debt_us += me.costs.call_us
        space = me.process.space
        region = space.find(address)
        if size_bytes or (region is not None and region.kind != "private"):
            raise Win32Error(ERROR_INVALID_PARAMETER, "VirtualFree", f"{address:#x}")
        if region is None or region.base != address:
            raise Win32Error(ERROR_INVALID_ADDRESS, "VirtualFree", f"{address:#x}")
        space.remove(region)
        if region.memory is not None:
            self.discharge(region.memory.committed_pages())
        if self.calls is not None:
            self.row(me, "VirtualFree", addr=address)

    def virtual_query(self, me: Thread, address: int) -> Region | None:
        """VirtualQuery: the region at `address`, None if it is free.

        Raises Win32Error 87 above the user half.
        """
        me.debt_us += me.costs.call_us
        space = me.process.space
        if not 0 <= address < space.highest:
            raise Win32Error(ERROR_INVALID_PARAMETER, "VirtualQuery", f"{address:#x}")
        region = space.find(address)
        if self.calls is not None:
            self.row(me, "VirtualQuery", addr=address, kind=region.kind if region else "free")
        return region

    def copy_memory(self, me: Thread, target: int, source: int, size_bytes: int) -> None:
        """memcpy inside the caller's address space. Raises AccessViolation."""
        me.debt_us += size_bytes * me.costs.copy_us_per_byte
        space = me.process.space
        memory, offset = space.memory_at(target, "write")
        origin, origin_offset = space.memory_at(source)
        memory.copy_from(origin, origin_offset, offset, size_bytes)
        self.bytes_copied += size_bytes
        if self.calls is not None:
            self.row(me, "#memcpy", addr=target, source=source, size=size_bytes)

    def read_process_memory(
        self, me: Thread, handle: int, source: int, target: int, size_bytes: int
    ) -> Steps:
        """ReadProcessMemory into own memory: bytes read. Runs in `me`.

        Raises Win32Error 5 (it has ended), 6, and PartialCopy 299 (not all of it is committed
        there) or 998 (own memory), which says how much was read.
        """
        me.debt_us += me.costs.call_us + size_bytes * me.costs.copy_us_per_byte
        if me.debt_us > 0 and (burst := self.pay(me)) is not None:
            yield burst
        other = self.process_of(me, handle)
        try:
            done = self._transfer(me.process, target, other, source, size_bytes, reading=True)
        except Win32Error:
            if self.calls is not None:
                self.row(me, "ReadProcessMemory", h=other, addr=source, size=size_bytes, done=0)
            raise
        self.read_process_memory_bytes += size_bytes
        self.bytes_copied += size_bytes
        if self.calls is not None:
            self.row(me, "ReadProcessMemory", h=other, addr=source, size=size_bytes, done=done)
        return done

    def write_process_memory(
        self, me: Thread, handle: int, target: int, source: int, size_bytes: int
    ) -> Steps:
        """WriteProcessMemory from own memory: bytes written. Runs in `me`.

        Raises Win32Error 5 (it has ended), 6, and PartialCopy 299 (not all of it is committed
        there) or 998 (own memory, or read-only there), which says how much was written.
        """
        me.debt_us += me.costs.call_us + size_bytes * me.costs.copy_us_per_byte
        if me.debt_us > 0 and (burst := self.pay(me)) is not None:
            yield burst
        other = self.process_of(me, handle)
        done = self._transfer(other, target, me.process, source, size_bytes, reading=False)
        self.write_process_memory_bytes += size_bytes
        self.bytes_copied += size_bytes
        if self.calls is not None:
            self.row(me, "WriteProcessMemory", h=other, addr=target, size=size_bytes, done=done)
        return done

    def _transfer(
        self,
        to: Process,
        target: int,
        origin: Process,
        source: int,
        size_bytes: int,
        reading: bool,
    ) -> int:
        call = "ReadProcessMemory" if reading else "WriteProcessMemory"
        remote = origin if reading else to
        if not remote.alive:
            raise Win32Error(ERROR_ACCESS_DENIED, call, "the process has ended")
        if size_bytes <= 0:
            return 0
        try:
            memory, offset = to.space.memory_at(target, "write")
            from_memory, from_offset = origin.space.memory_at(source)
            memory.copy_from(from_memory, from_offset, offset, size_bytes)
        except AccessViolation:
            self._transfer_pages(to, target, origin, source, size_bytes, reading)
        return size_bytes

    def _transfer_pages(
        self,
        to: Process,
        target: int,
        origin: Process,
        source: int,
        size_bytes: int,
        reading: bool,
    ) -> None:
        """Copy page by page, over the ends of regions, to the first page that refuses."""
        done = 0
        try:
            for memory, offset, size in origin.space.pieces(source, size_bytes):
                part = memory.read(offset, size)
                for mine, at, room in to.space.pieces(target + done, size, "write"):
                    mine.write(at, part[:room])
                    part = part[room:]
                    done += room
        except AccessViolation as error:
            local = error.args[1] == ("write" if reading else "read")
            refused = local or isinstance(error, ReadOnlyPage)
            call = "ReadProcessMemory" if reading else "WriteProcessMemory"
            code = ERROR_NOACCESS if refused else ERROR_PARTIAL_COPY
            raise PartialCopy(code, call, str(error), done) from error
