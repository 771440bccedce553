"""dll_crt0: first processes, what a child closes, collisions, and what a DLL leaves at its end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from machine import FREE, World, early_nt_world, early_world, heap_world, leave

from models.cygwin import schemes
from models.cygwin.errors import ApiFatal, TryAgain
from models.cygwin.images import cygwin_image, native_image
from models.cygwin.startup import entry
from models.win32.errors import Win32Error
from models.win32.image import Image, Layout, Part

PAGE = 4096


# -- the first process --------------------------------------------------------------------------


@early_world
def test_first_process_reserves_its_heap_and_commits_one_page(world):
    seen = {}

    def main(p):
        region = p.me.process.space.find(p.heap.base)
        seen["region"] = region.base, region.size_bytes
        seen["committed"] = region.memory.committed_pages()
        seen["used"] = p.heap.max
        yield from p.exit(0)

    world.finish(main)
    version = world.scheme.version
    base, size = seen["region"]
    assert size == (version.era.cygheapsize + PAGE - 1) // PAGE * PAGE
    assert seen["committed"] == 1
    assert version.era.header_bytes < seen["used"] < PAGE
    if version.heap_address:
        assert base == version.heap_address
    else:
        assert base % 65536 == 0


@pytest.mark.parametrize(
    "name, size",
    [("blocking", 5_123_160), ("shared-memory-1.3.3", 5_123_308), ("shared-memory", 5_107_312)],
)
def test_heap_sizes_are_the_era_s(name, size):
    assert schemes.get(name).version.era.cygheapsize == size


@heap_world
def test_pid_of_a_first_process_is_its_windows_pid(world):
    seen = []

    def main(p):
        seen.append(p.pid)
        yield from p.exit(4)

    process = world.finish(main)
    assert seen == [process.pid]
    assert process.exit_code == 4


def test_main_that_returns_exits_with_0(world):
    def main(p):
        yield from p.work(1)

    assert world.finish(main).exit_code == 0


def test_two_first_processes_share_what_all_cygwin_processes_share(nt_world):
    seen = []

    def main(p):
        seen.append((p.h_shared, p.me.process.handles.get(p.h_shared)))
        yield from p.sleep(10_000)

    nt_world.boot(main)
    nt_world.boot(main)
    nt_world.k.engine.run()
    nt_world.check_clean()
    assert seen[0][1] is seen[1][1]
    made = [row.args["existed"] for row in nt_world.trace.rows() if row.name == "CreateFileMapping"
            and row.args["name"] == "cygwin1.shared"]  # fmt: skip
    assert made[0] is False
    assert all(made[1:])  # from 2005 on it is asked for as if it were new


def test_first_process_finds_nothing_open(world):
    seen = []

    def main(p):
        seen.append(dict(p.fds.open))
        yield from p.exit(0)

    world.finish(main)
    assert seen == [{}]


# -- addresses that are taken -------------------------------------------------------------------


def colliding(world, address):
    """A world's `cygwin` with one more DLL at `address` in its images."""
    version = world.scheme.version
    dll = Part(address, 0x20000, "colliding.dll")

    def image(program, name="new"):
        made = cygwin_image(version, name, entry(world.installation, program))
        return Image(name, (*made.parts, dll), made.entry)

    return image


@pytest.mark.parametrize("name", ["shared-memory-1.3.3", "shared-memory"])
def test_dll_at_the_heap_s_place_is_fatal_in_a_first_process_of_later_versions(name):
    world = World(schemes.get(name))
    image = colliding(world, world.scheme.version.heap_address + 0x100000)
    process = world.k.boot(image(leave(0)), FREE)
    world.k.engine.run()
    assert process.exit_code == 1
    heap = world.scheme.version.heap_address
    assert [failure.message for failure in world.installation.failures] == [
        f"AllocationBase 0x0, BaseAddress 0x{heap:X}, RegionSize 0x100000, State 0x10000",
        "Couldn't reserve space for cygwin's heap, Win32 error 0",
    ]


def test_dll_in_the_way_of_a_first_process_is_harmless_before_1_3_3():
    world = World(schemes.get("blocking"))
    image = colliding(world, 0x6A0000)
    process = world.k.boot(image(leave(0)), FREE)
    world.k.engine.run()
    world.check_clean()
    assert process.exit_code == 0


@heap_world
@pytest.mark.parametrize("kind", ["exec", "_P_WAIT"])
def test_dll_that_takes_the_heap_s_place_in_a_child_is_fatal(world, kind):
    if world.scheme.version.heap_in_image:  # no DLL can be in its place beside Cygwin's own
        image = colliding(world, world.scheme.version.heap_address + 0x10000)(leave(0))
        with pytest.raises(Win32Error, match=r"cygheap|cygwin1"):
            Layout(image.parts)
        return
    seen = {}
    real = world.cygwin

    def main(p):
        image = colliding(world, p.heap.base + 0x10000)
        world.cygwin = lambda program, name: image(program, name)
        seen["base"] = p.heap.base
        seen["code"] = yield from world.create(kind, leave(0))(p)
        world.cygwin = real

    world.run(main)
    assert seen["code"] == 1
    *before, failure = world.installation.failures
    if world.scheme.name == "child-copy":
        text = f"Couldn't allocate space for child's heap 0X{seen['base']:X}, size "
        assert failure.message.startswith(text)
        assert failure.message.endswith(", Win32 error 487")
        assert before == []
        assert world.k.committed_bytes == 0
        return
    assert failure.message.startswith("Couldn't reserve space for cygwin's heap (")
    assert f"(0x{seen['base']:X}" in failure.message
    assert "in child" in failure.message
    if world.is_blocking:
        assert "in child, cygheap, Win32 error" in failure.message
        assert before == []
    else:
        assert [said.message for said in before] == [
            f"m.AllocationBase 0x0, m.BaseAddress 0x{seen['base']:X}, m.RegionSize 0x10000, "
            "m.State 0x10000"
        ]
    assert world.k.committed_bytes == 0


def test_fork_child_whose_user_heap_s_place_is_taken_is_fatal(nt_world):
    """The parent sees EAGAIN. Here the parent's heap is moved by hand to a place that is taken."""
    seen = {}

    def main(p):
        p.user_heap = replace(p.user_heap, base=nt_world.scheme.version.dll_base)
        try:
            yield from p.fork(leave(0))
        except TryAgain as error:
            seen["error"] = str(error)

    nt_world.run(main)
    messages = [failure.message for failure in nt_world.installation.failures]
    version = nt_world.scheme.version
    taken, size = f"{version.dll_base:#x}", version.user_heap_reserve_bytes
    if nt_world.scheme.name == "child-copy":  # the child says it, and its parent nothing
        (said,) = messages
        assert said.startswith(f"couldn't allocate heap, Win32 error 487, base {taken}, top ")
        assert f"reserve_size {size}" in said
        assert "code 0x800000" in seen["error"]
        return
    assert messages[0].startswith(f"1. unable to allocate heap {taken}, heap_chunk_size {size}")
    told = "" if nt_world.scheme.name == "1.5.18" else "code 0x1"  # which tells no code
    assert told in seen["error"]


def test_fatal_error_of_a_program_ends_it_with_1_and_its_message(nt_world):
    def main(p):
        yield from p.work(5)
        raise ApiFatal("couldn't commit memory for cygwin heap, Win32 error 487")

    process = nt_world.run(main)
    assert process.exit_code == 1
    (failure,) = nt_world.installation.failures
    assert failure.message == "couldn't commit memory for cygwin heap, Win32 error 487"
    assert failure.program == "sh"


@early_nt_world
def test_heap_that_is_exhausted_kills_the_process(nt_world):
    def main(p):
        for _ in range(100):
            p.heap.cmalloc(1, 100_000)
        yield from p.exit(0)

    process = nt_world.run(main)
    assert process.exit_code == 1
    (failure,) = nt_world.installation.failures
    assert failure.message.startswith("couldn't commit memory for cygwin heap")
    assert nt_world.k.committed_bytes == 0


# -- what a child does with what it was given ---------------------------------------------------


def handles_by_role(p):
    handles = p.me.process.handles
    return sorted(handles.get(h).role or handles.get(h).kind for h in handles.handles())


@pytest.mark.parametrize("kind", ["fork", "exec", "_P_WAIT"])
def test_child_has_closed_what_only_the_hand_over_needed(world, kind):
    seen = []

    def child(p):
        yield from p.sleep(50_000)
        seen.extend(handles_by_role(p))
        yield from p.exit(0)

    world.finish(world.create(kind, child))
    for role in ("cygheap copy", "forker_finished"):
        assert role not in seen
    if kind != "_P_WAIT":
        assert "subproc_ready" not in seen


def test_user_heap_of_a_fork_child_lies_where_its_parent_s_does(world):
    seen = []

    def look(p):
        memory = p.user_heap.memory
        seen.append((p.user_heap.base, p.user_heap_bytes, memory.read(8192, 5)))

    def child(p):
        look(p)
        p.user_heap.memory.write(8192, b"child")
        yield from p.exit(0)

    def main(p):
        p.grow_user_heap(150_000)
        p.user_heap.memory.write(8192, b"hello")
        pid = yield from p.fork(child)
        yield from p.waitpid(pid)
        look(p)

    world.finish(main)
    assert seen[0] == seen[1]
    assert seen[0][1:] == (150_000, b"hello")


@heap_world
def test_data_and_bss_of_program_and_dll_are_copied_by_fork(world):
    version = world.scheme.version
    seen = {}

    def places(p):
        for address, size in (version.exe_data, version.exe_bss, version.dll_data):
            yield p.me.process.space.memory_at(address + size - 8)

    def child(p):
        seen["child"] = [memory.read(at, 8) for memory, at in places(p)]
        yield from p.exit(0)

    def main(p):
        for i, (memory, at) in enumerate(places(p)):
            memory.write(at, b"global %d" % i)
        pid = yield from p.fork(child)
        yield from p.waitpid(pid)

    world.finish(main)
    assert seen["child"] == [b"global 0", b"global 1", b"global 2"]
    sizes = [row.args["size"] for row in world.trace.rows() if row.name == "WriteProcessMemory"]
    stack = world.installation.sizes.stack
    if version.fork_reads:  # the rest is read by the child
        assert sizes == [stack]
    elif world.scheme.name == "1.5.18":
        assert sizes == [21_688, 31_708, PAGE, stack, 19_296, 38_944]
    elif world.scheme.name == "msys-1.0":
        assert sizes == [22_300, 15_372, 33 * PAGE, stack, 14_444, 222_536]
    else:
        assert sizes == [21_688, 31_708, PAGE, stack, 14_184, 221_976]


def test_exec_starts_with_fresh_data(world):
    version = world.scheme.version
    seen = []

    def child(p):
        memory, at = p.me.process.space.memory_at(version.exe_data[0])
        seen.append(memory.read(at, 4))
        yield from p.exit(0)

    def main(p):
        memory, at = p.me.process.space.memory_at(version.exe_data[0])
        memory.write(at, b"old!")
        yield from world.create("_P_WAIT", child)(p)

    world.finish(main)
    assert seen == [bytes(4)]


# -- images -------------------------------------------------------------------------------------


def test_native_image_has_the_program_and_no_dll_of_cygwin():
    version = schemes.get("shared-memory").version
    names = {part.name for part in native_image(version, "n", lambda k, t: iter(())).parts}
    assert not any("cygwin1" in name for name in names)
    more = {part.name for part in cygwin_image(version, "c", lambda k, t: iter(())).parts}
    assert {name for name in more - names if "cygwin1" in name} == more - names


@pytest.mark.parametrize("name", schemes.names())
def test_heap_lies_behind_the_dll_and_in_nobody_s_way(name):
    version = schemes.get(name).version
    parts = cygwin_image(version, "c", lambda k, t: iter(())).parts
    for part in parts:
        assert part.base % PAGE == 0
        assert part.size_bytes % PAGE == 0 or "stack" not in part.name
        if version.heap_address:
            end = version.heap_address + version.era.cygheapsize
            assert part.base + part.size_bytes <= version.heap_address or part.base >= end
