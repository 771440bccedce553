"""Release 1.3.3 with the one change that mends its sockets: the section is filled after them.

Nothing but e2e078278 is new: with a socket open the section stays empty until the child exists and
the sockets are fixed up, and only then is the heap copied into it.  Sizes, layout, the type of
_P_VFORK and what a spawned child holds are those of 1.3.3.

Since 2001-09-14 (e2e078278), released in 1.3.4 together with what else had changed by then.
Source: CYGWIN.md §0 (I7), §c1 and §f; that the rest of that tree was 1.3.3's is assumed.
"""

from __future__ import annotations

from dataclasses import replace

from models.cygwin.creation_steps import HeapSection, fixup_before
from models.cygwin.process import CygwinProcess
from models.cygwin.schemes.shared_memory_1_3_3 import SharedMemory133
from models.cygwin.section_transfer import cygheap_setup_for_child, cygheap_setup_for_child_cleanup
from sim.engine import Steps


class TwoStep133(SharedMemory133):
    """As 1.3.3 without sockets; with one, two steps."""

    name = "1.3.3-two-step"
    since = "2001-09-14"
    until = "2001-09-14"
    summary = "as 1.3.3, but with a socket open the section is filled after CreateProcess"
    version = replace(SharedMemory133.version, name="2001-09-14")

    def steps(self, p: CygwinProcess) -> int:
        """Two where the sockets must come first."""
        return 2 if p.fds.sockets else 1

    def before_create(self, p: CygwinProcess) -> Steps:
        """With a socket open, the section alone, still mapped."""
        if not p.fds.sockets:
            return super().before_create(p)
        steps = cygheap_setup_for_child(p, copy_now=False)
        return p.installation.bracket(p, "cygheap_setup_for_child", steps)

    def after_create(
        self, p: CygwinProcess, section: HeapSection | None, pid: int, kind: str
    ) -> Steps:
        """Fix up the sockets, then fill the section and let go of it."""
        if not p.fds.sockets or section is None:
            yield from super().after_create(p, section, pid, kind)
            return
        bracket = p.installation.bracket
        steps = fixup_before(p, pid, execed=kind == "exec")
        yield from bracket(p, f"fixup_before_{kind}", steps)
        steps = cygheap_setup_for_child_cleanup(p, section, copy_now=True)
        yield from bracket(p, "cygheap_setup_for_child_cleanup", steps)


SCHEME = TwoStep133()
