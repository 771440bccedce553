"""What a scenario says about itself, and what one run of it gives back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from scenarios.options import DEFAULT_PROFILE, DEFAULT_SCHEMES, DEFAULT_SYSTEM


class Measured(NamedTuple):
    """One measure at one design point of one run."""

    point: str  # design point, as KEY=VALUE words
    measure: str
    unit: str
    value: float | int | str | None  # None if it never came
    censored: int  # how many observations behind it never came
    system: str = ""  # where a run has several systems, the one that it was measured on


@dataclass(frozen=True)
class Outcome:
    """What one scheme gave in one replication. Every field is *output*.

    rows: measures; notes: sentences
    drawn: what figures need beyond the rows, by a name of the scenario's own
    """

    rows: list[Measured]
    notes: list[str]
    drawn: dict[str, Any] = field(default_factory=dict)

    def value(self, point: str, measure: str, system: str = "") -> Any:
        """The value of a measure. Raises KeyError if it was not measured."""
        for row in self.rows:
            if (row.point, row.measure, row.system) == (point, measure, system):
                return row.value
        raise KeyError(f"{measure} at {point} {system}".rstrip())


@dataclass(frozen=True)
class Spec:
    """Name, question and defaults of a scenario.

    `parameters` is a frozen dataclass; its fields are the keys of `--set`. `quick` gives the
    fields that `--quick` changes: smaller, same shape.  Beside SPEC the module has `run_point`,
    `table`, `conclusions` and `figures`.  A `system` of several, as `nt+9x`, is what `run_point`
    gets where the user names none; each row then says its own.
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

    def point(self, quick: bool) -> Any:
        """The design point to start from."""
        return replace(self.parameters, **dict(self.quick)) if quick else self.parameters
