"""The schemes by which a child comes to own its parent's cygheap, one file each."""

from __future__ import annotations

from models.cygwin.protocol import Scheme
from models.cygwin.schemes import (
    before_heap_1_1,
    blocking,
    child_copy,
    child_reads_1_7_7,
    first_heap_2000,
    msys_1_0,
    rollback_1_5_18,
    shared_memory,
    shared_memory_1_3_3,
    timeline,
    trees_2001,
    two_step_1_3_3,
    walk_bug,
)

_SCHEMES: tuple[Scheme, ...] = (
    blocking.SCHEME,
    shared_memory_1_3_3.SCHEME,
    shared_memory.SCHEME,
    child_copy.SCHEME,
)
# One of them once more with one thing changed: found by name, not listed among the schemes.
_VARIANTS: tuple[Scheme, ...] = (
    msys_1_0.SCHEME,
    rollback_1_5_18.SCHEME,
    child_reads_1_7_7.SCHEME,
    before_heap_1_1.SCHEME,
    *first_heap_2000.HEAPS,
    *trees_2001.TREES,
    two_step_1_3_3.SCHEME,
    walk_bug.SCHEME,
    child_copy.BEFORE_3_6_5,
)


def names() -> list[str]:
    """All schemes, oldest first."""
    return [scheme.name for scheme in _SCHEMES]


def variant_names() -> list[str]:
    """The schemes and their variants."""
    return [scheme.name for scheme in (*_SCHEMES, *_VARIANTS)]


def get(name: str) -> Scheme:
    """The scheme or variant of that name. Raises KeyError if there is none."""
    for scheme in (*_SCHEMES, *_VARIANTS):
        if scheme.name == name:
            return scheme
    raise KeyError(name)


def as_of(day: str) -> str:
    """Name of the scheme or variant that a Cygwin of that day had. Raises InputError."""
    return timeline.as_of(day)


def describe(variants: bool = False) -> list[dict[str, str]]:
    """name, era, since, until and summary of each scheme, or of each variant instead."""
    return [
        {
            "name": scheme.name,
            "era": scheme.version.era.name,
            "since": scheme.since,
            "until": scheme.until,
            "summary": scheme.summary,
        }
        for scheme in (_VARIANTS if variants else _SCHEMES)
    ]
