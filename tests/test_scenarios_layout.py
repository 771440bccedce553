"""`cygsim layout` as a user calls it: exit codes, words, tables, JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from scenarios.__main__ import main

DATA = Path(__file__).parent / "data" / "layout"
HIT = "cygwin1.dll 0x61000000 0x100000\nfoo.dll 0x61300000 0x40000\n"
ROOM = "cygwin1.dll 0x61000000 0x100000\nfoo.dll 0x62000000 0x40000\n"


@pytest.fixture
def listing(tmp_path):
    def write(text, name="listing"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_a_collision_is_1_and_room_is_0(listing, capsys):
    assert main(["layout", "check", listing(HIT), "--era", "B"]) == 1
    shown = capsys.readouterr().out
    assert "*** Couldn't reserve space for cygwin's heap, Win32 error 0" in shown
    assert "foo.dll        0x61300000  0x615e0000  +0x2e0000" in shown
    assert "room behind cygwin1.dll, from 0x61100000: 2097152 bytes" in shown
    assert shown.endswith("it does not fit\n")
    assert main(["layout", "check", listing(ROOM), "--era", "B"]) == 0
    assert capsys.readouterr().out.endswith("it fits\n")


def test_json_says_the_same(listing, capsys):
    assert main(["layout", "check", listing(HIT), "--era", "B", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    (space,) = found["spaces"]
    assert found["fits"] is space["fits"] is space["heap"]["fits"] is False
    assert space["heap"]["base"] == 0x61100000
    assert space["heap"]["asked_bytes"] == 5_107_312
    assert space["room"] == {"from": 0x61100000, "bytes": 0x200000, "until": "foo.dll"}
    assert space["moves"] == [
        {
            "name": "foo.dll",
            "base": 0x61300000,
            "size_bytes": 0x40000,
            "to": 0x615E0000,
            "by_bytes": 0x2E0000,
        }
    ]


@pytest.mark.parametrize("size", ["5139308", "0x4e6b8c"])
def test_the_real_failures_are_refused_with_the_size_of_their_dll(capsys, size):
    path = str(DATA / "init_cheap_failures.csv")
    assert main(["layout", "check", path, "--heap-size", size]) == 1
    assert capsys.readouterr().out.count("refused") == 7
    assert main(["layout", "check", path, "--heap-size", "0x80000"]) == 0
    assert "refused" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "name", sorted(path.name for path in DATA.iterdir() if path.suffix == ".txt")
)
def test_tables_fit_in_80_columns(capsys, name):
    main(["layout", "check", str(DATA / name)])
    tables = capsys.readouterr().out.replace(str(DATA), "")
    assert [s for s in tables.splitlines() if len(s) > 80 and not s.startswith("  ")] == []


def test_long_names_and_addresses_fit_in_80_columns(listing, capsys):
    long = "/usr/lib/" + "abcdefghij" * 9 + ".dll"
    text = f"{long} 0x7ff000000000 0x7fff0000\nb{long} 0x7ff000100000 0x7fff0000\n"
    assert main(["layout", "check", listing(text)]) == 1
    for line in capsys.readouterr().out.splitlines()[1:]:
        assert len(line) <= 80 or line.startswith("  ")


def test_an_unreadable_line_is_one_line_and_exit_2(listing, capsys):
    path = listing(ROOM + "nonsense\n")
    assert main(["layout", "check", path]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"cygsim: {path}:3: 'nonsense' lists no image; `rebase -i`")
    assert shown.err.count("\n") == 1


def test_base_prints_address_and_name(capsys):
    assert main(["layout", "base", "foo.dll", "sub/cygperl5_8.dll", "--rule", "mingw32"]) == 0
    assert capsys.readouterr().out == "0x6b080000 foo.dll\n0x6f480000 sub/cygperl5_8.dll\n"


def test_a_name_that_is_no_text_has_an_address_too(cygsim):
    done = cygsim("layout", "base", "caf\udce9.dll", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)[0]["rule"] == "2001"


def test_listing_may_come_from_standard_input(capsys, monkeypatch, tmp_path):
    import io
    import sys

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(HIT.encode())))
    assert main(["layout", "check", "-", "--era", "B"]) == 1
    assert capsys.readouterr().out.startswith("-: list of images")


def test_risk_says_the_probability_with_its_interval(capsys):
    words = ["layout", "risk", "--dlls", "8", "--json"]
    assert main(words) == 0
    first = capsys.readouterr().out
    found = json.loads(first)
    low, high = found["ci95"]
    assert low < found["probability"] < high
    assert [c["kind"] for c in found["collisions"]] == ["any", "each_other", "heap", "cygwin"]
    for c in found["collisions"]:
        assert c["share"] == c["hits"] / 10_000
        assert c["ci95"][0] <= c["exact"] <= c["ci95"][1]
    assert math.isclose(found["collisions"][2]["exact"], 1 - (1 - 20 / 1024) ** 8)
    assert main(words) == 0
    assert capsys.readouterr().out == first
    assert main([*words, "--seed", "2"]) == 0
    assert capsys.readouterr().out != first


def test_risk_of_a_rule_without_cygwin_s_heap_is_of_the_dlls_alone(capsys):
    assert main(["layout", "risk", "--dlls", "3", "--rule", "x86_64", "--size", "0x1000000"]) == 0
    shown = capsys.readouterr().out
    assert "two of the DLLs" in shown
    assert "heap" not in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
