"""The simulated Windows machine: every call that a program can make, on one object.

The calls are grouped by what they work on; `kernel_core.py` says which of them are generators.
"""

from __future__ import annotations

from models.win32.memory_calls import MemoryCalls
from models.win32.pipe_calls import PipeCalls
from models.win32.process_calls import ProcessCalls
from models.win32.sync_calls import SyncCalls
from models.win32.winsock_calls import WinsockCalls


class Kernel(SyncCalls, MemoryCalls, PipeCalls, ProcessCalls, WinsockCalls):
    """One machine."""
