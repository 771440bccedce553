"""What is in the cygheap of one process of a run, and whose is each block?

The run is carried out again, as its manifest says, with somebody looking at that process; what
comes out is held against the run's own results, so that the picture is of that run and no other.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.cygwin import schemes
from models.cygwin.heap_owners import HeapPicture, HeapWatch, last_image
from models.cygwin.replay_result import result
from models.win32.kernel import Kernel
from scenarios import heap_picture, replay_command, run_command
from scenarios.cli_words import check_names
from scenarios.options import HeapOptions, ReplayOptions, RunOptions
from scenarios.result_rows import replay_rows
from scenarios.run_sources import found_profile, found_trace
from sim.errors import InputError
from sim.results import ResultRow, csv_text, read_manifest, read_rows
from sim.streams import Replication

_CYGWIN = "a process whose last image is a Cygwin program that reached main()"


@dataclass(frozen=True)
class Repeated:
    """A run that was carried out again. outcome: how it ended -- output"""

    name: str
    scheme: str
    replication: int
    outcome: str
    watch: HeapWatch
    kernel: Kernel


def show_run(asked: HeapOptions) -> int:
    """Show the heap of one process of a run; 0. Raises InputError."""
    heap_picture.check_name(asked.png)
    folder = Path(asked.path)
    if asked.at_line is not None:
        raise InputError("--at", "a run has no lines", "a golden trace, or --pid alone")
    if asked.pid is None:
        raise InputError("--pid", "missing", "the pid of a process of the run")
    manifest = read_manifest(folder)
    try:
        if "from" not in manifest["ran"]:
            what = "the run has not been finished, or by a version that noted no inputs"
            raise InputError(str(folder), what, "the same command once more finishes it")
        again = _replay if manifest["command"][0] == "replay" else _scenario
        repeated = again(folder, manifest, asked)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        what = f"not a whole manifest: {type(error).__name__} {error}"
        raise InputError(str(folder / "manifest.json"), what, "as a run wrote it") from error
    heap_picture.show(_picture(repeated, asked.pid), _labels(repeated), asked)
    return 0


def _replay(folder: Path, manifest: Mapping[str, Any], asked: HeapOptions) -> Repeated:
    """Carry out one run of a `cygsim replay` again."""
    p = manifest["parameters"]
    scheme, number = _choice(asked, p)
    settings = tuple(tuple(text.partition("=")[::2]) for text in p["set"])
    options = ReplayOptions(
        found_trace(manifest, asked.trace), (scheme,), p["system"],
        str(manifest["ran"]["from"]["profile"]), p["processors"], tuple(p["native"]),
        tuple(p["background"]), tuple(p["spawn"]), p["vfork"], settings, p["until_s"],
        seed=manifest["seed"],
    )  # fmt: skip
    profile = found_profile(manifest, dict(settings))
    workload = replay_command.loaded(options)
    if asked.pid not in workload.programs:
        raise _no_such_process(asked, sorted(workload.programs))
    watch = HeapWatch(asked.pid)
    run = replay_command.carried_out(workload, profile, options, (scheme, number), watch)
    found = result(run, number)
    now = replay_rows(found, options.system, profile.name, workload.name)
    _same_results(folder, list(now))
    return Repeated(workload.name, scheme, number, run.outcome, watch, run.kernel)


def _scenario(folder: Path, manifest: Mapping[str, Any], asked: HeapOptions) -> Repeated:
    """Carry out one machine of a `cygsim run` again."""
    p = manifest["parameters"]
    name = manifest["command"][1]
    module = importlib.import_module(f"scenarios.{name}")
    if module.SPEC.heap_only:
        raise InputError(str(folder), f"{name} has heaps but no processes", "a run of processes")
    if module.SPEC.own_machine:
        raise InputError(str(folder), f"{name} compares calls, not heaps", "another run")
    if {"design", "inputs", "sensitivity"} & p.keys():
        what = "it has the points of a design, each of them a run"
        raise InputError(str(folder), what, "the run of one point, as `cygsim run --set` makes it")
    scheme, number = _choice(asked, p)
    fields = [key for key in p if hasattr(module.SPEC.parameters, key)]
    options = RunOptions(name, tuple((key, _setting(p[key])) for key in fields))
    point = run_command.design_point(module.SPEC, options)
    systems = str(p["system"]).split("+")
    places = {  # by the text of --point
        place if len(systems) == 1 else f"{place} system={system}": (place, system)
        for system in systems
        for place in module.places(point)
    }
    shown = asked.point if asked.point is not None else next(iter(places))
    check_names("--point", "point", [shown], list(places))
    if asked.point is None and len(places) > 1:
        _note(f"shown is the point {shown!r}; --point takes another")
    place, system = places[shown]
    profile = found_profile(manifest, {})
    watch = HeapWatch(asked.pid or 0)
    replication = Replication(manifest["seed"], number)
    machine = module.watched(place, point, scheme, system, profile, replication, watch)
    if asked.pid not in watch.seen:
        raise _no_such_process(asked, list(watch.seen))
    alive = any(process.alive for process in machine.kernel.processes.values())
    stopped = "blocked" if machine.kernel.engine.peek() == float("inf") else "cut"
    outcome = stopped if alive else "finished"
    title = f"{name}, {shown}"
    return Repeated(title, scheme, number, outcome, watch, machine.kernel)


def _choice(asked: HeapOptions, p: Mapping[str, Any]) -> tuple[str, int]:
    """Which of the run's schemes and replications."""
    names = p["schemes"]
    scheme = asked.scheme or names[0]
    check_names("--scheme", "scheme of this run", [scheme], names)
    check_names("--scheme", "scheme", [scheme], schemes.variant_names())
    if not schemes.get(scheme).version.has_heap:
        raise InputError("--scheme", f"{scheme} has no cygheap to show", "a scheme with one")
    if asked.scheme is None and len(names) > 1:
        _note(f"shown is the scheme {scheme}; --scheme takes another of {', '.join(names)}")
    if asked.replication >= p["replications"]:
        what = f"{asked.replication} is not one of the run's"
        raise InputError("--replication", what, f"from 0 to {p['replications'] - 1}")
    return scheme, asked.replication


def _setting(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _same_results(folder: Path, now: list[ResultRow]) -> None:
    """Raise InputError unless the run's results.csv has these rows."""
    head = now[0]
    then = [
        row
        for row in read_rows(folder / "results.csv")
        if (row.scheme, row.replication) == (head.scheme, head.replication)
    ]
    for a, b in zip(csv_text(then).splitlines(), csv_text(now).splitlines(), strict=False):
        if a != b:
            what = f"the run cannot be repeated: it had {a}, now {b}"
            raise InputError(str(folder), what, "the program's version that made it")
    if len(then) != len(now):
        raise InputError(str(folder), "results.csv is not whole", "as the run wrote it")


def _picture(repeated: Repeated, pid: int) -> HeapPicture:
    picture = repeated.watch.final()
    last = last_image(repeated.kernel, pid)
    if last is not None and getattr(last.tag, "native", False):
        what = f"its last image, {last.image.name}, is not linked with Cygwin and has no cygheap"
        raise InputError(f"--pid {pid}", what, _CYGWIN)
    if picture is None:
        crash = [text for _, number, _, text in repeated.kernel.crashes if last and
                 number == last.pid]  # fmt: skip
        what = f"it crashed and its memory is gone ({crash[0]})" if crash else (
            "it had no cygheap of its own when the run ended"
        )  # fmt: skip
        raise InputError(f"--pid {pid}", what, _CYGWIN)
    return picture


def _labels(repeated: Repeated) -> dict[str, Any]:
    return {
        "run": repeated.name,
        "scheme": repeated.scheme,
        "replication": repeated.replication,
        "outcome": repeated.outcome,
    }


def _no_such_process(asked: HeapOptions, pids: Sequence[int]) -> InputError:
    some = ", ".join(map(str, pids[:12])) + (", …" if len(pids) > 12 else "")
    if len(pids) > 1 and list(pids) == list(range(pids[0], pids[-1] + 1)):
        some = f"from {pids[0]} to {pids[-1]}"
    return InputError(
        f"--pid {asked.pid}", "the run has no such Cygwin process", f"allowed: {some}"
    )


def _note(text: str) -> None:
    print(f"cygsim: {text}", file=sys.stderr)
