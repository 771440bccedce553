"""The machine held against what the real API answered, and the interpreter that does it."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from models.win32 import conformance_steps
from models.win32.conformance import check, verbs
from models.win32.conformance_case import Case, read_cases
from sim.errors import InputError

CASES = Path(__file__).parent / "data" / "win32" / "cases.jsonl"
PUBLIC = list(read_cases(CASES))
OTHER = {"TIMEOUT": "OBJECT_0", "OBJECT_0": "TIMEOUT", True: False, False: True}


def case(ops, /, status="same", expected=None, **outcome):
    return Case("made_up", ops, outcome, {**outcome, **(expected or {})}, status)


def answers(ops, /, **outcome):
    """The line of a case, without its name."""
    return check(case(ops, **outcome)).line.removeprefix("made_up ")


def event(name="e", /, **options):
    return ["event", name, {"manual": 1, "set": 0, **options}]


def spawn(*child, **options):
    return ["spawn", "c", {"child": list(child), **options}]


def code(**options):
    return ["exit_code", "c.process", {"wait": 1, "out": "code", **options}]


# -- the public cases ---------------------------------------------------------------------------


def test_all_public_cases_are_there():
    assert len(PUBLIC) == 84


@pytest.mark.parametrize("one", PUBLIC, ids=lambda one: one.name)
def test_machine_answers_as_windows(one):
    verdict = check(one)
    assert verdict.line == f"{one.name} ok"
    assert not verdict.left_out
    assert verdict.compared


# Said in words only: the version decides (wpm_partial), and no step asks for it (rpm_suspended).
NOT_COMPARED = {"wpm_partial": {"err", "n", "first_page_written"}, "rpm_suspended": {"MZ"}}


@pytest.mark.parametrize("one", PUBLIC, ids=lambda one: one.name)
def test_every_field_is_compared(one):
    left = set(one.expected) - set(check(one).compared)
    assert left == NOT_COMPARED.get(one.name, set())


FALSE = [
    pytest.param(one, field, id=f"{one.name}-{field}")
    for one in PUBLIC
    for field in one.expected
    if one.status != "unsure" and field not in NOT_COMPARED.get(one.name, ())
]


@pytest.mark.parametrize("one, field", FALSE)
def test_a_falsified_answer_is_found(one, field):
    right = one.expected[field]
    wrong = OTHER.get(right, f"not {right}" if isinstance(right, str) else -17)
    found = check(replace(one, expected={**one.expected, field: wrong}))
    assert found.line.startswith(f"{one.name} MISMATCH {field}: want ")


def test_steps_written_down_belong_to_cases_that_have_none():
    without = {one.name for one in PUBLIC if one.ops is None}
    assert set(conformance_steps._STEPS) == without


# -- how a case is judged -----------------------------------------------------------------------

SET = [event(set=1), ["wait", ["e"], {"ms": 0, "out": "w"}]]


def test_true_is_not_one():
    assert answers([event(out="made")], made=True) == "ok"
    assert answers([event(out="made")], made=1) == "MISMATCH made: want 1, got true"


def test_a_correction_is_what_counts():
    assert check(case(SET, "differs", {"w": "OBJECT_0"}, w="TIMEOUT")).result == "ok"
    assert check(case(SET, "differs", {"w": "TIMEOUT"}, w="OBJECT_0")).result == "MISMATCH"


def test_unsure_takes_one_of_two_answers():
    assert check(case(SET, "unsure", {"w": "TIMEOUT"}, w="OBJECT_0")).result == "ok"
    assert check(case(SET, "unsure", {"w": "OBJECT_0"}, w="TIMEOUT")).result == "ok"
    assert check(case(SET, "unsure", {"w": "FAILED"}, w="TIMEOUT")).result == "MISMATCH"


def test_unsure_without_another_answer_is_skipped_where_ours_differs():
    verdict = check(case(SET, "unsure", w="TIMEOUT"))
    assert verdict.line == (
        "made_up skipped: what Windows answers is not known (w: want TIMEOUT, got OBJECT_0)"
    )


def test_a_script_that_blocks_is_a_mismatch():
    ops = [event(out="made"), ["wait", ["e"], {"out": "w"}]]
    wanted = "MISMATCH w: want OBJECT_0, got nothing (waits for event)"
    assert answers(ops, made=True, w="OBJECT_0") == wanted
    end = [event(out="made"), ["wait", ["e"]]]
    assert answers(end, made=True) == "MISMATCH (end): want reached, got waits for event"


def test_a_script_that_crashes_is_a_mismatch():
    ops = [event(out="made"), ["write", "#0x10", "x"]]
    assert answers(ops, made=True).startswith("MISMATCH (end): want reached, got write at 0x0000")


@pytest.mark.parametrize(
    "ops, reason",
    [
        (None, "it has no steps as data"),
        ([["jump", "e"]], "unknown verb 'jump'"),
        ([["event", "e", {"colour": "red"}]], "unknown option 'colour' of 'event'"),
        ([["event"]], "'event' with 0 targets"),
        ([["set", "e"]], "nothing is called 'e' so far"),
        ([["spawn", "c", {"child": 1}]], "child of 'spawn' is no script"),
        ([["event", "e", {"manual": "x"}]], "manual of 'event' is 'x', not 0 or 1"),
        ([["valloc", 0, {"size": 4096, "type": "RESET"}]], "valloc with type 'RESET'"),
        ([event()], "none of its fields is modelled"),
    ],
)
def test_what_cannot_be_run_is_skipped_with_the_reason(ops, reason):
    assert answers(ops, w=True) == f"skipped: {reason}"


def test_an_unknown_answer_is_left_out_and_named():
    ops = [event(), ["wait", ["e"], {"ms": 10, "out": "w", "cycles": "many"}]]
    verdict = check(case(ops, w="TIMEOUT", many=7))
    assert (verdict.result, verdict.left_out) == ("ok", ("many",))


# -- every verb ---------------------------------------------------------------------------------

PAGE = ["valloc", 0, {"size": 65536, "type": "RESERVE|COMMIT", "name": "p"}]
MORE = {
    "reset": ([event(set=1), ["reset", "e"], ["wait", ["e"], {"ms": 0, "out": "w"}]],
              {"w": "TIMEOUT"}),
    "finite_wait": ([event(), ["wait", ["e"], {"ms": 100, "out": "w", "elapsed": "in_time"}]],
                    {"w": "TIMEOUT", "in_time": True}),
    "no_handles": ([["wait", [], {"ms": 0, "out": "w", "err": "err"}]],
                   {"w": "FAILED", "err": 87}),
    "65_handles": ([event(), ["wait", ["e"] * 65, {"ms": 0, "out": "w", "err": "err"}]],
                   {"w": "FAILED", "err": 87}),
    "twice_in_any": ([event("a", manual=0),
                      ["thread", "t", {"run": [["sleep", 10], ["set", "a"]]}],
                      ["wait", ["a", "a"], {"ms": 500, "out": "w"}],
                      ["wait", ["a"], {"ms": 0, "out": "again"}]],
                     {"w": "OBJECT_0", "again": "TIMEOUT"}),
    "two_handles_in_all": ([event("a", set=1), ["dup", "a", "b"],
                            ["wait", ["a", "b"], {"ms": 0, "all": 1, "out": "w", "err": "err"}]],
                           {"w": "FAILED", "err": 87}),
    "open_event": ([event("a", name="N"), ["open_event", "b", {"name": "N", "out": "o"}],
                    ["close", "a"], ["set", "b", {"out": "set"}], ["close", "b"],
                    ["open_event", "c", {"name": "N", "null": "gone", "err": "err"}]],
                   {"o": True, "set": True, "gone": True, "err": 2}),
    "open_mutex": ([["mutex", "a", {"name": "N", "owned": 1}], ["open_mutex", "b", "N"],
                    ["release_mutex", "b", {"out": "r"}],
                    ["mutex", "c", {"name": "N", "err": "err"}]],
                   {"r": True, "err": 183}),
    "open_semaphore": ([["semaphore", "a", {"initial": 0, "max": 1, "name": "N"}],
                        ["open_semaphore", "b", {"name": "N"}],
                        ["release_semaphore", "b", {"n": 1, "prev": "prev"}],
                        ["release_semaphore", "b", {"n": 0, "err": "zero"}],
                        ["open_event", "c", {"name": "N", "err": "err"}]],
                       {"prev": 0, "zero": 87, "err": 6}),
    "open_section": ([["section", "a", {"size": 4096, "name": "N"}],
                      ["open_section", "b", {"name": "N", "out": "o"}], ["map", "a", "p"],
                      ["map", "b", "q"], ["write", "p", "x"], ["read_eq", "q", "x", {"out": "eq"}],
                      ["close", "a"], ["close", "b"],
                      ["open_section", "c", {"name": "N", "out": "late", "err": "err"}]],
                     {"o": True, "eq": True, "late": False, "err": 2}),
    "section_kept_by_child": ([["section", "g", {"size": 4096, "inherit": 1, "name": "N"}],
                               spawn(["sleep", 300], inherit=1), ["close", "g"],
                               ["open_section", "h", {"name": "N", "out": "kept"}],
                               ["close", "h"], ["wait", ["c.process"]],
                               ["open_section", "h", {"name": "N", "out": "after"}]],
                              {"kept": True, "after": False}),
    "suspend": ([spawn(["exit", 4], suspended=1), ["suspend", "c.thread", {"prev": "s"}],
                 ["resume", "c.thread", {"prev": "r1"}],
                 ["wait", ["c.process"], {"ms": 50, "out": "still"}],
                 ["resume", "c.thread", {"prev": "r2"}], code(),
                 ["suspend", "c.thread", {"err": "err"}]],
                {"s": 1, "r1": 2, "still": "TIMEOUT", "r2": 1, "code": 4, "err": 5}),
    "terminate_suspended": ([spawn(["exit", 1], suspended=1),
                             ["terminate", "c.process", {"code": 7, "out": "ok"}], code()],
                            {"ok": True, "code": 7}),
    "exit_259": ([spawn(["exit", 259]), code(),
                  ["wait", ["c.thread"], {"ms": 0, "out": "thread"}]],
                 {"code": 259, "thread": "OBJECT_0"}),
    "exit_with": ([spawn(["spawn", "g", {"child": [["exit", 9]]}],
                         ["exit_code", "g.process", {"wait": 1, "exit_with": 1}]), code()],
                  {"code": 9}),
    "exit_info": ([event(inherit=1), spawn(["exit_info", "e"], inherit=1), code()], {"code": 11}),
    "set_protect": ([event(), ["set_protect", "e"], ["info", "e", {"out": "flags"}],
                     ["close", "e", {"out": "closed", "err": "err"}],
                     ["set_protect", "e", {"on": 0}], ["close", "e", {"out": "then"}]],
                    {"flags": 2, "closed": False, "err": 6, "then": True}),
    "dup_close_source": ([event(set=1), ["dup", "e", "f", {"close_source": 1, "out": "dup"}],
                          ["close", "e", {"err": "err"}], ["wait", ["f"], {"ms": 0, "out": "w"}]],
                         {"dup": True, "err": 6, "w": "OBJECT_0"}),
    "open_process": ([["open_process", "x", {"id": 3, "err": "err"}],
                      ["open_process", "y", {"of": "#self", "out": "me"}],
                      ["exit_code", "y", {"out": "code"}]],
                     {"err": 87, "me": True, "code": 259}),
    "not_a_program": ([spawn(program="text", out="ok", err="err")], {"ok": False, "err": 193}),
    "new_console": ([spawn(["spawn", "g", {"child": [["open_console_or_exit", "o", {"bad": 2}]]}],
                           ["exit_code", "g.process", {"wait": 1, "exit_with": 1}], detached=1),
                     code(), spawn(["open_console_or_exit", "o", {"bad": 2}], new_console=1),
                     code(out="new")],
                    {"code": 2, "new": 0}),
    "reserve": ([["free_address", "q", {"size": 131072}],
                 ["valloc", "q+100", {"size": 10, "type": "RESERVE", "ret_off": "down"}],
                 ["valloc", "q+65536", {"size": 1, "type": "RESERVE", "same": "same"}],
                 ["valloc", "q+131072", {"size": 1, "type": "COMMIT", "null": "n", "err": "err"}]],
                {"down": 0, "same": True, "n": True, "err": 487}),
    "release": ([PAGE, ["vfree", "p", {"size": 1, "type": "RELEASE", "err": "size"}],
                 ["vfree", "p", {"type": "RELEASE", "out": "ok"}],
                 ["query_state", "p", {"out": "state"}],
                 ["vfree", "p", {"type": "RELEASE", "err": "again"}]],
                {"size": 87, "ok": True, "state": "FREE", "again": 487}),
    "decommit": ([PAGE, ["vfree", "p+65535", {"size": 2, "type": "DECOMMIT", "err": "over"}],
                  ["vfree", "p+4096", {"type": "DECOMMIT", "err": "inner"}],
                  ["vfree", "p+4095", {"size": 2, "type": "DECOMMIT"}],
                  ["query", "p+4096", {"state": "gone", "base": "p"}],
                  ["query", "p+8192", {"state": "left", "region": "rest"}],
                  ["vfree", "p", {"type": "DECOMMIT"}],
                  ["query", "p", {"prefix": "v", "base": "p"}]],
                 {"over": 87, "inner": 487, "gone": "RESERVE", "left": "COMMIT", "rest": 57344,
                  "v_state": "RESERVE", "v_region": 65536, "v_type": "PRIVATE"}),
    "map_part": ([["section", "g", {"size": 262144}], ["map", "g", "p"],
                  ["map", "g", "q", {"offset": 65536, "size": 5000}], ["write", "p+65541", "x"],
                  ["read_eq", "q+5", "x", {"out": "eq"}],
                  ["query", "q", {"region": "pages", "type": "type"}],
                  ["map", "g", "r", {"offset": 4096, "err": "unaligned"}],
                  ["map", "g", "r", {"offset": 262144, "err": "behind"}],
                  ["unmap", "q+4096", {"out": "inner"}]],
                 {"eq": True, "pages": 8192, "type": "MAPPED", "unaligned": 1132, "behind": 5,
                  "inner": True}),
    "map_unaligned": ([["free_address", "q", {"size": 131072}], ["section", "g", {"size": 4096}],
                       ["map", "g", "p", {"at": "q+4096", "null": "null", "err": "err"}],
                       ["map", "g", "p", {"at": "#0x90000000", "err": "high"}]],
                      {"null": True, "err": 1132, "high": 87}),
    "rpm_partial": ([["valloc", 0, {"size": 65536, "type": "RESERVE", "name": "p"}],
                     ["valloc", "p", {"size": 4096, "type": "COMMIT"}],
                     ["rpm", "#self", "p+96", {"size": 8192, "out": "ok", "err": "err", "n": "n"}],
                     ["rpm", "#self", "p", {"size": 8, "into": "#0x10", "err": "local"}],
                     ["rpm", "p", "p", {"size": 8, "err": "handle"}]],
                    {"ok": False, "err": 299, "n": 4000, "local": 998, "handle": 6}),
    "wpm": ([PAGE, ["wpm", "#self", "p+4094", {"bytes": "abcd", "n": "n"}],
             ["read_byte", "p+4097", {"out": "byte"}],
             ["wpm", "#self", "#image", {"bytes": "abcd", "err": "image"}]],
            {"n": 4, "byte": 100, "image": 998}),
    "two_step_copy": ([["section", "g", {"size": 1048576, "reserve": 1, "inherit": 1}],
                       ["map", "g", "p"],
                       spawn(["map", "g", "p", {"at": "#0x20000000", "exact_or_exit": 3}],
                             ["exit_unless", "p+5", "late", 4], ["exit", 1],
                             suspended=1, inherit=1),
                       ["valloc", "p", {"size": 5000, "type": "COMMIT"}],
                       ["write", "p+5", "late"], ["unmap", "p"], ["close", "g"],
                       ["resume", "c.thread"], code()],
                      {"code": 1}),
}  # fmt: skip


@pytest.mark.parametrize("name", MORE)
def test_rule_beyond_the_public_cases(name):
    ops, outcome = MORE[name]
    verdict = check(case(ops, **outcome))
    assert verdict.line == "made_up ok"
    assert set(verdict.compared) == set(outcome)


def verbs_in(ops):
    for op in ops:
        yield op[0]
        for options in op[1:]:
            if isinstance(options, dict):
                for script in (options.get("child"), options.get("run")):
                    yield from verbs_in(script or ())


def test_every_verb_is_used():
    used = {verb for ops, _ in MORE.values() for verb in verbs_in(ops)}
    for one in PUBLIC:
        used |= set(verbs_in(one.ops or conformance_steps.steps_of(one.name)))
    assert set(verbs()) <= used | {verb.removesuffix("_or_exit") for verb in used}


# -- files and the command line -----------------------------------------------------------------

LINE = '{"name": "a", "outcome": {"w": "OBJECT_0"}, "windows": {"status": "same"}}'


@pytest.mark.parametrize(
    "text, what",
    [
        ("", "the file is empty"),
        (LINE + '\n{"name": "b", "outc', ":2: not a line of JSON"),
        ("[1]", ":1: the line is no JSON object"),
        ('{"schema": "proctrace/1"}', ":1: the schema is 'proctrace/1'"),
        ('{"name": "a b"}', ":1: name 'a b'"),
        ('{"name": "a"}', ":1: a: outcome: it is missing"),
        (LINE.replace('"OBJECT_0"', "[]"), "w is no plain value"),
        (LINE.replace("same", "perhaps"), ":1: a: windows: no status"),
        (LINE[:-1] + ', "ops": [3]}', ":1: a: ops: no script"),
        ("[" * 100_000, ":1: not a line of JSON (it is nested too deeply)"),
        ("\xff", ":1: not a line of JSON"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, text, what):
    path = tmp_path / "cases.jsonl"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError) as error:
        list(read_cases(path))
    assert what in str(error.value)


def test_a_cut_gzip_file_is_refused_and_a_whole_one_read(tmp_path):
    path = tmp_path / "cases.jsonl.gz"
    path.write_bytes(gzip.compress(CASES.read_bytes()))
    assert list(read_cases(path)) == PUBLIC
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match="the gzip stream is cut off"):
        list(read_cases(path))


def test_command_prints_a_line_for_each_case(cygsim):
    done = cygsim("machine", "check", CASES)
    lines = done.stdout.decode().splitlines()
    assert (done.returncode, done.stderr) == (0, b"")
    assert lines[:-1] == [f"{one.name} ok" for one in PUBLIC]
    assert lines[-1] == "84 passed, 0 failed, 0 skipped"


def test_command_says_what_differs_and_what_was_skipped(cygsim, tmp_path):
    made = json.loads(LINE) | {"ops": [event(), ["wait", ["e"], {"ms": 0, "out": "w"}]]}
    skipped = json.loads(LINE) | {"name": "b", "ops": [["jump"]]}
    path = tmp_path / "cases.jsonl"
    path.write_text(f"{json.dumps(made)}\n{json.dumps(skipped)}\n")
    done = cygsim("machine", "check", path)
    assert done.returncode == 1
    assert done.stdout.decode().splitlines() == [
        "a MISMATCH w: want OBJECT_0, got TIMEOUT",
        "b skipped: unknown verb 'jump'",
        "0 passed, 1 failed, 1 skipped",
    ]


@pytest.mark.parametrize("words", [("missing.jsonl",), ()])
def test_command_refuses_bad_input_in_one_line(cygsim, words):
    done = cygsim("machine", "check", *words)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
