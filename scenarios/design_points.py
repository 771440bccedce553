"""From factors to conditions: what a scenario is run with at each point of a design.

A factor is a parameter of the scenario, `scheme`, `system`, or `profile.KEY`, a number of the
profile.  `creation_split` is one more: what share of CreateProcess and the child's loader together
is CreateProcess (no measurement tells; 60 % in the profiles of 2001).  Values have six significant
digits, so that the words of a point say all of it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from models.cygwin import schemes
from models.win32.cost_parameters import Lognormal, Mixture, Triangular
from models.win32.cost_profile import Profile
from scenarios.campaign import Condition
from scenarios.cli_words import check_names, unknown_name
from scenarios.design_file import Asked, AskedFactor
from scenarios.parameters import Allowed, allowed_of, changed, shown
from scenarios.spec import Spec
from sim import design
from sim.design import Factor, Level, Point
from sim.errors import InputError

SPLIT = "creation_split"
CREATION = ("create_process", "loader")  # whose split no measurement tells, COSTS §1.3
_PROFILE = "profile."
_OWN = ("scheme", "system")
_SYSTEMS = ("nt", "9x")


def points(asked: Asked, factors: Sequence[Factor], seed: int) -> list[Point]:
    """The points of the design, each once, in its order. Raises InputError."""
    try:
        if asked.kind == "full":
            found = design.full_factorial(factors)
        elif asked.kind == "2k":
            found = design.two_level(factors)
        elif asked.kind == "lhs":
            found = design.latin_hypercube(factors, asked.points or 0, seed)
        elif asked.kind == "sobol":
            found = design.sobol_points(factors, asked.points or 0, seed)
        else:
            found = design.one_at_a_time(factors)
    except ValueError as error:
        raise InputError(asked.where, str(error), "another design") from None
    return found


def factors_of(asked: Asked, spec: Spec, base: Condition) -> list[Factor]:
    """The factors of a design: its own, or those of the scenario. Raises InputError."""
    if not asked.factors:
        found = list(spec.factors) or list(derived(base.point))
        if not found:
            allowed = "a design file that names factors"
            raise InputError(asked.where, f"{spec.name} has no factors of its own", allowed)
        return found
    return [_known(one, asked.where, spec, base) for one in asked.factors]


def derived(point: Any) -> Iterator[Factor]:
    """A factor for each parameter: the parts of a list, a number from half to twice its value."""
    for field in dataclasses.fields(point):
        value = getattr(point, field.name)
        allowed = allowed_of(field)
        if isinstance(value, tuple):
            if len(set(value)) > 1:
                yield Factor(field.name, levels=tuple(dict.fromkeys(map(_level, value))))
        elif isinstance(allowed, Allowed) and math.isfinite(value):
            low, high = max(allowed.low, value / 2), min(allowed.high, value * 2)
            if isinstance(value, int):
                low, high = math.ceil(low), math.floor(high)
            if low < high:
                yield Factor(field.name, low=float(low), high=float(high), log=low > 0)


def conditions(found: Iterable[Point], base: Condition, where: str) -> list[Condition]:
    """One condition for each point, equal ones once. Raises InputError for a value out of range."""
    return placed(found, base, where)[0]


def placed(
    found: Iterable[Point], base: Condition, where: str
) -> tuple[list[Condition], list[int]]:
    """The same, and for each point the number of its condition."""
    made: dict[tuple[str, str, tuple[str, ...]], Condition] = {}
    owns = []
    for point in found:
        condition = at_point(point, base, where)
        own = (condition.words, condition.system, condition.schemes)
        made.setdefault(own, condition)
        owns.append(own)
    order = {own: i for i, own in enumerate(made)}
    return list(made.values()), [order[own] for own in owns]


def at_point(point: Point, base: Condition, where: str) -> Condition:
    """The base with the values of one point."""
    parameters, words = base.point, []
    settings: dict[str, str] = {}
    values: Point = {}
    for key, level in point.items():
        value = values[key] = _plain(level, base, key)
        if key in _OWN:
            continue
        words.append(f"{key}={shown(value)}")
        if key == SPLIT:
            settings |= split(base.profile, float(value))
        elif key.startswith(_PROFILE):
            settings[key.removeprefix(_PROFILE)] = str(value)
        else:
            parameters = changed(parameters, key, shown(value), f"{where}: factors.")
    profile = base.profile.replace(settings, f"{where}: factors.profile") if settings else None
    return Condition(
        parameters, str(values.get("system", base.system)), profile or base.profile,
        (str(values["scheme"]),) if "scheme" in values else base.schemes, " ".join(words), values,
    )  # fmt: skip


def split(profile: Profile, share: float) -> dict[str, str]:
    """Settings with which CreateProcess has this share of itself and the loader."""
    both = {key: centre(profile, key) for key in CREATION}
    whole = sum(value for _, value in both.values())
    parts = (share * whole, (1 - share) * whole)
    return {key: f"{part:.6g}" for (key, _), part in zip(both.values(), parts, strict=True)}


def share_of_call(profile: Profile) -> float | None:
    """The share that the profile has; None where a creation costs nothing."""
    call, loader = (centre(profile, key)[1] for key in CREATION)
    return call / (call + loader) if call + loader > 0 else None


def centre(profile: Profile, key: str) -> tuple[str, float]:
    """The number that moves a parameter with its whole distribution: its key and its value."""
    parameter = profile.parameters[key]
    if isinstance(parameter, Lognormal | Mixture):
        return f"{key}.median", parameter.median
    if isinstance(parameter, Triangular):
        return f"{key}.mode", parameter.mode
    return key, parameter.value


def _known(one: AskedFactor, where: str, spec: Spec, base: Condition) -> Factor:
    """The factor with its range, its key and its levels being known. Raises InputError."""
    at = f"{where}: factors.{one.key}"
    fixed = {"scheme", "system", "profile"} if spec.heap_only else set()
    fixed |= {"system", "profile"} if spec.own_machine else set()
    if one.key.partition(".")[0] in fixed or (one.key == SPLIT and "profile" in fixed):
        what = f"in {spec.name} nothing of the kind can be chosen"
        raise InputError(at, what, "the scenario's own parameters")
    value = _base_value(one.key, at, base)
    if one.factor is None:
        if isinstance(value, str) or value <= 0:
            raise InputError(
                f"{at}.about", "the base has no number above 0", "levels, or low, high"
            )
        return design.about(one.key, float(value), one.about or 2.0)
    if one.key in _OWN:
        known = _SYSTEMS if one.key == "system" else (*schemes.names(), *spec.schemes)
        levels = [str(level) for level in one.factor.levels or ("a range",)]
        check_names(at, one.key, levels, list(dict.fromkeys(known)))
    if one.key == SPLIT and not all(map(_is_share, one.factor.levels or one.factor.ends())):
        raise InputError(at, "not all of them are shares", "numbers above 0 and below 1")
    if hasattr(base.point, one.key):
        for level in one.factor.levels:
            changed(base.point, one.key, shown(level), f"{where}: factors.")
    return one.factor


def _is_share(level: Level) -> bool:
    return isinstance(level, int | float) and 0 < level < 1


def _base_value(key: str, at: str, base: Condition) -> Level:
    """The value that the base has for a factor. Raises InputError for a key that is not known."""
    names = [field.name for field in dataclasses.fields(base.point)]
    if key in _OWN:
        return key
    if key == SPLIT:
        return share_of_call(base.profile) or 0.0
    if key.startswith(_PROFILE):
        return _profile_value(key, at, base.profile)
    if key not in names:
        raise unknown_name(at, "factor", key, [*names, *_OWN, SPLIT, "profile.KEY"])
    value = getattr(base.point, key)
    return _level(value[0] if isinstance(value, tuple) else value)


def _profile_value(key: str, at: str, profile: Profile) -> float:
    name = key.removeprefix(_PROFILE)
    whole, _, part = name.rpartition(".")
    if name in profile.parameters:
        return centre(profile, name)[1]
    if whole in profile.parameters and part in profile.parameters[whole].numbers():
        return profile.parameters[whole].numbers()[part]
    raise unknown_name(at, "number of the profile", name, profile.parameters)


def _plain(level: Level, base: Condition, key: str) -> Level:
    """A level as it is used: six digits; whole where nothing else can be."""
    if not isinstance(level, float) or math.isinf(level):
        return level
    value = getattr(base.point, key, None)
    if isinstance(value[0] if isinstance(value, tuple) else value, int) or _whole(key, base):
        return round(level)
    return float(f"{level:.6g}")


def _whole(key: str, base: Condition) -> bool:
    """Whether a key of the profile has whole numbers only."""
    name = key.removeprefix(_PROFILE)
    parameter = base.profile.parameters.get(name)
    return name.startswith("workload.") or (parameter is not None and parameter.unit == "bytes")


def _level(value: Any) -> Level:
    return "never" if value == math.inf else value


def factor_document(factor: Factor) -> dict[str, Any]:
    """What the document says of a factor."""
    if factor.levels:
        return {"key": factor.name, "levels": list(factor.levels)}
    return {"key": factor.name, "low": factor.low, "high": factor.high, "log": factor.log}
