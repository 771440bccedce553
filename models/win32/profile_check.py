"""What a profile may say: every table and key that it has, and the range of each number.

All that is wrong with a file is said at once, each fault with its key path.  Only a file that is
not one of the profiles that come along is looked at: theirs were, see `cost_profile.CHECKED`.
"""

from __future__ import annotations

import difflib
import itertools
import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from models.win32.cost_parameters import DISTRIBUTIONS, Kind, Parameter, parameter_of
from sim.errors import InputError

LONGEST_US = 1e9  # no single cost is longer than a quarter of an hour [us] -- assumed limit
LARGEST_BYTES = float(2**53)  # whole numbers stay exact as floats [bytes]


class _Table(BaseModel):
    """The keys that every distribution has."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    unit: str
    kind: Kind
    source: str = Field(min_length=1)


class _Constant(_Table):
    distribution: Literal["constant"]
    value: float


class _Lognormal(_Table):
    distribution: Literal["lognormal"]
    median: float
    p95: float


class _Triangular(_Table):
    distribution: Literal["triangular"]
    low: float
    mode: float
    high: float


class _Mixture(_Table):
    distribution: Literal["mixture"]
    probability: float = Field(ge=0, le=1)
    median: float
    p95: float


_AnyTable = Annotated[
    _Constant | _Lognormal | _Triangular | _Mixture, Field(discriminator="distribution")
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

    def check(self, table: BaseModel) -> Parameter:
        """The parameter; raises PydanticCustomError whose context lists every fault."""
        parameter = parameter_of(table.model_dump())
        _check_order(parameter)
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
Duration = Annotated[_AnyTable, AfterValidator(Domain("us", 0, LONGEST_US).check)]
FixedDuration = Annotated[_AnyTable, AfterValidator(Domain("us", 1, LONGEST_US, True).check)]
Bandwidth = Annotated[_AnyTable, AfterValidator(Domain("bytes/us", 1e-3, 1e9, infinite=True).check)]
Factor = Annotated[_AnyTable, AfterValidator(Domain("1", 1e-3, 1e3).check)]
FixedFactor = Annotated[_AnyTable, AfterValidator(Domain("1", 1e-6, 1e6, True).check)]
Size = Annotated[_AnyTable, AfterValidator(Domain("bytes", 0, LARGEST_BYTES, True, True).check)]
# a whole word at least: where fork returns to
Stack = Annotated[_AnyTable, AfterValidator(Domain("bytes", 4, LARGEST_BYTES, True, True).check)]
Room = Annotated[_AnyTable, AfterValidator(Domain("bytes", 1, LARGEST_BYTES, True, True).check)]
Count = Annotated[_AnyTable, AfterValidator(Domain("1", 0, 1e6, True, True).check)]


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


def check(content: dict[str, Any], where: str, allowed: str) -> None:
    """Raise InputError with all that is wrong with the content of a profile file."""
    try:
        ProfileFile.model_validate(content)
    except ValidationError as error:
        faults = [fault for one in error.errors() for fault in _faults(dict(one))]
        raise InputError(where, ", ".join(faults), allowed) from None


def keys() -> list[str]:
    """Every key of a profile, as a dotted path, in the order of the model."""
    machine = [key for key in ProfileFile.model_fields if key != "workload"]
    return machine + [f"workload.{key}" for key in Workload.model_fields]


def nearest(key: str, known: list[str]) -> str:
    """Up to three known keys that look like this one, or that end in the same word."""
    near = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
    tail = [k for k in known if k.rpartition(".")[2] == key.rpartition(".")[2]]
    names = list(dict.fromkeys([*near, *tail]))[:3] or known[:3]
    return f"nearest known: {', '.join(names)}"


def one_line(text: str) -> str:
    """The text with single spaces for all white space."""
    return " ".join(text.split())


def _check_order(parameter: Parameter) -> None:
    """Raise PydanticCustomError unless medians are positive and points stand in rising order."""
    numbers = parameter.numbers()
    median = numbers.get("median", 1.0)
    if median <= 0 and not math.isnan(median):
        raise PydanticCustomError("order", "median ({median}) must be above 0", {"median": median})
    names = [name for name in numbers if name != "probability"]
    for before, after in itertools.pairwise(names):
        if numbers[after] < numbers[before]:
            raise PydanticCustomError(
                "order",
                "{after} ({high}) must be at least {before} ({low})",
                {"after": after, "high": numbers[after], "before": before, "low": numbers[before]},
            )


def _faults(error: dict[str, Any]) -> list[str]:
    """One pydantic error as sentences that begin with the key path."""
    path = ".".join(str(part) for part in error["loc"] if part not in DISTRIBUTIONS)
    if error["type"] == "domain":
        return [f"{path}.{part} {fault}" for part, fault in error["ctx"]["faults"]]
    if error["type"] == "order":
        return [f"{path}.{error['msg']}"]
    if error["type"] == "missing":
        return [f"{path} is missing"]
    if error["type"] == "extra_forbidden":
        return [f"{path} is not a key of a profile ({nearest(path, keys())})"]
    if error["type"].startswith("union_tag"):
        return [f"{path}.distribution must be one of {', '.join(DISTRIBUTIONS)}"]
    text = one_line(error["msg"].replace("Input should be", "must be"))
    given = error["input"]
    shown = f" ({given!r})" if isinstance(given, str | int | float) else ""
    return [f"{path}{shown}: {text[:1].lower()}{text[1:]}"]
