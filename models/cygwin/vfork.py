"""vfork as Cygwin had it from 2000 to 2004: the child is a guest in its parent's process.

vfork saves a stack frame and duplicates the descriptor table inside the cygheap: every descriptor
gets a new fhandler, new names and new handles.  The parent's table is put on hold, and the "child"
runs: same process, same pid, same heap, same directory; only the descriptors that it redirects and
closes are its own.  Its exec is a `_P_NOWAIT` spawn from this process, after which a longjmp brings
control back to vfork; the copied table is closed and freed, the one on hold is in force again, and
vfork returns the pid of what was spawned.  If the child exits instead, vfork comes back in the same
way and forks a process that exits at once with that code.

What follows, and is declared nowhere: under a scheme whose spawn waits for its child, it is the
caller of vfork that waits.  A child that was started so finds both tables in its heap and closes
the one on hold; a program without Cygwin does not, and keeps those handles as long as it lives.

Three things of the real code that look like mistakes and are kept.  Era A gives the copied table no
close-on-exec flags, so a vfork child passes on what its parent had marked.  The copy does not count
its sockets, yet closing it counts them down, so that later children are not fixed up.  In era A a
vfork in a vfork child takes the place of the first: the outer child's exec is then a real one, and
its parent is gone.

Source: fork.cc, dtable.cc and spawn.cc of 4abaaac33 and aa9d50a1c (CYGWIN.md §c4), order of the
calls and era A's flags from the logs `vfork-make` of 1.3.2 rebuilt, 1.3.3 and 1.3.19; where the
names come among them, and that the size of the table goes back with it, is assumed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.cygwin.arguments import Arguments
from models.cygwin.descriptors import SOCKET, Descriptor
from models.cygwin.errors import CygwinError
from models.cygwin.installation import Creation, Program
from models.cygwin.protocol import P_NOWAIT
from models.cygwin.version import VforkRules
from models.win32.handles import CURRENT_PROCESS
from models.win32.image import Image
from sim.engine import Steps

if TYPE_CHECKING:
    from models.cygwin.process import CygwinProcess


class Longjmp(CygwinError):
    """A vfork child is done; control goes back to its vfork. Args: (pid or 0, exit code)."""

    def __str__(self) -> str:
        return f"longjmp to vfork with pid {self.args[0]}, exit code {self.args[1]}"


def is_real(p: CygwinProcess) -> bool:
    """Whether a vfork now would run the child in this process."""
    rules = p.version.vfork
    return rules is not None and not (p.vforking and rules.nested_forks)


def vfork(p: CygwinProcess, program: Program, creation: Creation, last: Program | None) -> Steps:
    """Run `program` as a guest until it execs or exits; the child's pid. In the main thread."""
    vfork_child_dup(p)
    p.vforking = True
    pid = code = 0
    try:
        yield from program(p)
        yield from p.exit(0)
    except Longjmp as jump:
        pid, code = jump.args
    p.vforking = False
    yield from vfork_parent_restore(p)
    if not pid:
        pid = yield from p.fork(last or _leaving(code))
    creation.returned_us = p.now()
    return pid


def execute(
    p: CygwinProcess, image: Image | None, arguments: Arguments, creation: Creation | None
) -> Steps:
    """The exec of a vfork child: a spawn that does not wait, then back to the parent."""
    if creation is not None:
        creation.kind, creation.mode = "spawn", P_NOWAIT
    pid = yield from p.spawn(P_NOWAIT, image, arguments, creation)
    raise Longjmp(pid, 0)


def vfork_child_dup(p: CygwinProcess) -> None:
    """Put the table on hold and a copy of it in force."""
    rules = p.version.vfork
    assert rules is not None
    table = p.fds
    copy = table.sister()
    for fd in sorted(table.open):
        old = table.open[fd]
        cloexec = old.cloexec and rules.keeps_cloexec
        new = copy.add(fd, old.kind, 0, 0, cloexec, *table.names(old), counted=False)
        new.handle, new.second = (
            _dup(p, h, new, rules) if h else 0 for h in (old.handle, old.second)
        )
        copy.store(new)
    table.put_on_hold(copy)
    p.fds = copy


def vfork_parent_restore(p: CygwinProcess) -> Steps:
    """Close and free the copied table; the one on hold is in force again."""
    yield from p.k.settle(p.me)
    for fd in sorted(p.fds.open):
        _close(p, p.fds.remove(fd))
    p.fds = p.fds.take_back()


def vfork_child_fixup(p: CygwinProcess) -> None:
    """In a child that was spawned from a vfork: close and free the table that was on hold.

    What had close-on-exec there was not inherited, and sockets never are.
    """
    held = p.fds.held
    if held is None:
        return
    for fd in sorted(held.open):
        gone = p.fds.remove_held(fd)
        if not gone.cloexec and gone.kind != SOCKET:
            _close(p, gone)
    p.fds.drop_held()


def _dup(p: CygwinProcess, handle: int, new: Descriptor, rules: VforkRules) -> int:
    """A duplicate for the copied table, made inheritable and then as its flag wants it."""
    k, me, inheritable = p.k, p.me, new.kind != SOCKET
    made = k.duplicate_handle(me, CURRENT_PROCESS, handle, CURRENT_PROCESS, inheritable)
    if not rules.keeps_cloexec:
        return made
    inherit = inheritable and not new.cloexec
    flagged = k.duplicate_handle(
        me, CURRENT_PROCESS, made, CURRENT_PROCESS, inherit, rules.closes_source
    )
    if not rules.closes_source:
        k.close_handle(me, made)
    return flagged


def _close(p: CygwinProcess, gone: Descriptor) -> None:
    for handle in (gone.handle, gone.second):
        if handle:
            p.k.close_handle(p.me, handle)


def _leaving(code: int) -> Program:
    def steps(p: CygwinProcess) -> Steps:
        yield from p.exit(code)

    return steps
