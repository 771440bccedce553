"""The ways to cut blocks that `allocator` compares, and its words for what came of them."""

from __future__ import annotations

from collections.abc import Callable

from models.cygwin.cygheap import layout
from models.cygwin.cygheap.fits import (
    FirstFit,
    Fit,
    Lists,
    exact_size,
    medians,
    modern,
    power_of_two,
)
from models.cygwin.exec_chain import SHAPES
from scenarios.spec import Replicated

_SMALLEST_64 = 48  # a block of 3.6's first class, which its walk misses
FITS: dict[str, tuple[Callable[[], Fit], int]] = {  # name -> (fresh heap, bytes of a word)
    "A": (lambda: Lists(power_of_two(layout.A), survive=False), 4),
    "B": (lambda: Lists(power_of_two(layout.B)), 4),
    "medians": (lambda: Lists(medians), 4),
    "exact-fit": (lambda: Lists(exact_size), 4),
    "first-fit": (FirstFit, 4),
    "M": (lambda: Lists(modern, unseen_bytes=_SMALLEST_64), 8),
}
TITLES = {
    "A": "A: 2^b, lists lost",
    "B": "B: 2^b",
    "medians": "B, medians too",
    "exact-fit": "exact fit",
    "first-fit": "first-fit",
    "M": "3.6 (64-bit)",
}
_ALL = "traces=all"


def at(fit: str) -> str:
    """The point of a way to cut blocks in the results."""
    return f"{_ALL} fit={fit}"


def about_lists(o: Replicated) -> str:
    """How often free lists serve, and what a call looks at."""
    hits, looks = (o.value(at("B"), m) for m in ("hit_rate", "entries_per_call"))
    other, worst = (o.value(at("first-fit"), m) for m in ("entries_per_call", "entries_worst"))
    return (
        f"free lists serve {100 * hits:.1f} % of the requests of recorded execs; a call looks at "
        f"{looks:.2f} list entries, in first-fit at {other:.2f} and at worst at {worst}"
    )


def about_waste(o: Replicated) -> str:
    """How much of the blocks is asked for, by the way to cut them."""
    share = {name: 100 * o.value(at(name), "asked_share") for name in FITS if FITS[name][1] == 4}
    best = max(share, key=lambda name: share[name])
    tops = {name: o.value(at(name), "top_mean_bytes") for name in share}
    least = min(tops, key=lambda name: tops[name])
    return (
        f"of the bytes that B hands out {share['B']:.1f} % were asked for, {best} comes to "
        f"{share[best]:.1f} %; the heap of {least} is the smallest, "
        f"{100 * (1 - tops[least] / tops['B']):.0f} % below B's"
    )


def about_modern(o: Replicated) -> str:
    """What the table leaves out of 3.6, since its words are twice as wide."""
    hits, asked = (100 * o.value(at("M"), m) for m in ("hit_rate", "asked_share"))
    return (
        f"the classes of 3.6 serve {hits:.1f} % of the requests from free lists, and of the bytes "
        f"that they hand out {asked:.1f} % were asked for (entries and pointers are 64-bit)"
    )


def about_growth(o: Replicated) -> str:
    """What grows by an exec."""
    words = []
    for name in FITS:
        grows = [o.value(at(name), f"growth_{shape}_bytes_per_exec") for shape in SHAPES]
        if any(grows):
            words.append(f"{TITLES[name]} by {grows[0]:,.0f} and {grows[1]:,.0f} bytes")
    stay = "the others stay as they are" if words else "no heap grows"
    found = "; ".join([*words, stay])
    return f"growth by one exec with constant and with changing sets: {found}"
