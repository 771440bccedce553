"""Figures of several panels side by side: one quantity over a factor, a panel for each group.

Drawn in the style of `sim/plots.py`, which also saves them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sim.plots import COLOURS, DPI, MARKERS, _line, _shown, _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHADES = ("#e8e8e8", "#d3dfe8")


class Series(NamedTuple):
    """One line. xs, ys: its points; lows, highs: a band around it, empty for none."""

    xs: Sequence[float]
    ys: Sequence[float]
    lows: Sequence[float] = ()
    highs: Sequence[float] = ()


class Band(NamedTuple):
    """A range of x that is shaded, and what it is."""

    low: float
    high: float
    label: str


def panels(
    groups: Mapping[str, Mapping[str, Series]],
    xlabel: str,
    ylabel: str,
    title: str,
    bands: Sequence[Band] = (),
    logarithmic: bool = False,
    plain: bool = False,
) -> Figure:
    """A panel for each group with the same axes, a line for each of its series.

    `plain` draws the lines without markers, for a course rather than for single points.
    """
    with _style():
        figure, row = _row(len(groups), title)
        for axes, (name, series) in zip(row, groups.items(), strict=True):
            for shade, band in zip(_SHADES, bands, strict=False):
                axes.axvspan(band.low, band.high, color=shade, label=band.label, lw=0, zorder=0)
            for i, (label, one) in enumerate(series.items()):
                look = _line(i) | {"marker": MARKERS[i % len(MARKERS)], "markersize": 4 + i % 3}
                look |= {"marker": "", "linewidth": 2.6 - 0.7 * (i % 3)} if plain else {}
                axes.plot(one.xs, one.ys, label=_shown(label), markerfacecolor="white", **look)
                if one.lows:
                    colour = COLOURS[i % len(COLOURS)]
                    axes.fill_between(one.xs, one.lows, one.highs, color=colour, alpha=0.12, lw=0)
            axes.set_title(name, loc="left", fontsize=9)
            axes.set_xlabel(xlabel)
            if logarithmic:
                _powers_of_two(axes, [x for s in series.values() for x in s.xs])
        row[0].set_ylabel(ylabel)
        row[0].set_ylim(bottom=0)
        handles, names = row[0].get_legend_handles_labels()
        wide = 3 if max(map(len, names), default=0) < 34 else 2
        figure.legend(handles, names, loc="outside lower center", ncols=wide)
        return figure


def _row(count: int, title: str) -> tuple[Figure, list[Any]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width = max(5.0, 1.0 + 2.9 * count)
    figure = Figure(figsize=(width, 4.0), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    found = figure.subplots(1, count, sharey=True, squeeze=False)
    return figure, list(found[0])


def _powers_of_two(axes: Axes, xs: Sequence[float]) -> None:
    from matplotlib.ticker import NullLocator

    axes.set_xscale("log", base=2)
    marks, mark = [], 1
    while mark <= max(xs):
        if mark >= min(xs):
            marks.append(mark)
        mark *= 4
    axes.set_xticks(marks, [f"{mark:,}" for mark in marks])
    axes.xaxis.set_minor_locator(NullLocator())
