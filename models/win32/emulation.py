"""Programs of another processor: each piece of code is translated before it first runs.

What has been translated lies in one cache for the whole process, behind a lock of the emulator's
own.  A thread that has the lock is not stopped: a suspension takes effect when it leaves the
emulator.  Nothing keeps it from being terminated, and then the lock stays taken: no thread of the
process can run anything new.

Source: what was found of x86-64 programs on Windows for ARM64 (msys2-autobuild#62,
git-for-windows/msys2-runtime#73, msys2-runtime#234: a lock of the emulation on a thread that is
gone; a suspended thread is out of it).  That the lock is held for one piece at a time, and for how
long, is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.win32.srw_lock import SrwLock

if TYPE_CHECKING:
    from models.win32.kernel import Kernel
    from models.win32.thread import Thread
    from sim.engine import Steps


@dataclass(frozen=True)
class Translation:
    """What new code costs. translate_us: of one piece, with the lock; run_us: of it -- input"""

    translate_us: float
    run_us: float


class CodeCache:
    """The translated code of one process. lock: of the cache -- state"""

    __slots__ = ("costs", "lock")

    def __init__(self, costs: Translation) -> None:
        self.costs = costs
        self.lock = SrwLock()

    def new_code(self, k: Kernel, me: Thread, pieces: int) -> Steps:
        """Translate and run `pieces` of code that no thread of the process has run. In `me`."""
        for _ in range(pieces):
            yield from self.lock.acquire(k, me)
            me.shielded = True
            yield from k.work(me, self.costs.translate_us)
            self.lock.release(k, me)
            me.unshield()
            yield from k.work(me, self.costs.run_us)

    @property
    def orphaned(self) -> bool:
        """Whether the lock's owner has ended, so that it will never be free."""
        return self.lock.owner is not None and self.lock.owner.ended


def code_cache(costs: Translation | None) -> CodeCache | None:
    """The cache of a new process; None where the processor runs its program itself."""
    return None if costs is None else CodeCache(costs)
