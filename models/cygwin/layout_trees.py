"""Process trees with addresses drawn at random: which process does not find the heap's place?

A tree is a first process, the child that it forks, and a child that execs another program with DLLs
of its own.  Three worlds say what is left to chance:

* `fixed`: only the addresses that ld gave the DLLs (--enable-auto-image-base, rule 2001);
* `xp`: besides, the system's own allocations lie elsewhere in every process, in the low arena that
  it fills from below.  How many, how large and over which range is assumed;
* `aslr`: Cygwin's DLL itself begins elsewhere in every process, on one of 256 places (assumed).

The heap follows the DLL (eras C, R, B), or the first process takes the lowest free place of the low
arena and its children need the same one (era A).  DLLs that overlap each other are moved by the
loader and are not looked at here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.cygwin.auto_image_base import RULES
from models.cygwin.version import Version
from models.win32.memory import ALLOCATION_GRANULARITY, PAGE_BYTES
from sim.streams import Replication

WORLDS = ("fixed", "xp", "aslr")
ARENA_LOW = 0x0A3A0000  # where 1.3.2 got its heap (call logs); below it lies what is the same
_GRAIN = ALLOCATION_GRANULARITY

Addresses = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Chances:
    """What is drawn. Every field is *input*, and assumed but for the rule.

    dlls, dll_bytes: of the first program, and of the one that is exec'ed
    arena_bytes, arena_regions, region_bytes: world `xp`: over which range the system spreads how
    many allocations of which size
    dll_bases: world `aslr`: how many places, 64 KiB apart
    """

    dlls: int
    dll_bytes: int
    arena_bytes: int
    arena_regions: int
    region_bytes: int
    dll_bases: int


@dataclass(frozen=True)
class Failures:
    """In how many of `trees` which process died first. Every field is *output*.

    first: the first process; fork, exec: a child of a first process that lives
    """

    trees: int
    first: int
    fork: int
    exec: int
    any: int


@dataclass(frozen=True)
class _Layouts:
    """One process of each tree: shape (trees, …). dll: base of Cygwin's own -- constant"""

    dlls: Addresses
    regions: Addresses
    dll: Addresses


def fail(version: Version, world: str, chances: Chances, trees: int, rep: Replication) -> Failures:
    """Draw `trees` trees and count who does not find the heap's place.

    The draws depend on the chances alone: releases meet the same trees, worlds the same DLLs.
    """
    first, other = (_draw(world, chances, trees, rep, who) for who in ("first", "exec"))
    # a fork child has its parent's DLLs; what the system chooses is drawn anew
    again = _draw(world, chances, trees, rep, "fork")
    child = _Layouts(first.dlls, again.regions, again.dll)
    size = (version.era.cygheapsize + PAGE_BYTES - 1) & -PAGE_BYTES
    if version.heap_address:
        heap = first.dll + (version.heap_address - version.dll_base)
        dies = _taken(version, chances, first, heap, size)
    else:
        heap = _lowest(first.regions, chances.region_bytes, size)
        dies = np.zeros(trees, dtype=np.bool_)
    # fork writes the parent's data of the DLL to where they are in the parent
    fork = ~dies & (_taken(version, chances, child, heap, size) | (child.dll != first.dll))
    execed = ~dies & _taken(version, chances, other, heap, size)
    counts = (int(np.count_nonzero(f)) for f in (dies, fork, execed, dies | fork | execed))
    return Failures(trees, *counts)


def _draw(world: str, chances: Chances, trees: int, rep: Replication, who: str) -> _Layouts:
    rule = RULES["2001"]

    def stream(what: str) -> np.random.Generator:
        return rep.fresh(f"cygwin/layout {chances.dlls} {who} {what}")

    slots = stream("dlls").integers(rule.slots, size=(trees, chances.dlls))
    count = chances.arena_regions if world == "xp" else 0
    places = (chances.arena_bytes - chances.region_bytes) // _GRAIN + 1
    regions = stream("regions").integers(places, size=(trees, count))
    bases = stream("base").integers(chances.dll_bases if world == "aslr" else 1, size=trees)
    return _Layouts(
        rule.base + slots * rule.slot_bytes,
        ARENA_LOW + regions * _GRAIN,
        Version.dll_base + bases * _GRAIN,
    )


def _taken(
    version: Version, chances: Chances, layout: _Layouts, heap: Addresses, size: int
) -> Flags:
    """Where anything of a process lies in the heap's place."""
    return (
        _meets(layout.dlls, chances.dll_bytes, heap, size)
        | _meets(layout.regions, chances.region_bytes, heap, size)
        | _meets(layout.dll[:, None], version.dll_bytes, heap, size)
    )


def _meets(bases: Addresses, size_bytes: int, heap: Addresses, heap_bytes: int) -> Flags:
    at = heap[:, None]
    found: Flags = np.any((bases < at + heap_bytes) & (bases + size_bytes > at), axis=1)
    return found


def _lowest(regions: Addresses, region_bytes: int, size: int) -> Addresses:
    """The lowest place of the arena at which `size` bytes meet no region."""
    begin = np.full((len(regions), 1), ARENA_LOW)
    ends = (regions + region_bytes + _GRAIN - 1) & -_GRAIN
    places = np.hstack([begin, ends])  # a fit is at the bottom or right behind a region
    free = np.stack(
        [~_meets(regions, region_bytes, places[:, i], size) for i in range(places.shape[1])],
        axis=1,
    )
    lowest: Addresses = np.where(free, places, np.iinfo(np.int64).max).min(axis=1)
    return lowest
