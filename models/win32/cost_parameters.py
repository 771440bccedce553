"""What one number of a profile may look like: a distribution, its unit, its kind and its source.

Every parameter of a machine says where it comes from: `measured` (seen in a source), `derived`
(computed from measured ones, the reasoning in `source`) or `assumed`.  A parameter draws its own
values from a generator that it is given; element i of a draw does not depend on how many are drawn.
What values a profile may state is checked in `profile_check.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

Z95 = 1.6448536269514722  # 95 % point of the standard normal distribution [1] -- constant

Kind = Literal["measured", "derived", "assumed"]


class Constant(NamedTuple):
    """Always the same value."""

    unit: str
    kind: Kind
    source: str
    value: float

    @property
    def distribution(self) -> str:
        """Its name in a profile."""
        return "constant"

    def numbers(self) -> dict[str, float]:
        """The settable numbers by name, in the unit of the parameter."""
        return {"value": self.value}

    def text(self) -> str:
        """The distribution in words."""
        return f"constant {self.value:g}"

    def sample(self, generator: np.random.Generator, count: int) -> Floats:
        """`count` times the value; draws nothing."""
        return np.full(count, self.value)


class Lognormal(NamedTuple):
    """Lognormal, given by its median and its 95 % point."""

    unit: str
    kind: Kind
    source: str
    median: float
    p95: float

    @property
    def distribution(self) -> str:
        """Its name in a profile."""
        return "lognormal"

    def numbers(self) -> dict[str, float]:
        """The settable numbers by name, in the unit of the parameter."""
        return {"median": self.median, "p95": self.p95}

    def text(self) -> str:
        """The distribution in words."""
        return f"lognormal, median {self.median:g}, p95 {self.p95:g}"

    def sample(self, generator: np.random.Generator, count: int) -> Floats:
        """`count` draws, one normal number each."""
        return _lognormal(self.median, self.p95, generator.standard_normal(count))


class Triangular(NamedTuple):
    """Triangular between two ends, with the most likely value between."""

    unit: str
    kind: Kind
    source: str
    low: float
    mode: float
    high: float

    @property
    def distribution(self) -> str:
        """Its name in a profile."""
        return "triangular"

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


class Mixture(NamedTuple):
    """Nothing most of the time; with `probability` a lognormal value (the contention tail)."""

    unit: str
    kind: Kind
    source: str
    probability: float
    median: float
    p95: float

    @property
    def distribution(self) -> str:
        """Its name in a profile."""
        return "mixture"

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


Parameter = Constant | Lognormal | Triangular | Mixture
DISTRIBUTIONS: Mapping[str, type[Parameter]] = {
    "constant": Constant,
    "lognormal": Lognormal,
    "triangular": Triangular,
    "mixture": Mixture,
}


def parameter_of(table: Mapping[str, Any]) -> Parameter:
    """The parameter that a table of a profile states; the table has been checked."""
    numbers = {key: value for key, value in table.items() if key != "distribution"}
    made = DISTRIBUTIONS[table["distribution"]]
    for name in made._fields[3:]:
        numbers[name] = float(numbers[name])
    return made(**numbers)


def table_of(parameter: Parameter) -> dict[str, Any]:
    """The table of a profile that states this parameter."""
    return {"distribution": parameter.distribution, **parameter._asdict()}


def _lognormal(median: float, p95: float, normal: Floats) -> Floats:
    """Standard normal numbers stretched to the lognormal distribution with these two points."""
    sigma = math.log(p95 / median) / Z95
    stretched: Floats = median * np.exp(sigma * normal)
    return stretched
