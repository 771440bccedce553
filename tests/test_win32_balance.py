"""The machine's books: each count that is kept, falsified, is found."""

from __future__ import annotations

import pytest
from machine import bare_kernel, run, start

from models.win32.balance import Inventory, discrepancies
from models.win32.handles import CURRENT_PROCESS
from models.win32.memory import PAGE_BYTES


def machine():
    """A machine with a process that sleeps on a section, a view, a pipe and private pages."""
    kernel = bare_kernel()

    def steps(k, me):
        handle, _ = k.create_file_mapping(me, 3 * PAGE_BYTES, name="shared")
        k.map_view_of_file_ex(me, handle)
        k.duplicate_handle(me, CURRENT_PROCESS, handle, CURRENT_PROCESS)
        k.create_pipe(me, 512)
        region = k.virtual_reserve(me, 0, 8 * PAGE_BYTES)
        k.virtual_commit(me, region.base, 2 * PAGE_BYTES)
        yield from k.sleep(me, None)

    process = start(kernel, steps)
    kernel.engine.run()
    return kernel, process


def section_of(kernel):
    return kernel.names["shared"]


def test_the_books_of_a_machine_are_right_while_a_process_runs():
    kernel, _ = machine()
    assert kernel.committed_bytes == 5 * PAGE_BYTES
    assert discrepancies(Inventory(kernel)) == []


def test_the_books_are_right_and_empty_when_everybody_has_ended():
    kernel = bare_kernel()

    def steps(k, me):
        handle, _ = k.create_file_mapping(me, PAGE_BYTES, name="shared")
        k.map_view_of_file_ex(me, handle)
        yield from k.exit_process(me, 0)

    run(kernel, steps)
    assert discrepancies(Inventory(kernel)) == []
    assert kernel.committed_bytes == 0


def lose_a_reference(kernel, process):
    section_of(kernel).refs -= 1


def forget_a_view(kernel, process):
    section_of(kernel).views = 0


def charge_a_page(kernel, process):
    kernel.committed_bytes += PAGE_BYTES


def commit_without_charge(kernel, process):
    region = next(r for r in process.space.regions() if r.kind == "private")
    region.memory.commit(0, 3 * PAGE_BYTES)


def keep_a_handle_after_the_end(kernel, process):
    kernel.end_process(process, 0, None)
    process.handles.add(process, False)


def keep_the_name_of_a_dead_section(kernel, process):
    section = section_of(kernel)
    kernel.end_process(process, 0, None)
    kernel.names["shared"] = section


@pytest.mark.parametrize(
    ("falsify", "said"),
    [
        (lose_a_reference, "section counts 1 handles, 2 are open"),
        (forget_a_view, "section shared counts 0 views, 1 are mapped"),
        (charge_a_page, "24576 bytes are charged; 8192 are committed in processes, 12288 in"),
        (commit_without_charge, "20480 bytes are charged; 12288 are committed in processes"),
        (keep_a_handle_after_the_end, "has ended with 1 handles and 0 regions"),
        (keep_the_name_of_a_dead_section, "can be found by its name, and nobody has it"),
    ],
)
def test_a_falsified_count_is_found(falsify, said):
    kernel, process = machine()
    falsify(kernel, process)
    found = discrepancies(Inventory(kernel))
    assert len(found) == 1
    assert said in found[0]
