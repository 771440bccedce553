"""Handle tables: numbers, inheritance, duplicates, closing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machine import bare_kernel, run, start

from models.win32.errors import Win32Error
from models.win32.handles import CURRENT_PROCESS, CURRENT_THREAD, HandleTable
from models.win32.image import Image
from models.win32.objects import Event
from models.win32.process_calls import CREATE_SUSPENDED


def event() -> Event:
    return Event(manual=True, is_set=False)


def refused(code: int, call, *arguments, **more):
    with pytest.raises(Win32Error) as caught:
        call(*arguments, **more)
    assert caught.value.code == code


# -- the table ----------------------------------------------------------------------------------


def test_handles_are_multiples_of_4_from_4_up():
    table = HandleTable()
    assert [table.add(event(), False) for _ in range(3)] == [4, 8, 12]
    assert table.handles() == [4, 8, 12]
    assert len(table) == 3


def test_the_handle_closed_last_is_given_out_first():
    table = HandleTable()
    for _ in range(4):
        table.add(event(), False)
    for handle in (8, 16, 4):
        table.remove(handle)
    assert [table.add(event(), False) for _ in range(4)] == [4, 16, 8, 20]


@pytest.mark.parametrize("handle", [0, 4, 400, -4, CURRENT_PROCESS, CURRENT_THREAD])
def test_handle_that_is_not_open_is_6(handle):
    table = HandleTable()
    table.remove(table.add(event(), False))
    for call in (table.get, table.remove, table.inherits):
        refused(6, call, handle)
    refused(6, table.set_inherit, handle, True)


def test_references_count_open_handles():
    first, second, thing = HandleTable(), HandleTable(), event()
    a, b = first.add(thing, False), second.add(thing, True)
    assert thing.refs == 2
    assert first.remove(a) is thing
    assert thing.refs == 1
    assert second.empty() == [thing]
    assert thing.refs == 0
    assert len(second) == 0
    refused(6, second.get, b)


def test_child_gets_inheritable_handles_under_the_same_numbers():
    table = HandleTable()
    things = [event() for _ in range(5)]
    for i, thing in enumerate(things):
        table.add(thing, i in (1, 3))
    child = table.inherited()
    assert child.handles() == [8, 16]
    assert child.get(8) is things[1]
    assert child.get(16) is things[3]
    assert child.inherits(8)
    assert [thing.refs for thing in things] == [1, 2, 1, 2, 1]


def test_child_fills_the_gaps_from_below():
    table = HandleTable()
    for i in range(5):
        table.add(event(), i == 3)
    child = table.inherited()
    assert [child.add(event(), False) for _ in range(4)] == [4, 8, 12, 20]


def test_inheritance_can_be_changed_later():
    table = HandleTable()
    a, b = table.add(event(), False), table.add(event(), True)
    table.set_inherit(a, True)
    table.set_inherit(b, False)
    assert table.inherited().handles() == [a]


def test_a_reused_number_does_not_keep_the_old_inheritance():
    table = HandleTable()
    table.remove(table.add(event(), True))
    handle = table.add(event(), False)
    assert not table.inherits(handle)
    assert table.inherited().handles() == []


def test_find_gives_the_lowest_handle():
    table, thing = HandleTable(), event()
    table.add(event(), False)
    assert table.find(thing) is None
    table.add(thing, False)
    table.add(thing, False)
    assert table.find(thing) == 8


@given(st.lists(st.tuples(st.sampled_from(["add", "keep", "close"]), st.integers(0, 20))))
def test_tables_behave_like_a_dictionary_with_a_stack_of_free_numbers(script):
    table = HandleTable()
    model: dict[int, tuple[Event, bool]] = {}
    free: list[int] = []
    for action, number in script:
        if action == "close":
            if model:
                handle = sorted(model)[number % len(model)]
                assert table.remove(handle) is model.pop(handle)[0]
                free.append(handle)
            continue
        thing = event()
        wanted = free.pop() if free else 4 * (len(model) + 1)
        assert table.add(thing, action == "keep") == wanted
        model[wanted] = thing, action == "keep"
    assert table.handles() == sorted(model)
    assert table.inherited().handles() == sorted(h for h, (_, keep) in model.items() if keep)
    for handle, (thing, keep) in model.items():
        assert table.get(handle) is thing
        assert thing.refs == 1 + keep


# -- DuplicateHandle ----------------------------------------------------------------------------


def child_of(k, me, flags=CREATE_SUSPENDED):
    """(process handle, process) of a child that does nothing."""

    def nothing(kernel, thread):
        yield from kernel.work(thread, 0)

    h_process, _, pid = yield from k.create_process(me, Image("child", (), nothing), True, flags)
    return h_process, k.processes[pid]


def test_pseudo_handles_become_real_ones():
    def main(k, me):
        h = k.duplicate_handle(me, CURRENT_PROCESS, CURRENT_PROCESS, CURRENT_PROCESS)
        t = k.duplicate_handle(me, CURRENT_PROCESS, CURRENT_THREAD, CURRENT_PROCESS)
        assert (h, t) == (4, 8)
        assert k.object(me, h) is me.process
        assert k.object(me, t) is me
        yield from k.work(me, 0)

    run(bare_kernel(), main)


def test_duplicate_into_a_suspended_child_is_there_when_it_runs():
    k = bare_kernel()
    seen = []

    def program(kernel, thread):
        seen.append(thread.process.handles.handles())
        yield from kernel.set_event(thread, seen[0][0])

    def main(k, me):
        ready = k.create_event(me, manual=True)
        image = Image("child", (), program)
        h, t, pid = yield from k.create_process(me, image, True, CREATE_SUSPENDED)
        given = k.duplicate_handle(me, CURRENT_PROCESS, ready, h)
        assert k.processes[pid].handles.get(given) is k.object(me, ready)
        yield from k.resume_thread(me, t)
        assert (yield from k.wait_for_single_object(me, ready)) == 0

    run(k, main)
    assert seen == [[4]]


def test_duplicate_from_a_child_with_close_source_moves_the_handle():
    def main(k, me):
        h, child = yield from child_of(k, me)
        theirs = child.handles.add(thing := event(), False)
        mine = k.duplicate_handle(me, h, theirs, CURRENT_PROCESS, close_source=True)
        assert k.object(me, mine) is thing
        assert thing.refs == 1
        refused(6, child.handles.get, theirs)
        yield from k.terminate_process(me, h, 0)

    run(bare_kernel(), main)


def test_duplicate_chooses_its_own_inheritance():
    def main(k, me):
        source = k.create_event(me, manual=True, inherit=True)
        plain = k.duplicate_handle(me, CURRENT_PROCESS, source, CURRENT_PROCESS)
        kept = k.duplicate_handle(me, CURRENT_PROCESS, source, CURRENT_PROCESS, inherit=True)
        assert not me.process.handles.inherits(plain)
        assert me.process.handles.inherits(kept)
        yield from k.work(me, 0)

    run(bare_kernel(), main)


def test_bad_handles_are_6():
    def main(k, me):
        thing = k.create_event(me, manual=True)
        refused(6, k.duplicate_handle, me, CURRENT_PROCESS, 400, CURRENT_PROCESS)
        refused(6, k.duplicate_handle, me, thing, 4, CURRENT_PROCESS)
        refused(6, k.duplicate_handle, me, CURRENT_PROCESS, thing, 400)
        yield from k.work(me, 0)

    run(bare_kernel(), main)


def test_duplicate_into_a_process_that_has_ended_is_5_and_closes_the_source_all_the_same():
    def main(k, me):
        h, _ = yield from child_of(k, me)
        yield from k.terminate_process(me, h, 0)
        thing = k.create_event(me, manual=True)
        refused(5, k.duplicate_handle, me, CURRENT_PROCESS, thing, h)
        assert k.object(me, thing).refs == 1
        refused(5, k.duplicate_handle, me, CURRENT_PROCESS, thing, h, close_source=True)
        refused(6, k.object, me, thing)

    run(bare_kernel(), main)


def test_every_handle_is_gone_when_its_process_ends():
    k = bare_kernel()
    things = []

    def main(k, me):
        for _ in range(5):
            things.append(k.object(me, k.create_event(me, manual=True)))
        yield from k.work(me, 0)

    process = start(k, main)
    k.engine.run()
    assert [thing.refs for thing in things] == [0] * 5
    assert len(process.handles) == 0


def test_names_of_objects_find_the_same_object():
    def main(k, me):
        a = k.create_semaphore(me, 1, name="one")
        b = k.create_semaphore(me, 7, name="one")
        assert k.object(me, a) is k.object(me, b)
        assert k.object(me, b).count == 1
        m, n = k.create_mutex(me, name="two"), k.create_mutex(me, name="two")
        assert k.object(me, m) is k.object(me, n)
        yield from k.work(me, 0)

    run(bare_kernel(), main)


def test_name_dies_with_the_last_handle():
    def main(k, me):
        a = k.create_semaphore(me, 1, name="one")
        k.close_handle(me, a)
        b = k.create_semaphore(me, 7, name="one")
        assert k.object(me, b).count == 7
        yield from k.work(me, 0)

    run(bare_kernel(), main)


def test_look_gives_the_object_or_none():
    table, event = HandleTable(), Event(manual=True, is_set=False)
    handle = table.add(event, inherit=False)
    assert table.look(handle) is event
    assert [table.look(n) for n in (0, -4, handle + 4, CURRENT_PROCESS)] == [None] * 4
    table.remove(handle)
    assert table.look(handle) is None
