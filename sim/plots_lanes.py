"""Figures of lanes: what lasts from when to when, a lane for each holder, a layer for each kind.

Drawn in the style of `sim/plots.py`, which also saves them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from sim.plots import BLUE, GREEN, ORANGE, PURPLE, _figure, _style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = (BLUE, ORANGE, GREEN, PURPLE)
_HATCHES = ("", "////", "", "....")  # a second sign beside the colour
_LIFE = "#dddddd"


class Span(NamedTuple):
    """A stretch of one lane. end: None if it never ends."""

    lane: int
    kind: str
    start: float
    end: float | None


class Lane(NamedTuple):
    """One lane. start, end: of its holder, drawn behind; None for an end that never came.

    group: what it belongs to; the first lane of a group has its name above it
    """

    name: str
    start: float
    end: float | None
    group: str = ""


def lanes(
    rows: Sequence[Lane], spans: Sequence[Span], title: str, xlabel: str, life: str = "exists"
) -> Figure:
    """Lanes from the top down; each kind of span has its layer in every lane.

    What never ends goes on to the edge and has an arrow.  Raises ValueError for a span of a lane
    that there is not, and where there are no lanes.
    """
    if not rows:
        raise ValueError("a figure needs at least one lane")
    for span in spans:
        if not 0 <= span.lane < len(rows):
            raise ValueError(f"lane ({span.lane}) must be from 0 to {len(rows) - 1}")
    ends = [x for x in (*(r.end for r in rows), *(s.end for s in spans)) if x is not None]
    edge = 1.06 * max([*ends, *(r.start for r in rows), *(s.start for s in spans), 1e-9])
    kinds = list(dict.fromkeys(span.kind for span in spans))
    places, height = _places(rows)
    with _style():
        figure, axes = _figure(7.2, 1.2 + 0.3 * height, title)
        for row, y in zip(rows, places, strict=True):
            axes.barh(y, (edge if row.end is None else row.end) - row.start, 0.8, row.start,
                      color=_LIFE, lw=0)  # fmt: skip
        for y, text in _heads(rows, places):
            axes.text(0.0, y, text, transform=axes.get_yaxis_transform(), fontsize=8,
                      weight="bold", va="center")  # fmt: skip
        thick = 0.66 / max(len(kinds), 1)
        for span in spans:
            i = kinds.index(span.kind)
            y = places[span.lane] - 0.33 + thick * (i + 0.5)
            end = edge if span.end is None else span.end
            axes.barh(y, max(end - span.start, edge / 400), thick * 0.9, span.start,
                      facecolor=_COLOURS[i % 4], hatch=_HATCHES[i % 4], edgecolor="white",
                      lw=0)  # fmt: skip
            if span.end is None:
                axes.plot([edge], [y], marker=">", color=_COLOURS[i % 4], clip_on=False)
        for i, kind in enumerate(kinds):
            axes.fill([], [], facecolor=_COLOURS[i % 4], hatch=_HATCHES[i % 4], edgecolor="white",
                      label=kind)  # fmt: skip
        axes.fill([], [], color=_LIFE, label=life)
        axes.set_yticks(places, [row.name for row in rows])
        axes.set(xlim=(min(0.0, *(r.start for r in rows)), edge), ylim=(height, -0.3))
        axes.set_xlabel(xlabel)
        axes.grid(visible=False, axis="y")
        handles, names = axes.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=4)
        return figure


def _places(rows: Sequence[Lane]) -> tuple[list[float], float]:
    """The middle of each lane, with room above a group; and the height of all."""
    found, y, before = [], 0.0, ""
    for row in rows:
        if row.group and row.group != before:
            y += 1.0
        before = row.group
        found.append(y + 0.5)
        y += 1.0
    return found, y + 0.3


def _heads(rows: Sequence[Lane], places: Sequence[float]) -> list[tuple[float, str]]:
    heads, before = [], ""
    for row, y in zip(rows, places, strict=True):
        if row.group and row.group != before:
            heads.append((y - 0.85, row.group))
        before = row.group
    return heads
