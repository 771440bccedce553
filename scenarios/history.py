"""Within which bounds results hold: which schemes met which machines, and what a replay leaves out.

Every pair of scheme and machine that never met is counterfactual.
"""

from __future__ import annotations

from models.cygwin import schemes
from models.win32.cost_profile import Profile

LIMITS_OF_A_REPLAY = (
    "the order of the recorded work is kept; what a faster creation would have let a program do "
    "earlier is not asked",
    "what a trace lacks (names, contents, sizes of DLLs) is assumed, see the profile",
    "counts, bytes and order follow from the model; times rest on assumed costs",
)


def met(scheme: str, profile: Profile, system: str) -> bool:
    """Whether the scheme was in use in the years of such machines."""
    found = schemes.get(scheme)
    first, last = profile.years
    since = int(found.since[:4])
    until = int(found.until[:4]) if found.until else last
    return profile.system == system and since <= last and until >= first
