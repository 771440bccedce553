"""A memory area drawn as a map of rows: which pieces a block becomes, which labels get a colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Block(NamedTuple):
    """A block of memory."""

    offset_bytes: int  # from the beginning of the area
    size_bytes: int
    label: str  # what it belongs to
    in_use: bool


def pieces(block: Block, row_bytes: int) -> list[tuple[int, int, int]]:
    """(row, begin in the row, length) of each piece of a block, cut at the ends of rows [bytes]."""
    found = []
    offset, end = block.offset_bytes, block.offset_bytes + block.size_bytes
    while offset < end:
        row, start = divmod(offset, row_bytes)
        length = min(end - offset, row_bytes - start)
        found.append((row, start, length))
        offset += length
    return found


def grouped(blocks: Sequence[Block], groups: int) -> dict[str, list[Block]]:
    """Blocks by label, the most bytes first; labels beyond `groups` come together as `other`."""
    by_label: dict[str, list[Block]] = {}
    for block in blocks:
        by_label.setdefault(block.label, []).append(block)
    size = {label: sum(b.size_bytes for b in some) for label, some in by_label.items()}
    order = sorted(by_label, key=lambda label: (-size[label], label))
    if len(order) <= groups:
        return {label: by_label[label] for label in order}
    kept = {label: by_label[label] for label in order[: groups - 1]}
    return kept | {"other": [b for label in order[groups - 1 :] for b in by_label[label]]}


def in_words(blocks: Sequence[Block]) -> str:
    """Number and bytes of the blocks in use and of the free ones."""
    parts = []
    for word, in_use in (("in use", True), ("free", False)):
        sizes = [b.size_bytes for b in blocks if b.in_use == in_use]
        if sizes:
            parts.append(f"{len(sizes)} {word}, {sum(sizes):,} bytes")
    return "; ".join(parts)
