"""Who holds the heap's section, told from the calls, against what the machine itself has open."""

from __future__ import annotations

import pytest

from models.cygwin import schemes
from models.cygwin.section_life import HANDLE, ROLE, VIEW, heap_pages, holds, of_creation
from models.win32.objects import Section
from scenarios import Program, run


def leaves(p):
    yield from p.work(10)


def becomes(p):
    yield from p.exec(leaves)


def everything(p):
    p.socket()
    for child in (leaves, becomes):
        yield from p.waitpid((yield from p.fork(child)))
    yield from p.waitpid((yield from p.spawn("_P_NOWAIT", leaves)))
    yield from p.spawn("_P_NOWAIT", Program.native("notepad"))


@pytest.mark.parametrize("system", ["nt", "9x"])
@pytest.mark.parametrize("scheme", schemes.names()[1:])
def test_what_is_held_at_the_end_is_what_the_machine_has_open(scheme, system):
    for until_us in (10_000, 20_000, 30_000, 40_000, 60_000, 1e9):
        result = run(everything, scheme=scheme, system=system, calls=True, until_us=until_us)
        told = {(h.process.pid, h.what, h.number) for h in holds(result.kernel) if not h.ended_by}
        there = set()
        for process in result.kernel.processes.values():
            if not process.alive:
                continue
            for handle in process.handles.handles():
                obj = process.handles.get(handle)
                if isinstance(obj, Section) and obj.role == ROLE:
                    there.add((process.pid, HANDLE, handle))
            for region in process.space.regions():
                if region.section is not None and region.section.role == ROLE:
                    there.add((process.pid, VIEW, region.base))
        # a call that is owed but not paid yet has its row after the moment that was looked at
        late = {(h.process.pid, h.what, h.number) for h in holds(result.kernel)
                if h.from_us > until_us or (h.until_us or 0) > until_us}  # fmt: skip
        assert told - late == there - late


def test_a_native_child_keeps_its_handle_for_life():
    def parent(p):
        yield from p.spawn("_P_NOWAIT", Program.native("notepad", 0.25))

    result = run(parent, scheme="shared-memory", calls=True)
    [own] = [h for h in holds(result.kernel) if h.process.image.name == "notepad"]
    assert (own.what, own.ended_by) == (HANDLE, "end of process")
    assert own.until_us - own.from_us > 250_000


def test_blocking_makes_no_section():
    result = run(everything, scheme="blocking", calls=True, until_us=1e6)
    assert holds(result.kernel) == []


@pytest.mark.parametrize(
    ("scheme", "system", "most"),
    [("blocking", "nt", 2), ("blocking", "9x", 2), ("shared-memory-1.3.3", "nt", 2),
     ("shared-memory", "nt", 2), ("shared-memory", "9x", 3)],
)  # fmt: skip
def test_the_machines_own_peak_grows_by_as_many_copies_as_are_told(scheme, system, most):
    """1 MiB against 2 MiB of heap: nothing else grows, so the peaks differ by the copies."""

    def grown(blocks):
        def parent(p):
            for _ in range(blocks):
                p.dll.heap.cmalloc(3, (1 << 20) - 16)
            yield from p.waitpid((yield from p.fork(leaves)))

        result = run(parent, scheme=scheme, system=system, profile="ideal", calls=True)
        [fork] = result.creations
        pages = heap_pages(result.kernel, fork)
        assert pages[-1][1] == 0
        return max(total for _, total in pages), result.kernel.committed_peak_bytes

    (told_small, real_small), (told_large, real_large) = grown(1), grown(2)
    assert told_large - told_small == real_large - real_small
    assert round((told_large - told_small) / (1 << 20)) == most


def test_each_creation_has_its_own_section():
    result = run(everything, calls=True, until_us=1e9)
    which = [{h.section for h in of_creation(result.kernel, c)} for c in result.creations]
    assert which == [{n} for n in range(len(result.creations))]


def test_a_run_without_calls_is_refused():
    with pytest.raises(ValueError, match="kept no calls"):
        holds(run(leaves).kernel)
