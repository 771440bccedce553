"""Where the inputs of a run lay, as its manifest keeps them under `"ran"`, and finding them again.

Paths differ between machines, so they are no part of what a run is: the manifest's `inputs` hold
the content, `"ran"` only says where it was last seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.win32.cost_profile import Profile, describe, load_profile, profile_names
from sim.errors import InputError
from sim.results import content_digest, input_digest

_PROFILE = "profile "  # begins the key of the profile in a manifest's inputs
_AGAIN = "the file as it was at the run; --trace FILE names it where it is now"


def sources(trace: str | None, profile: str) -> dict[str, str | None]:
    """What the manifest keeps: absolute paths of the trace and of a profile that is a file."""
    named = profile in profile_names()
    return {
        "trace": trace if trace in (None, "-") else str(Path(str(trace)).resolve()),
        "profile": profile if named else str(Path(profile).resolve()),
    }


def found_trace(manifest: Mapping[str, Any], elsewhere: str | None) -> str:
    """Path of the run's trace, its content checked. Raises InputError if it is gone or another."""
    path = elsewhere or str(manifest["ran"]["from"]["trace"])
    if path == "-":
        raise InputError("--trace", "the run's trace came from standard input", _AGAIN)
    if not Path(path).exists():
        raise InputError(path, "the trace of the run is not there any more", _AGAIN)
    wanted = [d for name, d in manifest["inputs"].items() if not name.startswith(_PROFILE)]
    if wanted and input_digest(Path(path)) != wanted[0]:
        raise InputError(path, "its content is not that of the run's trace", _AGAIN)
    return path


def found_profile(manifest: Mapping[str, Any], settings: Mapping[str, str]) -> Profile:
    """The run's profile, its content checked. Raises InputError if it is gone or another."""
    name = str(manifest["ran"]["from"]["profile"])
    profile = load_profile(name)
    if settings:
        profile = profile.replace(dict(settings))
    if manifest["inputs"].get(_PROFILE + profile.name) != content_digest(describe(profile)):
        raise InputError(name, "the profile is not that of the run any more", "the same numbers")
    return profile
