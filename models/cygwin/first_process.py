"""What a process without a parent has in its heap: the heap itself, fd table, cwd and user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.cygwin import heap_place
from models.cygwin.cygheap import heap as heaps
from models.cygwin.descriptors import DescriptorTable

if TYPE_CHECKING:
    from models.cygwin.process import CygwinProcess


def make_heap(p: CygwinProcess) -> None:
    """There is no parent to get a heap from: make one. Raises Win32Error if its place is taken."""
    region = heap_place.first(p)
    assert region.memory is not None
    commit = heap_place.committer(p, region.base, p.me)
    p.heap = heaps.first_process(p.version.era, region.memory, region.base, commit)


def make_descriptors(p: CygwinProcess) -> None:
    """fdtab, cwd and user (order as in golden h07)."""
    heap, era = p.heap, p.heap.era
    for offset, kind, count, size in era.first_blocks:
        heap.set_word(offset, heap.ccalloc(kind, count, size))
    p.fds = DescriptorTable(heap)
    p.fds.create()
    for distance, size in era.cwd_first:
        heap.set_word(era.cwd_offset + distance, heap.crealloc(0, size))
    words = era.user_words
    for offset, name in zip(words, era.user_strings, strict=False):  # a word may have none
        heap.set_word(offset, heap.cstrdup(name))
    if era.sid_bytes:
        heap.set_word(words[-1], heap.crealloc(0, era.sid_bytes))
    heap.memory.write32(era.shared_offset, p.h_shared)
