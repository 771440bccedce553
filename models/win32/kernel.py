"""The simulated Windows machine: every call that a program can make, on one object.

The calls are grouped by what they work on; `kernel_core.py` says which of them are generators.
"""

from __future__ import annotations

from models.win32.library_calls import LibraryCalls
from models.win32.object_calls import ObjectCalls
from models.win32.pipe_calls import PipeCalls
from models.win32.sync_calls import SyncCalls
from models.win32.thread_calls import ThreadCalls
from models.win32.virtual_calls import VirtualCalls
from models.win32.winsock_calls import WinsockCalls


class Kernel(
    SyncCalls, VirtualCalls, ObjectCalls, PipeCalls, ThreadCalls, WinsockCalls, LibraryCalls
):
    """One machine."""
