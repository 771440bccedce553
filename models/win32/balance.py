"""Whether a machine's books are right: handles, sections, address spaces and commit charge.

Four counts are kept as calls are made: references of an object, views of a section, bytes that are
committed, and what stands in the tables of processes.  Here they are counted again from what is
there, once a run is over.  Whatever differs is a mistake of the machine, not of a program: a
program that forgets a handle still has it in its table.

The section of a file that an image maps belongs to the file, which many machines may have loaded;
it is no part of these books.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cached_property

from models.win32.address_space import Region
from models.win32.kernel_core import KernelCore
from models.win32.memory import PAGE_BYTES
from models.win32.objects import KernelObject, PipeEnd, Section


def discrepancies(there: Inventory) -> list[str]:
    """One sentence for each count that is not what is there; empty if the books are right."""
    return [
        *_left_in_ended(there.kernel),
        *_references(there),
        *_views(there),
        *_charge(there),
        *_names(there.kernel),
    ]


class Inventory:
    """What is there on a machine, read off its processes once.

    kernel: the machine -- input
    open: object of every open handle; views: section of every mapped view -- output
    known: every object that can be found, by its id -- output
    private_bytes: committed pages that belong to one process alone -- output
    """

    def __init__(self, kernel: KernelCore) -> None:
        self.kernel = kernel
        self.open: list[KernelObject] = []
        self.views: list[Section] = []
        self.private_bytes = 0
        known: list[KernelObject] = [*kernel.names.values()]
        for process in kernel.processes.values():
            known.append(process)
            known += process.threads
            if len(process.handles):  # NOTE: for speed: most processes have ended, and have none
                self.open += process.handles.table().values()
            for region in process.space.regions() if len(process.space) else ():
                if region.section is None:
                    self.private_bytes += region_bytes(region)
                elif region.kind == "view":
                    self.views.append(region.section)
        for obj in self.open:
            if isinstance(obj, PipeEnd):
                known += (obj.pipe.read_end, obj.pipe.write_end)
        self.known = {id(obj): obj for obj in (*known, *self.open, *self.views)}

    @cached_property
    def sections(self) -> list[Section]:
        """Every section that somebody has a handle or a view of, in no particular order."""
        return [
            obj for obj in self.known.values()
            if isinstance(obj, Section) and (obj.refs or obj.views)
        ]  # fmt: skip


def region_bytes(region: Region) -> int:
    """Committed bytes of a region that is no view."""
    if region.section is not None or region.memory is None:
        return 0
    return region.memory.committed_pages() * PAGE_BYTES


def section_bytes(section: Section) -> int:
    """Committed bytes of a section."""
    return section.memory.committed_pages() * PAGE_BYTES


def _left_in_ended(kernel: KernelCore) -> Iterator[str]:
    for process in kernel.processes.values():
        if process.alive:
            continue
        handles, regions = len(process.handles), len(process.space)
        if handles or regions:
            yield f"process {process.pid} has ended with {handles} handles and {regions} regions"


def _references(there: Inventory) -> Iterator[str]:
    held = Counter(map(id, there.open))
    for key, obj in there.known.items():
        if obj.refs != held.get(key, 0):
            yield (
                f"{obj.kind} {obj.role}".rstrip() + f" counts {obj.refs} handles, "
                f"{held[key]} are open"
            )


def _views(there: Inventory) -> Iterator[str]:
    mapped = Counter(map(id, there.views))
    for section in there.sections:
        if section.views != mapped[id(section)]:
            yield (
                f"section {section.name or section.role} counts {section.views} views, "
                f"{mapped[id(section)]} are mapped"
            )


def _charge(there: Inventory) -> Iterator[str]:
    charged, private = there.kernel.committed_bytes, there.private_bytes
    shared = sum(section_bytes(section) for section in there.sections)
    if charged != private + shared:
        yield (
            f"{charged} bytes are charged; {private} are committed in processes, "
            f"{shared} in sections"
        )


def _names(kernel: KernelCore) -> Iterator[str]:
    for name, obj in kernel.names.items():
        if isinstance(obj, Section) and not obj.refs and not obj.views:
            yield f"section {name} can be found by its name, and nobody has it"
