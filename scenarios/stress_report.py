"""A STRESS-DES report of a finished run, as Markdown in lines of at most 80 columns.

Filled from the scenario, the manifest, the profile and the results; what none of them tells is
marked as a gap, and the gaps are counted at the top.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from models.win32.cost_profile import describe
from scenarios.stress_items import SECTIONS, TITLES, Item
from scenarios.stress_logic import execution, logic
from scenarios.stress_subject import Result, Subject, parameter_lines

WIDTH = 80
MOST_RESULTS = 200  # lines of the appendix; the rest stands in results.csv -- chosen


def stress_report(subject: Subject) -> str:
    """The whole report, with LF at the end of each line."""
    items = list(_items(subject))
    missing = [number for number in TITLES if number not in {item.number for item in items}]
    items += [Item(number, gaps=["nothing is known of this"]) for number in missing]
    items.sort(key=lambda item: list(TITLES).index(item.number))
    lines = [*_head(subject, items)]
    for number, section in SECTIONS.items():
        lines += [f"## {number}. {section}", ""]
        for item in items:
            if item.number.partition(".")[0] == number:
                lines += _item_lines(item)
    lines += _limits(subject)
    lines += _results(list(subject.results()))
    return "\n".join(lines).rstrip("\n") + "\n"


def _items(subject: Subject) -> Iterator[Item]:
    yield from _objectives(subject)
    yield from logic(subject)
    yield from _data(subject)
    yield from _experimentation(subject)
    yield from _implementation(subject)
    yield from execution(subject)


def _head(subject: Subject, items: Sequence[Item]) -> Iterator[str]:
    gaps = [item.number for item in items if item.gaps]
    yield from (f"# STRESS-DES: {subject.name}", "")
    yield from _wrapped(subject.question)
    yield ""
    where = f"{len(gaps)} of {len(TITLES)} items have a gap: {', '.join(gaps)}"
    yield from _wrapped(f"Checklist STRESS-DES 1.0, doi:10.1080/17477778.2018.1442155. {where}.")
    yield ""


def _objectives(subject: Subject) -> Iterator[Item]:
    yield Item("1.1", [subject.question, *subject.about.split("\n\n")])
    measures: dict[str, list[Result]] = {}
    for result in subject.results():
        measures.setdefault(result.measure, []).append(result)
    count = subject.parameters["replications"]
    error = "No measure of error over replications: there is one."
    if count > 1:
        error = f"Error: Student's 95 % interval of the mean over {count} replications."
    elif subject.spec is not None and subject.spec.steady_state:
        error = "Error: Student's 95 % interval over batch means (`..._low`, `..._high`)."
    yield Item(
        "1.2",
        ["Measures, each taken once at the end of a replication at every point:", error],
        [_measure_line(name, found) for name, found in measures.items()],
        gaps=["equations of the measures stand in the program's docstrings, not in the run"],
    )
    aims = f"Schemes: {', '.join(subject.parameters['schemes'])}."
    yield Item(
        "1.3",
        [
            f"Comparison of designs on common random numbers. {aims} No optimisation.",
            "Design: every point that the results name, under each scheme."
            if subject.spec is not None
            else "Design: the same recorded tree under each scheme.",
        ],
    )


def _measure_line(name: str, found: Sequence[Result]) -> str:
    unit = found[0].unit
    means = [r.interval.mean for r in found if r.interval is not None]
    span = f", {min(means):.4g} to {max(means):.4g}" if means else ", in words"
    lost = sum(r.censored > 0 for r in found)
    never = f", never came at {lost}" if lost else ""
    return f"`{name}`{f' [{unit}]' if unit else ''}: {len(found)} points{span}{never}"


def _data(subject: Subject) -> Iterator[Item]:
    inputs = [f"{name}: SHA-256 {digest}" for name, digest in subject.manifest["inputs"].items()]
    profile = subject.profile
    if not subject.has_processes:
        yield Item("3.1", ["Input:"], inputs)
    elif profile is None:
        yield Item(
            "3.1", ["Input:"], inputs, gaps=[f"the profile is not at hand: {subject.why_not}"]
        )
    else:
        lines = [
            f"`{p['key']}` ({p['kind']}): {p['source']}" for p in describe(profile)["parameters"]
        ]
        gap = "sample sizes and dates of the sources, where a source does not name them"
        yield Item("3.1", ["Input, then the source of every number:"], inputs + lines, gaps=[gap])
    yield Item(
        "3.2",
        [
            "Units are converted to microseconds and bytes; recorded work is multiplied by "
            "cpu_scale."
        ],
        gaps=["what was done to the published figures before they were published"],
    )
    yield _input_parameters(subject)
    yield _assumptions(subject)


def _input_parameters(subject: Subject) -> Item:
    own = [
        f"`{key}` = {value} (allowed: {allowed})"
        for key, value, _, allowed in parameter_lines(subject)
    ]
    shared = [
        f"`{key}` = {subject.parameters[key]}"
        for key in ("system", "profile", "replications", "processors", "until_s")
        if subject.parameters.get(key) is not None and f"`{key}`" not in " ".join(own)
    ]
    costs: list[str] = []
    gaps = []
    if subject.has_processes and subject.profile is not None:
        costs = [
            f"`{p['key']}`: {p['distribution']}"
            + ("" if p["unit"] in (None, "1") else f" {p['unit']}")
            for p in describe(subject.profile)["parameters"]
        ]
        gaps = ["families of distributions were chosen; no goodness of fit was tested"]
    elif subject.has_processes:
        gaps = [f"the profile's numbers: {subject.why_not}"]
    return Item("3.3", points=[*subject.meanings, *own, *shared, *costs], gaps=gaps)


def _assumptions(subject: Subject) -> Item:
    assumed = []
    if subject.has_processes and subject.profile is not None:
        assumed = [
            p["key"] for p in describe(subject.profile)["parameters"] if p["kind"] == "assumed"
        ]
    points = [f"`{key}` of the profile is assumed" for key in assumed]
    return Item("3.4", ["See also the limits of validity."], points)


def _experimentation(subject: Subject) -> Iterator[Item]:
    steady = subject.spec.steady_state if subject.spec is not None else ""
    if not subject.has_processes:
        yield Item("4.1", ["Terminating. The chain begins with an empty heap; no warm-up."])
        yield Item("4.2", ["The number of images or execs that the parameters say."])
    elif steady:
        yield Item("4.1", ["Non-terminating.", steady])
        yield Item("4.2", ["See 4.1; time in microseconds. Requests and cut stand in the results."])
    else:
        yield Item(
            "4.1",
            ["Terminating: a run ends when nothing can happen any more. No warm-up. It begins with "
             "an idle machine and one first process (deterministic)."],
        )  # fmt: skip
        until = subject.parameters.get("until_s")
        limit = f", at the latest after {until} s" if until is not None else ""
        yield Item("4.2", [f"To the last event{limit}; time in microseconds."])
    count = subject.parameters["replications"]
    gaps = []
    if count == 1 and not steady:
        gaps = ["one replication: no interval, unless nothing random takes part"]
    elif count > 1:
        gaps = [f"why {count} replications: chosen, not by an aim for the interval"]
    means = "Batch means within each run, not overlapping. " if steady else ""
    yield Item(
        "4.3",
        [f"{means}{count} independent replication{'' if count == 1 else 's'}, Student's interval."],
        gaps=gaps,
    )


def _implementation(subject: Subject) -> Iterator[Item]:
    versions = [f"{name} {version}" for name, version in subject.manifest["versions"].items()]
    changed = subject.changed_versions
    gaps = ["operating system and its build: the manifest does not have them"]
    if changed:
        gaps.append(f"this report was written with other versions of {', '.join(changed)}")
    yield Item("5.1", ["Discrete-event simulation in Python:"], versions, gaps=gaps)
    ran = subject.manifest["ran"]
    jobs = f"{ran['jobs']} job{'' if ran['jobs'] == 1 else 's'}"
    yield Item(
        "5.4",
        [f"The run took {ran['wall_s']} s with {jobs}."],
        gaps=["processor and memory of the machine"],
    )
    command = " ".join(subject.manifest["command"])
    yield Item(
        "6.1",
        [
            f"cygsim {subject.manifest['versions']['cygsim']}, MIT licence. The command is "
            f"`cygsim {command}` with seed {subject.manifest['seed']} and the parameters of 3.3; "
            "the same command writes the same results.",
        ],
        gaps=["an address or a DOI at which model and data are shared"],
    )


def _limits(subject: Subject) -> list[str]:
    lines = ["## Limits of validity", ""]
    for limit in subject.limits:
        lines += _bullet(limit)
    return [*lines, ""]


def _results(results: Sequence[Result]) -> Iterator[str]:
    yield from ("## Results", "")
    for result in results[:MOST_RESULTS]:
        yield from _bullet(_result_line(result))
    more = len(results) - MOST_RESULTS
    if more > 0:
        yield from ("", f"{more} more stand in results.csv.")


def _result_line(result: Result) -> str:
    where = f"{result.scheme}, {result.system}, {result.point}: `{result.measure}`"
    if result.interval is None:
        value = result.words or "never"
        return f"{where} {value}" + (f" (never in {result.censored})" if result.censored else "")
    limits = result.interval.limits()
    sure = f" (95 %: {limits[0]:.6g} to {limits[1]:.6g})" if limits else ""
    unit = "" if result.unit in ("", "1") else f" {result.unit}"
    return f"{where} {result.interval.mean:.6g}{unit}{sure}"


def _item_lines(item: Item) -> list[str]:
    lines = [f"### {item.number} {item.title}", ""]
    for text in item.text:
        lines += [*_paragraph(text), ""]
    if item.drawn:
        lines += ["```text", *item.drawn, "```", ""]
    for point in item.points:
        lines += _bullet(point)
    lines += [""] if item.points else []
    for gap in item.gaps:
        lines += [*_wrapped(f"**Gap:** {gap}."), ""]
    return lines


def _paragraph(text: str) -> list[str]:
    """A paragraph of a docstring in lines; what is set in stays as it is, a list stays one."""
    if text.startswith("    "):
        return text.splitlines()
    if not text.startswith("* "):
        return _wrapped(" ".join(text.split()))
    points = [" ".join(part.split()) for part in text.removeprefix("* ").split("\n* ")]
    return [line for point in points for line in _bullet(point)]


def _bullet(text: str) -> list[str]:
    return textwrap.wrap(
        f"- {text}", WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)
