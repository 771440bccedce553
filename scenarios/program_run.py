"""Running a program, or a recorded process tree, from Python: one call, one result.

    from scenarios import Program, run, replay

Both go through the same machine and the same calls; a recorded tree is a program that was written
down by a tracer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.cygwin import schemes
from models.cygwin.blocked import blocked
from models.cygwin.installation import Creation, Failure, Installation, Watch
from models.cygwin.kept_workloads import workload_of
from models.cygwin.left_behind import balance
from models.cygwin.machine import build
from models.cygwin.program_checks import number, text, whole
from models.cygwin.program_file import Body, Program
from models.cygwin.programs import PLACES, start
from models.cygwin.replay import prepare
from models.cygwin.replay import run as carry_out
from models.win32.cost_profile import Profile, load_profile
from models.win32.kernel import Kernel
from models.win32.system import SYSTEMS
from scenarios.cli_words import check_names
from scenarios.history import met
from scenarios.left_text import left_lines
from scenarios.options import DEFAULT_PROFILE, DEFAULT_SYSTEM
from sim.streams import Replication

NEWEST = "shared-memory"


@dataclass(eq=False)
class Run:
    """What came of a run. Every field is *output*.

    outcome: "finished", "blocked", "failed" or "cut"
    end_us: when the last thing happened [us]
    exit_code: of the first process, None while it has not ended
    creations: every fork, exec and spawn in the order in which they were called
    blocked: who waits for what, as `cygsim replay` reports it
    failures: messages that users saw, and processes that crashed
    balance: what the processes that are left still have, by cause
    counterfactual: the scheme never met such a machine
    """

    scheme: str
    system: str
    profile: str
    outcome: str
    end_us: float
    exit_code: int | None
    creations: list[Creation]
    blocked: list[dict[str, Any]]
    failures: list[Failure]
    balance: dict[str, Any]
    counterfactual: bool
    kernel: Kernel = field(repr=False)
    installation: Installation = field(repr=False)

    def latencies_us(self, kind: str) -> list[float | None]:
        """Time of each creation of a kind ("fork", "vfork", "exec", "spawn") [us]; None if never.

        From the call to its return in the caller; of an exec, to main() of the new image.
        """
        return [latency_us(c) for c in self.creations if c.kind == kind]

    def __str__(self) -> str:
        unreal = ", counterfactual" if self.counterfactual else ""
        lines = [
            f"{self.scheme}, {self.system}, {self.profile}{unreal}: "
            f"{self.outcome} at {self.end_us / 1000:,.3f} ms, exit code {self.exit_code}",
            f"{'what':16} {'program':14} {'called ms':>10} {'took ms':>10} {'waited ms':>10}"
            f" {'heap B':>8} {'steps':>5}",
        ]
        for c in self.creations:
            took = latency_us(c)
            shown = "never" if took is None else f"{took / 1000:,.3f}"
            what = f"{c.kind} {c.mode}" if c.kind == "spawn" else c.kind
            lines.append(
                f"{what:16} {c.program[:14]:14} {c.called_us / 1000:>10,.3f} {shown:>10}"
                f" {c.waited_us / 1000:>10,.3f} {c.heap_bytes:>8} {c.section_steps or '-':>5}"
            )
        lines += [
            f"{entry['program']} (pid {entry['pid']}) waits for "
            + ", ".join(waits["name"] for waits in entry["waits_for"])
            for entry in self.blocked
        ]
        lines += [f"{f.program} (pid {f.pid}): {f.message}" for f in self.failures]
        left = list(left_lines(self.balance))
        if left:
            lines += ["left at the end:", *left]
        return "\n".join(lines)


def latency_us(c: Creation) -> float | None:
    """From the call to its return; of an exec, to main() of the new image [us]."""
    end = c.main_us if c.kind == "exec" else c.returned_us
    return None if end is None else end - c.called_us


def run(
    program: Program | Body,
    *,
    scheme: str = NEWEST,
    system: str = DEFAULT_SYSTEM,
    profile: str | Profile = DEFAULT_PROFILE,
    processors: int = 2,
    seed: int = 1,
    replication: int = 0,
    until_us: float | None = None,
    calls: bool = False,
    watch: Watch | None = None,
) -> Run:
    """Run `program` as the first Cygwin process of a machine, to the end of everything.

    `calls` keeps rows of all Win32 calls in `kernel.calls`. Raises InputError for an unknown
    scheme, system or profile, TypeError and ValueError for a mistake in a program.
    """
    costs = _checked(scheme, system, profile, seed, replication, until_us, processors)
    machine = build(
        schemes.get(scheme), SYSTEMS[system], costs, Replication(seed, replication), processors,
        PLACES, calls,
    )  # fmt: skip
    machine.installation.watch = watch
    start(machine, program)
    machine.kernel.engine.run(until_us)
    return result(machine.installation, costs, until_us)


def replay(
    trace: str | Path,
    *,
    scheme: str = NEWEST,
    system: str = DEFAULT_SYSTEM,
    profile: str | Profile = DEFAULT_PROFILE,
    processors: int | None = None,
    seed: int = 1,
    replication: int = 0,
    until_us: float | None = None,
    calls: bool = False,
    watch: Watch | None = None,
) -> Run:
    """Run a recorded process tree (proctrace/1, plain or .gz). Raises InputError."""
    costs = _checked(scheme, system, profile, seed, replication, until_us, processors)
    ready = prepare(
        workload_of(str(trace)), schemes.get(scheme), costs, SYSTEMS[system],
        Replication(seed, replication), processors, calls,
    )  # fmt: skip
    ready.installation.watch = watch
    outcome = carry_out(ready, until_us).outcome
    return result(ready.installation, costs, until_us, outcome)


def result(
    installation: Installation, profile: Profile, until_us: float | None = None, outcome: str = ""
) -> Run:
    """What came of a machine that has stopped."""
    kernel = installation.kernel
    creations = [r for r in kernel.trace.records if isinstance(r, Creation)]
    for creation in creations:
        if creation.waiting_since_us is not None and not outcome:
            creation.waited_us += kernel.engine.now - creation.waiting_since_us
    first = next(iter(kernel.processes.values()), None)  # None: the memory did not suffice
    scheme, system = installation.scheme.name, kernel.system.name
    return Run(
        scheme,
        system,
        profile.name,
        outcome or _outcome(installation, until_us),
        kernel.engine.now,
        None if first is None or first.alive else first.exit_code,
        creations,
        blocked(kernel),
        [
            *installation.failures,
            *(Failure(pid, program, at, text) for at, pid, program, text in kernel.crashes),
        ],
        balance(installation).document(),
        not met(scheme, profile, system),
        kernel,
        installation,
    )


def _outcome(installation: Installation, until_us: float | None) -> str:
    kernel = installation.kernel
    if installation.failures or kernel.crashes:
        return "failed"
    if not any(process.alive for process in kernel.processes.values()):
        return "finished"
    cut = until_us is not None and kernel.engine.peek() != float("inf")
    return "cut" if cut else "blocked"


def _checked(
    scheme: str,
    system: str,
    profile: str | Profile,
    seed: int,
    replication: int,
    until_us: float | None,
    processors: int | None,
) -> Profile:
    """The costs of a run, when all that it was asked for is there. Raises InputError."""
    for what, name, known in (
        ("scheme", scheme, schemes.variant_names()),
        ("system", system, list(SYSTEMS)),
    ):
        check_names(what, what, [text(what, name).decode()], known)
    whole("seed", seed)
    whole("replication", replication)
    if until_us is not None and number("until_us", until_us) == 0:
        raise ValueError("until_us (0) must be above 0")
    if processors is not None:
        whole("processors", processors, 1)
    if isinstance(profile, Profile):
        return profile
    return load_profile(text("profile", profile).decode())
