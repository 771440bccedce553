"""A machine with Cygwin on it, ready for programs: what replays and scenarios start from."""

from __future__ import annotations

from dataclasses import dataclass

from models.cygwin.images import cygwin_image
from models.cygwin.installation import Creation, Failure, Installation, Program, Sizes
from models.cygwin.protocol import Scheme
from models.cygwin.startup import entry
from models.win32.cost_profile import Profile
from models.win32.costs import CostDraws, CostRow
from models.win32.errors import ERROR_COMMITMENT_LIMIT, Win32Error
from models.win32.image import Image
from models.win32.kernel import Kernel
from models.win32.processors import Processors
from models.win32.system import System
from models.win32.thread import Process
from sim.engine import Engine
from sim.streams import Replication
from sim.trace import Trace


@dataclass(frozen=True, eq=False)
class Machine:
    """One machine with one release of Cygwin. draws: what creations cost on it -- input"""

    installation: Installation
    draws: CostDraws

    @property
    def kernel(self) -> Kernel:
        """The Windows below."""
        return self.installation.kernel

    def start(self, name: str, program: Program) -> Process | None:
        """Start `program` as a first Cygwin process; it runs when the engine does.

        None if memory does not suffice for it: the failure is written down.
        """
        image = cygwin_image(self.installation.version, name, entry(self.installation, program))
        return boot(
            self.installation, image, self.draws.at(-1), Creation(-1, "boot", 1, name, child=1)
        )


def boot(
    installation: Installation, image: Image, costs: CostRow, creation: Creation
) -> Process | None:
    """Start a process that no process of the model makes; None, and a failure, without memory."""
    kernel = installation.kernel
    try:
        return kernel.boot(image, costs, creation)
    except Win32Error as error:
        if error.code != ERROR_COMMITMENT_LIMIT:
            raise
        creation.error = str(error)
        installation.failures.append(
            Failure(creation.pid, creation.program, kernel.engine.now, str(error))
        )
        return None


def build(
    scheme: Scheme,
    system: System,
    profile: Profile,
    replication: Replication,
    processors: int,
    places: int,
    calls: bool = False,
    draws: CostDraws | None = None,
) -> Machine:
    """A machine for `places` creations. `calls` keeps rows of all Win32 calls.

    `draws`: those of another machine of this profile, replication and number of places, which are
    the same and need not be drawn again.
    """
    engine = Engine()
    kernel = Kernel(
        engine,
        Processors(engine, processors, profile.value("quantum_us")),
        system.of_words(scheme.version.era.word_bytes),
        Trace(calls),
        profile.size("commit_limit_bytes") or None,
    )
    sizes = Sizes(
        file_name=profile.size("workload.file_name_bytes"),
        win32_extra=profile.size("workload.file_name_win32_extra_bytes"),
        cwd_win32_extra=profile.size("workload.cwd_win32_extra_bytes"),
        user_heap=profile.size("workload.user_heap_bytes"),
        stack=profile.size("workload.stack_bytes"),
        pipe_capacity=profile.size("pipe_capacity_bytes"),
    )
    installation = Installation(kernel, scheme, scheme.version, sizes)
    if replication.made is not None:
        replication.made(installation)
    return Machine(installation, draws or CostDraws(profile, replication, places))
