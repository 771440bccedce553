"""Is the order of calls in a real log that of the simulator? One verdict for each log.

The log's processes are run on the simulator under the scheme of its DLL, and every creation is
compared.  What the first process had in its heap before its first creation cannot be seen: the
first size seeds it, as one untagged block; what sh has above its usual is blocks that it freed.
Every later size must come out of the run.

Source: CONTRACT §8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from models.cygwin.call_arguments import (
    TEXT_BYTES,
    UnknownArguments,
    order_unknown,
    reduced_arguments,
)
from models.cygwin.call_compare import Comparison, Difference, pair_windows
from models.cygwin.call_lives import Life, lives
from models.cygwin.call_log import Call, CallLog
from models.cygwin.call_messages import compare_codes, compare_messages, logged, unseen
from models.cygwin.call_run import LogRun, Seed
from models.cygwin.call_versions import Variant
from models.cygwin.call_windows import FORK, SPAWN, Window, is_reduced, windows
from models.cygwin.protocol import Scheme
from sim.errors import SimError

SEED_LIMIT = 8192  # most that one program is believed to have allocated unseen -- chosen
BLOCKS = (24, 40, 72)  # of what is freed early: names and small objects
NAMES_LIMIT = 300  # most that sh itself is believed to have allocated unseen -- chosen
UNSEEN = "texts of a fork child"  # that nobody saw in the logs
MESSAGES = "messages"  # of what programs did beside their creations
FIRST_OF_CHAIN = 3  # creation by which a chain's programs have all that they ever will
WRITTEN, WRITTEN_BY_READERS = 6, 1  # ranges of its own that a fork parent writes
LEAST_BLOCK = 16  # smallest block that can be


@dataclass(frozen=True)
class Verdict:
    """What came of a log. Every field is *output*.

    creations, calls: how many were compared
    difference: the first one, None if there is none
    skipped: why nothing was compared, "" if it was
    deviations: creations whose size was seeded although it was not the first; one more where
        views are compared without their place, one where sizes of heaps are not compared
    seeded_bytes: what the first process had in its heap unseen, in use and freed again
    left_out: calls of the log that were not compared, by what they are
    messages, codes: how many lines of the DLL and exit codes were compared
    """

    creations: int
    calls: int
    difference: Difference | None = None
    skipped: str = ""
    deviations: int = 0
    seeded_bytes: tuple[int, int] = (0, 0)
    left_out: Mapping[str, int] = field(default_factory=dict)
    messages: int = 0
    codes: int = 0


@dataclass(frozen=True)
class Simulated:
    """A log's lineage as the simulator made it.

    run: with its seeds -- input
    calls, windows: what came of it -- output
    """

    run: LogRun
    calls: list[Call]
    windows: list[Window]

    def comparison(self) -> Comparison:
        """Its creations beside those of the log."""
        run = self.run
        anywhere = run.variant.system == "9x"
        return Comparison(
            run.windows, run.log.calls, self.windows, self.calls, anywhere,
            run.variant.sizes_known, run.variant.untold, run.variant.through_ntdll,
        )  # fmt: skip


def check(log: CallLog, variant: Variant, scheme: Scheme | None = None) -> Verdict:
    """Run the creations of a log under `scheme`, None for its own, and compare them."""
    real = windows(log.calls)
    if not real and is_reduced(log.calls):
        return Verdict(0, 0, skipped="no creation in it")
    reason = unmodelled(log, real, variant)
    if reason:
        return Verdict(0, 0, skipped=reason)
    scheme = scheme or variant.scheme
    if scheme.version.has_heap != variant.version.has_heap:
        with_heap, without = "a cygheap", "no cygheap"
        words = (with_heap, without) if variant.version.has_heap else (without, with_heap)
        return Verdict(len(real), 0, Difference(1, real[0].anchor.place if real else 0, *words))
    try:
        simulated = simulate(log, real, variant, scheme)
    except SimError as error:
        said = f"a run that ends with {type(error).__name__}: {error}"
        place = real[0].anchor.place if real else 0
        return Verdict(len(real), 0, Difference(1, place, "a run", said))
    compared, difference, left_out = 0, None, {}
    if real:
        comparison = simulated.comparison()
        compared, difference = comparison.run()
        left_out = dict(comparison.left_out)
    messages = codes = 0
    if difference is None:
        codes, difference = compare_codes(log, simulated.run, simulated.windows)
    if is_reduced(log.calls) or exhausts_heap(log):
        unasked = sum(1 for _ in logged(log, 0))
        left_out |= {MESSAGES: unasked} if unasked else {}
    elif difference is None:
        messages, difference = compare_messages(log, simulated.run)
        to_nobody = unseen(simulated.run)
        left_out |= {UNSEEN: len(to_nobody)} if to_nobody else {}
    seeds = simulated.run.seeds
    kept = len(seeds) - 1 + (variant.system == "9x") + (not variant.sizes_known)
    taken = seeds[1].untagged_bytes, sum(seeds[1].freed)
    return Verdict(
        len(real), compared, difference, "", kept, taken, left_out, messages, codes
    )  # fmt: skip


def unmodelled(log: CallLog, real: list[Window], variant: Variant) -> str:
    """Why a log asks for something that the simulator does not have; "" if it does not."""
    all_lives = lives(log.calls, real)
    if len(log.command) == TEXT_BYTES and any(not w.anchor.args["cmd_len"] for w in real):
        return "the command is cut off"
    if is_reduced(log.calls):
        return _unknown_arguments(log, real, variant)
    said = any(call.api == "#app_spawn_call" for call in log.calls)
    for window in real:
        program = variant.programs.get(str(window.anchor.args["image"]))
        written = sum(call.api == "WriteProcessMemory" for call in window.parent)
        own = WRITTEN_BY_READERS if variant.version.fork_reads else WRITTEN
        if program is not None and written > len(program.linked) + own:
            return "a DLL that was loaded at run time is written into a fork child"
        if not (said or variant.pipes_known) and window.kind == SPAWN and window.child:
            return "a vfork duplicates pipes whose guards are not modelled"
        if program is None and window.kind == FORK:
            return f"where {window.anchor.args['image']} has its data is not known"
        if by_script_unseen(window, all_lives):
            return "what a script passed on is not in the log"
    return ""


def _unknown_arguments(log: CallLog, real: list[Window], variant: Variant) -> str:
    """Why the arguments in a reduced log cannot be told."""
    if not real[0].anchor.args["cmd_len"]:
        return "what a script passed on is not in the log"
    if len({window.anchor.args["env_bytes"] for window in real[1:]}) > 1:
        return "the variables that its programs add are not in the log"
    try:
        for window in real:
            reduced_arguments(window, real[0], log.command, variant)
    except UnknownArguments:
        return "the arguments of its programs are not in the log"
    return ""


def exhausts_heap(log: CallLog) -> bool:
    """Whether a page was refused to some heap: for an exec that never came to its creation."""
    return any(
        call.api == "VirtualAlloc" and call.args["type"] == "COMMIT" and not call.args["ret"]
        for call in log.calls
    )


def by_script_unseen(window: Window, all_lives: dict[str, Life]) -> bool:
    """Whether a script starts a program whose command line the log does not have (MSYS)."""
    caller = all_lives.get(window.anchor.pid)
    if caller is None or not caller.script or window.kind == FORK or window.made is None:
        return False
    return window.native is False and not window.anchor.args["cmd_len"]


def simulate(log: CallLog, real: list[Window], variant: Variant, scheme: Scheme) -> Simulated:
    """Run the creations `real` of a log.

    A run is repeated with another seed while that brings a size of the run to the log's.
    """
    all_lives = lives(log.calls, real)
    first = next(iter(all_lives.values()))
    first.image = first.image or log.first_image
    console = _console(log.calls) and not variant.through_ntdll  # an invisible one of its own
    sh = first.image.startswith("sh")
    seeds = {1: Seed(0)}
    if sh:
        more = variant.console_bytes if console else 0
        blocks = variant.console_freed if console else variant.sh_freed
        seeds = {1: Seed(variant.sh_bytes + more, blocks)}
    freed = sh
    for window in real:
        unhanded = not window.info.get("n", 0)  # nobody sees how large the heap was
        unknown = unhanded or not variant.sizes_known or order_unknown(window, variant)
        window.loose = not sh or unknown
    while True:
        run = LogRun(log, real, all_lives, variant, scheme, seeds, console)
        calls = run.run()
        made = windows(calls)
        number, missing = _first_gap(real, made)
        if not variant.sizes_known and number > 1:
            return Simulated(run, calls, made)
        if number == 1 and missing > 0:
            old = seeds[1]
            blocks = _blocks(missing) if freed else ()
            freed = False
            untagged = old.untagged_bytes + (0 if blocks else missing)
            seeds = {1: Seed(untagged, (*old.freed, *blocks))}
        elif (
            number > 1
            and number not in seeds
            and not (len(seeds) > 1 and is_reduced(log.calls))
            and _may_be_seeded(real[number - 1], missing, log, variant)
        ):
            blocks = _blocks(missing) if real[number - 1].kind == FORK else ()
            seeds = {**seeds, number: Seed(0, blocks) if blocks else Seed(missing)}
            real[number - 1].loose = True
        else:
            return Simulated(run, calls, made)


def _first_gap(real: list[Window], made: list[Window]) -> tuple[int, int]:
    """Number of the first creation whose size differs, and by how much; (0, 0) if none does."""
    pairs = pair_windows(real, made)
    for window, other in pairs:
        if other is None:
            break
        missing = window.info.get("n", 0) - other.info["n"]
        if missing and window.info.get("n", 0):
            return window.number, missing
    return 0, 0


def _may_be_seeded(window: Window, missing: int, log: CallLog, variant: Variant) -> bool:
    """A program that an exec started has allocated what its log does not show.

    Only then, and not by more than SEED_LIMIT: a shell that only forked must come out exactly, but
    for the names of files that it looked for and, in 1.3.19, its pipes.  In a chain, whose programs
    all do the same, one of the first has something unseen; a size that grows later is a difference.
    """
    if is_reduced(log.calls) and window.number > FIRST_OF_CHAIN:
        return False
    execed = any(
        other.kind != FORK and other.anchor.t_us < window.anchor.t_us
        for other in windows(log.calls)
    )
    later = window.kind == FORK and any(
        other.anchor.pid == window.anchor.pid and other.number < window.number
        for other in windows(log.calls)
    )
    piped = not variant.pipes_known and any(
        call.api in ("CreatePipe", "socket") and call.t_us < window.anchor.t_us
        for call in log.calls
    )
    limit = SEED_LIMIT if execed else NAMES_LIMIT if later or piped else 0
    return LEAST_BLOCK <= missing <= limit


def _blocks(size_bytes: int) -> tuple[int, ...]:
    """The fewest blocks of 8 + 2^b bytes that are `size_bytes` together; () if there are none."""
    best: dict[int, tuple[int, ...]] = {0: ()}
    for total in range(8, min(size_bytes, SEED_LIMIT) + 1, 8):
        for block in BLOCKS:
            rest = best.get(total - block)
            if rest is not None and len(rest) + 1 < len(best.get(total, range(SEED_LIMIT))):
                best[total] = (block, *rest)
    return best.get(size_bytes, ())


def _console(calls: Sequence[Call]) -> bool:
    """Whether the first process has a console: it opened it."""
    return any(call.api == "CreateFile" and call.args["name"] == "CONOUT$" for call in calls)
