"""Pipes: capacity, end of file, broken pipes, and who is woken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machine import FREE, bare_kernel, run, start

from models.win32.errors import Win32Error
from models.win32.image import Image
from models.win32.object_calls import HANDLE_FLAG_INHERIT
from models.win32.process_calls import CREATE_SUSPENDED

CAPACITY = 4096


def writer(k, log, handle, size, pause=0.0):
    """Steps of a thread that writes once and notes when it was done."""

    def steps(thread):
        yield from k.sleep(thread, pause)
        yield from k.write_file(thread, handle, size)
        log.append(("wrote", k.engine.now, size))

    return steps


def reader(k, log, handle, *sizes, every=0.0):
    def steps(thread):
        for size in sizes:
            yield from k.sleep(thread, every)
            got = yield from k.read_file(thread, handle, size)
            log.append(("read", k.engine.now, got))

    return steps


# -- capacity -----------------------------------------------------------------------------------


def test_write_that_fits_does_not_wait(kernel):
    def main(k, me):
        r, w = k.create_pipe(me, CAPACITY)
        assert (yield from k.write_file(me, w, CAPACITY)) == CAPACITY
        assert k.object(me, w).pipe.held_bytes == CAPACITY
        assert (yield from k.read_file(me, r, 100)) == 100
        assert (yield from k.read_file(me, r, 10_000)) == CAPACITY - 100

    run(kernel, main)
    assert kernel.engine.now == 0


def test_write_over_the_capacity_waits_for_a_reader(kernel):
    log = []

    def main(k, me):
        r, w = k.create_pipe(me, CAPACITY)
        yield from k.create_thread(me, writer(k, log, w, CAPACITY + 10))
        yield from k.sleep(me, 30)
        assert k.object(me, w).pipe.held_bytes == CAPACITY
        assert log == []
        assert (yield from k.read_file(me, r, 9)) == 9
        yield from k.sleep(me, 30)
        assert log == []
        assert (yield from k.read_file(me, r, 1)) == 1
        yield from k.sleep(me, 30)

    run(kernel, main)
    assert log == [("wrote", 60, CAPACITY + 10)]


def test_write_far_over_the_capacity_goes_through_in_pieces(kernel):
    log = []

    def main(k, me):
        r, w = k.create_pipe(me, CAPACITY)
        yield from k.create_thread(me, writer(k, log, w, 10 * CAPACITY))
        got = []
        while sum(got) < 10 * CAPACITY:
            got.append((yield from k.read_file(me, r, 3000)))
        assert max(got) <= 3000
        yield from k.sleep(me, 1)

    run(kernel, main)
    assert len(log) == 1


def test_read_takes_what_is_there(kernel):
    log = []

    def main(k, me):
        r, w = k.create_pipe(me, CAPACITY)
        yield from k.create_thread(me, reader(k, log, r, 100, 100))
        yield from k.sleep(me, 5)
        yield from k.write_file(me, w, 30)
        yield from k.sleep(me, 5)
        yield from k.write_file(me, w, 120)
        yield from k.sleep(me, 5)
        assert k.object(me, r).pipe.held_bytes == 20

    run(kernel, main)
    assert log == [("read", 5, 30), ("read", 10, 100)]


def test_copying_takes_processor_time():
    k = bare_kernel()

    def main(k, me):
        r, w = k.create_pipe(me, CAPACITY)
        yield from k.write_file(me, w, 1000)
        yield from k.read_file(me, r, 1000)
        yield from k.work(me, 0)

    run(k, main, costs=FREE._replace(copy_us_per_byte=0.01, call_us=1.0))
    assert k.engine.now == pytest.approx(22)


def test_a_workload_may_write_beyond_the_capacity(kernel):
    asked = []

    def main(k, me):
        _, w = k.create_pipe(me, CAPACITY)

        def beyond():
            asked.append(k.engine.now)
            return len(asked) > 1

        def read_later(thread):
            yield from k.sleep(thread, 10)
            yield from k.read_file(thread, 4, 1)

        yield from k.create_thread(me, read_later)
        yield from k.write_file(me, w, 3 * CAPACITY, beyond)
        assert k.object(me, w).pipe.held_bytes == 3 * CAPACITY - 1

    run(kernel, main)
    assert asked == [0, 10]


# -- end of file --------------------------------------------------------------------------------


def test_read_gives_0_when_every_write_end_is_closed(kernel):
    log = []

    def main(k, me):
        r, w = k.create_pipe(me, CAPACITY)
        second = k.duplicate_handle(me, 0xFFFFFFFF, w, 0xFFFFFFFF)
        yield from k.write_file(me, w, 7)
        yield from k.create_thread(me, reader(k, log, r, 100, 100, 100))
        yield from k.sleep(me, 5)
        k.close_handle(me, w)
        yield from k.sleep(me, 5)
        k.close_handle(me, second)
        yield from k.sleep(me, 5)

    run(kernel, main)
    assert log == [("read", 0, 7), ("read", 10, 0), ("read", 10, 0)]


def test_end_of_file_comes_when_the_last_writer_s_process_ends(kernel):
    log = []

    def child(k, me):
        yield from k.sleep(me, 40)

    def main(k, me):
        r, w = k.create_pipe(me, CAPACITY)
        k.set_handle_information(me, r, HANDLE_FLAG_INHERIT, 0)
        yield from k.create_process(me, Image("child", (), child))
        k.close_handle(me, w)
        yield from k.create_thread(me, reader(k, log, r, 1))
        yield from k.sleep(me, 100)

    run(kernel, main)
    assert log == [("read", 40, 0)]


def test_end_of_file_comes_when_the_last_writer_is_killed(kernel):
    log = []

    def child(k, me):
        yield from k.sleep(me, None)

    def main(k, me):
        r, w = k.create_pipe(me, CAPACITY)
        h, _, _ = yield from k.create_process(me, Image("child", (), child), True, CREATE_SUSPENDED)
        k.close_handle(me, w)
        yield from k.create_thread(me, reader(k, log, r, 1))
        yield from k.sleep(me, 25)
        assert log == []  # even a suspended process holds its handles
        yield from k.terminate_process(me, h, 1)
        yield from k.sleep(me, 1)

    run(kernel, main)
    assert log == [("read", 25, 0)]


def test_a_child_that_inherits_the_write_end_keeps_the_reader_waiting(kernel):
    def child(k, me):
        yield from k.sleep(me, None)

    def main(k, me):
        r, w = k.create_pipe(me, CAPACITY)
        yield from k.create_process(me, Image("child", (), child))
        k.close_handle(me, w)
        yield from k.read_file(me, r, 1)

    process = start(kernel, main)
    kernel.engine.run()
    assert process.alive


def test_bytes_left_behind_are_read_before_the_end_of_file(kernel):
    def main(k, me):
        r, w = k.create_pipe(me, CAPACITY)
        yield from k.write_file(me, w, 50)
        k.close_handle(me, w)
        assert (yield from k.read_file(me, r, 30)) == 30
        assert (yield from k.read_file(me, r, 30)) == 20
        assert (yield from k.read_file(me, r, 30)) == 0

    run(kernel, main)


# -- broken pipes -------------------------------------------------------------------------------


def test_write_without_a_reader_is_109(kernel):
    def main(k, me):
        r, w = k.create_pipe(me, CAPACITY)
        k.close_handle(me, r)
        with pytest.raises(Win32Error) as caught:
            yield from k.write_file(me, w, 1)
        assert caught.value.code == 109

    run(kernel, main)


def test_write_that_waits_fails_when_the_reader_goes(kernel):
    def main(k, me):
        r, w = k.create_pipe(me, CAPACITY)

        def closer(thread):
            yield from k.sleep(thread, 10)
            k.close_handle(thread, r)

        yield from k.create_thread(me, closer)
        with pytest.raises(Win32Error) as caught:
            yield from k.write_file(me, w, CAPACITY + 1)
        assert caught.value.code == 109
        assert k.engine.now == 10

    run(kernel, main)


@pytest.mark.parametrize("call", ["read the write end", "write the read end", "read an event"])
def test_wrong_end_is_6(kernel, call):
    def main(k, me):
        r, w = k.create_pipe(me, CAPACITY)
        event = k.create_event(me, manual=True)
        steps = {
            "read the write end": k.read_file(me, w, 1),
            "write the read end": k.write_file(me, r, 1),
            "read an event": k.read_file(me, event, 1),
        }[call]
        with pytest.raises(Win32Error) as caught:
            yield from steps
        assert caught.value.code == 6

    run(kernel, main)


# -- several readers and writers ----------------------------------------------------------------


def test_readers_are_served_oldest_first(kernel):
    log = []

    def main(k, me):
        r, w = k.create_pipe(me, CAPACITY)
        for size in (1, 2, 3):
            yield from k.create_thread(me, reader(k, log, r, size))
        for _ in range(3):
            yield from k.sleep(me, 10)
            yield from k.write_file(me, w, 3)
        yield from k.sleep(me, 1)

    run(kernel, main)
    assert [got for _, _, got in log] == [1, 2, 3]


def test_what_one_reader_leaves_wakes_the_next(kernel):
    log = []

    def main(k, me):
        r, w = k.create_pipe(me, CAPACITY)
        for _ in range(2):
            yield from k.create_thread(me, reader(k, log, r, 5))
        yield from k.sleep(me, 10)
        yield from k.write_file(me, w, 10)
        yield from k.sleep(me, 10)

    run(kernel, main)
    assert log == [("read", 10, 5), ("read", 10, 5)]


def test_room_that_one_writer_leaves_wakes_the_next(kernel):
    log = []

    def main(k, me):
        r, w = k.create_pipe(me, CAPACITY)
        yield from k.write_file(me, w, CAPACITY)
        for size in (10, 20):
            yield from k.create_thread(me, writer(k, log, w, size))
        yield from k.sleep(me, 10)
        yield from k.read_file(me, r, CAPACITY)
        yield from k.sleep(me, 10)

    run(kernel, main)
    assert log == [("wrote", 10, 10), ("wrote", 10, 20)]


def test_a_killed_reader_leaves_the_queue(kernel):
    log = []

    def child(k, me):
        yield from k.read_file(me, 4, 1)

    def main(k, me):
        r, w = k.create_pipe(me, CAPACITY)
        h, _, _ = yield from k.create_process(me, Image("child", (), child))
        yield from k.create_thread(me, reader(k, log, r, 1))
        yield from k.sleep(me, 1)
        yield from k.terminate_process(me, h, 1)
        yield from k.write_file(me, w, 1)
        yield from k.sleep(me, 1)

    run(kernel, main)
    assert log == [("read", 1, 1)]


@pytest.mark.parametrize("suspended", [False, True])
def test_a_reader_killed_on_its_way_hands_its_wake_up_on(suspended):
    k = bare_kernel()
    log = []
    costs = FREE._replace(wake_us=20.0)

    def child(k, me):
        yield from k.read_file(me, 4, 1)

    def main(k, me):
        r, w = k.create_pipe(me, CAPACITY)
        h, t, _ = yield from k.create_process(me, Image("child", (), child))
        yield from k.sleep(me, 1)
        yield from k.create_thread(me, reader(k, log, r, 1))
        yield from k.sleep(me, 1)
        if suspended:
            yield from k.suspend_thread(me, t)
        yield from k.write_file(me, w, 1)  # wakes the child, which is killed before it runs
        yield from k.terminate_process(me, h, 1)
        yield from k.sleep(me, 100)
        assert k.object(me, r).pipe.held_bytes == 0

    run(k, main, costs=costs)
    assert [got for _, _, got in log] == [1]


sizes = st.lists(st.integers(1, 9000), min_size=1, max_size=5)


@given(sizes, sizes, st.sampled_from([512, 4096, 65536]), st.booleans())
def test_every_byte_written_is_read_once(writes, reads, capacity, two_writers):
    k = bare_kernel()
    log = []

    def main(k, me):
        r, w = k.create_pipe(me, capacity)
        threads = []
        for size in writes if two_writers else []:
            threads.append((yield from k.create_thread(me, writer(k, log, w, size))))

        def write_all(thread):
            for size in [] if two_writers else writes:
                yield from k.write_file(thread, w, size)
            for t in threads:
                yield from k.wait_for_single_object(thread, t)
            k.close_handle(thread, w)

        yield from k.create_thread(me, write_all)
        total = 0
        i = 0
        while True:
            got = yield from k.read_file(me, r, reads[i % len(reads)])
            assert k.object(me, r).pipe.held_bytes <= capacity
            if not got:
                break
            assert got <= reads[i % len(reads)]
            total += got
            i += 1
        assert total == sum(writes)

    run(k, main)
