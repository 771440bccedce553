"""The releases whose call logs exist, as numbers: what they add to a scheme.

A variant is a scheme with the plain numbers of one DLL: header, CYGHEAPSIZE, child_info, names of
its types, addresses, the programs that ran on it.  Two variants of one scheme differ here only.

Source: the call logs of each folder; sizes of program and DLL data from their WriteProcessMemory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from models.cygwin.cygheap import layout
from models.cygwin.protocol import Scheme
from models.cygwin.version import (
    EXEC_STARTUP,
    EXEC_STARTUP_1_3_19,
    EXIT_REPARENTED,
    FIRST_STARTUP,
    FIRST_STARTUP_1_3_19,
    FIRST_STARTUP_A,
    FORK_STARTUP_1_3_19,
    Version,
)
from models.win32.memory import PAGE_BYTES

if TYPE_CHECKING:
    from models.cygwin.protocol import Scheme

Range = tuple[int, int]  # address, bytes


@dataclass(frozen=True)
class Program:
    """Where a program file has its data. Every field is *constant*; (address, bytes).

    data, bss: its own; linked: those of the DLLs that it is linked with, in pairs
    stack_base: of its main thread
    """

    data: Range
    bss: Range
    linked: tuple[Range, ...] = ()
    stack_base: int = 0x4A0000


@dataclass(frozen=True, eq=False)
class Variant:
    """One DLL of the logs. Every field is *constant*.

    scheme: how it hands the heap over
    version: its numbers
    types: what child_info's types are called
    programs: by image name; of others only the size of what they write is unknown
    frame_bytes: stack between fork's own frame and what it copies
    env_base_bytes: the Windows environment without "_"
    environment: lengths of "NAME=value" that sh passes on without "_", no closing zero
    script_environment: the same from a sh that runs a script; the order is another
    sh_bytes: heap of a fresh sh that its visible calls do not explain
    order_known: the order of its environment is known
    standard: descriptors that a first process has open where a log does not tell
    terminal: its sh looks for its terminal with an fhandler that is freed again
    spare_bytes: more than its native name that a new device's fhandler keeps for it
    device_names: a device's fhandler keeps names in the heap
    pipes_known: what its pipes and sockets take in the heap is known
    sizes_known: what its sh has freed is known, so that a heap's size follows from its calls
    untold: words of child_info that its logs do not have
    through_ntdll: it makes events, mutexes and sections where its logs do not look, so they have
        neither their making nor who they are
    interpreter: what a script's first argument becomes
    sh_freed: sizes of further blocks that a fresh sh has freed
    console_bytes: what sh has more in its heap where it has a console
    console_freed: what it has freed then, its terminal's name being kept
    stdout_name: POSIX name of the pipe that stdout was
    high_fd: where sh keeps its script: getdtablesize() - 1
    underscore, script_underscore: where "_" stands among them
    """

    scheme: Scheme
    version: Version
    programs: Mapping[str, Program]
    types: Mapping[str, str]
    frame_bytes: int
    env_base_bytes: int
    environment: tuple[int, ...]
    script_environment: tuple[int, ...]
    sh_bytes: int = 0
    order_known: bool = True
    standard: tuple[int, ...] = (0, 1, 2)
    terminal: bool = True
    spare_bytes: int = 15
    device_names: bool = True
    pipes_known: bool = True
    sizes_known: bool = True
    untold: tuple[str, ...] = ()
    through_ntdll: bool = False
    interpreter: str = "/bin/sh"
    sh_freed: tuple[int, ...] = ()
    console_bytes: int = -40
    console_freed: tuple[int, ...] = (40,)
    stdout_name: bytes = b"/dev/piper"
    high_fd: int = 255
    underscore: int = 46
    script_underscore: int = 30
    system: str = "nt"


# Logs that can be read but not asked for again: folder -> why.
UNMODELLED = MappingProxyType({
    "msys-1.0.12-w98": "MSYS on 98 has no variant",
})  # fmt: skip

# Lengths that sh passes on, in its order (`env_lengths.json` of the logs; values are left out).
_ENVIRONMENT = (
    20, 15, 37, 11, 68, 17, 22, 26, 13, 30, 29, 13, 17, 33, 48, 32, 14, 13, 17, 148, 20, 14, 41,
    25, 18, 16, 6, 42, 33, 16, 40, 26, 29, 7, 56, 12, 35, 31, 21, 23, 14, 29, 22, 19, 15, 46,
)  # fmt: skip
# The same from a sh that was exec'ed to run a script.
_OTHER_ENVIRONMENT = (
    15, 20, 37, 68, 11, 17, 22, 26, 13, 13, 29, 30, 17, 33, 32, 48, 14, 13, 17, 148, 14, 20, 41,
    6, 16, 18, 25, 42, 33, 16, 29, 26, 40, 7, 56, 12, 35, 21, 31, 14, 23, 29, 22, 19, 46, 15,
)  # fmt: skip
_FORK1 = MappingProxyType({"FORK1": "FORK", "EXEC": "EXEC", "SPAWN": "SPAWN"})
_PERL = Program(
    (0x402000, 24), (0x403000, 44), ((0x678B4000, 32_396), (0x678BC000, 15_820)), 0x410000
)
_SH = Program((0x485000, 21_688), (0x48B000, 31_708))
_MSYS_SH = Program((0x48D000, 22_300), (0x493000, 15_372))
_MSYS_PROGRAMS = MappingProxyType({"sh.exe": _MSYS_SH, "shc.exe": _MSYS_SH, "perl.exe": _PERL})
_MAKE = Program((0x421000, 2_256), (0x422000, 9_932), (), 0x430000)
_EARLY_SH = Program((0x411000, 516), (0x412000, 4_800), stack_base=0x420000)
_EARLY_MAKE = Program((0x41B000, 2_068), (0x41C000, 10_048), stack_base=0x420000)
_EARLY_PROGRAMS = MappingProxyType(
    {"sh.exe": _EARLY_SH, "make.exe": _EARLY_MAKE, "make": _EARLY_MAKE}
)
_PROGRAMS = MappingProxyType({"sh.exe": _SH, "shc.exe": _SH, "perl.exe": _PERL})


def _startup(words: tuple[str, ...]) -> tuple[str, ...]:
    """A first process's start-up without what its program asked for later."""
    return tuple("fdtab" if word == "descriptors" else word for word in words)


def _late(words: tuple[str, ...]) -> tuple[str, ...]:
    """A start-up that looks for its pinfo no sooner than its calls took it there."""
    at = words.index("pinfo")
    return (*words[:at], "settle", *words[at:])


def variants(scheme: Callable[[str], Scheme]) -> dict[str, Variant]:
    """All variants, by the name of their logs' folder. `scheme` finds one by its name."""
    r133 = _variant(scheme("shared-memory-1.3.3"), 1272, 824, first_startup=_startup(FIRST_STARTUP))
    a132 = _variant(
        scheme("blocking"), 1276, 760,
        era=replace(layout.A, header_bytes=92, cygheapsize=5_123_164),
        dll_data=(0x61086000, 7_872), dll_bss=(0x610C5000, 218_288), dll_bytes=0x106000,
        first_startup=_startup(FIRST_STARTUP_A),
    )  # fmt: skip
    msys = _variant(scheme("msys-1.0"), 1272, 824, first_startup=_startup(FIRST_STARTUP))
    b1319 = _variant(
        scheme("shared-memory"), 1296, 840,
        era=replace(
            layout.B, header_bytes=332, cygheapsize=2_054_476, search_slack_bytes=0,
            fhandler_bytes=MappingProxyType(
                {"disk": 100, "pipe": 56, "socket": 100, "console": 1244}
            ),
        ),
        heap_address=0x615E0000, child_info_bytes=MappingProxyType({"fork": 292, "exec": 68}),
        pinfo_bytes=1028, pid_link_bytes=8, pinfo_view_ex=True, dll_bytes=0x11A000,
        dll_data=(0x610C0000, 13_816), dll_bss=(0x610E1000, 225_200), shared_address=0,
        shared_bytes=47_112, root_bytes=16_488, user_heap_reserve_bytes=402_653_184,
        thread_suspended=True, pipe_guards=True, orphan_signals=False, mount_in_fork=True,
        hexec_last=True, pinfo_amid=True, cancel_points=True, place_is_fatal=True,
        signal_objects=("ready", "mask", "arrived", "thread"),
        first_startup=FIRST_STARTUP_1_3_19, fork_startup=FORK_STARTUP_1_3_19,
    )  # fmt: skip
    b1319 = replace(
        b1319, order_known=False, terminal=False, standard=(1, 2), spare_bytes=0,
        pipes_known=False, interpreter="/usr/bin/sh",
        sh_freed=(24, 72, 72), env_base_bytes=1297, environment=(*_ENVIRONMENT, 19),
        script_environment=(*_OTHER_ENVIRONMENT, 19),
        version=replace(b1319.version, exec_startup=EXEC_STARTUP_1_3_19),
    )  # fmt: skip
    a118 = _a118(a132)
    return {
        "cygwin-1.5.18": _rollback(scheme("1.5.18")),
        "cygwin-1.7.7": _through_ntdll(scheme("1.7.7")),
        "cygwin-1.3.19": b1319,
        "cygwin-1.1.8-rebuilt": a118,
        **_before_heap(scheme("1.1")),
        "cygwin-1.3.2-rebuilt": replace(a132, high_fd=31),
        "cygwin-1.3.3": r133,
        "cygwin-1.3.3-w98": replace(r133, system="9x", sh_bytes=744),
        "msys-1.0.12": replace(
            msys,
            programs=_MSYS_PROGRAMS,
            env_base_bytes=1266,
            environment=_msys(_ENVIRONMENT),
            script_environment=_msys(_OTHER_ENVIRONMENT),
            sh_freed=(40,),
            console_bytes=-72,
            console_freed=(72,),
            stdout_name=b"/dev/a-longer-name..",
            order_known=False,
        ),
    }


def _a118(a132: Variant) -> Variant:
    """1.1.8, of 2001-01-30: era A with a small heap.

    Its file objects are smaller (4000 of 116 bytes make its CYGHEAPSIZE; where its header has what
    is assumed), a stub without a Cygwin parent ends with 0x20000 whatever its child said, a fork
    keeps its handle against reuse of the pid before it registers the child, and the child of a
    vfork's exec closes nothing of the table on hold.
    """
    era = replace(
        a132.version.era, name="A", commit_id="source of 2001-01-30", header_bytes=56,
        cygheapsize=595_072, user_offset=8, umask_offset=8, cwd_offset=20, fdtab_offset=36,
        fhandler_bytes=MappingProxyType(dict.fromkeys(("disk", "pipe", "socket", "console"), 216)),
    )  # fmt: skip
    version = replace(
        a132.version, name="1.1.8", era=era, pinfo_bytes=992, root_bytes=17_044,
        dll_data=(0x6107A000, 6_976), dll_bss=(0x610B4000, 22_740), dll_bytes=0xD0000,
        exec_startup=_forgets_directory(a132.version.exec_startup),
        ring_first=True, orphan_code=EXIT_REPARENTED,
        directory=(b"/cygdrive/c/work", b"c:\\work"),
    )  # fmt: skip
    return replace(a132, version=version, high_fd=31, sh_bytes=760, frame_bytes=1292)


def _before_heap(scheme: Scheme) -> dict[str, Variant]:
    """1.1.1 and 1.1.3, which have no heap: of 1.1.1 what differs from the scheme's own 1.1.3.

    Where they ran, stacks were committed whole; here as far as a shell's arguments fill them.
    """
    own = replace(scheme.version, stack_commit_bytes=64 * PAGE_BYTES)
    later = Variant(
        scheme, own, _EARLY_PROGRAMS, _FORK1, frame_bytes=40, env_base_bytes=1248,
        environment=_ENVIRONMENT, script_environment=_OTHER_ENVIRONMENT, terminal=False,
        device_names=False, console_bytes=0, console_freed=(),
        untold=("cygpid", "parent", "pppid_handle", "mount_h", "cygheap_h"),
    )  # fmt: skip
    version = replace(
        own, name="1.1.1", shared_bytes=234_392,
        dll_data=(0x6107A000, 14_184), dll_bss=(0x61082000, 24_412),
        first_startup=_without_muto(own.first_startup),
        fork_startup=_without_muto(own.fork_startup),
        exec_startup=_without_muto(own.exec_startup),
        fork_return=(*own.fork_return, "parent-away"),
        fork_end=tuple(word for word in own.fork_end if word != "parent-away"),
    )  # fmt: skip
    return {"cygwin-1.1.1": replace(later, version=version), "cygwin-1.1.3": later}


def _without_muto(words: tuple[str, ...]) -> tuple[str, ...]:
    """A start-up without the muto that 1.1.3 has behind the shared section."""
    at = words.index("shared-records") + 1
    return (*words[:at], *words[at + 1 :])


def _forgets_directory(words: tuple[str, ...]) -> tuple[str, ...]:
    """A start-up that lets nothing go of a table on hold, and does not know its directory."""
    words = tuple(word for word in words if word != "held")
    at = words.index("walk")
    return (*words[:at], "no-directory", *words[at:])


def _rollback(scheme: Scheme) -> Variant:
    """1.5.18: a shell has one fhandler freed, that of a terminal that it looked for."""
    version = replace(scheme.version, stack_commit_bytes=4 * PAGE_BYTES)
    return Variant(
        scheme, version, {**_PROGRAMS, "make.exe": _MAKE}, _FORK1, frame_bytes=-176,
        env_base_bytes=1297, environment=(*_ENVIRONMENT, 19),
        script_environment=(*_OTHER_ENVIRONMENT, 19), sh_bytes=3344, sh_freed=(520,),
        order_known=False, terminal=False, standard=(1, 2), device_names=False,
        untold=("cygpid", "pppid_handle", "mount_h", "cygheap_h"),
    )  # fmt: skip


def _through_ntdll(scheme: Scheme) -> Variant:
    """1.7.7: what its logs have, which is neither the making of objects nor all of the heap."""
    rollback = _rollback(scheme)
    return replace(
        rollback, frame_bytes=0, sh_bytes=0, sh_freed=(), sizes_known=False, through_ntdll=True,
        standard=(0, 1, 2), untold=(*rollback.untold, "forker_finished"),
        version=replace(rollback.version, stack_commit_bytes=8 * PAGE_BYTES),
    )  # fmt: skip


def _msys(lengths: tuple[int, ...]) -> tuple[int, ...]:
    """The same variables in MSYS: PATH, PWD, TEMP and TMP are shorter."""
    shorter = {148: 112, 32: 9}
    made = [shorter.get(n, n) for n in lengths]
    made[lengths.index(20, 10)] = 11
    made[lengths.index(31)] = 8
    return tuple(made)


def _variant(scheme: Scheme, frame_bytes: int, sh_bytes: int, **numbers: Any) -> Variant:
    """A variant of a scheme whose version differs in `numbers`."""
    version = replace(scheme.version, exec_startup=_late(EXEC_STARTUP), **numbers)
    return Variant(
        scheme, version, _PROGRAMS, _FORK1, frame_bytes, 1277, _ENVIRONMENT,
        _OTHER_ENVIRONMENT, sh_bytes,
    )  # fmt: skip
