"""What a run's processes still have at its end, as lines of text that fit 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from scenarios.cli_output import WIDTH

_COUNTED = ("processes", "handles", "views", "sections")


def left_lines(balance: Mapping[str, Any]) -> Iterator[str]:
    """A line or two for each cause, and for what has none; no line if nothing is left.

    balance: as `models.cygwin.left_behind.Balance.document` gives it.
    """
    for left in balance["left"]:
        counts = [f"{name} {left[name]:,}" for name in _COUNTED if left[name]]
        if left["committed_bytes"]:
            counts.append(f"{left['committed_bytes'] // 1024:,} KiB")
        yield from _wrapped(f"{left['cause']}: {', '.join(counts)}")
    for sentence in balance["unexplained"]:
        yield from _wrapped(f"unexplained: {sentence}")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
