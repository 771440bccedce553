"""Programs written in a few lines: what their calls give back, and what a mistake is answered."""

from __future__ import annotations

import pytest

from models.cygwin import schemes
from models.cygwin.heap_owners import CHROOT, owners
from models.cygwin.programs import MODES, NoChild
from scenarios import Program, run
from sim.errors import InputError


def leave(p):
    yield from p.exit(7)


@pytest.fixture(params=schemes.names())
def scheme(request):
    return request.param


def test_a_parent_gets_its_childs_exit_code_however_it_ends(scheme):
    def returns(p):
        yield from p.work(1)
        return 3

    def parent(p):
        found = []
        for child in (returns, leave):
            pid = yield from p.fork(child)
            assert pid != p.pid
            found.append((yield from p.waitpid(pid)))
        found.append((yield from p.spawn("_P_WAIT", returns)))
        assert (yield from p.spawn("_P_DETACH", leave)) == 0
        return found[0] * 100 + found[1] * 10 + found[2]

    result = run(parent, scheme=scheme)
    assert (result.outcome, result.exit_code) == ("finished", 373)
    assert [c.kind for c in result.creations] == ["fork", "fork", "spawn", "spawn"]


@pytest.mark.parametrize("scheme", schemes.names()[:3], indirect=True)
def test_exec_and_fork_hand_on_directory_root_files_argv_and_environment(scheme):
    seen = []

    def show(p):
        seen.append((p.pid, p.argv, p.cwd, p.root, p.environ, p.fds))
        yield from p.work(1)

    def becomes(p):
        seen.append((p.pid, p.argv, p.cwd, p.root, p.environ[-1:], p.fds))
        yield from p.exec(show, ["show", "-l"], ["A=1", "B=" + "x" * 300])

    def parent(p):
        p.open("/dev/tty")
        p.open("/etc/shadow", cloexec=True)
        p.pipe()
        p.chdir("/home/user")
        p.chroot("/srv/jail")
        pid = yield from p.fork(becomes)
        yield from p.waitpid(pid)

    assert run(parent, scheme=scheme).outcome == "finished"
    forked, execed = seen
    fds = {0: "console", 1: "disk", 2: "pipe", 3: "pipe"}
    assert forked[1:] == ([], "/home/user", "/srv/jail", ["TERM=cygwin"], fds)
    del fds[1]
    words = ["show", "-l"]
    assert execed[1:] == (words, "/home/user", "/srv/jail", ["A=1", "B=" + "x" * 300], fds)
    assert execed[0] == forked[0]


@pytest.mark.parametrize("scheme", schemes.names()[:3], indirect=True)
def test_a_chroot_is_one_record_that_a_root_of_slash_frees(scheme):
    sizes = []

    def program(p):
        heap = p.dll.heap
        before = heap.max
        p.chroot("/srv")
        sizes.append(heap.max - before)
        p.chroot("/srv/jail/deeper")
        sizes.append(heap.max - before)
        assert p.root == "/srv/jail/deeper"
        assert [o for o, _ in owners(p.dll).values()].count(CHROOT) == 1
        p.chroot("/")
        assert p.root == "/"
        assert CHROOT not in [o for o, _ in owners(p.dll).values()]
        p.chroot("/again")
        sizes.append(heap.max - before)
        yield from p.work(1)

    run(program, scheme=scheme)
    assert sizes == [8 + 1024] * 3  # 528 bytes take a block of the class 2^10, and it is used again


def test_a_root_that_does_not_fit_its_record_is_refused():
    def program(p):
        p.chroot("/" + "x" * 300)
        yield from p.work(1)

    with pytest.raises(ValueError, match=r"root \(301 characters\) must have at most 259"):
        run(program)


def test_bytes_written_into_a_pipe_are_read_by_the_child():
    def reader(p):
        yield from p.close(1)
        got = 0
        while part := (yield from p.read(0, 1000)):
            got += part
        return got // 1000

    def parent(p):
        _, w = p.pipe()
        pid = yield from p.fork(reader)
        assert (yield from p.write(w, 40_000)) == 40_000
        yield from p.close(w)
        return (yield from p.waitpid(pid))

    assert run(parent).exit_code == 40


@pytest.mark.parametrize("scheme", schemes.names()[:3], indirect=True)
def test_a_vfork_child_that_execs_is_a_spawn_of_its_parent(scheme):
    def becomes(p):
        yield from p.exec(leave, ["leave"])

    def parent(p):
        pid = yield from p.vfork(becomes)
        return (yield from p.waitpid(pid))

    result = run(parent, scheme=scheme)
    assert result.exit_code == 7
    assert [c.kind for c in result.creations] == ["vfork", "spawn"]


def test_what_a_creation_costs_does_not_depend_on_who_came_first():
    def slow(p):
        yield from p.sleep(50_000)
        yield from p.fork(leave)

    def both(order):
        def parent(p):
            pids = []
            for child in order:
                pids.append((yield from p.fork(child)))
            for pid in pids:
                yield from p.waitpid(pid)

        return [c.place for c in run(parent).creations]

    def quick(p):
        yield from p.fork(leave)

    assert sorted(both([slow, quick])) == sorted(both([quick, slow]))
    assert both([slow, quick]) != both([quick, slow])


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_of_spawn_is_there(scheme, mode):
    """A pid, but from _P_WAIT the exit code, from _P_DETACH 0, from the overlay nothing."""

    def parent(p):
        got = yield from p.spawn(mode, leave)
        if mode in ("_P_WAIT", "_P_DETACH"):
            return got
        return (yield from p.waitpid(got)) + 1

    result = run(parent, scheme=scheme)
    codes = {"_P_WAIT": 7, "_P_DETACH": 0, "_P_OVERLAY": 7}
    assert (result.outcome, result.exit_code) == ("finished", codes.get(mode, 8))
    kind = "exec" if mode == "_P_OVERLAY" else "spawn"
    assert [(c.kind, c.mode) for c in result.creations] == [(kind, mode)]


def test_an_exit_code_below_0_wraps_as_on_windows():
    def ends(p):
        yield from p.exit(-1)

    assert run(ends).exit_code == 0xFFFFFFFF


def test_dup2_onto_itself_does_nothing():
    def program(p):
        p.open("/dev/tty")
        yield from p.dup2(0, 0)
        assert p.fds == {0: "console"}

    assert run(program).outcome == "finished"


def test_a_crash_is_among_the_failures():
    def program(p):
        p.malloc(1 << 31)
        yield from p.work(1)

    result = run(program)
    assert result.outcome == "failed"
    assert len(result.failures) == 1
    assert result.failures[0].message in str(result)


def yields(p):
    yield p.fork(leave)


def forgets(p):
    p.fork(leave)
    yield from p.work(1)


def forgets_the_last(p):
    yield from p.work(1)
    p.fork(leave)


def is_no_generator(p):
    p.work(1)


def makes_no_call(p):
    return 1


def yields_a_number(p):
    yield 5


def returns_text(p):
    yield from p.work(1)
    return "done"


def spawns_wrong(p):
    yield from p.spawn("P_NOWAIT", leave)


def execs_a_name(p):
    yield from p.exec("ls")


def execs_a_string(p):
    yield from p.exec(leave, "leave -l")


def closes_nothing(p):
    yield from p.close(9)


def goes_nowhere(p):
    p.chdir("home")
    yield from p.work(1)


def works_backwards(p):
    yield from p.work(-1)


def yields_nothing(p):
    yield


def runs_from_open(p):
    yield from p.open("/etc/passwd")


def runs_from_pipe(p):
    yield from p.pipe()


def makes_one_twice(p):
    call = p.work(1)
    yield from call
    yield from call


def child_takes_its_parents_process(p):
    def child(_):
        yield from p.work(1)

    pid = yield from p.fork(child)
    yield from p.waitpid(pid)


def child_opens_in_its_parent(p):
    def child(q):
        p.open("/etc/passwd")
        yield from q.work(1)

    yield from p.fork(child)
    yield from p.sleep(None)


def acts_after_its_exit(p):
    def exits(q):
        ended.append(q)
        yield from q.exit(0)

    ended = []
    pid = yield from p.fork(exits)
    yield from p.waitpid(pid)
    yield from ended[0].work(1)


def takes_nothing():
    yield


def forks_one_that_takes_nothing(p):
    yield from p.fork(takes_nothing)


def forks_a_call(p):
    yield from p.fork(leave(p))


def forks_a_file(p):
    yield from p.fork(Program("ls", leave))


def waits_for_anybody(p):
    yield from p.waitpid(-1)


def waits_for_a_name(p):
    yield from p.waitpid("child")


def works_for_ever(p):
    yield from p.work(float("inf"))


def sleeps_wrong(p):
    yield from p.sleep("5")


def execs_numbers(p):
    yield from p.exec(leave, ["leave", 1])


def execs_a_dictionary(p):
    yield from p.exec(leave, ["leave"], {"HOME": "/"})


def execs_with_nul(p):
    yield from p.exec(leave, ["a\0b"])


def exits_with_text(p):
    yield from p.exit("done")


def opens_a_number(p):
    p.open(5)
    yield from p.work(1)


def reads_a_console(p):
    p.open("/dev/tty")
    yield from p.read(0, 1)


def shrinks(p):
    p.malloc(-1)
    yield from p.work(1)


@pytest.mark.parametrize(
    ("program", "error", "text"),
    [
        (yields_nothing, TypeError, "yields_nothing yielded None, which is no call: write yield"),
        (runs_from_open, TypeError, "runs_from_open: 'int' object is not iterable: was that a"),
        (runs_from_pipe, TypeError, "pipe, chdir, chroot, malloc and fill_heap return at once"),
        (makes_one_twice, TypeError, "p.work(...) was made already: write it down once more"),
        (child_takes_its_parents_process, TypeError, "gets a process of its own"),
        (child_opens_in_its_parent, TypeError, "gets a process of its own"),
        (acts_after_its_exit, TypeError, "does not run at this moment, or has ended"),
        (takes_nothing, TypeError, "takes_nothing must be a function of one argument"),
        (forks_one_that_takes_nothing, TypeError, "takes_nothing must be a function of one"),
        (forks_a_call, TypeError, "leave(...) has been called already: give the function, leave"),
        (forks_a_file, TypeError, "a program file is for exec and spawn"),
        (waits_for_anybody, ValueError, "pid (-1) must be an integer of at least 1"),
        (waits_for_a_name, TypeError, "pid ('child') must be an integer"),
        (works_for_ever, ValueError, "us (inf) must be a number of at least 0"),
        (sleeps_wrong, TypeError, "us ('5') must be a number of at least 0; None sleeps for ever"),
        (execs_numbers, TypeError, "argv[1] (1) must be a string"),
        (execs_a_dictionary, TypeError, "env ({'HOME': '/'}) must be a list of strings"),
        (execs_with_nul, ValueError, "must not contain NUL"),
        (exits_with_text, TypeError, "exit code ('done') must be an integer"),
        (opens_a_number, TypeError, "name (5) must be a string"),
        (reads_a_console, ValueError, "fd (0) must be an open pipe; there are none"),
        (shrinks, ValueError, "size_bytes (-1) must be an integer between 0 and"),
        (yields, TypeError, "yields yielded a call: write yield from p.fork(...)"),
        (forgets, TypeError, "p.fork(...) was not made: write yield from p.fork(...)"),
        (forgets_the_last, TypeError, "p.fork(...) was not made: write yield from p.fork(...)"),
        (is_no_generator, TypeError, "p.work(...) was not made: write yield from p.work(...)"),
        (makes_no_call, TypeError, "makes_no_call is no generator"),
        (yields_a_number, TypeError, "yields_a_number yielded 5, which is no call"),
        (returns_text, TypeError, "returns_text returned 'done': exit code ('done') must be"),
        (spawns_wrong, ValueError, "mode ('P_NOWAIT') must be one of _P_WAIT, _P_NOWAIT"),
        (execs_a_name, TypeError, "program ('ls') must be a Program or a function"),
        (execs_a_string, TypeError, "argv ('leave -l') must be a list of strings"),
        (closes_nothing, ValueError, "fd (9) must be open; there are none"),
        (goes_nowhere, ValueError, "name ('home') must begin with /"),
        (works_backwards, ValueError, "us (-1) must be a number of at least 0"),
    ],
)
def test_a_mistake_is_named_and_says_what_to_write(program, error, text):
    with pytest.raises(error) as caught:
        run(program)
    assert text in str(caught.value)


def test_a_wait_for_somebody_elses_child_names_the_own_ones():
    def parent(p):
        pid = yield from p.fork(leave)
        yield from p.waitpid(pid + 100)

    with pytest.raises(NoChild, match=r"is no child of this process: its children are \d+"):
        run(parent)


def test_a_first_process_must_be_linked_with_cygwin():
    with pytest.raises(ValueError, match="notepad is not linked with Cygwin"):
        run(Program.native("notepad", 1.0))


@pytest.mark.parametrize(
    ("word", "value"),
    [("seed", "x"), ("processors", 0), ("until_us", 0), ("replication", -1), ("profile", 5)],
)
def test_a_wrong_argument_of_a_run_is_named(word, value):
    with pytest.raises((TypeError, ValueError), match=rf"{word} \({value!r}\) must be"):
        run(leave, **{word: value})


@pytest.mark.parametrize("word", ["scheme", "system", "profile"])
def test_an_unknown_name_is_an_input_error(word):
    with pytest.raises(InputError, match="nope"):
        run(leave, **{word: "nope"})


def test_a_heap_is_filled_up_to_a_size_and_not_beyond(scheme):
    def program(p):
        p.fill_heap(155 * 1024)
        assert 155 * 1024 - 24 < p.dll.heap.max <= 155 * 1024
        p.fill_heap(16 * 1024)
        assert p.dll.heap.max > 150 * 1024
        yield from p.work(1)

    assert run(program, scheme=scheme).outcome == "finished"
