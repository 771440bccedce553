"""What the command line asks for, as frozen values: one class for each command that runs something.

Ranges are checked before one is made; whether a name is known is for whoever loads what it names.
"""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_SCHEMES = ("blocking", "shared-memory-1.3.3", "shared-memory")
DEFAULT_SYSTEM = "nt"
DEFAULT_PROFILE = "p3-800-w2000"


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """`cygsim replay TRACE …`."""

    trace: str  # path, plain or .gz; "-" is standard input
    schemes: tuple[str, ...] = DEFAULT_SCHEMES
    system: str = DEFAULT_SYSTEM  # "nt" or "9x"
    profile: str = DEFAULT_PROFILE  # name or path
    processors: int | None = None  # None: as the trace's header says
    native: tuple[str, ...] = ()  # programs not linked with Cygwin
    background: tuple[str, ...] = ()  # programs whose fork and exec become one _P_NOWAIT spawn
    spawn: tuple[str, ...] = ()  # programs whose fork and exec become one spawn
    vfork: str = "era"  # "era" or "fork"
    sets: tuple[tuple[str, str], ...] = ()  # (key, value) over the profile, in order
    until_s: float | None = None  # horizon [s]; None: until nothing happens any more
    expect: str | None = None  # outcome that every run must have for exit code 0
    replications: int = 1  # with precision the most, if more than 1
    precision: float | None = None  # relative half-width of each makespan, between 0 and 1
    seed: int = 1
    jobs: int = 1
    cluster: str | None = None  # address of a Dask scheduler; None: processes of this machine
    out: str | None = None  # folder for manifest, results and figures
    json: bool = False
    progress: bool | None = None  # None: only where stderr is a terminal


@dataclass(frozen=True, slots=True)
class RunOptions:
    """`cygsim run SCENARIO …`. None leaves a choice to the scenario."""

    scenario: str
    sets: tuple[tuple[str, str], ...] = ()  # (key, value), in order
    schemes: tuple[str, ...] | None = None
    system: str | None = None
    profile: str | None = None
    replications: int | None = None  # with precision the most
    precision: float | None = None  # relative half-width, between 0 and 1
    design: str | None = None  # TOML file, or KIND[:POINTS]
    inputs: bool = False  # two intervals
    sensitivity: str | None = None  # lhs[:POINTS] or sobol[:POINTS]
    seed: int = 1
    jobs: int = 1
    cluster: str | None = None  # address of a Dask scheduler; None: processes of this machine
    quick: bool = False
    out: str | None = None
    json: bool = False
    progress: bool | None = None  # None: only where stderr is a terminal


@dataclass(frozen=True, slots=True)
class HeapOptions:
    """`cygsim heap show FILE|RUN …`."""

    path: str  # golden trace, or the --out directory of a run
    at_line: int | None = None  # of a golden trace; None: its end
    pid: int | None = None  # process of a run
    scheme: str | None = None  # None: the run's first
    replication: int = 0
    point: str | None = None  # of a scenario's run, as in results.csv; None: the first
    trace: str | None = None  # where the run's trace is now; None: where it was
    png: str | None = None
    json: bool = False


@dataclass(frozen=True, slots=True)
class LayoutOptions:
    """`cygsim layout check LISTING …`. None takes what belongs to the DLL of the listing."""

    listing: str  # path, plain or .gz; "-" is standard input
    era: str | None = None  # "A" or "B"
    heap_size: int | None = None  # [bytes]
    json: bool = False


@dataclass(frozen=True, slots=True)
class RiskOptions:
    """`cygsim layout risk …`."""

    dlls: int  # of one process
    size: int = 0x40000  # of each [bytes]
    rule: str = "2001"
    replications: int = 10_000
    seed: int = 1
    json: bool = False
