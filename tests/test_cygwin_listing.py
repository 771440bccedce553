"""Listings of images: every source recognised by its content, every wrong line named."""

from __future__ import annotations

import gzip
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sim.lines
from models.cygwin.listing import read_listing
from models.cygwin.listing_entries import ListedImage
from sim.errors import InputError

DATA = Path(__file__).parent / "data" / "layout"
HEAD = '"Time of Day","Process Name","PID","Operation","Path","Result","Detail"'


@pytest.fixture
def listed(tmp_path):
    def read(*lines: str, encoding="utf-8"):
        path = tmp_path / "listing"
        path.write_bytes("\n".join([*lines, ""]).encode(encoding))
        return read_listing(path)

    return read


def images(listing, number=0):
    return [(i.name, i.base, i.size_bytes) for i in listing.spaces[number].images]


@pytest.mark.parametrize(
    "line",
    [
        "/usr/bin/a b.dll base 0x6d000000 size 0x00011000 *",
        "/usr/bin/a b.dll   base 0x00006d000000 size 0x00011000",
        "/usr/bin/a b.dll: new base = 6d000000, new size = 11000",
        "/usr/bin/a b.dll 0x6D000000 0x11000",
        "  /usr/bin/a b.dll\t1828716544 69632  \r",
    ],
)
def test_a_line_of_each_tool_is_the_same_image(listed, line):
    assert images(listed(line)) == [("/usr/bin/a b.dll", 0x6D000000, 0x11000)]


LISTINGS = [
    *("babun-477-cygwin32-rebaseall.txt", "msysgit-311-msys1-rebaseall.txt"),
    "perl5-22104-rebase-i.txt",
]


@pytest.mark.parametrize("name", LISTINGS)
def test_a_real_listing_is_read_whole(name):
    text = (DATA / name).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = read_listing(DATA / name).spaces[0].images
    assert [image.name for image in found] == [
        re.split(r":| base", line)[0].strip() for line in lines
    ]
    for image, line in zip(found, lines, strict=True):
        numbers = re.findall(r"(?:base|size) (?:= |0x)([0-9a-f]+)", line)
        assert [f"{image.base:x}", f"{image.size_bytes:x}"] == [n.lstrip("0") for n in numbers]


def test_a_packed_file_is_read_too(tmp_path):
    path = tmp_path / "list.gz"
    path.write_bytes(gzip.compress(b"a.dll 0x10000000 0x1000\n"))
    assert len(read_listing(path).spaces[0].images) == 1


def test_what_rebase_skipped_is_counted(listed):
    found = listed("/usr/bin/x.dll: skipped because nonexistent", "a.dll 0x10000000 0x1000")
    assert len(found.spaces[0].images) == 1
    assert found.notes == ("1 image(s) that rebase skipped are not looked at",)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("sign", [",", ";"])
def test_process_monitor_has_one_space_a_process(listed, mark, sign):
    rows = [
        mark + HEAD,
        '"1","sh.exe","7","Process Start","","SUCCESS","Parent PID: 1, Command line: a\nb"',
        '"1","sh.exe","7","Load Image","C:\\a.dll","SUCCESS",'
        '"Image Base: 0x61000000, Image Size: 0xfb000"',
        '"1","sh.exe","8","Load Image","C:\\b.dll","SUCCESS",'
        '"Image Base: 0x10000000, Image Size: 0x1000"',
        '"1","sh.exe","7","RegOpenKey","HKLM","NAME NOT FOUND","Image Base: none"',
        '"1","sh.exe","7","Load Image","C:\\c.dll","NAME NOT FOUND",""',
    ]
    found = listed(*(re.sub('","', f'"{sign}"', row) for row in rows))
    assert found.kind == "Process Monitor CSV"
    assert [space.process for space in found.spaces] == ["sh.exe 7", "sh.exe 8"]
    assert images(found) == [("C:\\a.dll", 0x61000000, 0xFB000)]


def test_a_process_id_that_is_used_again_is_another_process(listed):
    load = '"1","sh.exe","7","Load Image","a.dll","SUCCESS","Image Base: 0x{}, Image Size: 0x1000"'
    end = '"1","sh.exe","7","Process Exit","","SUCCESS","Exit Status: 0"'
    found = listed(HEAD, load.format("10000000"), end, load.format("20000000"))
    assert [images(found, i)[0][1] for i in (0, 1)] == [0x10000000, 0x20000000]


def test_strace_loads_and_unloads(listed):
    found = listed(
        "hello from the program",
        "   42   32558 [main] sh 354 close: 0 = close(0)",
        "--- Process 11700 (pid: 354) loaded C:\\x y\\a.dll at 00007FFCEC550000",
        "--- Process 11700 loaded C:\\b.dll at 0x10000000",
        "--- Process 11700 unloaded DLL at 10000000",
        "--- Process 11700 thread 5012 exited with status 0x0",
        "--- Process 9 loaded C:\\b.dll at 10000000",
    )
    assert found.kind == "Cygwin strace log"
    assert images(found) == [("C:\\x y\\a.dll", 0x7FFCEC550000, None)]
    assert images(found, 1) == [("C:\\b.dll", 0x10000000, None)]


def test_the_message_of_a_failure_is_a_report(listed):
    found = listed(
        "      0 [main] us 0 init_cheap: VirtualAlloc pointer is null, Win32 error 487",
        "AllocationBase 0x0, BaseAddress 0x68570000, RegionSize 0x4A0000, State 0x10000",
        "C:\\msys\\bin\\ssh.exe: *** Couldn't reserve space for cygwin's heap, Win32 error 0",
    )
    (report,) = found.reports
    assert (report.line, report.address, report.room_bytes) == (2, 0x68570000, 0x4A0000)


def test_a_region_that_is_taken_has_no_room(listed):
    found = listed("AllocationBase 0x1, BaseAddress 0x2, RegionSize 0x1000, State 0x1000")
    assert found.reports[0].room_bytes == 0


def test_the_table_of_reports_is_read_whole():
    reports = read_listing(DATA / "init_cheap_failures.csv").reports
    assert len(reports) == 7
    assert (reports[0].name, reports[0].address) == ("ssh.exe", 0x68570000)
    assert reports[0].room_bytes == 0x4A0000


WRONG = [
    (["a.dll 0x10000000 0x1000", "a.dll 0x10000000"], 2, "lists no image"),
    (["a.dll 0x10000000 0x1000", "", "# x", "what is this"], 4, "lists no image"),
    (["a.dll base 0x10000000 size 0x0"], 1, "size 0"),
    (["a.dll 0 0x1000"], 1, "at 0x0"),
    (["a.dll 0xffffffffffffffff 0x1000"], 1, "at 0xffffffffffffffff"),
    (["a.dll " + "9" * 5000 + " 1"], 1, "lists no image"),
    (["a.dll 0x10000000 0x1000", "a" + " " * 200_000 + "b"], 2, "lists no image"),
    (["allocation_base,base_address,region_size,state", "0,0,-5,0"], 2, "'0, 0, -5, 0'"),
    (["name,mingw32", "a.dll,0x1"], 1, "lists no image"),
    ([HEAD, '"1","sh","7","Load Image","a.dll","SUCCESS","Image Base"'], 2, "gives no place"),
    ([HEAD, '"1","sh","7","Load Image"'], 2, "4 columns"),
    ([HEAD, '"1","sh","7","Load Image","a'], 2, ""),
    (["--- Process 7 created", "--- Process 7 loaded C:\\a.dll"], 2, "gives no place"),
    (["allocation_base,base_address,region_size,state", "0,x,0,0"], 2, "'0, x, 0, 0'"),
    (["allocation_base,base_address,region_size,state", "0,0"], 2, "2 columns"),
    (["base_address,region_size", "0,0"], 1, "no column allocation_base"),
]


@pytest.mark.parametrize(("lines", "line", "what"), WRONG)
def test_an_unreadable_line_is_named(listed, lines, line, what):
    with pytest.raises(InputError) as error:
        listed(*lines)
    assert str(error.value.args[0]).endswith(f"listing:{line}")
    assert what in error.value.args[1]
    assert error.value.args[2]


@given(st.lists(st.sampled_from([
    HEAD, "a.dll 0x10000000 0x1000", "--- Process 7 loaded C:\\a.dll at 10000000", '"', "\0",
    "allocation_base,base_address,region_size,state", "0,0x61000000,0x1000,0x10000", "", "#",
    "AllocationBase 0x0, BaseAddress 0x1, RegionSize 0x1, State 0x10000", '"1","a","2"', "\x85",
    "x.dll base 0x1 size 0x1", "x.dll: new base = 1, new size = 1", ",,,,,,", "\xa0 1 1",
]), max_size=6), st.text(max_size=10))  # fmt: skip
def test_any_text_is_read_or_refused_by_name(lines, tail):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        path.write_bytes("\n".join([*lines, tail]).encode("utf-8", "surrogatepass"))
        try:
            found = read_listing(path)
        except InputError:
            return
        assert found.spaces or found.reports


@pytest.mark.parametrize("lines", [[], ["# only this"], [HEAD], ["--- Process 7 created"]])
def test_a_file_that_lists_nothing_is_refused(listed, lines):
    with pytest.raises(InputError):
        listed(*lines)


def test_a_wide_encoding_is_refused_by_name(listed):
    with pytest.raises(InputError, match="UTF-16"):
        listed("a.dll 0x10000000 0x1000", encoding="utf-16")


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("C:\\x\\Cygwin1.DLL", True), ("/usr/bin/msys-2.0.dll", True), ("cygwinb19.dll", True),
     ("msys-1.0.dll", True), ("cygwin.dll", False), ("msys-z.dll", False),
     ("mycygwin1.dll", False)],
)  # fmt: skip
def test_cygwin_s_own_dll_is_known_by_its_name(name, is_one):
    assert ListedImage(name, 0x10000, 1).is_cygwin_dll is is_one


def test_a_carriage_return_amid_the_first_line_is_no_csv(tmp_path):
    path = tmp_path / "listing"
    path.write_bytes(b"a\rb, c\n")
    with pytest.raises(InputError, match="lists no image"):
        read_listing(path)


def test_blanks_around_the_cells_of_the_table_of_reports_do_not_count(tmp_path):
    text = (DATA / "init_cheap_failures.csv").read_text(encoding="utf-8")
    path = tmp_path / "reports.csv"
    path.write_text("".join(f"{line}  \n" for line in text.splitlines()), encoding="utf-8")
    assert read_listing(path).reports == read_listing(DATA / "init_cheap_failures.csv").reports


def test_a_file_of_empty_lines_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sim.lines, "MOST_LINES", 1000)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b"a.dll 0x10000000 0x1000\n" + b"\n" * 1000))
    with pytest.raises(InputError, match="too long; at most 1000 lines") as caught:
        read_listing(path)
    assert caught.value.args[0].endswith(":1001")
