"""A map of memory blocks put on axes: a piece for each row that a block touches, and the key.

The axes (of matplotlib) are given; x is the offset in the row [bytes], y the row, downwards.  Free
blocks are hatched, so that they can be told without colours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sim.block_map import Block, in_words, pieces

BYTES_PER_CHARACTER = 38  # of a label at 6.5 points on a map 4 KiB and 6.8 inches wide
_DARK = 0.6  # below this brightness a label is written in white
_GREY = "#999999"


def draw_map(
    axes: Any,
    groups: Mapping[str, Sequence[Block]],
    colours: Mapping[str, str],
    row_bytes: int,
    with_labels: bool,
) -> None:
    """All blocks, in the colour of their label; the label itself where it has room."""
    for label, blocks in groups.items():
        colour = colours[label]
        for block in blocks:
            for row, start, length in pieces(block, row_bytes):
                axes.broken_barh([(start, length)], (row + 0.08, 0.84), **look(colour, block))
                if with_labels and length >= BYTES_PER_CHARACTER * (len(label) + 1):
                    _write(axes, label, start + length / 2, row + 0.5, colour, block.in_use)


def draw_key(
    axes: Any, groups: Mapping[str, Sequence[Block]], colours: Mapping[str, str], hatch: bool
) -> None:
    """An entry of the legend for each label; with `hatch` one more that explains free blocks."""
    for label, blocks in groups.items():
        example = max(blocks, key=lambda block: block.in_use)
        axes.fill([], [], label=f"{label} ({in_words(blocks)})", **look(colours[label], example))
    if hatch:
        axes.fill([], [], label="hatched: free", **look(_GREY, Block(0, 0, "", False)))


def look(colour: str, block: Block) -> dict[str, Any]:
    """How a block is filled."""
    if block.in_use:
        return {"facecolor": colour, "edgecolor": "white", "linewidth": 0.5}
    return {"facecolor": "white", "edgecolor": colour, "hatch": "//////", "linewidth": 0.5}


def _write(axes: Any, label: str, x: float, y: float, colour: str, in_use: bool) -> None:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    dark = in_use and 0.3 * red + 0.59 * green + 0.11 * blue < _DARK
    box = None if in_use else {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
    axes.text(x, y, label, color="white" if dark else "black", fontsize=6.5, ha="center",
              va="center_baseline", bbox=box)  # fmt: skip
