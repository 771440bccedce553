"""Whether an exec makes a child that died before it was ready once more, in Cygwin 3.6.

The user says how often with CYGWIN=proc_retry:N; N is 0 otherwise, so that the first death is the
answer.  What a death counts follows from its exit code: one for a DLL that could not start and for
a child that asks for it, two for a code that tells nothing.  A missing DLL, a crash and a child
that knows that Windows is in its way are not worth another try.

A fork never does so, whatever MODERN.md §6.5 says: frok::error asks proc_retry only where the exit
code is 0, and for 0 that answers EXITCODE_OK, which is not 0 and so an error like any other code.
The user's N is only in the text (fork.cc, msys2-runtime commit 8f7df4277).  1.7.7 is another matter
(`schemes/child_reads_1_7_7.py`, its logs).

Source: child_info::proc_retry of sigproc.cc (MODERN.md §6.5; its cases as in msys2-runtime commit
049660ba0, which has the same function).  An exec asks it, and no other spawn does (spawn.cc).
"""

from __future__ import annotations

EXIT_FORK_FAILED = 0x800000  # EXITCODE_FORK_FAILED
EXIT_RETRY = 0x2000000  # EXITCODE_RETRY
STATUS_ACCESS_VIOLATION = 0xC0000005
STATUS_ILLEGAL_INSTRUCTION = 0xC000001D
STATUS_DLL_NOT_FOUND = 0xC0000135
STATUS_CONTROL_C_EXIT = 0xC000013A  # where the parent saw no Ctrl-C itself
STATUS_DLL_INIT_FAILED = 0xC0000142
STATUS_ILLEGAL_DLL_PSEUDO_RELOCATION = 0xC0000269
STATUS_DLL_INIT_FAILED_LOGOFF = 0xC000026B

FINAL = frozenset(
    {
        0,  # it has ended as programs do
        EXIT_FORK_FAILED,
        STATUS_ACCESS_VIOLATION,
        STATUS_ILLEGAL_INSTRUCTION,
        STATUS_DLL_NOT_FOUND,
        STATUS_ILLEGAL_DLL_PSEUDO_RELOCATION,
    }
)
KNOWN = frozenset(
    {
        EXIT_RETRY,
        STATUS_CONTROL_C_EXIT,
        STATUS_DLL_INIT_FAILED,
        STATUS_DLL_INIT_FAILED_LOGOFF,
    }
)


def tries_left(code: int, retry: int) -> int | None:
    """What is left of `retry` if such a death is worth another try, None if it is not.

    code: exit code of a Cygwin child that died before it was ready
    """
    if code in FINAL:
        return None
    left = retry - (1 if code in KNOWN else 2)
    return left if left >= 0 else None
