"""What one number of a profile may look like: a distribution, its unit, its kind and its source.

Every parameter of a machine says where it comes from: `measured` (seen in a source), `derived`
(computed from measured ones, the reasoning in `source`) or `assumed`.  A parameter draws its own
values from a generator that it is given; element i of a draw does not depend on how many are drawn.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

Floats = npt.NDArray[np.float64]

Z95 = 1.6448536269514722  # 95 % point of the standard normal distribution [1] -- constant
LONGEST_US = 1e9  # no single cost is longer than a quarter of an hour [us] -- assumed limit
LARGEST_BYTES = float(2**53)  # whole numbers stay exact as floats [bytes]


class _Parameter(BaseModel):
    """The fields that every distribution has."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    unit: str
    kind: Literal["measured", "derived", "assumed"]
    source: str = Field(min_length=1)


class Constant(_Parameter):
    """Always the same value."""

    distribution: Literal["constant"]
    value: float

    def numbers(self) -> dict[str, float]:
        """The settable numbers by name, in the unit of the parameter."""
        return {"value": self.value}

    def text(self) -> str:
        """The distribution in words."""
        return f"constant {self.value:g}"

    def sample(self, generator: np.random.Generator, count: int) -> Floats:
        """`count` times the value; draws nothing."""
        return np.full(count, self.value)


class Lognormal(_Parameter):
    """Lognormal, given by its median and its 95 % point."""

    distribution: Literal["lognormal"]
    median: float
    p95: float

    @model_validator(mode="after")
    def _ordered(self) -> Lognormal:
        if self.median <= 0 and not math.isnan(self.median):
            raise PydanticCustomError(
                "order", "median ({median}) must be above 0", {"median": self.median}
            )
        _ordered({"median": self.median, "p95": self.p95})
        return self

    def numbers(self) -> dict[str, float]:
        """The settable numbers by name, in the unit of the parameter."""
        return {"median": self.median, "p95": self.p95}

    def text(self) -> str:
        """The distribution in words."""
        return f"lognormal, median {self.median:g}, p95 {self.p95:g}"

    def sample(self, generator: np.random.Generator, count: int) -> Floats:
        """`count` draws, one normal number each."""
        return _lognormal(self.median, self.p95, generator.standard_normal(count))


class Triangular(_Parameter):
    """Triangular between two ends, with the most likely value between."""

    distribution: Literal["triangular"]
    low: float
    mode: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Triangular:
        _ordered({"low": self.low, "mode": self.mode, "high": self.high})
        return self

    def numbers(self) -> dict[str, float]:
        """The settable numbers by name, in the unit of the parameter."""
        return {"low": self.low, "mode": self.mode, "high": self.high}

    def text(self) -> str:
        """The distribution in words."""
        return f"triangular {self.low:g}, {self.mode:g}, {self.high:g}"

    def sample(self, generator: np.random.Generator, count: int) -> Floats:
        """`count` draws, one uniform number each, through the inverse distribution function."""
        uniform = generator.random(count)
        width = self.high - self.low
        if width == 0:
            return np.full(count, self.low)
        rising, falling = self.mode - self.low, self.high - self.mode
        left = self.low + np.sqrt(uniform * width * rising)
        right = self.high - np.sqrt((1 - uniform) * width * falling)
        chosen: Floats = np.where(uniform * width <= rising, left, right)
        return chosen


class Mixture(_Parameter):
    """Nothing most of the time; with `probability` a lognormal value (the contention tail)."""

    distribution: Literal["mixture"]
    probability: float = Field(ge=0, le=1)
    median: float
    p95: float

    @model_validator(mode="after")
    def _ordered(self) -> Mixture:
        if self.median <= 0 and not math.isnan(self.median):
            raise PydanticCustomError(
                "order", "median ({median}) must be above 0", {"median": self.median}
            )
        _ordered({"median": self.median, "p95": self.p95})
        return self

    def numbers(self) -> dict[str, float]:
        """The settable numbers by name; all but the probability in the unit of the parameter."""
        return {"probability": self.probability, "median": self.median, "p95": self.p95}

    def text(self) -> str:
        """The distribution in words."""
        tail = f"lognormal, median {self.median:g}, p95 {self.p95:g}"
        return f"0, or with probability {self.probability:g} {tail}"

    def sample(self, generator: np.random.Generator, count: int) -> Floats:
        """`count` draws, two uniform numbers and no more for each: hit or not, and how long."""
        uniform = generator.random((count, 3))
        radius = np.sqrt(-2 * np.log1p(-uniform[:, 1]))
        normal = radius * np.cos(2 * math.pi * uniform[:, 2])  # Box and Muller 1958
        value = _lognormal(self.median, self.p95, normal)
        chosen: Floats = np.where(uniform[:, 0] < self.probability, value, 0.0)
        return chosen


Parameter = Annotated[
    Constant | Lognormal | Triangular | Mixture, Field(discriminator="distribution")
]


@dataclass(frozen=True)
class Domain:
    """Which values a parameter may take; the check lists all faults of a parameter at once."""

    unit: str  # the one unit that a profile may state -- constant
    low: float  # smallest value -- constant
    high: float  # largest value -- constant
    fixed: bool = False  # only a constant makes sense -- constant
    whole: bool = False  # only whole numbers make sense -- constant
    infinite: bool = False  # infinity is a value -- constant

    def check(self, parameter: Any) -> Any:
        """The parameter itself; raises PydanticCustomError whose context lists every fault."""
        faults = [
            (name, fault)
            for name, value in parameter.numbers().items()
            if name != "probability" and (fault := self._fault(value))
        ]
        if parameter.unit != self.unit:
            faults.append(("unit", f"({parameter.unit!r}) must be {self.unit!r}"))
        if self.fixed and parameter.distribution != "constant":
            faults.append(("distribution", f"({parameter.distribution!r}) must be 'constant'"))
        if faults:
            raise PydanticCustomError("domain", "is out of its domain", {"faults": faults})
        return parameter

    def _fault(self, value: float) -> str | None:
        if math.isinf(value) and value > 0 and self.infinite:
            return None
        if not (math.isfinite(value) and self.low <= value <= self.high):
            return f"({value:g}) must be from {self.low:g} to {self.high:g} {self.unit}"
        if self.whole and value != int(value):
            return f"({value:g}) must be a whole number of {self.unit}"
        return None


# The kinds of parameter that a profile holds.
Duration = Annotated[Parameter, AfterValidator(Domain("us", 0, LONGEST_US).check)]
FixedDuration = Annotated[Parameter, AfterValidator(Domain("us", 1, LONGEST_US, True).check)]
Bandwidth = Annotated[Parameter, AfterValidator(Domain("bytes/us", 1e-3, 1e9, infinite=True).check)]
Factor = Annotated[Parameter, AfterValidator(Domain("1", 1e-3, 1e3).check)]
FixedFactor = Annotated[Parameter, AfterValidator(Domain("1", 1e-6, 1e6, True).check)]
Size = Annotated[Parameter, AfterValidator(Domain("bytes", 0, LARGEST_BYTES, True, True).check)]
# a whole word at least: where fork returns to
Stack = Annotated[Parameter, AfterValidator(Domain("bytes", 4, LARGEST_BYTES, True, True).check)]
Room = Annotated[Parameter, AfterValidator(Domain("bytes", 1, LARGEST_BYTES, True, True).check)]
Count = Annotated[Parameter, AfterValidator(Domain("1", 0, 1e6, True, True).check)]


def _ordered(numbers: dict[str, float]) -> None:
    """Raise PydanticCustomError unless the numbers stand in rising order."""
    names = list(numbers)
    for before, after in itertools.pairwise(names):
        if numbers[after] < numbers[before]:
            raise PydanticCustomError(
                "order",
                "{after} ({high}) must be at least {before} ({low})",
                {"after": after, "high": numbers[after], "before": before, "low": numbers[before]},
            )


def _lognormal(median: float, p95: float, normal: Floats) -> Floats:
    """Standard normal numbers stretched to the lognormal distribution with these two points."""
    sigma = math.log(p95 / median) / Z95
    stretched: Floats = median * np.exp(sigma * normal)
    return stretched
