"""1.1, which has no cygheap: what a child has without one, and who waits for whom."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from machine import ARGUMENTS, World, leave

from models.cygwin import command_line, early_process, process_table, schemes
from models.cygwin.data_table import packed, unpacked
from models.cygwin.descriptors import PIPE
from models.cygwin.errors import TryAgain
from models.cygwin.images import native_image
from models.win32.thread import Process
from scenarios import run

DATA = Path(__file__).parent / "data"
NATIVE = DATA / "msys1" / "cygwin-1.1.3" / "native-fg.jsonl.gz"
MINI = DATA / "traces" / "mini-pipeline.ptrec.jsonl.gz"
T_US = 800_000.0
MODES = ("_P_NOWAIT", "_P_NOWAITO", "_P_VFORK", "_P_DETACH", "_P_WAIT")


@pytest.fixture
def world():
    return World(schemes.get("1.1"))


def test_a_native_inherits_what_it_does_in_the_log(world):
    """The shared section, the event that it never sets, and the thread of stub and parent each."""
    with gzip.open(NATIVE, "rt") as lines:
        rows = [json.loads(line) for line in lines if "#native_handles" in line]
    [listed] = [row["args"]["open_handles"] for row in rows]
    real = sorted(entry["type"].lower() for entry in listed if entry["inherit"])
    had = []

    def native(k, me):
        had.extend(sorted(obj.kind for obj in me.process.handles.table().values()))
        yield from k.exit_process(me, 0)

    def stub(p):
        yield from p.execute(native_image(p.version, "native", native), ARGUMENTS)

    def main(p):
        for fd in range(3):
            p.open(fd)
        yield from p.waitpid((yield from p.fork(stub)))

    world.run(main)
    world.check_clean()
    assert had == real == ["event", *["file"] * 3, "section", *["thread"] * 2]


# -- what a child has --------------------------------------------------------------------------


def test_there_is_no_heap_and_nobody_reads_or_copies_one(world):
    found = []

    def image(p):
        found.append(hasattr(p, "heap"))
        yield from p.exit(0)

    def main(p):
        found.append(hasattr(p, "heap"))
        yield from world.create("exec", image)(p)
        yield from world.create("fork", image)(p)

    world.finish(main)
    assert found == [False] * 3
    names = [row.name for row in world.trace.rows()]
    assert names.count("WriteProcessMemory") == 12
    assert not {"ReadProcessMemory", "#memcpy"} & set(names)
    sections = [row.args["size"] for row in world.trace.rows() if row.name == "CreateFileMapping"]
    assert sections == [270_744]


def open_some(p):
    p.open(3)
    p.open(5, cloexec=True)
    p.pipe(6, 7)
    yield from p.dup2(6, 9)


def objects(p):
    handles = p.me.process.handles
    return {fd: handles.get(d.handle) for fd, d in p.fds.open.items()}


def test_a_fork_child_has_its_descriptors_from_the_written_data(world):
    """Without the DLL's bss, the last of six writes, it has nothing to go on with."""
    seen = {}

    def child(p):
        seen["child"] = objects(p)
        yield from p.exit(0)

    def main(p):
        yield from open_some(p)
        seen["parent"] = objects(p)
        pid = yield from p.fork(child)
        seen["code"] = yield from p.waitpid(pid)

    world.finish(main)
    assert seen["child"] == seen["parent"]
    assert seen["code"] == 0

    other = World(schemes.get("1.1"))
    write = other.k.write_process_memory

    def but_the_bss(me, handle, source, target, size_bytes):
        if target != other.scheme.version.dll_bss[0]:
            yield from write(me, handle, source, target, size_bytes)

    other.k.write_process_memory = but_the_bss
    seen.clear()
    with pytest.raises(Exception, match="unpack"):
        other.run(main)
    assert "child" not in seen


@pytest.mark.parametrize("kind", ["exec", "_P_NOWAIT", "_P_WAIT"])
def test_an_image_has_its_descriptors_from_lpreserved2_without_those_closed_at_exec(world, kind):
    seen = {}

    def image(p):
        seen["image"] = objects(p)
        seen["given"] = unpacked(command_line.given(p).descriptors).open.keys()
        yield from p.exit(0)

    def main(p):
        yield from open_some(p)
        seen["parent"] = objects(p)
        yield from world.create(kind, image)(p)

    world.finish(main)
    assert list(seen["given"]) == list(seen["image"]) == [3, 6, 7, 9]
    assert seen["image"] == {fd: seen["parent"][fd] for fd in seen["image"]}


def test_a_pipe_takes_as_much_of_lpreserved2_as_in_the_logs(world):
    sizes = []

    def main(p):
        for names in ((b"\\dev\\piper", b"/dev/piper"), (b"nul", b"/dev/null")):
            before = len(packed(p.fds))
            p.fds.add(3, PIPE, 0x88, 0, False, *names)
            sizes.append(len(packed(p.fds)) - before)
            p.fds.remove(3)
        yield from p.exit(0)

    world.finish(main)
    assert sizes == [86, 78]


def test_more_descriptors_than_the_data_can_hold_are_fatal(world):
    def main(p):
        for fd in range(400):
            p.open(fd, name=b"/usr/include/a-rather-long-name.h")
        yield from p.fork(leave(0))

    assert world.run(main).exit_code == 1
    [failure] = world.installation.failures
    assert failure.message == "400 descriptors do not fit in 22364 bytes"
    assert len(world.k.processes) == 1


def test_argv_environment_and_directory_arrive_as_any_windows_program_s():
    seen = []

    def show(p):
        seen.append((p.argv, p.environ[-2:], p.cwd, p.root))
        yield from p.work(1)

    def becomes(p):
        show_then = ["show", "", "x" * 5000], ["A=1", "B="]
        yield from p.exec(show, *show_then)

    def parent(p):
        p.chdir("/home/me")
        p.chroot("/srv")
        yield from p.waitpid((yield from p.fork(show)))
        yield from p.waitpid((yield from p.fork(becomes)))
        yield from p.spawn("_P_WAIT", show, ["s"], ["C=3"])
        p.chroot("/")
        seen.append(p.root)
        with pytest.raises(ValueError, match="has no cygheap to fill"):
            p.fill_heap(5000)

    result = run(parent, scheme="1.1")
    assert result.outcome == "finished"
    assert [entry[0] for entry in seen[:-1]] == [[], ["show", "", "x" * 5000], ["s"]]
    assert [entry[1] for entry in seen[1:-1]] == [["A=1", "B="], ["C=3"]]
    assert [entry[2:] for entry in seen[:-1]] == [("/home/me", "/srv")] * 3
    assert seen[-1] == "/"


def at(world, us, action):
    """Call `action` at a moment of the run, between two events."""
    world.k.engine.deadline(us, action)


# -- who waits for whom ------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_no_native_holds_its_caller_and_no_spawned_child_is_lost(mode):
    """There is nothing to be read from a parent, so that nobody need wait for it."""
    took, ran = {}, []

    def child(p):
        ran.append(len(p.environment()))
        yield from p.exit(0)

    for name in ("native", "cygwin"):
        world = World(schemes.get("1.1"))
        image = world.native(T_US) if name == "native" else world.cygwin(child)

        def main(p, image=image, name=name):
            begin = p.now()
            yield from p.spawn(mode, image, ARGUMENTS)
            took[name] = p.now() - begin
            yield from p.exit(0)

        world.run(main)
        world.check_clean()
    assert ran == [2]
    assert (took["native"] > T_US) == (mode == "_P_WAIT")
    assert took["cygwin"] < 20_000


def test_an_image_whose_parent_has_gone_is_waited_for_by_its_stub(world):
    """Whether the parent is there is asked of a thread of it, not of a name or number."""
    ended = {}

    def image(p):
        yield from p.sleep(T_US)
        yield from p.exit(11)

    def stub(p):
        yield from p.sleep(100_000)
        yield from p.execute(world.cygwin(image, "image"), ARGUMENTS)

    def main(p):
        yield from p.fork(stub)

    world.finish(main)
    for process in world.k.processes.values():
        ended[process.image.name, process.exit_code] = process.ended_us
    assert ended["image", 11] < ended["sh", 11]
    assert ended["sh", 0] < ended["image", 11]
    waits = [row for row in world.trace.rows() if row.name == "WaitForMultipleObjects"]
    alone = [row for row in waits if len(row.args["hs"]) == 1]
    assert any(isinstance(row.args["hs"][0], Process) for row in alone)


def test_a_killed_stub_takes_its_native_program_along(world):
    seen = {}

    def stub(p):
        yield from p.execute(world.native(None), ARGUMENTS)

    def main(p):
        pid = yield from p.fork(stub)
        yield from p.sleep(T_US)
        assert (yield from p.kill(pid, 9))
        seen["code"] = yield from p.waitpid(pid)
        assert not (yield from p.kill(pid, 9))

    world.finish(main)
    assert seen["code"] == 0x10900


def test_a_fork_child_that_never_answers_times_out_after_300_s(world):
    seen = {}

    def main(p):
        begin = p.now()
        try:
            yield from p.fork(leave(0))
        except TryAgain as error:
            seen["error"], seen["took"] = str(error), p.now() - begin
        yield from p.exit(0)

    at(world, 7_000, lambda: world.first_child().threads[0].suspend())
    world.run(main)
    assert seen["error"] == "WaitForMultipleObjects timed out"
    assert 300e6 < seen["took"] < 300e6 + 20_000
    assert world.k.committed_bytes == 0


def test_numbers_go_up_and_records_are_used_again(world):
    pids = []

    def main(p):
        pids.append(p.pid)
        for _ in range(2 * process_table.RECORDS):
            pids.append((yield from p.fork(leave(0))))
            yield from p.waitpid(pids[-1])

    world.finish(main)
    # two of them would have the record of the first process, which still runs
    assert pids == [n for n in range(1000, 1259) if n not in (1128, 1256)]


@pytest.mark.parametrize("execs", [False, True])
def test_a_child_beyond_the_62_that_are_registered_gives_its_record_back_itself(world, execs):
    used = []

    def child(p):
        yield from p.sleep(T_US)
        if execs:
            yield from p.execute(world.cygwin(leave(0)), ARGUMENTS)
        yield from p.exit(0)

    def main(p):
        pids = []
        for _ in range(64):
            pids.append((yield from p.fork(child)))
        yield from p.sleep(10 * T_US)
        table = early_process.table_of(p)
        used.append([process_table.find(table, pid) is not None for pid in pids])
        for pid in pids[:62]:
            assert (yield from p.waitpid(pid)) == 0
        assert (yield from p.waitpid(pids[63])) is None

    world.finish(main)
    assert used == [[True] * 62 + [False] * 2]


def test_a_full_table_is_eagain(world):
    said = []

    def child(p):
        yield from p.sleep(T_US)
        yield from p.exit(0)

    def sub(p):
        for _ in range(61):
            yield from p.fork(child)
        yield from p.sleep(T_US)

    def main(p):
        for _ in range(2):
            yield from p.fork(sub)
        yield from p.sleep(T_US / 2)
        for _ in range(10):
            try:
                yield from p.fork(child)
            except TryAgain as error:
                said.append(str(error))

    world.run(main)
    assert said[-1] == "no free record in the table of processes"
    assert len(said) == 10 - (process_table.RECORDS - 1 - 2 - 2 * 61)


# -- commands ----------------------------------------------------------------------------------


def test_a_replay_says_nothing_of_heaps(cygsim, tmp_path):
    words = ("replay", MINI, "--scheme", "blocking", "--scheme", "1.1", "--json")
    document = json.loads(cygsim(*words, "--out", tmp_path / "out").stdout)
    blocking, early = document["runs"]
    assert early["outcome"] == "finished"
    assert set(early["cygheap"].values()) == {None}
    assert None not in blocking["cygheap"].values()
    assert early["read_process_memory_bytes"] == 0
    assert not [row for row in document["compare"] if row["measure"].startswith("cygheap")]
    rows = (tmp_path / "out" / "results.csv").read_text().splitlines()
    heaps = [row.split(",")[1] for row in rows if "cygheap_" in row]
    assert set(heaps) == {"blocking"}
    shown = cygsim("heap", "show", tmp_path / "out", "--pid", 1, "--scheme", "1.1")
    assert shown.returncode == 2
    assert shown.stderr == b"cygsim: --scheme: 1.1 has no cygheap to show; a scheme with one\n"


@pytest.mark.parametrize("name", ["leak_growth", "exec_latency", "fixed_address", "limits"])
def test_a_question_about_heaps_is_refused_in_one_line(cygsim, name):
    refused = cygsim("run", name, "--scheme", "1.1")
    assert refused.returncode == 2
    assert refused.stderr.decode() == (
        f"cygsim: --scheme: 1.1 cannot be asked of {name}; a scheme with a cygheap, from "
        "fixed-2000 on\n"
    )
