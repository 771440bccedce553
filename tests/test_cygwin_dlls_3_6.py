"""DLLs that a program of Cygwin 3.6 loads while it runs: where a fork child has them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from machine import ARGUMENTS, World, leave

from models.cygwin import dlls_3_6, schemes
from models.cygwin.cygheap.modern_audit import blocks
from models.cygwin.cygheap.modern_layout import ModernType
from models.cygwin.early_death import EXIT_FORK_FAILED
from models.cygwin.errors import SilentFailure
from models.cygwin.left_behind import balance
from models.win32.address_space import Region
from models.win32.image import Image, Part
from models.win32.library_calls import Library
from scenarios import run

MRO = Library("mro.dll", 0x41E510000, 0x10000)
CWD = Library("Cwd.dll", 0x41E510000, 0x8000, 0x2000)  # wants the place of the other


@pytest.fixture
def world():
    return World(schemes.get("child-copy"))


def word(p, address):
    memory, at = p.me.process.space.memory_at(address)
    return memory.read(at, 4)


def put(p, address, content):
    memory, at = p.me.process.space.memory_at(address)
    memory.write(at, content)


def names(world, process):
    """Names of the calls of a process's main thread."""
    rows = world.trace.rows(process.pid, process.threads[0].tid)
    return [row.name for row in rows if row.phase != "return"]


@pytest.mark.parametrize("generations", [1, 3])
def test_a_fork_child_has_each_dll_where_its_parent_has_it_and_its_data(world, generations):
    seen = []

    def child(n):
        def program(p):
            dlls = list(dlls_3_6.loaded(p))
            seen.append([(dll.name, dll.base, word(p, dll.data)) for dll in dlls])
            if n:
                yield from p.waitpid((yield from p.fork(child(n - 1))))
            yield from p.exit(0)

        return program

    def main(p):
        for library, content in ((MRO, b"mro!"), (CWD, b"Cwd!")):
            base = dlls_3_6.dlopen(p, library)
            put(p, base + library.data_offset, content)
        seen.append([(d.name, d.base, word(p, d.data)) for d in dlls_3_6.loaded(p)])
        yield from p.waitpid((yield from p.fork(child(generations - 1))))

    world.finish(main)
    assert len(seen) == generations + 1
    assert all(one == seen[0] for one in seen)
    (_, first, _), (_, second, _) = seen[0]
    assert first == MRO.base
    assert second != CWD.base  # the system found room elsewhere


def test_the_calls_are_those_of_the_source(world):
    """Places are reserved before the first report; loading, then the data, before the third."""

    def main(p):
        dlls_3_6.dlopen(p, MRO)
        yield from p.waitpid((yield from p.fork(leave(0))))

    parent = world.finish(main)
    child = world.first_child()
    reserved = [
        row.t_us for row in world.rows(child.pid, "VirtualAlloc") if row.args["addr"] == MRO.base
    ]
    (loaded,) = world.rows(child.pid, "LoadLibrary")
    (freed,) = world.rows(child.pid, "VirtualFree")
    ready = [
        row.t_us for row in world.rows(child.pid, "SetEvent")
        if row.args["h"].role == "subproc_ready"
    ]  # fmt: skip
    assert reserved[0] < ready[0] < freed.t_us <= loaded.t_us < ready[1]
    written = [
        row for row in world.rows(parent.pid, "WriteProcessMemory")
        if row.args["addr"] == MRO.base + MRO.data_offset
    ]  # fmt: skip
    assert [row.args["size"] for row in written] == [MRO.data_bytes]
    assert ready[1] <= written[0].t_us


def test_an_interim_mapping_that_lands_wrong_is_blocked_off_and_tried_again(world):
    """In the child the preferred place is free, so the DLL lies there first."""

    def main(p):
        region = p.me.process.space.add(Region(CWD.base, 0x10000, "private", "in the way"))
        dlls_3_6.dlopen(p, CWD)
        p.me.process.space.remove(region)
        yield from p.waitpid((yield from p.fork(leave(0))))

    world.finish(main)
    child = world.first_child()
    places = [row.args["ret"] for row in world.rows(child.pid, "LoadLibrary")]
    assert places[0] == CWD.base
    assert places[1] == places[2] != CWD.base  # the interim mapping, then the DLL itself
    assert len(world.rows(child.pid, "FreeLibrary")) == 2


def test_a_second_dll_away_from_its_base_is_lost_once_the_first_had_to_be_tried_again(world):
    """The place that is kept for it is not let go then, so nothing can be loaded there."""
    other = replace(MRO, name="Util.dll", base=0x41E600000)

    def main(p):
        space = p.me.process.space
        taken = [space.add(Region(dll.base, 0x10000, "private")) for dll in (CWD, other)]
        for dll in (CWD, other):
            assert dlls_3_6.dlopen(p, dll) != dll.base
        for region in taken:
            space.remove(region)
        with pytest.raises(SilentFailure):
            yield from p.fork(leave(0))

    world.run(main)
    (failure,) = world.installation.failures
    assert failure.message.startswith("unable to remap Util.dll")
    assert failure.message.endswith("try running rebaseall")


def with_dll(world, image, address, size=0x10000):
    return Image(image.name, (*image.parts, Part(address, size, "injected.dll")), image.entry)


def test_a_dll_that_only_the_child_has_in_that_place_ends_it_and_fork_is_eagain(world):
    seen = {}

    def main(p):
        dlls_3_6.dlopen(p, MRO)
        handles, top = len(p.me.process.handles), p.heap.max
        whole, p.me.process.image = (
            p.me.process.image,
            with_dll(world, p.me.process.image, MRO.base + 0x4000),
        )
        with pytest.raises(SilentFailure):
            yield from p.fork(leave(0))
        seen["left"] = len(p.me.process.handles) - handles, p.heap.max - top
        p.me.process.image = whole
        seen["code"] = yield from p.waitpid((yield from p.fork(leave(6))))

    world.run(main)
    assert seen == {"left": (0, 0), "code": 6}
    assert world.first_child().exit_code == EXIT_FORK_FAILED
    (failure,) = world.installation.failures
    assert failure.message == (
        "address space needed by 'mro.dll' (0x41e510000) is already occupied"
    )
    found = balance(world.installation)
    assert (found.left, found.unexplained) == ([], [])


def test_a_dll_that_lands_wrong_whatever_is_blocked_off_ends_the_child_with_advice(world):
    """Seven free places below its own: after six of them are blocked off nobody tries more."""
    seen = {}

    def main(p):
        space = p.me.process.space
        taken = space.add(Region(CWD.base, 0x10000, "private", "in the way"))
        low = space.free_range(CWD.size_bytes, space.system.lowest, space.system.highest)
        walls = [
            space.add(Region(low + i * 0x10000, 0x10000, "private", "wall")) for i in range(40)
        ]
        base = dlls_3_6.dlopen(p, CWD)
        for wall in (*walls, taken):
            space.remove(wall)
        image = p.me.process.image
        parts = [Part(low + i * 0x20000 + 0x10000, 0x10000, f"bloda{i}.dll") for i in range(8)]
        p.me.process.image = Image(image.name, (*image.parts, *parts), image.entry)
        seen["base"] = base
        with pytest.raises(SilentFailure, match="died waiting for dll loading"):
            yield from p.fork(leave(0))

    world.run(main)
    (failure,) = world.installation.failures
    assert failure.message == (
        f"unable to remap Cwd.dll (using Cwd.dll) to same address as parent ({seen['base']:#x}) "
        "- try running rebaseall"
    )
    places = [row.args["ret"] for row in world.rows(world.first_child().pid, "LoadLibrary")]
    assert len(places) == len(set(places)) == dlls_3_6.RETRIES + 1
    assert seen["base"] not in places


@pytest.mark.parametrize("kind", ["exec", "_P_WAIT"])
def test_a_new_image_has_none_and_its_walk_frees_the_records(world, kind):
    seen = {}

    def new(p):
        seen["dlls"] = list(dlls_3_6.loaded(p))
        records = [b for b in blocks(p.heap) if b.type == ModernType.HEAP_2_DLL]
        seen["records"] = [b.in_use for b in records]
        yield from p.exit(0)

    def main(p):
        dlls_3_6.dlopen(p, MRO)
        dlls_3_6.dlopen(p, CWD)
        assert dlls_3_6.dlopen(p, MRO) == MRO.base
        if kind == "exec":
            yield from p.execute(world.cygwin(new), ARGUMENTS)
        yield from p.spawn(kind, world.cygwin(new), ARGUMENTS)

    world.finish(main)
    assert seen == {"dlls": [], "records": [False, False]}


def test_without_such_a_dll_a_fork_makes_no_call_for_one(world):
    world.finish(world.create("fork", leave(0)))
    assert not {"LoadLibrary", "VirtualFree"} & set(names(world, world.first_child()))


@pytest.mark.parametrize("wrong", [{"size_bytes": 100}, {"data_bytes": 0}, {"data_bytes": 0x10000}])
def test_a_library_is_whole_pages_of_code_and_data(wrong):
    with pytest.raises(ValueError, match="must be"):
        replace(MRO, **wrong)


def user_of_mro(p):
    base = p.dlopen("mro.dll", MRO.base, MRO.size_bytes)

    def child(q):
        yield from q.exit(int(q.dlopen("mro.dll", MRO.base, MRO.size_bytes) == base))

    return (yield from p.waitpid((yield from p.fork(child))))


def test_a_program_of_a_user_s_own_can_do_so_under_3_6_alone():
    assert run(user_of_mro, scheme="child-copy").exit_code == 1
    with pytest.raises(ValueError, match="must be under child-copy"):
        run(user_of_mro, scheme="shared-memory")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("a.dll", 0x1000, 0x2000), "base"), (("a.dll", 0x41E510100, 0x2000), "aligned to 64 KiB"),
        (("a.dll", MRO.base, 100), "whole pages"), (("", MRO.base, 0x2000), "name"),
        (("a" * 300, MRO.base, 0x2000), "name"), (("mro.dll", MRO.base, 0x2000), "another DLL"),
    ],
)  # fmt: skip
def test_what_dlopen_is_given_is_checked(asked, words):
    def program(p):
        p.dlopen("mro.dll", MRO.base, MRO.size_bytes)
        p.dlopen(*asked)
        yield from p.work(1)

    with pytest.raises(ValueError, match=words):
        run(program, scheme="child-copy")


# ---- forkables ----------------------------------------------------------------------------------


def replaced(world, p):
    """The program's file is another by now: one more DLL, where the process has loaded one."""
    p.me.process.image = with_dll(world, p.me.process.image, MRO.base)


@pytest.mark.parametrize("forkables", [False, True])
def test_with_forkables_a_fork_is_tried_again_from_the_files_that_were_loaded(world, forkables):
    seen = {"codes": []}
    world.installation.forkables = forkables

    def child(p):
        q = yield from p.fork(leave(3))
        yield from p.exit((yield from p.waitpid(q)))

    def main(p):
        dlls_3_6.dlopen(p, MRO)
        handles, top = len(p.me.process.handles), p.heap.max
        replaced(world, p)
        for _ in range(2):
            try:
                pid = yield from p.fork(child)
            except SilentFailure:
                seen["codes"].append("EAGAIN")
            else:
                seen["codes"].append((yield from p.waitpid(pid)))
        seen["left"] = len(p.me.process.handles) - handles, p.heap.max - top

    world.run(main)
    ends = [q.exit_code for q in world.k.processes.values() if q.parent_pid]
    if forkables:
        assert seen["codes"] == [3, 3]
        assert ends == [EXIT_FORK_FAILED, 3, 3, 3, 3]  # only the very first try is without links
        assert world.installation.failures == []
        assert seen["left"][1] == 0
    else:
        assert seen == {"codes": ["EAGAIN", "EAGAIN"], "left": (0, 0)}
        assert ends == [EXIT_FORK_FAILED] * 2
        assert len(world.installation.failures) == 2


def test_a_second_try_that_fails_says_why(world):
    """What is in the way is not in the file that was loaded: it gets into every process."""
    world.installation.forkables = True

    def main(p):
        dlls_3_6.dlopen(p, MRO)
        p.loaded = with_dll(world, p.me.process.image, MRO.base)
        replaced(world, p)
        with pytest.raises(SilentFailure):
            yield from p.fork(leave(0))

    world.run(main)
    (failure,) = world.installation.failures
    assert "is already occupied" in failure.message
    ends = [q.exit_code for q in world.k.processes.values() if q.parent_pid]
    assert ends == [EXIT_FORK_FAILED] * 2
