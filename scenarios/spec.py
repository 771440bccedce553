"""What a scenario says about itself, and what one run of it gives back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from scenarios.options import DEFAULT_PROFILE, DEFAULT_SCHEMES, DEFAULT_SYSTEM

PARAGRAPHS = {  # of the document, in its order -> how each begins
    "inheritance": 'Cygwin has recently adopted something called the "cygwin heap"',
    "arguments": "The cygheap is also used to pass argv information to a child process",
    "allocator": "The cygheap memory allocation functions are adapted",
    "hand-over": "How is the cygheap propagated to the child?",
    "systems": "It is in the child process that the difference",
    "background": "Why do we go to these contortions?",
    "place": "In Cygwin 1.3.3 (and presumably beyond) the location of the cygwin heap",
}


class Measured(NamedTuple):
    """One measure at one design point of one run."""

    point: str  # design point, as KEY=VALUE words
    measure: str
    unit: str
    value: float | int | str | None  # None if it never came
    censored: int  # how many observations behind it never came


@dataclass(frozen=True)
class Outcome:
    """What one scheme gave in one replication. rows: measures; notes: sentences -- output"""

    rows: list[Measured]
    notes: list[str]

    def value(self, point: str, measure: str) -> Any:
        """The value of a measure. Raises KeyError if it was not measured."""
        for row in self.rows:
            if row.point == point and row.measure == measure:
                return row.value
        raise KeyError(f"{measure} at {point}")


@dataclass(frozen=True)
class Spec:
    """Name, question and defaults of a scenario.

    `parameters` is a frozen dataclass; its fields are the keys of `--set`. `quick` gives the
    fields that `--quick` changes: smaller, same shape.  `paragraph` is the one of the document that
    is told: a key of PARAGRAPHS, written out as it is read from the source; "" for none.

    Beside SPEC the module has `run_point`, `table`, `conclusions` and `figures`; `inputs` if it
    reads files; `places` and `watched` if its machines can be looked into by `heap show`.
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
    paragraph: str = ""

    def __post_init__(self) -> None:
        if self.paragraph not in ("", *PARAGRAPHS):
            raise ValueError(f"paragraph ({self.paragraph}) must be one of {', '.join(PARAGRAPHS)}")

    def point(self, quick: bool) -> Any:
        """The design point to start from."""
        return replace(self.parameters, **dict(self.quick)) if quick else self.parameters
