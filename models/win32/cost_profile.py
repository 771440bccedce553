"""A profile: every number of one machine and of what a trace lacks, read from a TOML file.

A file holds `name`, `summary`, `system`, one table for each parameter of the machine and
`[workload.*]` tables for what a recorded trace does not tell.  It is checked as a whole: one
InputError lists all that is wrong, each with its key path.  What a profile says can be overridden
one number at a time (`replace`); such a number is `assumed` from then on.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.win32.cost_parameters import (
    Bandwidth,
    Constant,
    Count,
    Duration,
    Factor,
    FixedDuration,
    FixedFactor,
    Parameter,
    Room,
    Size,
    Stack,
)
from sim.errors import InputError
from sim.lines import open_lines

FOLDER = Path(__file__).parent / "profiles"
FILE_LIMIT_BYTES = 1 << 20  # the longest of ours has 8 kB -- chosen
ALLOWED = "a profile is a TOML file like models/win32/profiles/ideal.toml"
_DISTRIBUTIONS = ("constant", "lognormal", "triangular", "mixture")


class Workload(BaseModel):
    """What a trace lacks. Every field is a constant; `size("name")` of the profile reads it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    file_name_bytes: Size  # POSIX name of an open file, without NUL
    file_name_win32_extra_bytes: Size  # how much longer its Win32 name is
    cwd_win32_extra_bytes: Size  # how much longer the Win32 name of the working directory is
    program_directory_bytes: Size  # directory in front of a program's name, with its last slash
    interpreter_bytes: Size  # POSIX name of the interpreter of a #! script
    user_name_bytes: Size
    logon_server_bytes: Size
    domain_bytes: Size
    session_env_bytes: Size  # the first process's environment; 0 keeps the recorded one
    exe_data_bytes: Size
    exe_bss_bytes: Size
    dll_data_bytes: Size
    dll_bss_bytes: Size
    user_heap_bytes: Size  # where the trace has no heap size
    stack_bytes: Stack  # what fork copies of the stack
    exe_image_bytes: Size
    cygwin_dll_image_bytes: Size
    dlls_per_image: Count  # other DLLs that an image loads
    dll_image_bytes: Size  # mean size of one of them


class ProfileFile(BaseModel):
    """The content of a profile file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(min_length=1)
    summary: str = Field(min_length=1)
    system: Literal["nt", "9x"]  # what the machine of this profile really ran
    first_year: int  # from when to when such a machine was in use
    last_year: int

    create_process: Duration
    loader: Duration
    cygwin_init: Duration
    gui_dll_factor: FixedFactor
    antivirus: Duration
    contention: Duration
    machine_speed: Factor
    exit: Duration
    wake: Duration
    handle_op: Duration
    map_view: Duration
    thread_create: Duration
    winsock_call: Duration
    copy_bandwidth: Bandwidth
    page_touch: Duration
    kernel_call: Duration
    cpu_scale: FixedFactor
    quantum_us: FixedDuration
    pipe_capacity_bytes: Room
    commit_limit_bytes: Room
    process_commit_bytes: Size
    thread_stack_commit_bytes: Size
    thread_stack_reserve_bytes: Size
    workload: Workload


class Profile:
    """One machine: what things cost there and what a trace lacks. Never changes."""

    __slots__ = ("_file", "parameters")

    def __init__(self, file: ProfileFile) -> None:
        self._file = file
        # Dotted key to parameter, in the order of the model -- constant
        self.parameters: Mapping[str, Parameter] = _parameters(file)

    @property
    def name(self) -> str:
        """The name in the file."""
        return self._file.name

    @property
    def summary(self) -> str:
        """One sentence."""
        return self._file.summary

    @property
    def system(self) -> Literal["nt", "9x"]:
        """The system that the machine of this profile really ran."""
        return self._file.system

    @property
    def years(self) -> tuple[int, int]:
        """First and last year in which such a machine was in use."""
        return self._file.first_year, self._file.last_year

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
        content = self._file.model_dump()
        for key, value in settings.items():
            self._set(content, key, _number(value, f"{where} {key}"), settings, where)
        return Profile(_checked(content, where, "a value in its range"))

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
        near = _nearest(key, [k.removesuffix(".") for k in known])
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
    raise InputError("--profile", f"there is no profile {name!r}", _nearest(name, profile_names()))


def read_profile(path: Path) -> Profile:
    """The profile in this file. Raises InputError as `load_profile` does."""
    try:
        with open_lines(path, ALLOWED, FILE_LIMIT_BYTES, FILE_LIMIT_BYTES) as lines:
            raw = b"".join(line for _, line in lines)
        content = tomllib.loads(raw.decode("utf-8-sig").replace("\r\n", "\n"))
    except UnicodeDecodeError as error:
        raise InputError(str(path), f"byte {error.start} is not UTF-8", ALLOWED) from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(str(path), f"not TOML: {_one_line(str(error))}", ALLOWED) from None
    except RecursionError:
        raise InputError(str(path), "it is nested too deeply", ALLOWED) from None
    return Profile(_checked(content, str(path), ALLOWED))


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


def _parameters(file: ProfileFile) -> dict[str, Parameter]:
    skipped = {"name", "summary", "system", "first_year", "last_year", "workload"}
    found = {key: value for key, value in file if key not in skipped}
    return found | {f"workload.{key}": value for key, value in file.workload}


def _checked(content: dict[str, Any], where: str, allowed: str) -> ProfileFile:
    try:
        return ProfileFile.model_validate(content)
    except ValidationError as error:
        faults = [fault for one in error.errors() for fault in _faults(dict(one))]
        raise InputError(where, ", ".join(faults), allowed) from None


def _faults(error: dict[str, Any]) -> list[str]:
    """One pydantic error as sentences that begin with the key path."""
    path = ".".join(str(part) for part in error["loc"] if part not in _DISTRIBUTIONS)
    if error["type"] == "domain":
        return [f"{path}.{part} {fault}" for part, fault in error["ctx"]["faults"]]
    if error["type"] == "order":
        return [f"{path}.{error['msg']}"]
    if error["type"] == "missing":
        return [f"{path} is missing"]
    if error["type"] == "extra_forbidden":
        return [f"{path} is not a key of a profile ({_nearest(path, _known_keys())})"]
    if error["type"].startswith("union_tag"):
        return [f"{path}.distribution must be one of {', '.join(_DISTRIBUTIONS)}"]
    text = _one_line(error["msg"].replace("Input should be", "must be"))
    given = error["input"]
    shown = f" ({given!r})" if isinstance(given, str | int | float) else ""
    return [f"{path}{shown}: {text[:1].lower()}{text[1:]}"]


def _known_keys() -> list[str]:
    machine = [key for key in ProfileFile.model_fields if key != "workload"]
    return machine + [f"workload.{key}" for key in Workload.model_fields]


def _number(value: str | float, where: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise InputError(where, f"{value!r} is not a number", "KEY=NUMBER") from None


def _nearest(key: str, known: list[str]) -> str:
    """Up to three known keys that look like this one, or that end in the same word."""
    near = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
    tail = [k for k in known if k.rpartition(".")[2] == key.rpartition(".")[2]]
    names = list(dict.fromkeys([*near, *tail]))[:3] or known[:3]
    return f"nearest known: {', '.join(names)}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
