"""Which scheme or variant a Cygwin of some day had.

A day belongs to what the tree had at its end; a release may have come later.  Before 2000-09-03
there was no cygheap; before the first day, that of the oldest DLL that was looked at, and after the
last nothing is known.

Source: CYGWIN.md §0 and §e, MODERN.md §6.4.
"""

from __future__ import annotations

from datetime import date

from sim.errors import InputError

LAST_DAY = "2026-08-07"  # of the newest tree that was looked at
DAYS = (  # first day of each, in order
    ("2000-05-14", "1.1"),
    ("2000-09-03", "fixed-2000"),
    ("2000-09-11", "2000-09-11"),
    ("2000-09-30", "2000-09-30"),
    ("2000-10-14", "blocking"),
    ("2001-07-17", "2001-07-17"),
    ("2001-07-18", "2001-07-18"),
    ("2001-08-04", "2001-08-04"),
    ("2001-08-20", "2001-08-20"),
    ("2001-08-31", "2001-08-31"),
    ("2001-09-06", "shared-memory-1.3.3"),  # the walk bug of that day was gone in the evening
    ("2001-09-14", "shared-memory"),
    ("2005-06-01", "1.5.18"),
    ("2005-07-17", "1.7.7"),
    ("2025-03-18", "child-copy-3.6.4"),
    ("2025-10-09", "child-copy"),
)


def as_of(day: str) -> str:
    """Name of the scheme or variant of that day (YYYY-MM-DD). Raises InputError."""
    allowed = f"a day from {DAYS[0][0]} to {LAST_DAY}, as YYYY-MM-DD"
    try:
        known = date.fromisoformat(day).isoformat() == day
    except ValueError:
        known = False
    if not known:
        raise InputError("--as-of", f"{day!r} is no day", allowed)
    if not DAYS[0][0] <= day <= LAST_DAY:
        raise InputError("--as-of", f"no scheme is known for {day}", allowed)
    return [name for since, name in DAYS if since <= day][-1]
