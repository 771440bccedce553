"""Verbs of conformance cases on sections, allocations and the memory of processes."""

from __future__ import annotations

from typing import Any

from models.win32.conformance_script import Answers, CannotRun, Script, Step, Verb, as_bytes
from models.win32.memory import PAGE_BYTES
from sim.engine import Steps

PROBE_FROM = 0x30000000  # `free_address` looks from here: far from where the system puts things
LARGEST_READ_BYTES = 1 << 26  # of one step that names the bytes it reads -- chosen


def section(s: Script, step: Step) -> Answers:
    """CreateFileMapping on the paging file; `reserve` is SEC_RESERVE."""
    name = step.word(0)
    s.scope.names[name] = 0
    size, inherit, reserve = step.number("size"), step.flag("inherit"), step.flag("reserve")
    known = step.text("name", "")
    s.scope.names[name], _ = s.k.create_file_mapping(s.me, size, inherit, known, reserve)
    return {}


def open_section(s: Script, step: Step) -> Steps:
    """OpenFileMapping."""
    yield from s.k.settle(s.me)
    name = step.word(0)
    s.scope.names[name] = 0
    known = step.word(1) if len(step.targets) > 1 else step.text("name")
    handle = s.k.open_file_mapping(s.me, known, step.flag("inherit"))
    s.scope.names[name] = handle or 0
    return {"out": handle is not None, "null": handle is None}


def map_view(s: Script, step: Step) -> Answers:
    """MapViewOfFileEx; `exact` and `same`: the view is where it was wanted."""
    name = step.word(1)
    wanted = s.value(step.options["at"]) if "at" in step.options else 0
    size, offset = step.number("size", 0), step.number("offset", 0)
    handle = s.handle(step.targets[0])
    s.scope.names[name] = 0
    region = s.k.map_view_of_file_ex(s.me, handle, wanted, size_bytes=size, offset=offset)
    s.scope.names[name] = region.base
    return {"exact": region.base == wanted, "same": region.base == wanted}


def unmap(s: Script, step: Step) -> Answers:
    """UnmapViewOfFile."""
    s.k.unmap_view_of_file(s.me, s.value(step.targets[0]))
    return {}


def valloc(s: Script, step: Step) -> Answers:
    """VirtualAlloc; `ret_off` counts from the name in the address."""
    target = step.targets[0]
    address, size = s.value(target), step.number("size")
    base = s.base(target) if isinstance(target, str) else 0
    types = _types(step, "RESERVE", "COMMIT")
    name = step.text("name", "")
    if name:
        s.scope.names[name] = 0
    got = s.k.virtual_alloc(s.me, address, size, "RESERVE" in types, "COMMIT" in types)
    if name:
        s.scope.names[name] = got
    same = got == address
    return {"ret_off": got - base, "same": same, "exact": same}


def vfree(s: Script, step: Step) -> Answers:
    """VirtualFree."""
    address, size = s.value(step.targets[0]), step.number("size", 0)
    types = _types(step, "DECOMMIT", "RELEASE")
    if types == {"DECOMMIT"}:
        s.k.virtual_decommit(s.me, address, size)
    elif types == {"RELEASE"}:
        s.k.virtual_free(s.me, address, size)
    else:
        raise CannotRun("VirtualFree with both types")
    return {}


def query(s: Script, step: Step) -> Answers:
    """VirtualQuery: PREFIX_ret_ok, _base_off, _alloc_off, _region, _state, _protect, _type.

    Offsets count from `base`.  Of free pages only the first two and the state are answered: the
    documentation leaves the others undefined, and how far they go depends on the whole layout.
    """
    target = step.targets[0]
    found = s.k.memory_information(s.me, s.value(target))
    base = s.value(step.options.get("base", target))
    answers: dict[str, Any] = {"ret_ok": True, "base_off": found.base - base, "state": found.state}
    allocation = found.allocation_base
    if allocation is not None:
        answers["alloc_off"] = allocation - base
        answers |= {"region": found.size_bytes, "protect": found.protect, "type": found.kind}
        answers["alloc_is_base"] = allocation == base
    if "prefix" in step.options:
        prefix = step.text("prefix")
        s.scope.answers.update({f"{prefix}_{key}": value for key, value in answers.items()})
    return answers


def query_state(s: Script, step: Step) -> Answers:
    """VirtualQuery: the state."""
    return {"out": s.k.memory_information(s.me, s.value(step.targets[0])).state}


def free_address(s: Script, step: Step) -> Answers:
    """An address where `size` bytes are free, on 64 KiB."""
    space = s.me.process.space
    at = space.free_range(step.number("size"), PROBE_FROM, space.system.highest)
    s.scope.names[step.word(0)] = at
    return {}


def write(s: Script, step: Step) -> Answers:
    """Stores bytes; the process crashes where it may not."""
    s.k.store_bytes(s.me, s.value(step.targets[0]), as_bytes(step.targets[1]))
    return {}


def read_byte(s: Script, step: Step) -> Answers:
    """Loads one byte; the process crashes where there is none."""
    return {"out": s.k.load_bytes(s.me, s.value(step.targets[0]), 1)[0]}


def read_eq(s: Script, step: Step) -> Answers:
    """Whether these bytes are there."""
    return {"out": _holds(s, step.targets[0], step.targets[1])}


def exit_if_bytes(s: Script, step: Step) -> Steps:
    """Ends the process with `ok` if all the addresses hold their bytes, else with `bad`."""
    places = {key: value for key, value in step.options.items() if key not in ("ok", "bad")}
    right = all(_holds(s, address, wanted) for address, wanted in places.items())
    code = "ok" if right else "bad"
    if code in step.options:
        yield from s.k.exit_process(s.me, step.number(code))
    return {"out": right}


def exit_unless(s: Script, step: Step) -> Steps:
    """Ends the process with a code unless the address holds the bytes."""
    address, wanted, code = step.targets
    if not isinstance(code, int):
        raise CannotRun(f"{code!r} is no exit code")
    if not _holds(s, address, wanted):
        yield from s.k.exit_process(s.me, code)
    return {}


def rpm(s: Script, step: Step) -> Steps:
    """ReadProcessMemory into a buffer of its own, or to `into`; `equal`: these bytes came."""
    size = step.number("size")
    buffer = _buffer(s, step, "into", size)
    process, source = s.handle(step.targets[0]), s.value(step.targets[1])
    try:
        done = yield from s.k.read_process_memory(s.me, process, source, buffer, size)
        got = s.k.load_bytes(s.me, buffer, min(done, LARGEST_READ_BYTES))
    finally:
        _drop(s, step, "into", buffer)
    wanted = as_bytes(step.options["bytes"]) if "bytes" in step.options else got
    return {"n": done, "equal": got == wanted}


def wpm(s: Script, step: Step) -> Steps:
    """WriteProcessMemory of `bytes`, or of `size` zeros or what is at `source`."""
    data = as_bytes(step.options["bytes"]) if "bytes" in step.options else b""
    size = step.number("size", len(data))
    process, target = s.handle(step.targets[0]), s.value(step.targets[1])
    buffer = _buffer(s, step, "source", size)
    try:
        if data:
            s.k.store_bytes(s.me, buffer, data[:size])
        done = yield from s.k.write_process_memory(s.me, process, target, buffer, size)
    finally:
        _drop(s, step, "source", buffer)
    return {"n": done}


def _types(step: Step, *known: str) -> set[str]:
    types = set(step.text("type").split("|"))
    if not types <= set(known):
        raise CannotRun(f"{step.name} with type {step.options['type']!r}")
    return types


def _holds(s: Script, address: Any, wanted: Any) -> bool:
    expected = as_bytes(wanted)
    return s.k.load_bytes(s.me, s.value(address), len(expected)) == expected


def _buffer(s: Script, step: Step, option: str, size: int) -> int:
    """Where the bytes of a transfer are on this side."""
    if option in step.options:
        return s.value(step.options[option])
    return s.k.virtual_alloc(s.me, 0, max(size, PAGE_BYTES), reserve=True, commit=True)


def _drop(s: Script, step: Step, option: str, buffer: int) -> None:
    if option not in step.options and s.me.process.alive:
        s.k.virtual_free(s.me, buffer)


_QUERY = frozenset(("base_off", "alloc_off", "region", "state", "protect", "type", "alloc_is_base"))
_PLACE = frozenset(("exact", "same"))
VERBS = {
    "section": Verb(section, (1, 1), frozenset(("size", "inherit", "reserve", "name"))),
    "open_section": Verb(open_section, (1, 2), frozenset(("name", "inherit"))),
    "map": Verb(map_view, (2, 2), frozenset(("at", "size", "offset")), _PLACE),
    "unmap": Verb(unmap, (1, 1)),
    "valloc": Verb(valloc, (1, 1), frozenset(("size", "type", "name")), _PLACE | {"ret_off"}),
    "vfree": Verb(vfree, (1, 1), frozenset(("size", "type"))),
    "query": Verb(query, (1, 1), frozenset(("prefix", "base")), _QUERY),
    "query_state": Verb(query_state, (1, 1)),
    "free_address": Verb(free_address, (1, 1), frozenset(("size",))),
    "write": Verb(write, (2, 2)),
    "read_byte": Verb(read_byte, (1, 1)),
    "read_eq": Verb(read_eq, (2, 2)),
    "exit_if_bytes": Verb(exit_if_bytes, (0, 0), any_option=True),
    "exit_unless": Verb(exit_unless, (3, 3)),
    "rpm": Verb(rpm, (2, 2), frozenset(("size", "into", "bytes")), frozenset(("n", "equal"))),
    "wpm": Verb(wpm, (2, 2), frozenset(("size", "source", "bytes")), frozenset(("n",))),
}
