"""What Windows answers when a call cannot be done, as exceptions.

A model function raises; the kernel call that it was made for turns the error into a return value
and a last error where the program can see one.  The numbers are Windows' own (winerror.h,
ntstatus.h).
"""

from __future__ import annotations

from sim.errors import SimError

ERROR_FILE_NOT_FOUND = 2
ERROR_ACCESS_DENIED = 5
ERROR_INVALID_HANDLE = 6
ERROR_NOT_ENOUGH_MEMORY = 8
ERROR_INVALID_PARAMETER = 87
ERROR_BROKEN_PIPE = 109
ERROR_SIGNAL_REFUSED = 156
ERROR_ALREADY_EXISTS = 183
ERROR_BAD_EXE_FORMAT = 193
ERROR_DIRECTORY = 267
ERROR_PARTIAL_COPY = 299
ERROR_NOT_OWNER = 288
ERROR_TOO_MANY_POSTS = 298
ERROR_INVALID_ADDRESS = 487
ERROR_OPERATION_ABORTED = 995
ERROR_NOACCESS = 998
ERROR_MAPPED_ALIGNMENT = 1132
ERROR_NOT_FOUND = 1168
ERROR_COMMITMENT_LIMIT = 1455

STATUS_ACCESS_VIOLATION = 0xC0000005
STATUS_NO_MEMORY = 0xC0000017


class Win32Error(SimError):
    """A Win32 call failed. Args: (code, call, detail)."""

    @property
    def code(self) -> int:
        """What GetLastError would say."""
        return int(self.args[0])

    def __str__(self) -> str:
        return f"{self.args[1]}: Win32 error {self.args[0]} ({self.args[2]})"


class PartialCopy(Win32Error):
    """Read- or WriteProcessMemory stopped on its way. Args: (code, call, detail, done_bytes)."""

    @property
    def done_bytes(self) -> int:
        """How many bytes were copied before."""
        return int(self.args[3])


class AccessViolation(SimError):
    """A thread touched memory that is not committed. Args: (address, what was tried)."""

    @property
    def address(self) -> int:
        """The first address that could not be touched."""
        return int(self.args[0])

    def __str__(self) -> str:
        return f"{self.args[1]} at {self.args[0]:#010x}: the page is not committed"


class ReadOnlyPage(AccessViolation):
    """A thread wrote to a page that may only be read. Args: (address, what was tried)."""

    def __str__(self) -> str:
        return f"{self.args[1]} at {self.args[0]:#010x}: the page is read-only"
