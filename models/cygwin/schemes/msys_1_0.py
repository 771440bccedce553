"""MSYS 1.0: release 1.3.3 once more, but a program without the DLL is given no heap.

Its parent looks whether the image is linked with the MSYS DLL.  If not, there is no section and
child_info says nothing of the heap; an exec creates and passes subproc_ready all the same, and its
stub waits until the program ends.  A spawned child is given a handle of its pinfo before it runs,
as in later releases of Cygwin.

Since 2002 (MSYS 1.0), until 2013 (MSYS2).
Source: logs of MSYS DLL 1000.12 of 2012-07-05 (CYGWIN.md §i).
"""

from __future__ import annotations

from dataclasses import replace

from models.cygwin import children
from models.cygwin.children import Child
from models.cygwin.cygheap import layout
from models.cygwin.images import is_cygwin
from models.cygwin.process import CygwinProcess
from models.cygwin.protocol import Request
from models.cygwin.schemes.shared_memory_1_3_3 import SharedMemory133
from models.win32.image import Image
from models.win32.process_calls import CREATE_UNICODE_ENVIRONMENT


class Msys10(SharedMemory133):
    """As 1.3.3, for children that know what to do with a heap."""

    name = "msys-1.0"
    since = "2002-01-01"
    until = "2013-12-31"
    summary = "as 1.3.3, but a program without the DLL is given no section"
    version = replace(
        SharedMemory133.version,
        name="msys-1.0.12",
        era=replace(layout.R, cygheapsize=5_139_308),
        heap_address=0x68570000,
        dll_base=0x68000000, dll_bytes=0x10B000,
        dll_data=(0x680A1000, 14_444), dll_bss=(0x680C1000, 222_536),
        exe_data=(0x48D000, 22_300), exe_bss=(0x493000, 15_372),
        spawn_flags=SharedMemory133.version.spawn_flags | CREATE_UNICODE_ENVIRONMENT,
        heap_page_bytes=135_168,
        null_pointer_said=True,
    )  # fmt: skip

    def hands_heap(self, request: Request) -> bool:
        """Whether the image is linked with the DLL."""
        return isinstance(request.image, Image) and is_cygwin(request.image)

    def hand_pinfo(self, p: CygwinProcess, child: Child | None, h_process: int) -> None:
        """A handle of it, as in later releases."""
        children.hand_pinfo(p, child, h_process)


SCHEME = Msys10()
