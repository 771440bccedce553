"""A profile: every number of one machine and of what a trace lacks, read from a TOML file.

A file holds `name`, `summary`, `system`, one table for each parameter of the machine and
`[workload.*]` tables for what a recorded trace does not tell.  It is checked as a whole: one
InputError lists all that is wrong, each with its key path.  What a profile says can be overridden
one number at a time (`replace`); such a number is `assumed` from then on.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.win32.cost_parameters import Constant, Parameter, parameter_of, table_of
from sim.errors import InputError
from sim.lines import open_lines

FOLDER = Path(__file__).parent / "profiles"
FILE_LIMIT_BYTES = 1 << 20  # the longest of ours has 8 kB -- chosen
ALLOWED = "a profile is a TOML file like models/win32/profiles/ideal.toml"
CHECKED = FOLDER / "checked.sha256"  # SHA-256 and name of each profile that comes along
_ABOUT = ("name", "summary", "system", "first_year", "last_year")


class Profile:
    """One machine: what things cost there and what a trace lacks. Never changes."""

    __slots__ = ("_about", "parameters")

    def __init__(self, content: Mapping[str, Any]) -> None:
        """What a file says; the content has been checked."""
        self._about = {key: content[key] for key in _ABOUT}
        # Dotted key to parameter, in the order of the file -- constant
        self.parameters: Mapping[str, Parameter] = _parameters(content)

    @property
    def name(self) -> str:
        """The name in the file."""
        return str(self._about["name"])

    @property
    def summary(self) -> str:
        """One sentence."""
        return str(self._about["summary"])

    @property
    def system(self) -> str:
        """The system that the machine of this profile really ran: nt or 9x."""
        return str(self._about["system"])

    @property
    def years(self) -> tuple[int, int]:
        """First and last year in which such a machine was in use."""
        return self._about["first_year"], self._about["last_year"]

    def value(self, key: str) -> float:
        """The value of a constant parameter, in its unit. KeyError if there is no such key."""
        parameter = self.parameters[key]
        if not isinstance(parameter, Constant):
            raise TypeError(f"{key} is {parameter.text()}, not a constant")
        return parameter.value

    def size(self, key: str) -> int:
        """`value` of a size or a count as a whole number."""
        return int(self.value(key))

    def replace(self, settings: Mapping[str, str | float], where: str = "--set") -> Profile:
        """A profile with other numbers. Keys are dotted paths.

        `KEY.PART=x` sets one number of a distribution, `KEY=x` makes the parameter a constant.  A
        median or a mode set alone takes the rest of its distribution with it (same ratios).
        Raises InputError for an unknown key, text that is no number, and a value out of range.
        """
        from models.win32.profile_check import check  # pydantic is imported where it is needed

        content = self._content()
        for key, value in settings.items():
            self._set(content, key, _number(value, f"{where} {key}"), settings, where)
        check(content, where, "a value in its range")
        return Profile(content)

    def _content(self) -> dict[str, Any]:
        """What a file with these numbers would say."""
        tables = {key: table_of(parameter) for key, parameter in self.parameters.items()}
        inner = {key: table for key, table in tables.items() if key.startswith("workload.")}
        outer = {key: table for key, table in tables.items() if key not in inner}
        workload = {key.removeprefix("workload."): table for key, table in inner.items()}
        return {**self._about, **outer, "workload": workload}

    def _set(
        self,
        content: dict[str, Any],
        key: str,
        value: float,
        settings: Mapping[str, str | float],
        where: str,
    ) -> None:
        name, part = self._split(key, where)
        table = content["workload"] if name.startswith("workload.") else content
        old = table[name.rpartition(".")[2]]
        common = {"unit": old["unit"], "kind": "assumed", "source": f"set by the user: {key}"}
        if part is None or old["distribution"] == "constant":
            new = {"distribution": "constant", "value": value}
        else:
            new = {k: v for k, v in old.items() if k not in common} | {part: value}
            if part in ("median", "mode"):
                scaled = {"p95", "low", "high"} & old.keys()
                alone = {k for k in scaled if f"{name}.{k}" not in settings}
                new |= {k: old[k] * value / old[part] for k in alone if old[part]}
        table[name.rpartition(".")[2]] = new | common

    def _split(self, key: str, where: str) -> tuple[str, str | None]:
        if key in self.parameters:
            return key, None
        name, _, part = key.rpartition(".")
        if name in self.parameters and part in self.parameters[name].numbers():
            return name, part
        known = [
            f"{name}.{part}" for name, p in self.parameters.items() for part in ["", *p.numbers()]
        ]
        from models.win32.profile_check import nearest

        near = nearest(key, [k.removesuffix(".") for k in known])
        raise InputError(f"{where} {key}", "there is no such key in the profile", near)


def profile_names() -> list[str]:
    """The names of the profiles that come with the program, in alphabetical order."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_profile(name: str) -> Profile:
    """The profile of this name, or in the file at this path (with `.toml` or a slash in it).

    Raises InputError: unknown name (the nearest are given), unreadable or malformed file, and all
    that is wrong with its content at once.
    """
    if name in profile_names():
        return read_profile(FOLDER / f"{name}.toml")
    if name.endswith(".toml") or "/" in name or "\\" in name:
        return read_profile(Path(name))
    from models.win32.profile_check import nearest

    raise InputError("--profile", f"there is no profile {name!r}", nearest(name, profile_names()))


def read_profile(path: Path) -> Profile:
    """The profile in this file. Raises InputError as `load_profile` does."""
    with open_lines(path, ALLOWED, FILE_LIMIT_BYTES, FILE_LIMIT_BYTES) as lines:
        raw = b"".join(line for _, line in lines).replace(b"\r\n", b"\n")
    try:
        content = tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(str(path), f"byte {error.start} is not UTF-8", ALLOWED) from None
    except tomllib.TOMLDecodeError as error:
        text = " ".join(str(error).split())
        raise InputError(str(path), f"not TOML: {text}", ALLOWED) from None
    except RecursionError:
        raise InputError(str(path), "it is nested too deeply", ALLOWED) from None
    # NOTE: for speed: pydantic and its models take a third of the start-up of a replay
    if digest_of(raw) not in _checked_before():
        from models.win32.profile_check import check

        check(content, str(path), ALLOWED)
    return Profile(content)


def digest_of(raw: bytes) -> str:
    """SHA-256 of a profile file with LF, as it stands in CHECKED."""
    return hashlib.sha256(raw).hexdigest()


def _checked_before() -> list[str]:
    """The digests of the files that a test has checked; none where the list is not there."""
    try:
        return CHECKED.read_text(encoding="ascii").split()[::2]
    except (OSError, UnicodeDecodeError):
        return []


def describe(profile: Profile) -> dict[str, Any]:
    """What `cygsim profiles --json` says of one profile: name, summary and its parameters."""
    return {
        "name": profile.name,
        "summary": profile.summary,
        "system": profile.system,
        "parameters": [
            {
                "key": key,
                "distribution": parameter.text(),
                "unit": parameter.unit,
                "source": parameter.source,
                "kind": parameter.kind,
            }
            for key, parameter in profile.parameters.items()
        ],
    }


def _parameters(content: Mapping[str, Any]) -> dict[str, Parameter]:
    skipped = {*_ABOUT, "workload"}
    found = {key: parameter_of(table) for key, table in content.items() if key not in skipped}
    inner = {f"workload.{key}": parameter_of(t) for key, t in content["workload"].items()}
    return found | inner


def _number(value: str | float, where: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise InputError(where, f"{value!r} is not a number", "KEY=NUMBER") from None
