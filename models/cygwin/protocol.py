"""What a scheme must offer: how a child comes to own its parent's cygheap.

The parent side makes the child; the child side gives it its heap.  They meet only through
child_info, handles and memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from models.cygwin.arguments import Arguments
from models.cygwin.child_info import ChildInfo, ChildType
from models.cygwin.installation import Creation
from models.win32.image import Image

if TYPE_CHECKING:
    from models.cygwin.process import CygwinProcess
    from models.cygwin.version import Version
    from sim.engine import Steps

P_VFORK = "_P_VFORK"  # 0; to programs the same as _P_NOWAIT
P_WAIT = "_P_WAIT"
P_NOWAIT = "_P_NOWAIT"
P_OVERLAY = "_P_OVERLAY"
P_NOWAITO = "_P_NOWAITO"  # 4; to programs the same as _P_NOWAIT
P_DETACH = "_P_DETACH"


class Request(NamedTuple):
    """What is asked of the parent side. Every field is *input*.

    image: the program file; None if there is none
    arguments: of an exec or spawn, None for a fork
    """

    type: ChildType
    mode: str
    image: Image | None
    creation: Creation
    arguments: Arguments | None = None


class Scheme(Protocol):
    """One way of handing the heap over.

    name: as on the command line -- constant
    since, until: first and last date of the real code, ISO; "" if open -- constant
    summary: one line for the list -- constant
    version: the numbers that go with it -- constant
    on_9x: a child of it comes to life on 98 -- constant
    loses_spawned: a spawned Cygwin child that nobody waits for reads too late and dies -- constant
    """

    name: str
    since: str
    until: str
    summary: str
    version: Version
    on_9x: bool
    loses_spawned: bool

    def parent_side(self, p: CygwinProcess, request: Request) -> Steps:
        """Make the child. Runs in the caller's main thread.

        Returns the child's Cygwin pid, or for a _P_WAIT spawn its exit code; an exec does not
        return. Raises TryAgain where the caller saw EAGAIN.
        """

    def child_side(self, p: CygwinProcess, info: ChildInfo) -> Steps:
        """cygheap_fixup_in_child without the walk. Runs in the child's main thread.

        Sets `p.heap`. Raises ApiFatal with the era's message.
        """
