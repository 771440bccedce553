"""The schemes by which a child comes to own its parent's cygheap, one file each."""

from __future__ import annotations

from models.cygwin.protocol import Scheme
from models.cygwin.schemes import blocking, shared_memory, shared_memory_1_3_3

_MODULES = (blocking, shared_memory_1_3_3, shared_memory)


def names() -> list[str]:
    """All schemes, oldest first."""
    return [module.SCHEME.name for module in _MODULES]


def get(name: str) -> Scheme:
    """The scheme of that name. Raises KeyError if there is none."""
    for module in _MODULES:
        if module.SCHEME.name == name:
            return module.SCHEME
    raise KeyError(name)


def describe() -> list[dict[str, str]]:
    """name, era, since, until and summary of each scheme."""
    return [
        {
            "name": scheme.name,
            "era": scheme.version.era.name,
            "since": scheme.since,
            "until": scheme.until,
            "summary": scheme.summary,
        }
        for scheme in (module.SCHEME for module in _MODULES)
    ]
