"""Several maps of memory blocks under each other, with one key: before and after.

Drawn in the style of `sim/plots.py`, which also saves them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sim.block_drawing import draw_map, look
from sim.block_map import Block, grouped
from sim.plots import DPI, _style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ROW_BYTES = 4096


def heap_maps(
    maps: Mapping[str, Sequence[Block]], title: str, colours: Mapping[str, str]
) -> Figure:
    """A map for each name, 4 KiB a row, all on one scale; `colours` has one for each label.

    Raises ValueError where there is no map.
    """
    if not maps:
        raise ValueError("a figure needs at least one map")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [-(-max((b.offset_bytes + b.size_bytes for b in some), default=1) // _ROW_BYTES)
            for some in maps.values()]  # fmt: skip
    with _style():
        height = 1.0 + sum(0.55 + 0.22 * n for n in rows)
        figure = Figure(figsize=(7.6, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(title, x=0.01, ha="left", fontsize=10)
        ratios = [0.3 + 0.22 * n for n in rows]
        found = figure.subplots(len(maps), 1, sharex=True, squeeze=False, height_ratios=ratios)
        for axes, (name, blocks), n in zip(found[:, 0], maps.items(), rows, strict=True):
            groups = grouped(blocks, len(colours))
            draw_map(axes, groups, colours, _ROW_BYTES, True)
            axes.set_title(name, loc="left", fontsize=8.5)
            axes.set(xlim=(0, _ROW_BYTES), ylim=(n, 0))
            axes.set_yticks(range(n), [str(row * 4) for row in range(n)], va="top", fontsize=7)
            axes.set_xticks(range(0, _ROW_BYTES + 1, 512))
            axes.grid(visible=False)
        bottom = found[-1, 0]
        bottom.set_xlabel("offset in the row [bytes]; rows begin at [KiB]")
        used = {b.label: b for some in maps.values() for b in some}
        for label, colour in colours.items():
            if label in used:
                bottom.fill([], [], label=label, **look(colour, used[label]))
        handles, names = bottom.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=6, fontsize=8)
        return figure
