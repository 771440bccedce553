"""Sections and views, commits through a view, and copies between processes."""

from __future__ import annotations

import pytest
from machine import FREE, bare_kernel, run

from models.win32.errors import Win32Error
from models.win32.handles import CURRENT_PROCESS
from models.win32.image import Image, Part
from models.win32.process_calls import CREATE_SUSPENDED

MINE = 0x20000000
THEIRS = 0x400000
SIZE = 5_107_312  # CYGHEAPSIZE of 1.3.4
DATA = (Part(THEIRS, 0x4000, "program data", writable=True),)


def refused(code, call, *arguments):
    with pytest.raises(Win32Error) as caught:
        call(*arguments)
    assert caught.value.code == code


def bytes_at(process, address, size):
    memory, offset = process.space.memory_at(address)
    return memory.read(offset, size)


def put(process, address, content):
    memory, offset = process.space.memory_at(address, "write")
    memory.write(offset, content)


def own_memory(k, me, size=0x10000, content=b""):
    k.virtual_reserve(me, MINE, size)
    k.virtual_commit(me, MINE, size)
    if content:
        put(me.process, MINE, content)


def suspended(k, me, parts=DATA):
    def nothing(kernel, thread):
        yield from kernel.work(thread, 0)

    h, _, pid = yield from k.create_process(
        me, Image("child", parts, nothing), True, CREATE_SUSPENDED
    )
    return h, k.processes[pid]


# -- sections -----------------------------------------------------------------------------------


def test_reserved_section_is_committed_through_a_view_for_every_view(kernel):
    def main(k, me):
        h, _ = k.create_file_mapping(me, SIZE, reserve=True)
        assert k.committed_bytes == 0
        first, second = k.map_view_of_file_ex(me, h), k.map_view_of_file_ex(me, h)
        refused_read(me.process, second.base)
        k.virtual_commit(me, first.base, 9700)
        assert k.committed_bytes == 3 * 4096
        put(me.process, first.base + 9000, b"seen")
        assert bytes_at(me.process, second.base + 9000, 4) == b"seen"
        yield from k.work(me, 0)

    run(kernel, main)
    assert kernel.committed_bytes == 0


def refused_read(process, address):
    memory, offset = process.space.memory_at(address)
    assert not memory.is_committed(offset)


def test_section_without_reserve_is_committed_at_once_and_is_zero(kernel):
    def main(k, me):
        h, existed = k.create_file_mapping(me, 10_000)
        assert not existed
        assert k.committed_bytes == 3 * 4096
        view = k.map_view_of_file_ex(me, h)
        assert bytes_at(me.process, view.base, 10_000) == bytes(10_000)
        yield from k.work(me, 0)

    run(kernel, main)


def test_section_lives_as_long_as_a_handle_or_a_view(kernel):
    def main(k, me):
        h, _ = k.create_file_mapping(me, 4096)
        view = k.map_view_of_file_ex(me, h)
        put(me.process, view.base, b"kept")
        k.close_handle(me, h)
        assert k.committed_bytes == 4096
        assert bytes_at(me.process, view.base, 4) == b"kept"
        k.unmap_view_of_file(me, view.base)
        assert k.committed_bytes == 0

        h, _ = k.create_file_mapping(me, 4096)
        view = k.map_view_of_file_ex(me, h)
        put(me.process, view.base, b"kept")
        k.unmap_view_of_file(me, view.base)
        assert k.committed_bytes == 4096
        again = k.map_view_of_file_ex(me, h)
        assert bytes_at(me.process, again.base, 4) == b"kept"
        k.unmap_view_of_file(me, again.base)
        k.close_handle(me, h)
        assert k.committed_bytes == 0
        yield from k.work(me, 0)

    run(kernel, main)


def test_section_that_a_child_inherited_lives_as_long_as_the_child(kernel):
    def main(k, me):
        h, _ = k.create_file_mapping(me, 4096, inherit=True)
        process, _ = yield from suspended(k, me, ())
        k.close_handle(me, h)
        assert k.committed_bytes == 4096
        yield from k.terminate_process(me, process, 1)
        assert k.committed_bytes == 0

    run(kernel, main)


def test_views_of_a_process_go_with_it(kernel):
    def child(k, me):
        k.map_view_of_file_ex(me, 4)
        yield from k.sleep(me, 10)

    def main(k, me):
        h, _ = k.create_file_mapping(me, 4096, inherit=True)
        section = k.object(me, h)
        process, _, _ = yield from k.create_process(me, Image("child", (), child))
        k.close_handle(me, h)
        yield from k.sleep(me, 1)
        assert (section.refs, section.views) == (1, 1)
        yield from k.wait_for_single_object(me, process)
        assert (section.refs, section.views) == (0, 0)
        assert k.committed_bytes == 0

    run(kernel, main)


def test_named_section_is_found_again_until_it_dies(kernel):
    def main(k, me):
        assert k.open_file_mapping(me, "cygpid.1") is None
        a, existed = k.create_file_mapping(me, 988, name="cygpid.1")
        assert not existed
        b, existed = k.create_file_mapping(me, 5000, name="cygpid.1")
        assert existed
        assert k.object(me, a) is k.object(me, b)
        c = k.open_file_mapping(me, "cygpid.1")
        assert c is not None
        for h in (a, b, c):
            k.close_handle(me, h)
        assert k.open_file_mapping(me, "cygpid.1") is None
        _, existed = k.create_file_mapping(me, 988, name="cygpid.1")
        assert not existed
        yield from k.work(me, 0)

    run(kernel, main)


def test_view_where_it_is_wanted(kernel):
    def main(k, me):
        h, _ = k.create_file_mapping(me, SIZE, reserve=True)
        assert k.map_view_of_file_ex(me, h, 0x61100000).base == 0x61100000
        refused(487, k.map_view_of_file_ex, me, h, 0x61200000)
        refused(1132, k.map_view_of_file_ex, me, h, 0x20001000)
        refused(6, k.map_view_of_file_ex, me, 400)
        refused(6, k.map_view_of_file_ex, me, k.create_event(me, manual=True))
        yield from k.work(me, 0)

    run(kernel, main)


def test_unmap_wants_an_address_of_a_view(kernel):
    def main(k, me):
        h, _ = k.create_file_mapping(me, 2 * 65536)
        view = k.map_view_of_file_ex(me, h)
        own_memory(k, me)
        for address in (MINE, 0x30000000):
            refused(487, k.unmap_view_of_file, me, address)
        k.unmap_view_of_file(me, view.base + 65536)
        refused(487, k.unmap_view_of_file, me, view.base)
        yield from k.work(me, 0)

    run(kernel, main)


def test_9x_refuses_a_view_at_a_private_address():
    def main(k, me):
        h, _ = k.create_file_mapping(me, SIZE, reserve=True)
        refused(487, k.map_view_of_file_ex, me, h, 0x61100000)
        assert k.map_view_of_file_ex(me, h).base >= 0x80000000
        yield from k.work(me, 0)

    run(bare_kernel("9x"), main)


# -- private memory -----------------------------------------------------------------------------


def test_commit_needs_a_reservation(kernel):
    def main(k, me):
        refused(487, k.virtual_commit, me, MINE, 1)
        k.virtual_reserve(me, MINE, 8192)
        refused(487, k.virtual_commit, me, MINE, 8193)
        k.virtual_commit(me, MINE + 100, 1)
        assert k.committed_bytes == 4096
        yield from k.work(me, 0)

    run(kernel, main)


def test_free_gives_everything_back(kernel):
    def main(k, me):
        own_memory(k, me)
        refused(487, k.virtual_free, me, MINE + 4096)
        k.virtual_free(me, MINE)
        assert k.committed_bytes == 0
        assert k.virtual_query(me, MINE) is None
        refused(487, k.virtual_free, me, MINE)
        yield from k.work(me, 0)

    run(kernel, main)


def test_new_pages_cost_their_first_touch(kernel):
    def main(k, me):
        k.virtual_reserve(me, MINE, 0x10000)
        k.virtual_commit(me, MINE, 8192)
        k.virtual_commit(me, MINE, 12288)
        yield from k.work(me, 0)

    run(kernel, main, costs=FREE._replace(page_us=5.0))
    assert kernel.engine.now == 15


# -- copies -------------------------------------------------------------------------------------


def test_copy_memory_counts_bytes_and_time(kernel):
    def main(k, me):
        own_memory(k, me, content=b"heap" * 1000)
        h, _ = k.create_file_mapping(me, SIZE, reserve=True)
        view = k.map_view_of_file_ex(me, h)
        k.virtual_commit(me, view.base, 4000)
        k.copy_memory(me, view.base, MINE, 4000)
        assert bytes_at(me.process, view.base, 4000) == b"heap" * 1000
        put(me.process, MINE, b"late")
        assert bytes_at(me.process, view.base, 4) == b"heap"
        yield from k.work(me, 0)

    run(kernel, main, costs=FREE._replace(copy_us_per_byte=0.01))
    assert kernel.bytes_copied == 4000
    assert kernel.engine.now == pytest.approx(40)


def test_memory_of_another_process_is_read_and_written(kernel):
    def main(k, me):
        own_memory(k, me, content=b"parent")
        h, child = yield from suspended(k, me)
        assert (yield from k.write_process_memory(me, h, THEIRS + 4090, MINE, 6)) == 6
        assert bytes_at(child, THEIRS + 4090, 6) == b"parent"
        assert (yield from k.read_process_memory(me, h, THEIRS + 4092, MINE + 50, 4)) == 4
        assert bytes_at(me.process, MINE + 50, 4) == b"rent"
        yield from k.terminate_process(me, h, 0)

    run(kernel, main)
    assert kernel.write_process_memory_bytes == 6
    assert kernel.read_process_memory_bytes == 4
    assert kernel.bytes_copied == 10


def test_a_child_reads_its_parent_through_an_inherited_handle(kernel):
    seen = []

    def child(k, me):
        own_memory(k, me)
        yield from k.read_process_memory(me, 4, MINE, MINE, 8192)
        put(me.process, MINE, b"c")
        seen.append(bytes_at(me.process, MINE, 3))

    def main(k, me):
        own_memory(k, me, content=b"xyz" * 3000)
        k.duplicate_handle(me, CURRENT_PROCESS, CURRENT_PROCESS, CURRENT_PROCESS, inherit=True)
        h, _, _ = yield from k.create_process(me, Image("child", (), child))
        yield from k.wait_for_single_object(me, h)
        assert bytes_at(me.process, MINE, 3) == b"xyz"

    run(kernel, main)
    assert seen == [b"cyz"]


@pytest.mark.parametrize("reading", [True, False])
def test_copy_over_what_is_not_there_is_299_and_says_how_far_it_came(kernel, reading):
    def main(k, me):
        own_memory(k, me, content=b"m" * 0x8000)
        h, _child = yield from suspended(k, me)
        call = k.read_process_memory if reading else k.write_process_memory
        places = (THEIRS + 0x3000, MINE)
        with pytest.raises(Win32Error) as caught:
            yield from call(me, h, *places, 0x2000)
        assert caught.value.code == 299
        assert caught.value.done_bytes == 0x1000
        with pytest.raises(Win32Error) as caught:
            yield from call(me, h, 0x10000000, MINE, 4)
        assert caught.value.code == 299
        yield from k.terminate_process(me, h, 0)

    run(kernel, main)


@pytest.mark.parametrize("reading", [True, False])
def test_copy_with_a_bad_own_side_is_998(kernel, reading):
    def main(k, me):
        h, _ = yield from suspended(k, me)
        call = k.read_process_memory if reading else k.write_process_memory
        with pytest.raises(Win32Error) as caught:
            yield from call(me, h, THEIRS, 0x10000000, 4)
        assert caught.value.code == 998
        yield from k.terminate_process(me, h, 0)

    run(kernel, main)


def test_copies_between_processes_need_a_process_handle(kernel):
    def main(k, me):
        own_memory(k, me)
        event = k.create_event(me, manual=True)
        for call in (k.read_process_memory, k.write_process_memory):
            with pytest.raises(Win32Error) as caught:
                yield from call(me, event, MINE, MINE, 4)
            assert caught.value.code == 6

    run(kernel, main)
