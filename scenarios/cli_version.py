"""What `--version` prints, without importing SimPy or numpy (numpy alone costs 100 ms).

An installed package leaves a folder `NAME-VERSION.dist-info` beside itself; the first entry of
`sys.path` that has one is the one Python would import from.
"""

from __future__ import annotations

import os
import sys

from scenarios import __version__

SUFFIX = ".dist-info"


def version_line() -> str:
    """`cygsim V (Python V, SimPy V, numpy V)`."""
    python = ".".join(str(part) for part in sys.version_info[:3])
    simpy, numpy = installed_version("simpy"), installed_version("numpy")
    return f"cygsim {__version__} (Python {python}, SimPy {simpy}, numpy {numpy})"


def installed_version(name: str) -> str:
    """Version of the installed package `name`; "not installed" where there is none."""
    for folder in sys.path:
        found = _versions_in(folder or os.curdir, name)
        if len(found) == 1:
            return found[0]
        if found:
            break
    return _slow_version(name)


def _versions_in(folder: str, name: str) -> list[str]:
    try:
        entries = os.listdir(folder)
    except OSError:  # a zip file, or an entry of sys.path that is not there
        return []
    prefix = f"{name}-"
    return [
        entry[len(prefix) : -len(SUFFIX)]
        for entry in entries
        if entry.endswith(SUFFIX) and entry.lower().startswith(prefix)
    ]


def _slow_version(name: str) -> str:
    """For what was installed in another way (an egg, a zip file, two versions in one folder)."""
    import importlib.metadata

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
