"""What a scenario says about itself."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from scenarios.options import DEFAULT_PROFILE, DEFAULT_SCHEMES, DEFAULT_SYSTEM


@dataclass(frozen=True)
class Spec:
    """Name, question and defaults of a scenario.

    `parameters` is a frozen dataclass; its fields are the keys of `--set`. `quick` gives the
    fields that `--quick` changes: smaller, same shape.
    """

    name: str
    question: str
    parameters: Any  # frozen dataclass with the defaults
    quick: tuple[tuple[str, Any], ...] = ()
    schemes: tuple[str, ...] = DEFAULT_SCHEMES
    system: str = DEFAULT_SYSTEM
    profile: str = DEFAULT_PROFILE
    replications: int = 1
    quick_replications: int = 1

    def keys(self) -> tuple[str, ...]:
        """The keys that `--set` knows."""
        return tuple(field.name for field in fields(self.parameters))

    def point(self, quick: bool) -> Any:
        """The design point to start from."""
        return replace(self.parameters, **dict(self.quick)) if quick else self.parameters
