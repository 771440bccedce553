"""`cygsim run what_is_inherited`: blocks by owner, child_info, and handles of each child."""

from __future__ import annotations

import pytest

from models.cygwin import schemes
from models.cygwin.heap_owners import ARGV, CHROOT, CWD, FD_TABLE, FHANDLER, USER
from models.cygwin.inheritance import CLOSED, KEPT, carried_out
from models.cygwin.machine import build
from models.cygwin.programs import PLACES, start
from models.win32.cost_profile import load_profile
from models.win32.system import SYSTEMS
from scenarios import what_is_inherited
from scenarios.spec import Replicated
from scenarios.what_is_inherited import IMAGES, WAYS, Parameters, run_point
from sim.streams import Replication

SCHEMES = schemes.names()


def outcome(scheme: str, system: str = "nt", profile: str = "p3-800-w2000", **changed):
    point = Parameters(**changed)
    return run_point(point, scheme, system, load_profile(profile), Replication(1, 0))


@pytest.fixture(params=SCHEMES)
def found(request):
    return request.param, outcome(request.param)


def fate(o, way: str, name: str) -> str:
    return o.value(f"way={way.replace(' ', '-')} of={name.replace(' ', '-')}", "fate")


def test_a_fork_child_has_its_parents_blocks_and_an_exec_keeps_what_lasts(found):
    _, o = found
    heaps = o.drawn["seen"].heaps
    assert list(heaps) == list(IMAGES)
    assert heaps["sh"] == heaps["fork child"]
    for image in IMAGES:
        owners = {b.owner for b in heaps[image]}
        assert {FD_TABLE, CWD, CHROOT, USER, FHANDLER} <= owners
        assert (ARGV in owners) == (image in IMAGES[2:])
    for owner in (FD_TABLE, CWD, CHROOT, USER):
        places = {o.value(f"image={i.replace(' ', '-')} of={owner.replace(' ', '-')}",
                          "first_offset") for i in IMAGES}  # fmt: skip
        assert len(places) == 1


def test_a_file_that_is_closed_at_exec_frees_its_three_blocks(found):
    _, o = found
    counts = [o.value(f"image={i} of=fhandler", "blocks") for i in ("fork-child", "after-exec")]
    assert counts[0] - counts[1] == 3


def test_child_info_carries_a_section_only_where_there_is_one(found):
    scheme, o = found
    for way in WAYS:
        at = f"way={way.replace(' ', '-')}"
        assert (o.value(at, "cygheap_h") > 0) == scheme.startswith("shared")
        assert o.value(at, "cygheap_max") - o.value(at, "cygheap") > 8_000
        assert (o.value(at, "moreinfo") > 0) == (way != "fork")
        assert (o.value(at, "forker_finished") > 0) == (way == "fork")
    assert o.value("way=fork", "heap_bytes") == 24_576
    assert o.value("way=exec", "type") == "EXEC"


def test_a_native_child_closes_nothing_and_a_cygwin_child_what_it_is_done_with(found):
    scheme, o = found
    section = "closed" if scheme.startswith("shared") else None
    names = [r.point.split("of=")[1] for r in o.rows if r.measure == "fate"
             and r.point.startswith("way=fork ")]  # fmt: skip
    for name in names:
        assert CLOSED not in fate(o, "spawn native", name)
        if section and name == "cygheap-copy":
            assert {fate(o, way, name) for way in WAYS[:3]} == {section}
    assert ("cygheap-copy" in names) == bool(section)
    assert fate(o, "spawn native", "fd 0: console") == KEPT
    assert not any(name.startswith("fd-4") for name in names)  # close-on-exec
    in_3_6 = scheme == "child-copy"  # where a socket is inherited like any other handle
    assert any("socket" in name for name in names) == in_3_6


def test_words_follow_from_what_was_found(found):
    scheme, o = found
    told = {scheme: Replicated((o,))}
    said = [text for text, label in what_is_inherited.conclusions(told, Parameters())]
    assert f"{scheme}: fd table, cwd, chroot, user lie where they lay in every image" in said
    assert f"{scheme}: of what it inherits a child of spawn native closes none" in said
    put = "of 8 blocks that the first exec put into the heap 8 are free in the second image"
    if scheme == "child-copy":  # SYSTEMROOT and WINDIR, and four short strings that no walk sees
        put = "of 10 blocks that the first exec put into the heap 6 are free in the second image"
    assert any(put in text for text in said)
    seen = o.drawn["seen"]
    cwd = next(i for i, b in enumerate(seen.heaps["sh"]) if b.owner == CWD)
    moved = seen.heaps["sh"][cwd]
    seen.heaps["sh"][cwd] = moved._replace(offset_bytes=moved.offset_bytes + 4)
    said = [text for text, _ in what_is_inherited.conclusions(told, Parameters())]
    assert any(text.endswith("in every image; not so cwd") for text in said)


def test_only_blocking_loses_the_blocks_of_the_closed_file():
    for scheme in SCHEMES:
        lost = outcome(scheme).value("image=second-exec", "lost_blocks")
        assert (lost > 0) == (scheme == "blocking")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_found_does_not_depend_on_costs_or_on_the_machine(scheme):
    def rows(profile, system):
        o = outcome(scheme, system, profile)
        return [r for r in o.rows if r.measure not in ("cygpid", "mount_h")]

    assert rows("p3-800-w2000", "nt") == rows("ideal", "nt")
    places = {r.measure for a, r in zip(rows("ideal", "nt"), rows("ideal", "9x"), strict=True)
              if a != r}  # fmt: skip
    assert places <= {"heapbase", "cygheap", "cygheap_max", "moreinfo"}


def test_looking_step_by_step_changes_nothing():
    def program(p):
        child = yield from p.fork(leaves)
        yield from p.waitpid(child)

    def leaves(p):
        yield from p.work(500)

    ends = []
    for looked in (False, True):
        machine = build(
            schemes.get("shared-memory"), SYSTEMS["nt"], load_profile("p3-800-w2000"),
            Replication(1, 0), 2, PLACES,
        )  # fmt: skip
        start(machine, program)
        if looked:
            assert len(carried_out(machine.installation, {})) == 2
        else:
            machine.kernel.engine.run()
        ends.append([p.ended_us for p in machine.kernel.processes.values()])
    assert ends[0] == ends[1]


def test_report_figures_and_results(cygsim, tmp_path):
    out = tmp_path / "out"
    done = cygsim("run", "what_is_inherited", "--scheme", "shared-memory", "--out", out)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.decode().splitlines())) <= 80
    names = {p.name for p in out.iterdir()}
    assert {"heap_shared-memory.png", "heap_shared-memory.svg", "results.csv"} <= names


@pytest.mark.parametrize("words", ["cwd=home", "files=-1", "files=x", "processors=0", "nope=1"])
def test_a_wrong_parameter_is_one_line_and_exit_2(cygsim, words):
    done = cygsim("run", "what_is_inherited", "--set", words)
    assert done.returncode == 2
    assert len(done.stderr.decode().strip().splitlines()) == 1
