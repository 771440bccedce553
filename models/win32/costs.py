"""What each creation of a process costs on a machine, drawn before the run begins.

One stream for each purpose; element i belongs to creation place i of the trace whatever is asked
first, and the first process (place -1) has its own.  Two schemes thus meet the same durations, and
a longer trace meets the same ones as its own beginning.  Effects of the machine (antivirus, speed)
are drawn once for a replication.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.win32.cost_profile import Profile
from sim.streams import Replication

Floats = npt.NDArray[np.float64]

FIRST_PROCESS = -1  # the place of the process that nobody in the trace creates

# Column of a row -> (key of the profile, stream).
_PURPOSES = {
    "create_process_us": ("create_process", "win32/CreateProcess"),
    "loader_us": ("loader", "win32/loader"),
    "init_us": ("cygwin_init", "win32/DllMain"),
    "exit_us": ("exit", "win32/ExitProcess"),
    "wake_us": ("wake", "win32/wake"),
    "handle_us": ("handle_op", "win32/DuplicateHandle"),
    "map_us": ("map_view", "win32/MapViewOfFileEx"),
    "thread_us": ("thread_create", "win32/CreateThread"),
    "winsock_us": ("winsock_call", "win32/WSADuplicateSocket"),
    "call_us": ("kernel_call", "win32/call"),
    "page_us": ("page_touch", "win32/page"),
    "bandwidth": ("copy_bandwidth", "win32/copy"),
}


class CostRow(NamedTuple):
    """What things cost in one creation, on both sides [us]; the machine's speed is included."""

    create_process_us: float  # the CreateProcess call, antivirus and contention included
    loader_us: float  # in the child, from its first instruction to the entry of the DLLs
    init_us: float  # in a Cygwin child, the DLL's own start-up without what the scheme does
    exit_us: float  # ExitProcess and reaping
    wake_us: float  # from a signal to the run of the thread that waited for it, one way
    handle_us: float  # one DuplicateHandle, CreateEvent, CloseHandle, ...
    map_us: float  # mapping a section and unmapping it, together
    thread_us: float  # CreateThread
    winsock_us: float  # WSADuplicateSocket or WSASocket
    call_us: float  # any other kernel call
    page_us: float  # first touch of a page, or its copy on write
    copy_us_per_byte: float  # copying memory, within a process or between two


class CostDraws:
    """The rows of all creations of one trace in one replication on one machine."""

    __slots__ = ("antivirus_us", "cpu_scale", "machine_speed", "profile", "rows")

    def __init__(self, profile: Profile, replication: Replication, places: int) -> None:
        """Draw for places -1 .. places-1. Raises ValueError if `places` is negative."""
        if places < 0:
            raise ValueError(f"places ({places}) must not be negative")
        self.profile = profile  # -- input
        self.antivirus_us = _machine_effect(profile, replication, "antivirus")  # [us] -- constant
        self.machine_speed = _machine_effect(profile, replication, "machine_speed")  # -- constant
        # Multiplies recorded CPU time: the profile's scale and this machine's speed -- constant
        self.cpu_scale = profile.value("cpu_scale") * self.machine_speed
        self.rows: list[CostRow] = self._rows(replication, places + 1)  # [place + 1] -- constant

    def at(self, place: int) -> CostRow:
        """The row of a creation place; -1 is the first process. IndexError if there is none."""
        if place < FIRST_PROCESS:
            raise IndexError(f"place ({place}) must be at least {FIRST_PROCESS}")
        return self.rows[place + 1]

    def _rows(self, replication: Replication, count: int) -> list[CostRow]:
        drawn = {
            column: _sample(self.profile, replication, key, stream, count)
            for column, (key, stream) in _PURPOSES.items()
        }
        gui = self.profile.value("gui_dll_factor")
        drawn["create_process_us"] = drawn["create_process_us"] * gui
        drawn["loader_us"] = drawn["loader_us"] * gui
        drawn["copy_us_per_byte"] = 1.0 / drawn.pop("bandwidth")
        columns = {name: values * self.machine_speed for name, values in drawn.items()}
        tail = _sample(self.profile, replication, "contention", "win32/contention", count)
        columns["create_process_us"] = columns["create_process_us"] + self.antivirus_us + tail
        ordered = [columns[name].tolist() for name in CostRow._fields]
        return list(map(CostRow._make, zip(*ordered, strict=True)))


def _machine_effect(profile: Profile, replication: Replication, key: str) -> float:
    return float(_sample(profile, replication, key, f"machine/{key}", 1)[0])


def _sample(
    profile: Profile, replication: Replication, key: str, stream: str, count: int
) -> Floats:
    """`count` values from the beginning of the stream, whoever drew from it before."""
    values: Floats = profile.parameters[key].sample(replication.fresh(stream), count)
    return values
