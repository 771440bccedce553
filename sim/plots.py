"""Figures, from arrays. Only here and in `plots_*.py` is matplotlib imported, when a figure
is drawn.

Every axis has its unit and every legend its number of observations; a censored observation is
counted and never drawn as a number.  Colours are those of Okabe and Ito (2008), distinct for
colour-blind readers; text is DejaVu Sans, which matplotlib brings along, so the same arrays give
the same bytes everywhere with one version of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim.block_drawing import draw_key, draw_map
from sim.block_map import Block, grouped
from sim.sequence_drawing import draw_chart
from sim.sequence_layout import (
    MARGIN,
    TITLE_PT,
    Arrow,
    Bracket,
    KernelObject,
    Layout,
    Measure,
    Step,
    Wait,
    lay_out,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW, BLACK, GREY = "#CC79A7", "#56B4E9", "#F0E442", "#000000", "#999999"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK, YELLOW)
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D")
DPI = 120
_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.hashsalt": "cygsim",
    "svg.fonttype": "path",
}


def latency_ecdf(
    groups: Mapping[str, Sequence[float | None] | Floats],
    title: str,
    xlabel: str = "time from call to return [ms]",
) -> Figure:
    """Distribution of latencies [us, drawn in ms], one step line a group, on a logarithmic axis.

    A curve ends below 1 by its censored share (None or inf).
    """
    with _style():
        figure, axes = _figure(6.4, 4.0, title)
        for i, (label, values_us) in enumerate(groups.items()):
            numbers = np.array([math.inf if v is None else v for v in values_us], dtype=np.float64)
            came = np.sort(numbers[np.isfinite(numbers)]) / 1000.0
            name = _with_count(label, numbers.size, numbers.size - came.size)
            share = np.arange(1, came.size + 1) / max(numbers.size, 1)
            axes.step(came, share, where="post", label=name, **_line(i))
        axes.set(xlabel=xlabel, ylabel="share of creations [1]", ylim=(0, 1.02))
        _logarithmic_if_wide(axes, [line.get_xdata() for line in axes.get_lines()])
        _legend_below(figure, axes)
        return figure


def blocked_bars(
    labels: Sequence[str],
    values_us: Mapping[str, Sequence[float | None]],
    title: str,
    xlabel: str = "time blocked [ms]",
) -> Figure:
    """One bar for each label and series [us, drawn in ms]; None or inf is a bar that never ends."""
    with _style():
        count = max(len(values_us), 1)
        figure, axes = _figure(6.4, 1.4 + 0.24 * len(labels) * (count + 0.6), title)
        finite = [v for row in values_us.values() for v in row if v is not None and v < math.inf]
        limit = max([*finite, 1e-9]) / 1000.0 * 1.18
        for i, (series, row) in enumerate(values_us.items()):
            for j, value in enumerate(row):
                y = j + (i - (count - 1) / 2) * 0.8 / count
                _bar(
                    axes, y, 0.8 / count * 0.9, value, limit, i, _shown(series) if j == 0 else None
                )
        axes.set_yticks(range(len(labels)), labels)
        axes.set(xlabel=xlabel, xlim=(0, limit * 1.12))
        axes.xaxis.set_major_formatter("{x:,g}")
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        _legend_below(figure, axes)
        return figure


def plain_bars(labels: Sequence[str], values: Sequence[float], title: str, xlabel: str) -> Figure:
    """One horizontal bar for each label, its value at the end; any unit."""
    with _style():
        figure, axes = _figure(6.4, 1.3 + 0.42 * len(labels), title)
        bars = axes.barh(range(len(labels)), values, height=0.6, color=_line(0)["color"])
        axes.bar_label(bars, [_bar_text(value) for value in values], padding=4)
        axes.set_yticks(range(len(labels)), labels)
        axes.set(xlabel=xlabel, xlim=(0, 1.15 * max([*values, 1e-9])))
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        return figure


def heap_over_generations(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]], title: str
) -> Figure:
    """Heap size [bytes, drawn in KiB] over the number of execs in a chain."""
    in_kib = {name: (xs, [y / 1024 for y in ys]) for name, (xs, ys) in series.items()}
    return lines(in_kib, "execs in a chain [1]", "heap in use [KiB]", title, steps=True)


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float | None]]],
    xlabel: str,
    ylabel: str,
    title: str,
    steps: bool = False,
    logarithmic: bool = False,
) -> Figure:
    """One line a series; None or inf (never) is a filled triangle at the upper edge.

    Both axes are logarithmic if asked, for values above 0.
    """
    with _style():
        figure, axes = _figure(6.4, 4.0, title)
        for i, (label, (xs, ys)) in enumerate(series.items()):
            came = [(x, y) for x, y in zip(xs, ys, strict=True) if y is not None and y < math.inf]
            never = [x for x, y in zip(xs, ys, strict=True) if y is None or y == math.inf]
            style: dict[str, Any] = _line(i) | ({"drawstyle": "steps-post"} if steps else {})
            if len(came) <= 40:
                hollow = {"markerfacecolor": "white", "markersize": 5 + i % 4}
                style |= {"marker": MARKERS[i % len(MARKERS)], **hollow}
            name = _with_count(label, len(xs), len(never), "never ends")
            axes.plot([x for x, _ in came], [y for _, y in came], label=name, **style)
            _never(axes, never, i)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.margins(x=0.03)
        if logarithmic and any(y for _, ys in series.values() for y in ys):
            _both_logarithmic(axes, series)
        else:
            axes.set_ylim(bottom=0)
            axes.set_ylim(bottom=-0.02 * axes.get_ylim()[1])  # a line at 0 is seen whole
        _legend_below(figure, axes)
        return figure


def heap_blocks(
    blocks: Sequence[Block], title: str, colours: Mapping[str, str] | None = None
) -> Figure:
    """Blocks of a heap as a map, 4 KiB a row; hatched blocks are free.

    Colours stand for labels: the seven with the most bytes and `other`, or `colours` has one for
    each label, and the labels stand in the blocks too.
    """
    row_bytes = 4096
    groups = grouped(blocks, len(colours or COLOURS))
    shades = colours or dict(zip(groups, COLOURS, strict=False))
    with _style():
        top = max((b.offset_bytes + b.size_bytes for b in blocks), default=1)
        rows = -(-top // row_bytes)
        height = max(rows, 4)
        figure, axes = _figure(7.6, 1.5 + 0.2 * height + 0.16 * len(groups), title)
        draw_map(axes, groups, shades, row_bytes, colours is not None)
        draw_key(axes, groups, shades, not colours and any(not b.in_use for b in blocks))
        axes.set(xlim=(0, row_bytes), ylim=(height, 0))
        axes.set(xlabel="offset in the row [bytes]", ylabel="row begins at [KiB]")
        axes.set_xticks(range(0, row_bytes + 1, 512))
        every = max(1, round(rows / 16))
        marks = range(0, rows + 1, every)
        axes.set_yticks(marks, [str(row * row_bytes // 1024) for row in marks])
        axes.grid(visible=False)
        handles, names = axes.get_legend_handles_labels()
        wide = 2 if max(map(len, names), default=0) < 50 else 1
        figure.set_figheight(1.5 + 0.2 * height + 0.17 * -(-len(names) // wide))
        figure.legend(handles, names, loc="outside lower left", fontsize=8, ncols=wide)
        return figure


def sequence_chart(
    lanes: Sequence[str],
    steps: Sequence[Step],
    title: str,
    waits: Sequence[Wait] = (),
    arrows: Sequence[Arrow] = (),
    objects: Sequence[KernelObject] = (),
    brackets: Sequence[Bracket] = (),
    rows: Sequence[int] | None = None,
) -> Figure:
    """One creation: lanes side by side, a row for each step, blocked stretches shaded.

    The rows are not to scale; the time of each stands at the left [us].  `rows` lets steps of
    different lanes stand level; then rows are numbered.  Raises ValueError for a reference to a
    step or lane that does not exist.
    """
    with _style():
        measure = _measure()
        layout = lay_out(lanes, steps, waits, arrows, objects, brackets, measure, rows)
        wide = 2 * MARGIN + measure(title, TITLE_PT, True)
        layout = replace(layout, width=max(layout.width, wide))
        figure, axes = _sheet(layout, title)
        draw_chart(axes, layout, steps, waits, objects)
        return figure


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write STEM.png and STEM.svg without date or program version; return both paths."""
    written = [stem.with_name(stem.name + ending) for ending in (".png", ".svg")]
    for path in written:
        save_as(figure, path)
    return written


def save_as(figure: Figure, path: Path) -> None:
    """Write one file in the format of its name's ending."""
    undated: dict[str, Any] = {".svg": {"Date": None, "Creator": None}, ".png": {"Software": None}}
    beside = path.with_name(path.name + ".partial")
    with _style():
        figure.savefig(
            beside,
            format=path.suffix[1:].lower(),
            dpi=DPI,
            metadata=undated.get(path.suffix.lower()),
        )
    beside.replace(path)


def _style() -> Any:
    import matplotlib

    return matplotlib.rc_context(_STYLE)  # type: ignore[arg-type]  # its keys are literals


def _figure(width: float, height: float, title: str) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=10)
    return figure, axes


def _line(number: int) -> dict[str, Any]:
    dash = DASHES[number % len(DASHES)]
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": dash, "linewidth": 1.6}


def _with_count(label: str, count: int, censored: int, word: str = "censored") -> str:
    name = _shown(label)
    return f"{name} (n={count}, {censored} {word})" if censored else f"{name} (n={count})"


def _shown(label: str) -> str:
    """The label with a space in front of a `_`, which would hide it from the legend."""
    return f" {label}" if label.startswith("_") else label


def _logarithmic_if_wide(axes: Axes, arrays: Sequence[Any]) -> None:
    values = np.concatenate([np.asarray(a, dtype=np.float64) for a in arrays] or [np.array([])])
    if values.size and values.min() > 0 and values.max() / values.min() > 8:
        from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

        axes.set_xscale("log")
        decades = math.log10(values.max() / values.min())
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 4 else (1,)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))


def _both_logarithmic(axes: Axes, series: Mapping[str, tuple[Sequence[float], Any]]) -> None:
    from matplotlib.ticker import FuncFormatter

    axes.set(xscale="log", yscale="log")
    axes.set_xlim(0.7 * min(min(xs) for xs, _ in series.values()),
                  1.4 * max(max(xs) for xs, _ in series.values()))  # fmt: skip
    low, high = axes.get_ylim()
    axes.set_ylim(low / 1.5, high * 3)  # room for what never ends
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))


def _legend_below(figure: Figure, axes: Axes) -> None:
    handles, names = axes.get_legend_handles_labels()
    if names:
        wide = 2 if max(map(len, names)) < 36 else 1
        figure.legend(handles, names, loc="outside lower center", ncols=wide)


def _bar(
    axes: Axes,
    y: float,
    height: float,
    value: float | None,
    limit: float,
    number: int,
    label: str | None,
) -> None:
    never = value is None or value == math.inf
    width = limit * 1.12 if never else (value or 0.0) / 1000.0
    look: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)]}
    if never:
        look = {"facecolor": "white", "edgecolor": look["color"], "hatch": "////"}
    axes.barh(y, width, height, **look)
    if label:
        axes.barh(y, 0, height, color=COLOURS[number % len(COLOURS)], label=label)
    box: Any = {"facecolor": "white", "edgecolor": "none", "pad": 1.0} if never else None
    text = "never ends" if never else _three_digits(width)
    x = limit * 0.5 if never else width + limit * 0.01
    axes.text(x, y, text, va="center", ha="center" if never else "left", fontsize=7.5, bbox=box)


def _three_digits(value: float) -> str:
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:g}"


def _bar_text(value: float) -> str:
    if 0 < value < 0.001:
        return "< 0.001"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _never(axes: Axes, xs: Sequence[float], number: int) -> None:
    """Triangles at the upper edge, a little lower for each series."""
    transform = axes.get_xaxis_transform()
    colour = COLOURS[number % len(COLOURS)]
    height = 0.98 - 0.035 * (number % 4)
    axes.plot(xs, [height] * len(xs), marker="^", ls="none", color=colour, transform=transform)


def _measure() -> Measure:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    @cache
    def width(text: str, size: float, bold: bool = False) -> float:
        weight = "bold" if bold else "normal"
        font = FontProperties(family="DejaVu Sans", weight=weight, size=size)
        points, _, _ = text_to_path.get_text_width_height_descent(text or " ", font, ismath=False)
        return float(points) / 72

    return width


def _sheet(layout: Layout, title: str) -> tuple[Figure, Axes]:
    """Axes over the whole page, in inches from the upper left corner."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(layout.width, layout.height), dpi=DPI)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, layout.width), ylim=(layout.height, 0))
    axes.axis("off")
    axes.text(MARGIN, 0.22, title, fontsize=TITLE_PT, va="center", weight="bold")
    return figure, axes
