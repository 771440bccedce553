"""What a run's processes still have at its end, as lines of text that fit 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scenarios.cli_output import WIDTH, counted, print_wrapped

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


def print_left_behind(found: Sequence[Mapping[str, Any]]) -> None:
    """What the machines of a scenario's run are left with, scheme by scheme.

    found: as `left_behind` in the documents; empty for a scenario without a machine.
    """
    machines = sum(one["machines"] for one in found)
    if found and not any([*left_lines(one)] for one in found):
        print_wrapped(f"left at the end: nothing ({counted(machines, 'machine')})", "  ")
        return
    for one in found:
        lines = list(left_lines(one))
        words = f"{one['scheme']}: left at the end of {counted(one['machines'], 'machine')}"
        print_wrapped(words + ("" if lines else ": nothing"), "  ")
        for line in lines:
            print(line)
