"""The machines of `free_list_bug`: a shell whose child execs on and on, and recorded workloads.

Each is built, run to its end and handed over; what is read off it stands here as well.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.cygwin import schemes
from models.cygwin.descriptors import CONSOLE
from models.cygwin.exec_chain import varying_arguments
from models.cygwin.images import cygwin_image
from models.cygwin.installation import Creation, Watch
from models.cygwin.kept_workloads import workload_of
from models.cygwin.machine import Machine, build
from models.cygwin.process import CygwinProcess
from models.cygwin.replay import prepare, run
from models.cygwin.startup import entry
from models.win32.cost_profile import Profile
from models.win32.system import SYSTEMS
from models.win32.thread import Process
from sim.engine import Steps
from sim.streams import Replication


@dataclass
class Seen:
    """What the shell saw of its child, and how far that came. Every field is *output*."""

    code: int | None = None
    execs: int = 0
    message: str = ""


def shell(
    scheme: str, system: str, profile: Profile, replication: Replication, execs: int,
    watch: Watch | None = None,
) -> tuple[Machine, Seen]:  # fmt: skip
    """A shell forks one child that execs `execs` times, with the sets of golden h10, and exits 0.

    The machine at its end, and what the shell saw.
    """
    machine = build(schemes.get(scheme), SYSTEMS[system], profile, replication, 1, execs + 1)
    machine.installation.watch = watch
    seen = Seen()

    def image(p: CygwinProcess, number: int) -> Steps:
        seen.execs = number
        if number == execs:
            yield from p.exit(0)
        p.me.costs = machine.draws.at(number)
        program = entry(machine.installation, lambda q: image(q, number + 1))
        following = cygwin_image(machine.installation.version, "sh", program)
        creation = Creation(number, "exec", 2, "sh", child=2)
        yield from p.execute(following, varying_arguments(number), creation)

    def main(p: CygwinProcess) -> Steps:
        for fd in range(3):
            p.open(fd, CONSOLE)
        p.me.costs = machine.draws.at(execs)
        creation = Creation(execs, "fork", 1, "sh", child=2)
        pid = yield from p.fork(lambda child: image(child, 0), creation)
        seen.code = yield from p.waitpid(pid)

    machine.start("sh", main)
    machine.kernel.engine.run()
    seen.message = "; ".join(text for _, _, _, text in machine.kernel.crashes)
    return machine, seen


@dataclass(frozen=True)
class Ran:
    """What became of a recorded workload. Every field is *output*.

    outcome: how the run ended; processes, recorded: begun, and how many the recording has
    deaths: for each process that died of a bad access, the number of its line's exec under way
    programs: what those were
    """

    outcome: str
    processes: int
    recorded: int
    deaths: tuple[int, ...]
    programs: tuple[str, ...]


def recorded(
    path: str, scheme: str, system: str, profile: Profile, replication: Replication
) -> Ran:
    """A recorded workload under a scheme, to its end."""
    workload = workload_of(path)
    done = run(prepare(workload, schemes.get(scheme), profile, SYSTEMS[system], replication))
    died = [done.kernel.processes[pid] for _, pid, _, _ in done.kernel.crashes]
    return Ran(
        done.outcome,
        done.tally.processes,
        len(workload.programs),
        tuple(sorted(done.generations[_pid(process)] for process in died)),
        tuple(sorted({process.image.name for process in died})),
    )


def _pid(process: Process) -> int:
    """The pid of the trace that a process goes by."""
    assert isinstance(process.tag, Creation)
    return process.tag.child
