"""Real call logs: the simulator makes the same calls, and a falsified log is found."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from models.cygwin import schemes
from models.cygwin.call_check import check
from models.cygwin.call_log import read_log
from models.cygwin.call_versions import variants
from models.cygwin.call_windows import windows
from sim.errors import InputError

LOGS = sorted((Path(__file__).parent / "data" / "msys1").rglob("*.jsonl.gz"))
NOT_COMPARED = ("chain-vary-200.jsonl.gz",)
COLLIDES = next(path for path in LOGS if path.match("cygwin-1.3.3/collide-child-at.jsonl.gz"))
DIES = next(path for path in LOGS if path.match("cygwin-1.3.2-rebuilt/fork-child-dies.jsonl.gz"))
B = next(path for path in LOGS if path.match("cygwin-1.3.19/fork-exec-true.jsonl.gz"))
PLAIN = next(path for path in LOGS if path.match("cygwin-1.3.3/fork-exec-true.jsonl.gz"))


def verdict(path):
    log = read_log(path)
    return check(log, variants(schemes.get)[log.dll_set])


def events(path=PLAIN):
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


def rewritten(tmp_path, rows):
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def first(rows, api, **wanted):
    """Index of the first row of that call whose args have these values."""
    for i, row in enumerate(rows):
        args = row.get("args", {})
        if row.get("api") == api and all(args.get(key) == value for key, value in wanted.items()):
            return i
    raise AssertionError(api)


@pytest.mark.parametrize("path", LOGS, ids=lambda path: f"{path.parent.name}/{path.name[:-9]}")
def test_creations_of_a_real_log_are_the_simulator_s(path):
    found = verdict(path)
    assert found.difference is None
    known = path.name in NOT_COMPARED or path.match("cygwin-1.3.19/vfork-make*")
    assert bool(found.skipped) is known
    assert found.skipped or found.calls > 10 or not windows(read_log(path).calls)
    assert found.skipped or found.codes or "chain" in path.name


def test_sizes_of_1_3_3_need_no_seed_after_the_first():
    for path in LOGS:
        if path.parent.name == "cygwin-1.3.3" and not path.name.startswith(("chain", "vfork")):
            assert verdict(path).deviations == 0


# -- what must be found ------------------------------------------------------------------------


def size(rows):
    rows[first(rows, "CreateFileMapping", size=5123308)]["args"]["size"] -= 8


def later_heap(rows):
    """The heap that the exec hands over, consistently."""
    for row in rows:
        args = row.get("args", {})
        if args.get("size") == 13460:
            args["size"] += 40
        info = args.get("child_info", {})
        if info.get("n") == 13460:
            info["n"], info["cygheap_max"] = 13500, "0x614e34bc"


def copied_data(rows):
    rows[first(rows, "WriteProcessMemory", addr="0x61095000")]["args"]["size"] += 4


def time_out(rows):
    for row in rows:
        if row.get("args", {}).get("ms") == 300000:
            row["args"]["ms"] = 30000


def flag(rows):
    row = rows[first(rows, "CreateProcess", image="true.exe")]
    row["args"]["flags"] = "CREATE_SUSPENDED|" + row["args"]["flags"]


def inheritance(rows):
    rows[first(rows, "CreateEvent", h="E11")]["args"]["inherit"] = 0


def waker(rows):
    i = first(rows, "WaitForMultipleObjects", woke="E22")
    rows[i]["args"]["woke"] = "P3.proc"


def waited_handles(rows):
    for row in rows:
        if row.get("args", {}).get("hs") == ["E11", "P2.proc"]:
            row["args"]["hs"] = ["P2.proc", "E11"]


def wrong_event(rows):
    rows[first(rows, "SetEvent", h="E12")]["args"]["h"] = "E11"


def no_unmap(rows):
    del rows[first(rows, "UnmapViewOfFile", addr="0x1980000")]


def no_wait(rows):
    del rows[first(rows, "WaitForMultipleObjects", hs=["E11", "P2.proc"])]


def no_word_to_wait_subproc(rows):
    del rows[first(rows, "WaitForMultipleObjects", hs=["E10"], woke="E10")]


def order(rows):
    i = first(rows, "CloseHandle", h="S4")
    j = first(rows, "CloseHandle", h="P1.proc")
    rows[i], rows[j] = rows[j], rows[i]


def order_in_the_child(rows):
    i = first(rows, "MapViewOfFileEx", addr="0x614e0000")
    rows[i], rows[i + 1] = rows[i + 1], rows[i]


def page_committed(rows):
    rows[first(rows, "VirtualAlloc", addr="0x614e2fe4")]["args"]["addr"] = "0x614e2fbc"


def one_call_more(rows):
    i = first(rows, "ExitProcess", code=131072)
    rows.insert(i, {**rows[i], "api": "CloseHandle", "args": {"h": "S5", "hv": "0x7c", "ret": 1}})


FALSE = [
    size, later_heap, copied_data, time_out, flag, inheritance, waker, waited_handles, wrong_event,
    no_unmap, no_wait, no_word_to_wait_subproc, order, order_in_the_child, page_committed,
    one_call_more,
]  # fmt: skip


@pytest.mark.parametrize("falsify", FALSE, ids=lambda f: f.__name__)
def test_a_falsified_log_is_found(tmp_path, falsify):
    rows = events()
    falsify(rows)
    assert verdict(rewritten(tmp_path, rows)).difference is not None


def test_the_log_rewritten_as_it_is_still_agrees(tmp_path):
    assert verdict(rewritten(tmp_path, events())).difference is None


def test_a_native_child_that_is_said_to_be_cygwin_s_is_found(tmp_path):
    path = next(p for p in LOGS if p.match("cygwin-1.3.3/spawn-nowait-native.jsonl.gz"))
    rows = events(path)
    rows[first(rows, "#native_start")]["api"] = "#process_start"
    assert verdict(rewritten(tmp_path, rows)).difference is not None


@pytest.mark.parametrize("path", LOGS, ids=lambda path: f"{path.parent.name}/{path.name[:-9]}")
def test_a_log_under_the_scheme_of_another_time_disagrees(path):
    log = read_log(path)
    variant = variants(schemes.get)[log.dll_set]
    other = "shared-memory" if variant.scheme.name == "blocking" else "blocking"
    found = check(log, variant, schemes.get(other))
    assert found.skipped or found.difference is not None or not windows(log.calls)


# -- sizes of 1.3.19 ---------------------------------------------------------------------------


def cygheapsize_of_1_3_19(rows):
    rows[first(rows, "CreateFileMapping", size=2054476)]["args"]["size"] += 4


def child_info_of_1_3_19(rows):
    for row in rows:
        info = row.get("args", {}).get("child_info", {})
        if info.get("cb") == 292:
            info["cb"] = 288


def handed_over_in_1_3_19(rows):
    """n of the exec, in child_info and in the commit of the view."""
    n = [row["args"]["child_info"]["n"] for row in rows if "child_info" in row.get("args", {})][-1]
    for row in rows:
        info = row.get("args", {}).get("child_info", {})
        if info.get("n") == n:
            info["n"] += 24
        if row.get("args", {}).get("size") == n:
            row["args"]["size"] += 24


def data_of_1_3_19(rows):
    rows[first(rows, "WriteProcessMemory", addr="0x610c0000")]["args"]["size"] -= 8


def pinfo_of_1_3_19(rows):
    for row in rows:
        if row.get("args", {}).get("size") == 1028:
            row["args"]["size"] = 988


def copied_in_1_3_19(rows):
    rows[first(rows, "VirtualAlloc", type="COMMIT", size=n_of_first(rows))]["args"]["size"] += 8


def n_of_first(rows):
    return next(r["args"]["child_info"]["n"] for r in rows if "child_info" in r.get("args", {}))


SIZES = [
    cygheapsize_of_1_3_19, child_info_of_1_3_19, handed_over_in_1_3_19, data_of_1_3_19,
    pinfo_of_1_3_19, copied_in_1_3_19,
]  # fmt: skip


@pytest.mark.parametrize("falsify", SIZES, ids=lambda f: f.__name__)
def test_a_false_size_of_1_3_19_is_found(tmp_path, falsify):
    rows = events(B)
    falsify(rows)
    assert verdict(rewritten(tmp_path, rows)).difference is not None


def test_a_false_size_in_a_chain_of_1_3_19_is_found(tmp_path):
    rows = events(next(p for p in LOGS if p.match("cygwin-1.3.19/chain-const-200.jsonl.gz")))
    infos = [r["args"]["child_info"] for r in rows if "child_info" in r.get("args", {})]
    for info in infos[150:]:  # as if one exec had lost a block
        info["n"] += 40
    found = verdict(rewritten(tmp_path, rows)).difference
    assert found is not None
    assert found.creation == 151


# -- messages and exit codes -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "messages"), [(COLLIDES, 2), (DIES, 3)], ids=["collide-child-at", "fork-child-dies"]
)
def test_what_a_user_saw_is_what_the_run_says(path, messages):
    found = verdict(path)
    assert found.difference is None
    assert found.messages == messages
    assert found.codes > 1


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        (COLLIDES, "Win32 error 0", "Win32 error 487"),
        (COLLIDES, "0x614E0000 <", "0x615E0000 <"),
        (COLLIDES, "m.RegionSize 0x1000", "m.RegionSize 0x10000"),
        (DIES, "status code 0x3", "status code 0x1"),
        (DIES, "waiting for longjmp", "child loading dlls"),
        (DIES, "fork: Resource temporarily unavailable", "fork: it worked"),
    ],
)
def test_another_message_is_found(tmp_path, path, old, new):
    rows = events(path)
    assert old in rows[0]["meta"]["stderr"]
    rows[0]["meta"]["stderr"] = rows[0]["meta"]["stderr"].replace(old, new)
    assert verdict(rewritten(tmp_path, rows)).difference is not None


def test_a_message_that_nobody_saw_is_found(tmp_path):
    rows = events(PLAIN)
    rows[0]["meta"]["stderr"] = "sh.exe: *** Couldn't reserve space for cygwin's heap"
    found = verdict(rewritten(tmp_path, rows)).difference
    assert found is not None
    assert found.simulated == "no further message"


def test_another_exit_code_is_found(tmp_path):
    rows = events(COLLIDES)
    rows[first(rows, "ExitProcess", code=1)]["args"]["code"] = 3
    assert verdict(rewritten(tmp_path, rows)).difference is not None
    rows = events(COLLIDES)
    rows[0]["meta"]["exit"] = 2
    found = verdict(rewritten(tmp_path, rows)).difference
    assert found is not None
    assert found.real == "the command ends with 2"


# -- reading and cutting out -------------------------------------------------------------------


def test_windows_begin_and_end_where_the_creation_does():
    fork, exec_ = windows(read_log(PLAIN).calls)
    assert (fork.kind, exec_.kind) == ("fork", "exec")
    assert [c.api for c in fork.parent[:3]] == ["CreateEvent", "CreateThread", "DuplicateHandle"]
    assert fork.parent[-1].args["h"] == fork.info["forker_finished"]
    assert exec_.parent[0].args["h"] == exec_.info["subproc_ready"]
    assert exec_.parent[-1].api == "ExitProcess"
    assert fork.child[-1].api == "CreateThread"
    assert exec_.child[-1].api == "WaitForSingleObject"
    assert [c.api for c in exec_.signal] == ["SetEvent", "CloseHandle"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not JSON"),
        ("[]", "not an object"),
        ('{"meta": {}}', "dll_set"),
        ('{"t_us": 1}', "no meta"),
    ],
)
def test_a_first_line_that_is_no_meta_is_refused(tmp_path, line, said):
    path = tmp_path / "log.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(InputError, match=said):
        read_log(path)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"pid": "P1", "tid": "P1.t1"}, "api"),
        ({"pid": "P1", "tid": "P1.t1", "api": "SetEvent"}, "'h'"),
        ({"pid": "P1", "tid": "P1.t1", "api": "SetEvent", "args": []}, "'h'"),
        ({"pid": "P1", "tid": "P1.t1", "api": "Beep", "ph": "both"}, "ph"),
        ({"pid": "P1", "tid": "P1.t1", "api": "Beep", "args": {"hv": "0xzz"}}, "no number"),
    ],
)
def test_a_line_that_is_no_call_is_refused_with_its_number(tmp_path, row, said):
    path = rewritten(tmp_path, [events()[0], row])
    with pytest.raises(InputError, match=said) as caught:
        read_log(path)
    assert f"{path}:2" in str(caught.value)


@pytest.mark.parametrize(
    ("api", "key", "value", "said"),
    [
        ("DuplicateHandle", "options", {"a": 1}, "options {'a': 1} is of another kind"),
        ("DuplicateHandle", "src_hv", "x", "src_hv 'x' is of another kind"),
        ("CreateFile", "name", ["CONIN$"], r"name \['CONIN\$'\] is of another kind"),
        ("VirtualAlloc", "addr", "", "addr '' is of another kind"),
        ("VirtualAlloc", "ret", "none", "ret 'none' is no number"),
        ("VirtualAlloc", "addr", "0x" + "f" * 20, "addr 1208925819614629174706175 is no 32-bit"),
        ("CreateThread", "flags", "some", "flags 'some' is no number"),
        ("WaitForMultipleObjects", "hs", [["E1"]], "hs has more than names of objects"),
        ("CreateProcess", "child_info", 7, "child_info 7 is of another kind"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_its_line(tmp_path, api, key, value, said):
    rows = events()
    at = first(rows, api)
    rows[at]["args"][key] = value
    with pytest.raises(InputError, match=said) as caught:
        read_log(rewritten(tmp_path, rows))
    assert caught.value.args[0].endswith(f":{at + 1}")


@pytest.mark.parametrize(
    ("key", "value"), [("type", None), ("cb", "40"), ("n", [1]), ("parent", {"a": 1})]
)
def test_a_child_info_of_another_kind_is_refused_with_its_line(tmp_path, key, value):
    rows = events()
    at = next(i for i, row in enumerate(rows) if row.get("args", {}).get("child_info"))
    rows[at]["args"]["child_info"][key] = value
    with pytest.raises(InputError, match=f"{key} .* is of another kind"):
        read_log(rewritten(tmp_path, rows))


@pytest.mark.parametrize("key", ["cmd_len", "env_bytes", "flags", "image", "inherit"])
def test_what_was_asked_of_create_process_must_be_there(tmp_path, key):
    rows = events()
    at = first(rows, "CreateProcess")
    del rows[at]["args"][key]
    for _ in range(2):  # then without its phase too
        with pytest.raises(InputError, match=f"CreateProcess without '{key}'"):
            read_log(rewritten(tmp_path, rows))
        rows[at].pop("ph", None)


def test_a_return_that_has_lost_its_phase_is_refused(tmp_path):
    rows = events()
    at = next(
        i for i, r in enumerate(rows) if (r.get("api"), r.get("ph")) == ("CreateProcess", "return")
    )
    del rows[at]["ph"]
    with pytest.raises(InputError, match="CreateProcess without"):
        read_log(rewritten(tmp_path, rows))


@pytest.mark.parametrize("key", ["pid", "tid", "api"])
def test_a_call_of_nobody_or_without_a_name_is_refused(tmp_path, key):
    rows = events()
    rows[3][key] = ""
    with pytest.raises(InputError, match=f"4: no text '{key}'"):
        read_log(rewritten(tmp_path, rows))


def test_a_time_that_is_no_time_and_nesting_without_end_are_refused(tmp_path):
    rows = events()
    rows[3]["t_us"] = float("inf")
    with pytest.raises(InputError, match="t_us is not a number"):
        read_log(rewritten(tmp_path, rows))
    path = tmp_path / "deep.jsonl"
    path.write_text(json.dumps(rows[0]) + "\n" + "[" * 100_000 + "\n")
    with pytest.raises(InputError, match="the line is not JSON"):
        read_log(path)


# -- 1.1.8 -------------------------------------------------------------------------------------

EARLY = next(path for path in LOGS if path.match("cygwin-1.1.8-rebuilt/exec-oneshot.jsonl.gz"))


def test_a_stub_without_a_cygwin_parent_ends_with_0x20000_in_1_1_8(tmp_path):
    rows = events(EARLY)
    rows[first(rows, "ExitProcess", code=0x20000)]["args"]["code"] = 0
    assert verdict(rewritten(tmp_path, rows)).difference is not None


def test_a_heap_of_1_1_8_that_is_not_read_whole_is_found(tmp_path):
    """How large it is cannot be told, but the child reads what it is said to be."""
    rows = events(next(p for p in LOGS if p.match("cygwin-1.1.8-rebuilt/fork-exec-true.jsonl.gz")))
    found = first(rows, "ReadProcessMemory")
    rows[found]["args"]["size"] -= 8
    assert verdict(rewritten(tmp_path, rows)).difference is not None


@pytest.mark.parametrize("more", [0, 40])
def test_a_heap_of_1_7_7_that_grows_where_nothing_new_is_asked_is_found(tmp_path, more):
    """Six forks of a shell, none of which is given more than the first; a lie about the third."""
    rows = events(next(path for path in LOGS if path.match("cygwin-1.7.7/fork-child-dies*")))
    forks = [row for row in rows if row.get("api") == "CreateProcess" and row["ph"] == "call"]
    info = forks[2]["args"]["child_info"]
    for row in rows:
        address = info["cygheap"] if row.get("api") == "ReadProcessMemory" else None
        if address and int(row["args"]["addr"], 16) == int(str(address), 16):
            row["args"]["size"] = row["args"]["done"] = info["n"] + more
    info["n"] += more
    found = verdict(rewritten(tmp_path, rows))
    assert (found.difference is None) == (not more)
    if found.difference is not None:
        assert found.difference.creation == 3
        assert found.difference.real == "a heap that has grown by 40 B"
        assert found.difference.simulated == "by 0 B"
