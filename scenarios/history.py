"""Which schemes met which machines; every other pair is counterfactual."""

from __future__ import annotations

from models.cygwin import schemes
from models.win32.cost_profile import Profile


def met(scheme: str, profile: Profile, system: str) -> bool:
    """Whether the scheme was in use in the years of such machines."""
    found = schemes.get(scheme)
    first, last = profile.years
    since = int(found.since[:4])
    until = int(found.until[:4]) if found.until else last
    return profile.system == system and since <= last and until >= first
