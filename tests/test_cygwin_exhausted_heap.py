"""A heap that is exhausted in one exec, against the logs `script-loop-exhausts-heap`.

The script's #! line names the script itself.  spawn reads header after header; each puts one more
string and a slot in the vector into the heap, until a page cannot be committed.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from call_logs import log_of
from machine import World
from test_cygwin_exec_chain import VARIABLES, A, R, grow_to, scheme_of

from models.cygwin.arguments import Arguments
from models.cygwin.cygheap.layout import HeapType

NAME, PATH = b"/cygdrive/c/demo/loop.sh", b"./loop.sh"
ENOUGH = 100_000  # levels; the heap ends before
# Free blocks that the shell had, as user bytes: small ones found from the first commit of each log,
# and the file object of the terminal that it did not get (see the chains of execs).
FREE = {A: (10, 1348), R: (10, 40, 1348)}


class Interpreters(Sequence[bytes]):
    """argv of a script with so many levels. read: how many #! lines have been read"""

    def __init__(self) -> None:
        self.read = 0

    def __len__(self) -> int:
        return ENOUGH + 1

    def __getitem__(self, index):
        if index == ENOUGH:
            return PATH
        self.read += 1
        return NAME


def logged(scheme: str) -> list[tuple[int, int, int, bool]]:
    """(level, offset, size, failed) of the commits that the log has kept.

    A file's number in the log is its level and one more; most files are left out of it.
    """
    found, level, base = [], 0, 0
    for call in log_of(scheme, "script-loop-exhausts-heap").calls:
        args = call.args
        if call.tid != "P2.t1":
            continue
        if call.api == "CloseHandle" and str(args["h"]).startswith("F"):
            level = int(args["h"][1:]) - 1
        if args.get("addr") in (0x614E0000, 0xA3A0000):
            base = args["addr"]
        if call.api == "VirtualAlloc" and args["type"] == "COMMIT" and level:
            found.append((level, args["addr"] - base, args["size"], call.error != 0))
    return found


@pytest.mark.parametrize("scheme", [A, R])
def test_exhausted_heap_ends_at_the_same_level_with_the_same_text(scheme):
    world, argv, seen = World(scheme_of(scheme)), Interpreters(), {}
    log = log_of(scheme, "script-loop-exhausts-heap")
    (transfer,) = log.meta["n"]

    def main(p):
        era = p.heap.era
        grow_to(p, transfer["n"] - sum(8 + era.search(n)[1] for n in FREE[scheme]))
        for user in [p.heap.cmalloc(HeapType.HEAP_BUF, n) for n in FREE[scheme]]:
            p.heap.cfree(user)
        assert p.heap.max == transfer["n"]
        seen["base"], seen["heap"] = p.heap.base, p.heap
        yield from p.execute(world.native(1.0), Arguments(argv, VARIABLES, ENOUGH))

    process = world.run(main)
    rows = [
        row.args for row in world.trace.rows(pid=process.pid)
        if row.name == "VirtualAlloc" and row.args["type"] == "COMMIT"
    ]  # fmt: skip
    mine = [(args["addr"] - seen["base"], args["size"]) for args in rows]
    end = world.scheme.version.era.reserve_bytes
    mine = [commit for commit in mine if transfer["n"] <= commit[0] <= end]
    *real, last = logged(scheme)
    assert mine[:2] == [(offset, size) for _, offset, size, _ in real[:2]]
    assert {(offset, size) for _, offset, size, _ in real} <= set(mine)
    levels, offset, size, failed = last
    assert failed
    assert seen["heap"].max == offset + size  # the end has moved although no page came
    assert argv.read == levels == {A: 63_782, R: 63_780}[scheme]
    assert process.exit_code == 1
    (failure,) = world.installation.failures
    assert failure.message == "couldn't commit memory for cygwin heap, Win32 error 0"
    if scheme == R:  # the log of 1.3.2 has no text at all
        assert log.meta["stderr"].endswith(f"*** {failure.message}")
