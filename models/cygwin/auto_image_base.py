"""Where GNU ld puts a DLL that is linked with --enable-auto-image-base.

The address follows from the output name alone, as it was given to -o, directories included: a hash
of its bytes picks one of the rule's slots.  Two DLLs whose names fall close together overlap.

Source: CYGWIN.md §d; `mingw32` and `mingw64` against ld 2.40 itself, `x86_64` against the addresses
of Perl builds (Perl/perl5#22104), `2001` and `i686` from ld's source only.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

_WORD = 0xFFFFFFFF  # the hash is an unsigned int; 64 bits give the same under these masks
_SHIFT = 16  # a slot begins on 64 KiB


@dataclass(frozen=True, slots=True)
class Rule:
    """One version of the rule. Every field is *constant*.

    base: the lowest address; the masked hash is added (2001: or-ed, which is the same here)
    mask: which bits of the shifted hash count; its lowest bit is the size of a slot
    heap_follows_dll: programs of this rule have Cygwin's DLL and, behind it, the heap of era B
    """

    name: str
    base: int
    mask: int
    heap_follows_dll: bool = False

    @property
    def slot_bytes(self) -> int:
        """Distance of two neighbouring addresses [bytes]."""
        return self.mask & -self.mask

    @property
    def slots(self) -> int:
        """How many addresses there are."""
        return self.mask // self.slot_bytes + 1

    def addresses(self) -> range:
        """Every address that a DLL can get, the lowest first."""
        return range(self.base, self.base + self.slots * self.slot_bytes, self.slot_bytes)

    def address(self, name: str | bytes) -> int:
        """The image base of a DLL that is linked with `-o name`."""
        return self.base + (name_hash(os.fsencode(name)) << _SHIFT & self.mask)


RULES = {
    rule.name: rule
    for rule in (
        Rule("2001", 0x60000000, 0x0FFC0000, heap_follows_dll=True),
        Rule("i686", 0x61300000, 0x0FFC0000, heap_follows_dll=True),
        Rule("x86_64", 0x400000000, 0x1FFFF0000),
        Rule("mingw32", 0x61500000, 0x0FFC0000),
        Rule("mingw64", 0x1C0000000, 0x1FFFF0000),
    )
}


def name_hash(name: bytes) -> int:
    """ld's hash of a name: each byte, and at last the length, is mixed in the same way."""
    mixed = 0
    for value in (*name, len(name)):
        mixed = mixed + value + (value << 17) & _WORD
        mixed ^= mixed >> 2
    return mixed
