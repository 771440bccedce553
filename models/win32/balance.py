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

from models.win32.address_space import Region
from models.win32.kernel_core import KernelCore
from models.win32.memory import PAGE_BYTES
from models.win32.objects import KernelObject, PipeEnd, Section
from models.win32.thread import Process


def discrepancies(kernel: KernelCore) -> list[str]:
    """One sentence for each count that is not what is there; empty if the books are right."""
    return [
        *_left_in_ended(kernel),
        *_references(kernel),
        *_views(kernel),
        *_charge(kernel),
        *_names(kernel),
    ]


def own_bytes(process: Process) -> int:
    """Committed pages that belong to the process alone [bytes]."""
    return sum(region_bytes(region) for region in process.space.regions())


def region_bytes(region: Region) -> int:
    """Committed bytes of a region that is no view."""
    if region.section is not None or region.memory is None:
        return 0
    return region.memory.committed_pages() * PAGE_BYTES


def sections(kernel: KernelCore) -> list[Section]:
    """Every section that somebody has a handle or a view of, in no particular order."""
    found = {id(obj): obj for obj in _known(kernel) if isinstance(obj, Section)}
    return [section for section in found.values() if section.refs or section.views]


def section_bytes(section: Section) -> int:
    """Committed bytes of a section."""
    return section.memory.committed_pages() * PAGE_BYTES


def _known(kernel: KernelCore) -> Iterator[KernelObject]:
    """Every object that can be found on the machine; some of them more than once."""
    yield from kernel.names.values()
    for process in kernel.processes.values():
        yield process
        yield from process.threads
        for obj in process.handles.table().values():
            yield obj
            if isinstance(obj, PipeEnd):
                yield from (obj.pipe.read_end, obj.pipe.write_end)
        for region in process.space.regions():
            if region.section is not None and region.kind == "view":
                yield region.section


def _left_in_ended(kernel: KernelCore) -> Iterator[str]:
    for process in kernel.processes.values():
        if process.alive:
            continue
        handles, regions = len(process.handles), len(process.space.regions())
        if handles or regions:
            yield f"process {process.pid} has ended with {handles} handles and {regions} regions"


def _references(kernel: KernelCore) -> Iterator[str]:
    held = Counter(
        id(obj) for process in kernel.processes.values() for obj in process.handles.table().values()
    )
    for obj in {id(obj): obj for obj in _known(kernel)}.values():
        if obj.refs != held[id(obj)]:
            yield (
                f"{obj.kind} {obj.role}".rstrip() + f" counts {obj.refs} handles, "
                f"{held[id(obj)]} are open"
            )


def _views(kernel: KernelCore) -> Iterator[str]:
    mapped = Counter(
        id(region.section)
        for process in kernel.processes.values()
        for region in process.space.regions()
        if region.kind == "view"
    )
    for section in sections(kernel):
        if section.views != mapped[id(section)]:
            yield (
                f"section {section.name or section.role} counts {section.views} views, "
                f"{mapped[id(section)]} are mapped"
            )


def _charge(kernel: KernelCore) -> Iterator[str]:
    private = sum(own_bytes(process) for process in kernel.processes.values())
    shared = sum(section_bytes(section) for section in sections(kernel))
    if kernel.committed_bytes != private + shared:
        yield (
            f"{kernel.committed_bytes} bytes are charged; {private} are committed in processes, "
            f"{shared} in sections"
        )


def _names(kernel: KernelCore) -> Iterator[str]:
    for name, obj in kernel.names.items():
        if isinstance(obj, Section) and not obj.refs and not obj.views:
            yield f"section {name} can be found by its name, and nobody has it"
