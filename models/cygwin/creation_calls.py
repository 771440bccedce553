"""What one creation called, and what it copied of the heap: read from the rows that a run kept.

Counted are the caller's main thread from the call to its return, of an exec until it waits, and the
child's main thread until main().  What the caller did before the call is told from it by the time,
so that calls must cost something.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from models.cygwin.installation import Creation
from models.cygwin.section_life import child_of
from models.win32.kernel import Kernel
from sim.trace import Row

_COPIES = ("#memcpy", "ReadProcessMemory")


def rows_of(kernel: Kernel, creation: Creation) -> list[Row]:
    """The rows of one creation that reached main(), by time; a call that can block counts once.

    Raises ValueError if the run kept no calls or made no child.
    """
    if kernel.calls is None:
        raise ValueError("the run kept no calls; build the machine with calls=True")
    return sorted(_rows(kernel, creation), key=lambda row: row.t_us)


def calls_of(kernel: Kernel, creation: Creation) -> Counter[str]:
    """How often each call of Windows was made."""
    return Counter(row.name for row in rows_of(kernel, creation) if not row.name.startswith("#"))


def heap_bytes_copied(kernel: Kernel, creation: Creation) -> int:
    """Bytes of the heap that were copied within a process or read out of the parent."""
    return sum(
        row.args["size"] for row in rows_of(kernel, creation) if row.name in _COPIES
    )  # what a fork writes into its child is none of it


def _rows(kernel: Kernel, creation: Creation) -> Iterator[Row]:
    child = child_of(kernel, creation)
    caller = kernel.processes[child.parent_pid].threads[0].tid
    end_us = creation.returned_us
    main_us = creation.main_us if creation.main_us is not None else float("inf")
    waits = False
    for row in kernel.calls or ():
        if row.phase in ("return", "begin", "end"):
            continue
        if row.tid == child.threads[0].tid and row.t_us <= main_us:
            yield row
        elif row.tid == caller and creation.called_us < row.t_us:
            if end_us is not None and row.t_us > end_us:
                continue
            if end_us is None and waits:
                continue  # an exec does not return
            waits = waits or row.name == "WaitForMultipleObjects"
            yield row
