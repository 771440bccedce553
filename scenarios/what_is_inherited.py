"""What does a child inherit, and where does it lie, before and after a fork and an exec?

A shell opens three consoles, a file, a file that is closed at exec, a pipe and a socket, changes
its directory and its root, and forks.  The child execs a program, which execs another; the shell
also spawns a program, and one that is not linked with Cygwin.

Looked at are the blocks of each heap with their owners, the words of child_info, and the handle
table of each child: what it began with, and what is left of that when it reaches main().

In a run with `p3-800-w2000`, seed 1: fd table, cwd, root and user lie where they lay in every
image; all 8 blocks that the first exec put in are free in the second image; under blocking one
more free block is in no list there, the closed file's; a native child closes none of its handles.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from models.cygwin import schemes
from models.cygwin.heap_owners import (
    CHROOT,
    CWD,
    FD_TABLE,
    FHANDLER,
    FREE,
    GARBAGE,
    OWNERS,
    USER,
    OwnedBlock,
    named_blocks,
)
from models.cygwin.inheritance import CLOSED, KEPT, Found, carried_out
from models.cygwin.installation import Creation, Watch
from models.cygwin.machine import Machine, build
from models.cygwin.program_file import Program
from models.cygwin.programs import PLACES, UserProcess, start
from models.cygwin.protocol import P_NOWAIT
from models.win32.cost_profile import Profile
from models.win32.system import SYSTEMS
from scenarios.heap_picture import COLOURS
from scenarios.parameters import check, named, parameter
from scenarios.spec import Measured, Outcome, Replicated, Spec
from sim.engine import Steps
from sim.streams import Replication

IMAGES = ("sh", "fork child", "after exec", "second exec")
WAYS = ("fork", "exec", "spawn", "spawn native")
_LASTING = (FD_TABLE, CWD, CHROOT, USER)
_DECIMAL = ("cb", "cygpid", "heap_bytes")
_A_FOLDER = "a name that begins with /, of at most 200 ASCII characters"
_ARGV = ["one", "-l", "/usr/share/misc/magic"]


@dataclass(frozen=True)
class Parameters:
    """What is asked; each field is a key of --set.

    cwd, root: names of working directory and root -- input
    files: open besides the consoles, the private file, pipe and socket -- input
    processors: of the machine -- input
    """

    cwd: str = named("/home/user", _A_FOLDER)
    root: str = named("/srv/jail", _A_FOLDER)
    files: int = parameter(1, "1", 0, 60)
    processors: int = parameter(2, "1", 1, 60)

    def __post_init__(self) -> None:
        check(self)
        for name in ("cwd", "root"):
            value = getattr(self, name)
            if not value.startswith("/") or len(value) > 200 or not value.isascii():
                raise ValueError(f"{name} ({value[:40]!r}) must be {_A_FOLDER}")


@dataclass
class Seen:
    """What is noted while the programs run. Every field is *output*.

    heaps: image -> its blocks; tops: its heap's end; content: its bytes
    files: Windows pid -> handle -> descriptor
    """

    heaps: dict[str, list[OwnedBlock]] = field(default_factory=dict)
    tops: dict[str, int] = field(default_factory=dict)
    content: dict[str, bytes] = field(default_factory=dict)
    files: dict[int, dict[int, str]] = field(default_factory=dict)

    def look(self, image: str, p: UserProcess) -> None:
        """Note the heap of a process, and which handles its descriptors are."""
        heap = p.dll.heap
        self.heaps[image] = list(named_blocks(p.dll))
        self.tops[image] = heap.max
        self.content[image] = heap.memory.read(0, heap.max)
        self.files[p.dll.me.process.pid] = {
            handle: f"fd {fd}: {d.kind}"
            for fd, d in p.dll.fds.open.items()
            for handle in (d.handle, d.second)
            if handle
        }


SPEC = Spec(
    name="what_is_inherited",
    question=__doc__.splitlines()[0],
    paragraph="inheritance",
    parameters=Parameters(),
    limits=(
        "strings are as long as the profile's workload assumes; their contents are not those "
        "of a real session",
        "heap and handles are checked against golden traces of the real allocators and call "
        "logs of 1.3.2, 1.3.3 and 1.3.19",
        "layout of pinfo and of the words of child_info beyond the heap's is assumed",
        "one small tree; threads of the program's own and signals are left out",
    ),
    headlines=(("image=fork-child", "top_bytes"), ("image=second-exec", "top_bytes")),
)


def run_point(
    point: Parameters, scheme: str, system: str, profile: Profile, replication: Replication
) -> Outcome:
    """All images and all ways under one scheme in one replication."""
    seen = Seen()
    machine = _machine(point, seen, scheme, system, profile, replication)
    found = carried_out(machine.installation, seen.files)
    made = {_way(one): one for one in found.values() if _way(one)}
    rows = [*_heap_rows(seen), *_info_rows(made), *_handle_rows(made)]
    return Outcome(rows, [], {"seen": seen})


def places(point: Parameters) -> Iterator[str]:
    """The point that stands for all: they are one machine."""
    yield _at(IMAGES[0])


def watched(
    place: str, point: Parameters, scheme: str, system: str, profile: Profile,
    replication: Replication, watch: Watch,
) -> Machine:  # fmt: skip
    """The machine at its end, with `watch` looking on."""
    machine = _machine(point, Seen(), scheme, system, profile, replication)
    machine.installation.watch = watch
    machine.kernel.engine.run()
    return machine


def _machine(
    point: Parameters, seen: Seen, scheme: str, system: str, profile: Profile,
    replication: Replication,
) -> Machine:  # fmt: skip
    """The machine before it runs."""
    machine = build(
        schemes.get(scheme), SYSTEMS[system], profile, replication, point.processors, PLACES
    )
    start(machine, Program("sh", lambda p: _shell(p, point, seen)))
    return machine


def table(results: dict[str, Replicated], point: Parameters) -> Iterator[list[str]]:
    """Rows of the printed table, heads first: heap, child_info and handles of each scheme."""
    for number, (scheme, o) in enumerate(results.items()):
        if number:
            yield [""] * 5
        yield [scheme, *[""] * 4]
        yield ["heap: blocks, bytes", *IMAGES]
        for owner in (*OWNERS, FREE):
            cells = []
            for image in IMAGES:
                count, size = (o.value(_at(image, owner), m) for m in ("blocks", "bytes"))
                cells.append(f"{count}, {size}" if count else "-")
            if set(cells) != {"-"}:
                yield [f"  {owner}", *cells]
        lost = [o.value(_at(image), "lost_blocks") for image in IMAGES]
        yield ["  free, in no list", *(f"{n}" if n else "-" for n in lost)]
        yield ["  top", *(f"{o.value(_at(image), 'top_bytes')}" for image in IMAGES)]
        yield ["child_info", *WAYS]
        for name in _fields(o):
            yield [f"  {name}", *(_text(name, o.value(_at(w), name)) for w in WAYS)]
        yield ["handles at birth", *WAYS]
        for name in _names(o):
            yield [f"  {name.replace('-', ' ')}", *(_fate(o, way, name) for way in WAYS)]


def conclusions(results: dict[str, Replicated], point: Parameters) -> Iterator[tuple[str, str]]:
    """(sentence, label): what follows from all replications."""
    for scheme, o in results.items():
        for words in (_of_fork, _of_lasting, _first_set, _files):
            alike = dict.fromkeys(map(words, o.drawn("seen")))  # one, unless replications differ
            yield f"{scheme}: {', in others '.join(alike)}", "exact"
        for way in WAYS:
            fates = {name: _fate(o, way, name) for name in _names(o)}
            closed = [name.replace("-", " ") for name, fate in fates.items() if CLOSED in fate]
            text = f"closes before main(): {', '.join(closed)}" if closed else "closes none"
            yield f"{scheme}: of what it inherits a child of {way} {text}", "exact"
        lost = [o.value(_at(image), "lost_blocks") for image in IMAGES]
        text = ", ".join(f"{image} {n}" for image, n in zip(IMAGES, lost, strict=True))
        yield f"{scheme}, free blocks that no list has: {text}", "exact"


def figures(results: dict[str, Replicated], point: Parameters, system: str, profile: Profile,
            seed: int, quick: bool) -> Iterator[tuple[str, Any]]:  # fmt: skip
    """(file stem, figure): the heap's blocks by owner in the four images of each scheme."""
    from sim.block_map import Block
    from sim.plots_maps import heap_maps

    for scheme, o in results.items():
        seen: Seen = o.drawn("seen")[0]
        maps = {
            f"{image}, {seen.tops[image]:,} bytes": [
                Block(b.offset_bytes, b.size_bytes, b.owner, b.in_use) for b in seen.heaps[image]
            ]
            for image in IMAGES
        }
        title = f"{scheme} on {system}: whose the blocks of the heap are"
        if len(o.outcomes) > 1:
            title += " (first replication)"
        yield f"heap_{scheme}", heap_maps(maps, title, COLOURS)


# ---- the programs ---------------------------------------------------------------------------


def _shell(p: UserProcess, point: Parameters, seen: Seen) -> Steps:
    """Open everything, and make a child in each way."""
    for _ in range(3):
        p.open("/dev/tty")
    for _ in range(point.files):
        p.open("/etc/profile")
    p.open("/etc/shadow", cloexec=True)
    p.pipe()
    p.socket()
    p.chdir(point.cwd)
    p.chroot(point.root)
    seen.look("sh", p)
    child = yield from p.fork(lambda q: _child(q, seen))
    yield from p.waitpid(child)
    for new in (Program("new", _leaves), Program.native("native", 0.01)):
        child = yield from p.spawn(P_NOWAIT, new, _ARGV)
        yield from p.waitpid(child)


def _child(p: UserProcess, seen: Seen) -> Steps:
    seen.look("fork child", p)
    yield from p.exec(Program("one", lambda q: _one(q, seen)), _ARGV)


def _one(p: UserProcess, seen: Seen) -> Steps:
    seen.look("after exec", p)
    yield from p.exec(Program("two", lambda q: _two(q, seen)), ["two"])


def _two(p: UserProcess, seen: Seen) -> Steps:
    seen.look("second exec", p)
    yield from p.work(10)


def _leaves(p: UserProcess) -> Steps:
    yield from p.work(10)


# ---- what is measured -----------------------------------------------------------------------


def _way(one: Found) -> str:
    """By which of the ways a process was made; "" for another."""
    tag = one.process.tag
    if not isinstance(tag, Creation) or tag.program == "two" or tag.kind == "boot":
        return ""
    return f"{tag.kind} native" if tag.native else tag.kind


def _heap_rows(seen: Seen) -> Iterator[Measured]:
    for image, blocks in seen.heaps.items():
        yield Measured(_at(image), "top_bytes", "bytes", seen.tops[image], 0)
        lost = sum(bool(b.freed_by) for b in blocks if not b.in_use)
        yield Measured(_at(image), "lost_blocks", "1", lost, 0)
        for owner in (*OWNERS, FREE):
            mine = [b for b in blocks if b.owner == owner]
            at = _at(image, owner)
            first = min((b.offset_bytes for b in mine), default=None)
            yield Measured(at, "blocks", "1", len(mine), 0)
            yield Measured(at, "bytes", "bytes", sum(b.size_bytes for b in mine), 0)
            yield Measured(at, "first_offset", "bytes", first, 0)


def _info_rows(made: dict[str, Found]) -> Iterator[Measured]:
    for way in WAYS:
        for name, value in made[way].process.startup._asdict().items():
            shown = value.value if name == "type" else value
            yield Measured(_at(way), name, "", shown, 0)


def _handle_rows(made: dict[str, Found]) -> Iterator[Measured]:
    """What became of each kind of handle that a child began with."""
    fates = {way: Counter(made[way].fates()) for way in WAYS}
    names = dict.fromkeys(
        name for way in WAYS for name, fate in fates[way] if fate in (KEPT, CLOSED)
    )
    for way in WAYS:
        for name in sorted(names):
            found = [(fates[way][name, fate], fate) for fate in (KEPT, CLOSED)]
            words = [fate if n == 1 else f"{n} {fate}" for n, fate in found if n]
            yield Measured(_at(way, name), "fate", "", ", ".join(words) or "-", 0)


def _of_fork(seen: Seen) -> str:
    """How a fork child's heap differs from its parent's."""
    before, after = (_places(seen.heaps[image]) for image in IMAGES[:2])
    words = _words_that_differ(seen.content["sh"], seen.content["fork child"])
    same = "the same blocks of the same owners" if before == after else "other blocks"
    return f"a fork child has {same} as its parent; {words} of {seen.tops['sh'] // 4} words differ"


def _of_lasting(seen: Seen) -> str:
    """What lies where it lay in every image."""
    kept = [owner for owner in _LASTING if _stays(seen, owner)]
    moved = [owner for owner in _LASTING if owner not in kept]
    text = f"{', '.join(kept)} lie where they lay in every image"
    return text + (f"; not so {', '.join(moved)}" if moved else "")


def _first_set(seen: Seen) -> str:
    """What became of the blocks that the first exec put in."""
    before, first, second = ({b.offset_bytes: b for b in seen.heaps[image]} for image in IMAGES[1:])
    mine = [at for at, b in first.items() if b.in_use and not (at in before and before[at].in_use)]
    free = sum(not second[at].in_use for at in mine)
    dead = sum(second[at].owner == GARBAGE for at in mine)
    return (
        f"of {len(mine)} blocks that the first exec put into the heap {free} are free in the"
        f" second image, {dead} garbage, {len(mine) - free - dead} in use again"
    )


def _files(seen: Seen) -> str:
    counts = [sum(b.owner == FHANDLER for b in seen.heaps[image]) for image in IMAGES[1:3]]
    return f"an exec leaves {counts[1]} of {counts[0]} blocks of open files"


def _places(blocks: list[OwnedBlock]) -> list[tuple[int, int, str, str]]:
    return [(b.offset_bytes, b.size_bytes, b.owner, b.what) for b in blocks]


def _stays(seen: Seen, owner: str) -> bool:
    """Whether an owner's blocks have the same addresses in all images."""
    places = [{b.offset_bytes for b in seen.heaps[image] if b.owner == owner} for image in IMAGES]
    return all(place == places[0] for place in places)


def _words_that_differ(a: bytes, b: bytes) -> int:
    return sum(a[i : i + 4] != b[i : i + 4] for i in range(0, max(len(a), len(b)), 4))


def _at(which: str, part: str = "") -> str:
    key = "way" if which in WAYS else "image"
    text = f"{key}={which.replace(' ', '-')}"
    return f"{text} of={part.replace(' ', '-')}" if part else text


def _fields(o: Replicated) -> list[str]:
    return [row.measure for row in o.rows if row.point == _at("fork")]


def _names(o: Replicated) -> list[str]:
    """Kinds of handles, as they are in the points."""
    start = f"{_at('fork')} of="
    return [r.point.removeprefix(start) for r in o.rows if r.measure == "fate"
            and r.point.startswith(start)]  # fmt: skip


def _fate(o: Replicated, way: str, name: str) -> str:
    return str(o.value(_at(way, name), "fate"))


def _text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{value}" if name in _DECIMAL or not value else f"{value:#x}"


def main() -> int:
    """Run the scenario from its own file, with the options of `cygsim run`."""
    from scenarios.cli_boundary import run

    return run(["run", SPEC.name, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
