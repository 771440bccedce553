"""Machines on which the heap's place is taken: in a first process, or in its child of fork or exec.

What is in the way is one DLL; in the case `moved` it is Cygwin's own DLL that lies elsewhere.
"""

from __future__ import annotations

from models.cygwin import schemes
from models.cygwin.arguments import Arguments
from models.cygwin.errors import TryAgain
from models.cygwin.images import cygwin_image
from models.cygwin.installation import Creation, Program, Watch
from models.cygwin.machine import Machine, boot, build
from models.cygwin.process import CygwinProcess
from models.cygwin.startup import entry
from models.win32.cost_profile import Profile
from models.win32.image import Image, Part
from models.win32.system import SYSTEMS
from sim.engine import Steps
from sim.streams import Replication

CASES = ("first", "fork", "exec", "moved")
BLOCKER = "foo.dll"
_BLOCKER_BYTES = 0x40000


def case_of(
    case: str, scheme: str, system: str, profile: Profile, replication: Replication,
    watch: Watch | None = None,
) -> tuple[Machine, list[str]]:  # fmt: skip
    """The machine at its end, and what the parent came to know.

    `first`, `fork`, `exec`: a DLL lies in the heap's place of that process; `moved`: Cygwin's own
    DLL lies 1 MiB higher in a fork child.
    """
    machine = build(schemes.get(scheme), SYSTEMS[system], profile, replication, 2, 2)
    machine.installation.watch = watch
    told: list[str] = []

    def parent(p: CygwinProcess) -> Steps:
        told.append("lives")
        p.me.costs = machine.draws.at(0)
        if case in ("fork", "moved"):
            # the program file is the same; in the child its DLLs come to lie elsewhere
            p.me.process.image = _elsewhere(machine, case, p.me.process.image, p.heap.base)
        try:
            pid = yield from p.fork(lambda child: _child(child, machine, case))
        except TryAgain as error:
            told.append(f"fork: EAGAIN, {error}")
            return
        code = yield from p.waitpid(pid)
        told.append(f"child exits with {code}")

    image = _image(machine, "sh", parent)
    if case == "first":
        image = _with_blocker(image, _usual_place(scheme, system, profile, replication))
    boot(machine.installation, image, machine.draws.at(-1), Creation(-1, "boot", 1, "sh", child=1))
    machine.kernel.engine.run()
    return machine, told


def _usual_place(scheme: str, system: str, profile: Profile, replication: Replication) -> int:
    """Where the heap of a first process lies if nothing is in the way."""
    machine = build(schemes.get(scheme), SYSTEMS[system], profile, replication, 2, 1)
    found: list[int] = []

    def note(p: CygwinProcess) -> Steps:
        found.append(p.heap.base)
        yield from p.work(1.0)

    machine.start("sh", note)
    machine.kernel.engine.run()
    return found[0]


def _child(p: CygwinProcess, machine: Machine, case: str) -> Steps:
    if case == "exec":
        p.me.costs = machine.draws.at(1)
        image = _with_blocker(_image(machine, "cat", _nothing), p.heap.base)
        yield from p.execute(image, Arguments([b"cat"], [b"PATH=/bin"]))


def _nothing(p: CygwinProcess) -> Steps:
    yield from p.work(1.0)


def _image(machine: Machine, name: str, program: Program) -> Image:
    installation = machine.installation
    return cygwin_image(installation.version, name, entry(installation, program))


def _with_blocker(image: Image, address: int) -> Image:
    """The program with one DLL more, right in the heap's place."""
    return Image(image.name, (*image.parts, Part(address, _BLOCKER_BYTES, BLOCKER)), image.entry)


def _elsewhere(machine: Machine, case: str, image: Image, heap: int) -> Image:
    if case == "fork":
        return _with_blocker(image, heap)
    version = machine.installation.version
    low, high = version.dll_base, version.dll_base + version.dll_bytes
    parts = [
        Part(part.base + 0x100000, part.size_bytes, part.name, part.writable)
        if low <= part.base < high
        else part
        for part in image.parts
    ]
    return Image(image.name, tuple(parts), image.entry)
