"""Lines of descent of a recorded workload: how many execs lie behind each image.

The cygheap passes from parent to child at every fork and exec, so what one image leaves in it is
carried by all that descend from it.  How far that goes is the number of execs in the line, through
forks and spawns; what a heap can gather in a workload is bounded by it.
"""

from __future__ import annotations

from models.cygwin.workload import Op, Workload


def execs_behind(workload: Workload) -> list[int]:
    """For each exec and each spawn, how many lie in its line of descent, itself included.

    Unordered. The root's first image counts as the trace has it: as an exec.
    """
    found: list[int] = []
    todo = [(1, 0)]
    while todo:
        pid, behind = todo.pop()
        for op in workload.programs[pid]:
            if op[0] == Op.EXEC:
                behind += 1
                found.append(behind)
            elif op[0] == Op.FORK:
                todo.append((op[1], behind))
            elif op[0] == Op.SPAWN:
                found.append(behind + 1)
                todo.append((op[1], behind + 1))
    return found
