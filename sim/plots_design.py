"""Figures of an experiment: a measure over each factor, tornados, and two intervals of one mean.

Drawn in the style of `sim/plots.py`, which also saves them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sim.plots import COLOURS, DPI, MARKERS, _shown, _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 4  # panels side by side -- chosen
_MOST_TICKS = 6


class Swing(NamedTuple):
    """One bar of a tornado: the measure at both ends, and the settings there."""

    label: str
    low: float
    high: float
    at_low: str
    at_high: str


def over_factors(
    factors: Mapping[str, Sequence[float | int | str | bool]],
    series: Mapping[str, Sequence[float | None]],
    ylabel: str,
    title: str,
) -> Figure:
    """A panel for each factor, a mark for each design point and series.

    `factors` and `series` hold one value for each point; None (never came) has no mark.  Words
    stand beside each other in the order in which they come first.
    """
    with _style():
        rows = math.ceil(len(factors) / _COLUMNS)
        columns = min(len(factors), _COLUMNS)
        figure, grid = _grid(rows, columns, title)
        for axes, (name, settings) in zip(grid, factors.items(), strict=False):
            xs = _positions(axes, settings)
            for i, (label, values) in enumerate(series.items()):
                some = [(x, y) for x, y in zip(xs, values, strict=True) if y is not None]
                axes.plot(
                    [x for x, _ in some], [y for _, y in some], ls="none", label=_shown(label),
                    marker=MARKERS[i % len(MARKERS)], markersize=4 + i % 3,
                    color=COLOURS[i % len(COLOURS)], markerfacecolor="none",
                )  # fmt: skip
            axes.set_xlabel(name, fontsize=8)
        for axes in grid[len(factors) :]:
            axes.axis("off")
        for row in range(rows):
            grid[row * columns].set_ylabel(ylabel)
        handles, names = grid[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=3)
        return figure


def tornado(bars: Sequence[Swing], base: float, xlabel: str, title: str) -> Figure:
    """One bar for each factor about the value at the base, the longest first."""
    with _style():
        figure, grid = _grid(1, 1, title, (7.2, 1.5 + 0.36 * len(bars)))
        axes = grid[0]
        for i, bar in enumerate(bars):
            axes.barh(i, bar.high - bar.low, left=bar.low, height=0.55, color=COLOURS[0])
            for x, text, side, gap in (
                (bar.low, bar.at_low, "right", -4), (bar.high, bar.at_high, "left", 4),
            ):  # fmt: skip
                axes.annotate(text, (x, i), xytext=(gap, 0), textcoords="offset points",
                              ha=side, va="center", fontsize=7)  # fmt: skip
        axes.axvline(base, color="#333333", lw=1)
        axes.set_yticks(range(len(bars)), [bar.label for bar in bars])
        low, high = min(b.low for b in bars), max(b.high for b in bars)
        room = 0.2 * (high - low or abs(base) or 1.0)
        axes.set(xlabel=xlabel, xlim=(low - room, high + room))
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        return figure


def curves(
    xs: Sequence[float],
    series: Mapping[str, Sequence[tuple[float, float | None, float | None]]],
    xlabel: str,
    ylabel: str,
    title: str,
    here: float | None = None,
    here_label: str = "",
) -> Figure:
    """A line for each series with a band between its limits, over something that is not known.

    `series` has (mean, low, high) for each x; `here` is marked by a dotted line.
    """
    with _style():
        figure, grid = _grid(1, 1, title, (6.4, 4.0))
        axes = grid[0]
        for i, (label, points) in enumerate(series.items()):
            colour = COLOURS[i % len(COLOURS)]
            axes.plot(xs, [mean for mean, _, _ in points], color=colour, label=_shown(label),
                      marker=MARKERS[i % len(MARKERS)], markersize=4, lw=1.4,
                      markerfacecolor="white")  # fmt: skip
            band = [(x, low, high) for x, (_, low, high) in zip(xs, points, strict=True)
                    if low is not None and high is not None]  # fmt: skip
            lows, highs = [low for _, low, _ in band], [high for *_, high in band]
            axes.fill_between([x for x, _, _ in band], lows, highs, color=colour, alpha=0.15, lw=0)
        if here is not None:
            axes.axvline(here, color="#333333", lw=1, ls=":", label=here_label)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        handles, names = axes.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=2)
        return figure


def _grid(
    rows: int, columns: int, title: str, size: tuple[float, float] | None = None
) -> tuple[Figure, list[Any]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width, height = size or (max(5.0, 1.0 + 2.4 * columns), 1.2 + 2.5 * rows)
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    found = figure.subplots(rows, columns, sharey=True, squeeze=False)
    return figure, [axes for row in found for axes in row]


def _positions(axes: Axes, settings: Sequence[float | int | str | bool]) -> list[float]:
    """Where each point stands; words, and numbers of a few levels, at places of their own."""
    levels = list(dict.fromkeys(settings))
    numbers = [value for value in levels if not isinstance(value, str)]
    if len(numbers) == len(levels):
        if len(levels) <= _MOST_TICKS:
            levels = sorted(numbers)
        else:
            if min(numbers) > 0 and max(numbers) / min(numbers) >= 3.5:
                axes.set_xscale("log", base=2)
                _plain_ticks(axes, float(min(numbers)), float(max(numbers)))
            axes.tick_params(axis="x", labelsize=7)
            return [float(value) for value in settings]
    texts = [_short(value) for value in levels]
    axes.set_xticks(range(len(levels)), texts, fontsize=7,
                    rotation=30 if max(map(len, texts)) * len(texts) > 26 else 0)  # fmt: skip
    axes.set_xlim(-0.5, len(levels) - 0.5)
    return [float(levels.index(value)) for value in settings]


def _plain_ticks(axes: Axes, low: float, high: float) -> None:
    from matplotlib.ticker import NullLocator

    middle = math.sqrt(low * high)
    axes.set_xticks([low, middle, high], [f"{x:.3g}" for x in (low, middle, high)], fontsize=7)
    axes.xaxis.set_minor_locator(NullLocator())


def _short(value: float | int | str | bool) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 20 else text[:19] + "…"
