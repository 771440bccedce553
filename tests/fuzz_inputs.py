"""The good files that fuzzing starts from, and the commands that they are given to."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

from fuzz_mutations import Draw

DATA = Path(__file__).resolve().parent / "data"
PROFILES = Path(__file__).resolve().parent.parent / "models" / "win32" / "profiles"
SMALL_TRACE = str(DATA / "traces" / "mini-sockets.from-strace.jsonl.gz")
FILE = "FILE"  # stands for the mutated file among the words of a command

PROCMON = """"Time of Day","Process Name","PID","Operation","Path","Result","Detail"
"1","sh.exe","7","Load Image","C:\\a.dll","SUCCESS","Image Base: 0x61000000, Image Size: 0xfb000"
"1","sh.exe","8","Load Image","C:\\b.dll","SUCCESS","Image Base: 0x10000000, Image Size: 0x1000"
"2","sh.exe","8","Process Exit","","SUCCESS","Exit Status: 0"
"""
STRACE = """   42   32558 [main] sh 354 close: 0 = close(0)
--- Process 11700 (pid: 354) loaded C:\\x y\\cygwin1.dll at 61000000
--- Process 11700 loaded C:\\b.dll at 0x10000000
--- Process 11700 unloaded DLL at 10000000
"""
MESSAGE = """      0 [main] us 0 init_cheap: VirtualAlloc pointer is null, Win32 error 487
AllocationBase 0x0, BaseAddress 0x68570000, RegionSize 0x4A0000, State 0x10000
C:\\msys\\bin\\ssh.exe: *** Couldn't reserve space for cygwin's heap, Win32 error 0
"""
LINES = "cygwin1.dll 0x61000000 0xfb000\na b.dll 0x61100000 0x11000\nc.dll 1828716544 69632\n"

SETTINGS = (  # (scenario, key) whose value is drawn
    ("background_native", "seconds"), ("background_native", "compiles"),
    ("leak_growth", "traces"), ("allocator", "walk_ns"), ("short_strings", "lengths"),
    ("fixed_address", "dlls"), ("fixed_address", "xp_allocations"), ("what_is_inherited", "cwd"),
    ("what_is_inherited", "files"), ("growth_window", "bytes_allocated"),
    ("growth_window", "arguments"), ("placement", "shift_kib"), ("who_can_see_it", "child_ms"),
    ("who_can_see_it", "heap_kib"), ("nt_vs_9x", "processors"),
    ("heap_growth_race", "bytes_allocated"),
)  # fmt: skip
KEYS = (
    "cpu_scale", "commit_limit_bytes", "quantum_us", "pipe_capacity_bytes", "wake", "antivirus",
    "workload.stack_bytes", "workload.user_heap_bytes", "copy_bandwidth", "machine_speed",
)  # fmt: skip


@dataclass(frozen=True)
class Input:
    """One good file.

    kind: "json", "toml", "csv" or "text"; commands: each with FILE among its words
    """

    name: str
    kind: str
    data: bytes
    commands: tuple[tuple[str, ...], ...]


def _plain(path: Path) -> bytes:
    raw = path.read_bytes()
    return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw


def _cases() -> bytes:
    """Every seventh of the cases, which take the time of all between them."""
    lines = _plain(DATA / "win32" / "cases.jsonl").splitlines(keepends=True)
    return b"".join(lines[::7])


def inputs() -> list[Input]:
    """All of them."""
    made = []
    for name in ("mini-sockets.from-strace", "mini-sockets.ptrec", "mini-pipeline.from-strace"):
        replays = tuple(
            ("replay", FILE, "--scheme", scheme, "--system", system)
            for scheme in ("blocking", "shared-memory-1.3.3", "shared-memory", "child-copy")
            for system in ("nt", "9x")
            if (scheme, system) != ("child-copy", "9x")
        )
        data = _plain(DATA / "traces" / f"{name}.jsonl.gz")
        made.append(Input(f"{name}.jsonl", "json", data, replays))
    check = (("layout", "check", FILE), ("layout", "check", FILE, "--era", "A", "--json"))
    listings = (DATA / "layout").glob("*.txt")
    for path in (*sorted(listings), DATA / "layout" / "init_cheap_failures.csv"):
        kind = "csv" if path.suffix == ".csv" else "text"
        made.append(Input(path.name, kind, _plain(path), check))
    for name, text in (("procmon.csv", PROCMON), ("strace.log", STRACE), ("message.txt", MESSAGE),
                       ("lines.txt", LINES)):  # fmt: skip
        kind = "csv" if name.endswith(".csv") else "text"
        made.append(Input(name, kind, text.encode(), check))
    profiled = (
        ("run", "what_is_inherited", "--quick", "--profile", FILE),
        ("run", "background_native", "--quick", "--scheme", "blocking", "--profile", FILE),
        ("replay", SMALL_TRACE, "--scheme", "shared-memory", "--profile", FILE),
        ("profiles", FILE),
    )
    for name in ("ideal", "p3-800-w2000", "p3-800-w98"):
        made.append(Input(f"{name}.toml", "toml", _plain(PROFILES / f"{name}.toml"), profiled))
    for era in "ABCM":
        golden = sorted((DATA / "golden" / era).glob("*.gz"), key=lambda p: p.stat().st_size)
        for path in (golden[0], golden[len(golden) // 3], golden[len(golden) // 2]):
            commands = (("heap", "replay", FILE), ("heap", "show", FILE))
            made.append(Input(f"{era}-{path.stem}", "json", _plain(path), commands))
    made.append(Input("cases.jsonl", "json", _cases(), (("machine", "check", FILE),)))
    for path in sorted((DATA / "msys1").glob("*/*.gz")):
        if path.stat().st_size < 4000:
            order = (("order", "check", FILE), ("order", "check", FILE, "--scheme", "blocking"))
            name = f"{path.parent.name}-{path.stem}"
            made.append(Input(name, "json", _plain(path), order))
    lengths = (("run", "short_strings", "--quick", "--set", f"lengths=@{FILE}"),)
    made.append(Input("lengths", "text", b"5\n12\n80\n15\n16\n200\n", lengths))
    return made


def words_without_a_file(draw: Draw, odd: tuple[bytes, ...]) -> list[str]:
    """A command whose words are odd, not a file."""

    def value() -> str:
        return odd[int(draw.integers(0, len(odd)))].decode("utf-8", "surrogateescape")

    kind = int(draw.integers(0, 6))
    if kind == 0:
        return ["layout", "base", value(), value(), "--rule", "2001"]
    if kind == 1:
        return ["layout", "base", "--", value()]
    if kind == 2:
        return ["layout", "risk", "--dlls", value(), "--replications", "10"]
    if kind == 3:
        return ["layout", "risk", "--dlls", "3", "--size", value(), "--replications", "10"]
    scenario, key = SETTINGS[int(draw.integers(0, len(SETTINGS)))]
    if kind == 4:
        return ["run", scenario, "--quick", "--set", f"{key}={value()}"]
    key = KEYS[int(draw.integers(0, len(KEYS)))]
    return ["replay", SMALL_TRACE, "--scheme", "blocking", "--set", f"{key}={value()}"]
