"""Golden traces of the real allocator replayed, and what happens to files that are not such."""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.cygwin.cygheap import golden, golden_early, golden_file, golden_modern, golden_ops
from models.cygwin.cygheap.golden import Mismatch, Summary, replay
from models.cygwin.cygheap.layout import ERAS
from models.cygwin.cygheap.modern_layout import INDEX_FROM_1, M
from scenarios import heap_command
from scenarios.options import HeapOptions
from sim.errors import InputError

GOLDEN = Path(__file__).parent / "data" / "golden"
FILES = sorted(GOLDEN.glob("*/*.jsonl.gz"))
H07 = GOLDEN / "B" / "h07_execchain.jsonl.gz"


def lines_of(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().splitlines(keepends=True)


def written(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(lines), encoding="ascii", newline="\n")
    return path


def first(lines: list[str], wanted: str) -> int:
    """Index of the first line that begins with `wanted`."""
    return next(i for i, line in enumerate(lines) if line.startswith(wanted))


def test_the_sample_has_every_era():
    assert {path.parent.name for path in FILES} == {"A", "B", "C", "M"}
    assert len(FILES) > 160


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}-{p.name[:-9]}")
def test_replays_to_its_end(path):
    found = replay(path)
    assert isinstance(found, Summary), found
    assert found.era == path.parent.name
    assert found.name == path.name.removesuffix(".jsonl.gz")
    assert found.ops == json.loads(lines_of(path)[-1])["nops"]


def test_a_plain_file_is_read_like_a_packed_one(tmp_path):
    assert replay(written(tmp_path / "plain", lines_of(H07))) == replay(H07)


@pytest.mark.parametrize(
    ("begins", "change", "want", "got"),
    [
        ('["S","HOME', lambda v: [*v[:2], v[2] + 8, *v[3:]], "off=8184", "off=8176"),
        ('["m"', lambda v: [*v[:4], v[4] + 4096, *v[5:]], "max=11832", "max=7736"),
        ('["x"', lambda v: [*v[:3], v[3] + 4096], "com=16384", "com=12288"),
        ('{"ck"', lambda v: v | {"sha256": "0" * 64}, 'sha256="0000', '"76291b46'),
        ('{"ck"', lambda v: v | {"nchain": v["nchain"] + 1}, "nchain=16", "15"),
        ('{"ck"', lambda v: v | {"buckets": [[7, 1]]}, "1 entries in buckets", "0"),
        ('{"ck"', lambda v: v | {"cycle": True}, "cycle=true", "false"),
        ('{"end"', lambda v: v | {"nops": 7}, "nops=7", "1335"),
        ('{"end"', lambda v: v | {"muto_acquires": 7}, "muto_acquires=7", "2525"),
    ],
)
def test_a_changed_value_is_found_at_its_line(tmp_path, begins, change, want, got):
    lines = lines_of(H07)
    i = first(lines, begins)
    lines[i] = json.dumps(change(json.loads(lines[i]))) + "\n"
    found = replay(written(tmp_path / "changed", lines))
    assert isinstance(found, Mismatch)
    assert found.line == i + 1
    assert want in found.want
    assert got in found.got


def test_a_changed_chain_is_found_by_entry(tmp_path):
    lines = lines_of(H07)
    i = first(lines, '{"ck"')
    value = json.loads(lines[i])
    value["chain"][3][1] += 1
    lines[i] = json.dumps(value) + "\n"
    found = replay(written(tmp_path / "changed", lines))
    assert isinstance(found, Mismatch)
    assert (found.line, found.want[:8]) == (i + 1, "chain[3]")


def test_another_end_than_recorded_is_a_mismatch(tmp_path):
    lines = lines_of(GOLDEN / "B" / "h16_overflow_big.jsonl.gz")
    lines[-1] = lines[-1].replace("couldn't", "could")
    found = replay(written(tmp_path / "changed", lines))
    assert isinstance(found, Mismatch)
    assert found.got == "fatal: couldn't commit memory for cygwin heap, %E"


def test_a_walk_that_forgets_the_bug_fails_the_traces_of_era_c(tmp_path, monkeypatch):
    """Negative control: era C with B's walk must not pass."""
    mended = dict(ERAS) | {"C": ERAS["C"].__class__(**fields(ERAS["C"], walk_frees_tails=False))}
    monkeypatch.setattr(golden_early, "ERAS", mended)
    assert isinstance(replay(GOLDEN / "C" / "h17_tailfree.jsonl.gz"), Mismatch)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"classes": INDEX_FROM_1.classes}, "h24_execchain_2026"),  # the leak is mended
        ({"stored_offset": 1}, "h15_bucket0"),
        ({"first_commit_bytes": 4 << 20}, "h14_fork_only"),
    ],
)
def test_a_mended_or_changed_era_m_fails_its_traces(monkeypatch, change, name):
    """Negative control: what differs in era M shows in its traces."""
    monkeypatch.setattr(golden_modern, "M", dataclasses.replace(M, **change))
    assert isinstance(replay(GOLDEN / "M" / f"{name}.jsonl.gz"), Mismatch)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"chain_off": 0}, "chain_off is 0, era M has 8"),
        ({"ptr_bytes": 4}, "ptr_bytes is 4"),
        ({"base": 1}, "no address of a 64-bit region"),
        ({"reserve": 1 << 60}, "not in this order"),
        ({"header_bytes": 88}, "header_bytes"),
        ({"commit_limit": "x"}, "commit_limit is 'x'"),
        ({"init_dwords": [[18408, 1 << 40]]}, "init_dwords"),
    ],
)
def test_a_wrong_header_of_era_m_is_refused(tmp_path, change, what):
    lines = lines_of(GOLDEN / "M" / "h02_lifo.jsonl.gz")
    lines[0] = json.dumps(json.loads(lines[0]) | change) + "\n"
    with pytest.raises(InputError, match=what):
        replay(written(tmp_path / "wrong", lines))


def test_8_gib_of_reserve_take_little_memory():
    tracemalloc.start()
    try:
        assert isinstance(replay(GOLDEN / "M" / "h18_reserve8g.jsonl.gz"), Summary)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # 5,478 pages with a block's header are 22 MiB, the list of 2 Mi pages 18 MiB
    assert peak_bytes < 64 << 20


def fields(era, **changes):
    names = [f.name for f in dataclasses.fields(era) if f.init]
    return {name: getattr(era, name) for name in names} | changes


@pytest.mark.parametrize("keep", [0.2, 0.9])
def test_a_cut_gzip_stream_is_named(tmp_path, keep):
    packed = H07.read_bytes()
    path = tmp_path / "cut.gz"
    path.write_bytes(packed[: int(len(packed) * keep)])
    with pytest.raises(InputError, match=r"cut\.gz:\d+: the gzip stream is cut off"):
        replay(path)


def test_a_damaged_gzip_stream_is_named(tmp_path):
    packed = bytearray(H07.read_bytes())
    packed[len(packed) // 2] ^= 0xFF
    path = tmp_path / "damaged.gz"
    path.write_bytes(packed)
    with pytest.raises(InputError):
        replay(path)


def test_a_file_without_its_end_line_is_refused(tmp_path):
    with pytest.raises(InputError, match="without its end line"):
        replay(written(tmp_path / "short", lines_of(H07)[:-1]))


def test_lines_behind_the_end_are_refused(tmp_path):
    lines = lines_of(H07)
    with pytest.raises(InputError, match="follows the end line"):
        replay(written(tmp_path / "long", [*lines, lines[-1]]))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"", "empty"),
        (b'{"ev":"trace","schema":"proctrace/1"}\n', "'proctrace/1'"),
        (b'{"trace":"t","era":"M","base":34359738368}\n', "buckets_off is None"),
        (b'{"trace":"t","era":"Q"}\n', "the era is 'Q'"),
        (b"[1,2,3]\n", "not the header"),
        (b"\xff\xfe\0\1", "not a line of JSON"),
        (b"[" * 100_000, "not a line of JSON"),
        (b"9" * 100_000, "not a line of JSON"),
    ],
)
def test_something_else_is_refused_by_name(tmp_path, text, what):
    path = tmp_path / "other"
    path.write_bytes(text)
    with pytest.raises(InputError, match=what):
        replay(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(InputError, match="golden"):
            replay(path)


def test_a_line_that_unpacks_too_long_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(golden_file, "LINE_LIMIT_BYTES", 100_000)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b" " * 10_000_000))
    with pytest.raises(InputError, match="too long; at most 100000 bytes a line"):
        replay(path)


def test_a_file_that_unpacks_too_long_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(golden_file, "FILE_LIMIT_BYTES", 10_000)
    with pytest.raises(InputError, match="too long"):
        replay(H07)


@given(chance=st.randoms(use_true_random=False))
def test_a_damaged_line_is_a_mismatch_or_an_input_error(chance):
    """Never another exception, whatever the line says."""
    path = chance.choice([p for p in FILES if p.stat().st_size < 3000])
    lines = [line.encode() for line in lines_of(path)]
    i = chance.randrange(len(lines))
    lines[i] = damaged(chance, lines[i])
    numbered = enumerate(lines, 1)
    try:
        found = golden.open_trace("x", iter(numbered)).replay()
    except InputError as error:
        found = error
    assert isinstance(found, Summary | Mismatch | InputError)
    assert str(found).isprintable()


def damaged(chance, line: bytes) -> bytes:
    """The line with a few bytes changed, or one JSON value in it exchanged."""
    if chance.random() < 0.3:
        raw = bytearray(line)
        raw[chance.randrange(len(raw))] = chance.randrange(256)
        return bytes(raw)
    value = json.loads(line)
    odd = chance.choice(
        [None, -1, 0, 1.5, 1 << 31, (1 << 32) - 8, 1 << 70, "", "x", "\0", [], {}, [[1]], True]
    )
    key = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
    value[key] = odd
    return json.dumps(value).encode()


@pytest.mark.parametrize("op", [["m", 3, 5], ["s", 3, 27], ["s", "ab"]])
def test_the_driver_s_bytes(op):
    if op[0] == "m":
        assert golden_ops.pattern(3, 300) == bytes((93 + 300 + 7 * i) & 255 for i in range(300))
    else:
        assert golden_ops.text(op) in (b"bcd", b"ab")


def test_replay_files_prints_a_line_a_file_and_the_sums(tmp_path):
    lines = lines_of(H07)
    i = first(lines, '["x"')
    lines[i] = lines[i].replace("9312", "9320")
    out = io.StringIO()
    code = heap_command.replay_files([H07, written(tmp_path / "bad", lines)], out)
    assert code == 1
    assert out.getvalue() == (
        "h07_execchain era=B ops=1335 checkpoints=42 ok\n"
        f"h07_execchain era=B MISMATCH at line {i + 1}:"
        " want max=9320 com=12288, got max=9312 com=12288\n"
        "1 passed, 1 failed\n"
    )
    assert heap_command.replay_files([H07], io.StringIO()) == 0


def test_show_lists_the_blocks_after_a_line(capsys):
    assert heap_command.show(HeapOptions(str(H07), 9)) == 0
    title, head, *rows, sums = capsys.readouterr().out.splitlines()
    assert title == "h07_execchain, era B, after line 9"
    assert head.split() == ["offset", "size", "state", "type", "freed", "by"]
    assert rows[0].split() == ["240", "264", "in", "use", "HEAP_ARGV"]
    assert len(rows) == 8
    assert sums == "8 blocks: 3040 bytes in use, 0 free; top 3280, committed 4096"


def test_show_tells_a_leaked_block_of_era_m_from_a_free_one(capsys):
    path = str(GOLDEN / "M" / "h24_execchain_2026.jsonl.gz")
    assert heap_command.show(HeapOptions(path, json=True)) == 0
    blocks = json.loads(capsys.readouterr().out)["blocks"]
    small = [b for b in blocks if b["size_bytes"] == 48 and b["type"] == "HEAP_1_STR"]
    assert small
    assert {(b["in_use"], b["freed_by"]) for b in small} == {(True, "never")}
    assert {b["freed_by"] for b in blocks if b["type"] == "HEAP_1_ARGV" and b["in_use"]} <= {
        "next exec", "second exec from here"
    }  # fmt: skip


def test_show_fits_80_columns_and_draws(capsys, tmp_path):
    png = tmp_path / "heap.png"
    assert heap_command.show(HeapOptions(str(H07), png=str(png))) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
    assert png.read_bytes().startswith(b"\x89PNG")


def test_show_refuses_a_line_that_is_not_there():
    with pytest.raises(InputError, match=r"no line 99999; the file has \d+ lines"):
        heap_command.show(HeapOptions(str(H07), 99999))


def test_show_refuses_a_picture_without_an_ending():
    with pytest.raises(InputError, match="--out"):
        heap_command.show(HeapOptions(str(H07), png="heap"))
