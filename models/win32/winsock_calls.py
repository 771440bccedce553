"""The two Winsock 2 calls that hand a socket to another process.

WSADuplicateSocket fills a WSAPROTOCOL_INFO for one target process; WSASocket in that process makes
a socket of it.  The structure is plain bytes: whoever copies stale ones gets WSAEINVAL (10022).

Source: CYGWIN.md §f and §i; the calls in the logs `sock-*`.
"""

from __future__ import annotations

from models.win32.errors import ERROR_INVALID_HANDLE, Win32Error
from models.win32.kernel_core import KernelCore
from models.win32.thread import Thread

PROTOCOL_INFO_BYTES = 372  # sizeof (WSAPROTOCOL_INFOA)
WSAEINVAL = 10022


class WinsockCalls(KernelCore):
    """Sockets across processes."""

    def wsa_duplicate_socket(self, me: Thread, handle: int, target_pid: int) -> bytes:
        """WSADuplicateSocketA: 372 bytes that `target_pid` can make a socket of."""
        me.debt_us += me.costs.winsock_us
        obj = self.object(me, handle)
        if obj.kind not in ("file", "pipe"):
            raise Win32Error(ERROR_INVALID_HANDLE, "WSADuplicateSocket", f"{handle:#x}")
        self.tickets.append((obj, target_pid))
        if self.calls is not None:
            self.row(me, "WSADuplicateSocket", s=obj, target=target_pid)
        ticket = len(self.tickets)
        return ticket.to_bytes(4, "little") + bytes(PROTOCOL_INFO_BYTES - 4)

    def wsa_socket(self, me: Thread, info: bytes, inherit: bool = True) -> int:
        """WSASocketA from protocol information: the handle. Raises Win32Error 10022."""
        me.debt_us += me.costs.winsock_us
        ticket = int.from_bytes(info[:4], "little")
        known = 0 < ticket <= len(self.tickets)
        if known:
            obj, target_pid = self.tickets[ticket - 1]
        if not known or target_pid != me.process.pid:
            if self.calls is not None:
                self.row(me, "WSASocket", ret=None, err=WSAEINVAL)
            raise Win32Error(WSAEINVAL, "WSASocket", "the information is not for this process")
        handle = me.process.handles.add(obj, inherit)
        if self.calls is not None:
            self.row(me, "WSASocket", ret=obj, hv=handle)
        return handle
