"""Heap sizes of whole processes that exec again and again, against the logs of the real DLLs.

The first process of a log is seeded: blocks that live on, up to the size that its first transfer
shows, and one file object that it has freed.  Everything after that must be exact, each size and
each address at which the heap commits a page.

What the shell of the logs does between its start and its exec was found from those addresses: it
opens a terminal that it does not get (a file object with two names, freed again), opens its script,
moves that to a high descriptor with close-on-exec (in 1.3.3 to 255, for which the table grows), and
execs.  How long
the names are is known only up to the class of their blocks.
"""

from __future__ import annotations

import json
from copy import copy
from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest
from call_logs import LOGS, log_of
from machine import World

from models.cygwin import schemes
from models.cygwin.arguments import Arguments, put_argv, put_environment
from models.cygwin.cygheap.layout import HeapType
from models.cygwin.descriptors import DISK
from models.cygwin.installation import Program
from models.cygwin.process import CygwinProcess
from models.win32.objects import File
from sim.engine import Steps

A, R, B = "blocking", "shared-memory-1.3.3", "shared-memory"
ENV = json.loads((LOGS / "env_lengths.json").read_text(encoding="utf-8"))["cygwin-1.3.3"]
VARIABLES, SCRIPT_VARIABLES = (
    [b"v" * n for _, n in ENV[which]]
    for which in ("exec from sh -c", "exec from a script started by exec")
)
SHELL = b"/bin/sh"
TERMINAL = b"/dev/tty", b"t" * 25  # POSIX and Win32 name; the second is assumed, 21 to 47 letters
HIGH_FD = {A: 31, R: 255, B: 255}  # the last below getdtablesize(): 1.3.2 has only its 32 slots
# A script is called by its full name from the second time on.  cmd_len tells how long that is; with
# the 16 letters of PWD it has this form, and from that its Win32 name follows.
WIN32_NAMES = {
    b"./chain.sh": b".\\chain.sh",
    b"./chainv.sh": b".\\chainv.sh",
    b"/cygdrive/c/demo/chain.sh": b"C:\\demo\\chain.sh",
    b"/cygdrive/c/demo/chainv.sh": b"C:\\demo\\chainv.sh",
}
FIRST, FIRST_VARYING, FULL, FULL_VARYING = WIN32_NAMES


def scheme_of(name: str):
    """The scheme with the sizes of the DLL in the logs: 1.3.2 has a header of 92 bytes, not 88."""
    found = copy(schemes.get(name))
    if name == A:
        era = replace(found.version.era, header_bytes=92, cygheapsize=5_123_164)
        found.version = replace(found.version, era=era)
    return found


log = cache(log_of)


def sizes(scheme: str, scenario: str) -> list[int]:
    """n of each transfer of a log, in order."""
    return [entry["n"] for entry in log(scheme, scenario).meta["n"]]


def commits(scheme: str, scenario: str) -> list[tuple[int, int]]:
    """(offset from the heap's base, size) of the commits of heaps in use, in order."""
    found, base = [], 0
    transfers = {(entry["by"], entry["n"]) for entry in log(scheme, scenario).meta["n"]}
    received = {n for _, n in transfers}
    for call in log(scheme, scenario).calls:
        if call.api != "VirtualAlloc":
            continue
        address, size = call.args["addr"], call.args["size"]
        base = base or (address & ~0xFFFF)
        offset = address - base
        if call.args["type"] == "COMMIT" and not (offset == 0 and size in received):
            found.append((offset, size))
    return found


# -- one exec --------------------------------------------------------------------------------------


def test_growth_by_one_exec_follows_from_argv_and_environment():
    """72 + 72 + 40 + 264 + 3,312 = 3,760 bytes in 1.3.3, as its logs show."""
    grown = []

    def main(p):
        before = p.heap.max
        blocks = put_argv(p.heap, Arguments([b"/bin/true"], VARIABLES))
        put_environment(p.heap, blocks, Arguments([b"/bin/true"], VARIABLES), 0)
        grown.append(p.heap.max - before)
        yield from p.exit(0)

    World(schemes.get(R)).finish(main)
    (n,) = sizes(R, "exec-oneshot")
    fresh = 9700  # a shell that has started: n of its forks
    assert grown == [3760] == [n - fresh]


# -- two hundred execs -----------------------------------------------------------------------------


def grow_to(p: CygwinProcess, top: int) -> None:
    """Blocks that live on, of sizes that end the heap at `top`."""
    left = top - p.heap.max
    rests = ((m, left - 8 * m) for m in range(1, 40))
    count = next(m for m, r in rests if r % 16 == 0 and (r >> 4).bit_count() <= m <= r >> 4)
    parts = [1 << i for i in range(32) if (left - 8 * count) >> i & 1]
    while len(parts) < count:
        parts.sort()
        largest = parts.pop()
        parts += [largest >> 1] * 2
    slack = 8 + p.heap.era.search_slack_bytes
    for part in parts:
        p.heap.cmalloc(HeapType.HEAP_BUF, part - slack)
    assert p.heap.max == top


def open_named(p: CygwinProcess, fd: int, posix: bytes, win32: bytes) -> None:
    p.fds.add(fd, DISK, p.k.new_handle(p.me, File(DISK), True), 0, False, win32, posix)


def blocks_of(scheme: str, arguments: Arguments) -> int:
    """What an exec allocates if no free block fits: CYGWIN.md b4 [bytes]."""
    era = schemes.get(scheme).version.era
    own = len(arguments.argv) - arguments.script
    asked = [28, 4 * (own + 5), 4 * (len(arguments.env) + 1)]
    asked += [len(text) + 1 for text in (*arguments.argv, *arguments.env)]
    return sum(8 + era.search(n)[1] for n in asked)


class Chain:
    """A shell that execs itself once for each of `calls`, which begin with a script's name or -c.

    transfers: n of each exec; committed: (offset, size) of each commit from the first exec on
    """

    def __init__(self, scheme: str, first_n: int, calls: list[list[bytes]]) -> None:
        self.scheme = scheme
        self.world = World(scheme_of(scheme))
        self.first = first_n - blocks_of(scheme, self.arguments(calls[0], VARIABLES))
        self.calls = calls
        self.transfers: list[int] = []
        self.committed: list[tuple[int, int]] = []

    def run(self) -> Chain:
        process = self.world.finish(self.program(0))
        records = [r for r in self.world.trace.records if r.kind == "exec"]
        self.transfers = [record.heap_bytes for record in records]
        for row in self.world.trace.rows():
            if row.name == "VirtualAlloc" and row.args["type"] == "COMMIT":
                offset = row.args["addr"] - self.base
                if self.first <= offset < 5_200_000:
                    self.committed.append((offset, row.args["size"]))
        assert process.exit_code == 0
        return self

    def arguments(self, call: list[bytes], variables: list[bytes]) -> Arguments:
        return Arguments([SHELL, *call], variables, int(call[0] in WIN32_NAMES))

    def program(self, number: int) -> Program:
        def steps(p):
            if number:
                yield from self.shell(p, self.calls[number - 1][0])
            else:
                self.seed(p)
            if number < len(self.calls):
                image = self.world.cygwin(self.program(number + 1), "sh")
                variables = SCRIPT_VARIABLES if number else VARIABLES
                yield from p.execute(image, self.arguments(self.calls[number], variables))
            yield from p.exit(0)

        return steps

    def seed(self, p) -> None:
        """What the first process has: one free file object, and blocks that live on."""
        self.base = p.heap.base
        era = p.heap.era
        n = era.fhandler_bytes[DISK]
        grow_to(p, self.first - 8 - era.search(n)[1])
        p.heap.cfree(p.heap.cmalloc(HeapType.HEAP_FHANDLER, n))
        assert p.heap.max == self.first

    def shell(self, p, script: bytes) -> Steps:
        """What the shell does before it execs the next."""
        open_named(p, 3, *TERMINAL)
        yield from p.close(3)
        if script not in WIN32_NAMES:
            return
        open_named(p, 3, script, WIN32_NAMES[script])
        yield from p.dup2(3, HIGH_FD[self.scheme])
        yield from p.close(3)
        p.set_cloexec(HIGH_FD[self.scheme], True)


def constant_calls() -> list[list[bytes]]:
    """./chain.sh 200, and then by its full name with one less each time."""
    return [[FIRST, b"200"], *([FULL, str(n).encode()] for n in range(199, -1, -1))]


@cache
def constant(scheme: str) -> Chain:
    return Chain(scheme, sizes(scheme, "chain-const-200")[0], constant_calls()).run()


@pytest.mark.parametrize("scheme", [A, R])
def test_sizes_over_200_equal_execs_are_those_of_the_log(scheme):
    """13,540, 21,076, 21,292 and then no more in 1.3.3; in 1.3.2 2,056 bytes more at each exec."""
    got, real = constant(scheme).transfers, sizes(scheme, "chain-const-200")
    assert got == real
    steps = {b - a for a, b in pairwise(real[3:])}
    assert steps == ({2056} if scheme == A else {0})
    if scheme == R:
        assert real[:4] == [13_540, 21_076, 21_292, 21_292]


@pytest.mark.parametrize("scheme", [A, R])
def test_heap_commits_page_by_page_at_the_addresses_of_the_log(scheme):
    """From the second process on: how the first shell's variables were ordered is not known."""
    second = sizes(scheme, "chain-const-200")[0]
    real = [c for c in commits(scheme, "chain-const-200") if c[0] >= second]
    assert [c for c in constant(scheme).committed if c[0] >= second] == real
    assert len(real) > (100 if scheme == A else 1)


def varying_calls() -> list[list[bytes]]:
    """./chainv.sh 200, and then with no, one or three more arguments; found from all cmd_len."""
    calls = [[FIRST_VARYING, b"200"]]
    for i in range(200, 0, -1):
        one, two = b"x" * max(1, i * 37 % 140), b"x" * max(1, i * 53 % 97)
        more = ([one], [one, two, one + two], [])[i % 3]
        calls.append([FULL_VARYING, str(i - 1).encode(), *more])
    return calls


@cache
def varying(scheme: str) -> Chain:
    return Chain(scheme, sizes(scheme, "chain-vary-200")[0], varying_calls()).run()


@pytest.mark.parametrize("scheme", [A, R])
def test_sizes_over_200_execs_of_varying_shape_are_those_of_the_log(scheme):
    """22,372 bytes in the end in 1.3.3; in 1.3.2 argument blocks are lost as well: 462,396."""
    got, real = varying(scheme).transfers, sizes(scheme, "chain-vary-200")
    assert got == real
    assert real[-1] == {A: 462_396, R: 22_372}[scheme]
    second = real[0]
    assert [c for c in varying(scheme).committed if c[0] >= second] == [
        c for c in commits(scheme, "chain-vary-200") if c[0] >= second
    ]


@pytest.mark.parametrize("scheme", [A, R])
def test_command_lines_of_the_varying_chain_are_as_long_as_in_the_log(scheme):
    asked = [c for c in log(scheme, "chain-vary-200").calls if "child_info" in c.args]
    real = [c.args["cmd_len"] for c in asked if c.phase == "call"]
    command = len("C:\\cygwin\\bin\\sh.exe")
    assert [command + sum(1 + len(arg) for arg in call) for call in varying_calls()] == real


@cache
def without_script() -> Chain:
    """sh -c TEXT TEXT 60, where TEXT execs the same with one less; the log's meta has it."""
    command = log(A, "chain-noscript-60").meta["cmd"]
    text = command.split("'")[1].encode()
    calls = [[b"-c", text, text, str(n).encode()] for n in range(60, -1, -1)]
    return Chain(A, sizes(A, "chain-noscript-60")[0], calls).run()


def test_a_shell_without_a_script_loses_a_file_object_at_each_exec_too():
    """The one of the terminal that it did not get."""
    got, real = without_script().transfers, sizes(A, "chain-noscript-60")
    assert got == real
    assert {b - a for a, b in pairwise(real[1:])} == {2056}
    second = real[0]
    assert [c for c in without_script().committed if c[0] >= second] == [
        c for c in commits(A, "chain-noscript-60") if c[0] >= second
    ]


def test_from_1_3_4_on_nothing_is_lost_either():
    """1.3.19's objects have other sizes than the tree of 2001-10-28; its log stays constant too."""
    got = Chain(B, 9696, constant_calls()).run().transfers
    real = sizes(B, "chain-const-200")
    assert len(set(got[3:])) == len(set(real[3:])) == 1
