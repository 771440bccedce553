"""A mean and its limits in figures: as many places as tell the limits apart, the same for all."""

from __future__ import annotations

import math
from collections.abc import Iterable

_FIGURES = 3  # of a mean, at least -- chosen
_OF_WIDTH = 2  # figures of an interval's width -- chosen
_MOST = 6  # decimal places -- chosen


def places(mean: float, widths: Iterable[float]) -> int:
    """How many decimal places to write; 0 where whole numbers say it all.

    widths: of the intervals about the mean; those of 0 have nothing to tell apart
    """
    least = min((width for width in widths if width > 0), default=0.0)
    wanted = [figures - 1 - math.floor(math.log10(abs(value)))
              for value, figures in ((mean, _FIGURES), (least, _OF_WIDTH)) if value]  # fmt: skip
    if not least and mean == round(mean):
        return 0
    return min(max(0, *wanted), _MOST)


def figures(value: float, decimals: int) -> str:
    """The number with so many decimal places, thousands apart, and no minus before nothing."""
    text = f"{value:,.{decimals}f}"
    return text.removeprefix("-") if not text.strip("-0.,") else text
