"""Which room a piece of code is in, and what may be said there (STYLE: the floors, names, habits).

Each rule takes the place of a file and its source and yields what is wrong with it. Each has a
negative control at the end: a source that it must catch.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("sim", "models", "scenarios", "notebooks")
FLOORS = {"sim": 0, "models.win32": 1, "models.cygwin": 2, "scenarios": 3, "notebooks": 4}
SIM_MAY_IMPORT = {"simpy", "numpy", "scipy", "matplotlib", "sim"}
RANDOM_TYPES = {"Generator", "BitGenerator", "SeedSequence", "PCG64", "PCG64DXSM", "Philox"}
POSIX_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
POSIX_CALLS = {
    "os": {
        *("chown", "chroot", "fork", "forkpty", "getgid", "getpgid", "getuid", "killpg"),
        *("mkfifo", "nice", "pipe2", "posix_spawn", "sched_getaffinity", "setpgrp", "setsid"),
        *("setuid", "uname", "wait", "wait3", "wait4", "waitid"),
    },
    "signal": {
        *("SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP"),
        *("SIGUSR1", "SIGUSR2", "alarm", "pause", "setitimer", "sigwait"),
    },
    "select": {"epoll", "kqueue", "poll"},
}
LONGEST_MODULE_LINES = 400
LONGEST_TEST_LINES = 520  # a contract with many small tests reads better in one piece
# Written in halves, so that this file does not find itself.
UNWANTED_TEXT = re.compile(
    r"/(?:work|root|farm|tmp)/[a-z]"
    r"|pypi\.o" + r"rg|python" + r"hosted"
    r"|\b(?:ag" + r"ents?|clau" + r"de|chat" + r"gpt|ll" + r"ms?)\b",
    re.IGNORECASE,
)
ISSUE_CITED = re.compile(r"[\w/.-]+#\d+")  # a source keeps the name that it has


# -- what is looked at --------------------------------------------------------------------------


def python_files() -> list[PurePosixPath]:
    folders = [ROOT / name for name in (*PRODUCT, "tests")]
    return [place(path) for folder in folders for path in sorted(folder.rglob("*.py"))]


def text_files() -> list[PurePosixPath]:
    top = [p for p in sorted(ROOT.iterdir()) if p.is_file() and p.suffix != ".gz"]
    top += sorted(ROOT.glob("notebooks/*.ipynb"))
    top += [ROOT / ".ci" / "run", *sorted(ROOT.glob("models/win32/profiles/*.toml"))]
    top += sorted(ROOT.glob("notebooks/*.ipynb"))
    return python_files() + [place(path) for path in top if path.name != ".git"]


def place(path: Path) -> PurePosixPath:
    return PurePosixPath(path.relative_to(ROOT).as_posix())


def module_of(where: PurePosixPath) -> str:
    parts = where.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_product(where: PurePosixPath) -> bool:
    return where.parts[0] in PRODUCT


def floor_of(module: str) -> int | None:
    for name, floor in FLOORS.items():
        if module == name or module.startswith(f"{name}."):
            return floor
    return None


def imports(where: PurePosixPath, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and full name of everything imported, `from a import b` as `a.b`."""
    package = module_of(where).split(".")
    if where.name != "__init__.py":
        package.pop()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            yield from ((node.lineno, ".".join([*base, alias.name])) for alias in node.names)


def attributes(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every attribute access on a plain name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.lineno, ast.unparse(node)


# -- the rules ----------------------------------------------------------------------------------


def imports_go_down(where: PurePosixPath, tree: ast.Module, text: str) -> Iterator[str]:
    own = floor_of(module_of(where))
    if own is None:
        return
    for line, name in imports(where, tree):
        other = floor_of(name)
        if other is not None and other > own:
            yield f"{line}: {name} is on a higher floor"
        if own == 0 and name.split(".")[0] not in SIM_MAY_IMPORT | sys.stdlib_module_names:
            yield f"{line}: sim imports {name}"


def runtime_sees_no_scheme(where: PurePosixPath, tree: ast.Module, text: str) -> Iterator[str]:
    if where.parts[:2] != ("models", "cygwin") or "schemes" in where.parts:
        return
    for line, name in imports(where, tree):
        if name.startswith("models.cygwin.schemes"):
            yield f"{line}: {name}; the runtime sees the protocol only"


def has_spec(tree: ast.Module) -> bool:
    names = [t for node in tree.body if isinstance(node, ast.Assign) for t in node.targets]
    names += [node.target for node in tree.body if isinstance(node, ast.AnnAssign)]
    return any(isinstance(name, ast.Name) and name.id == "SPEC" for name in names)


def scenario_imports_no_scenario(
    where: PurePosixPath, tree: ast.Module, text: str
) -> Iterator[str]:
    if where.parts[0] != "scenarios" or not has_spec(tree):
        return
    for line, name in imports(where, tree):
        top, _, rest = name.partition(".")
        other = ROOT / "scenarios" / f"{rest.split('.')[0]}.py"
        if top == "scenarios" and other.exists() and has_spec(ast.parse(other.read_bytes())):
            yield f"{line}: {name} is a scenario"


def matplotlib_in_one_place(where: PurePosixPath, tree: ast.Module, text: str) -> Iterator[str]:
    if not is_product(where) or where.match("sim/plots*.py"):
        return
    for line, name in imports(where, tree):
        if name.split(".")[0] in {"matplotlib", "pylab"}:
            yield f"{line}: {name} belongs in sim/plots*.py"


def environment_made_in_one_place(
    where: PurePosixPath, tree: ast.Module, text: str
) -> Iterator[str]:
    if not is_product(where) or where == PurePosixPath("sim/engine.py"):
        return
    for node in ast.walk(tree):
        made = node.bases if isinstance(node, ast.ClassDef) else []
        made = [node.func] if isinstance(node, ast.Call) else made
        for maker in made:
            if re.fullmatch(r"simpy\.(\w+\.)*(Realtime)?Environment", ast.unparse(maker)):
                yield f"{node.lineno}: only sim/engine.py makes an environment"


def simpy_by_its_name(where: PurePosixPath, tree: ast.Module, text: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "simpy":
            yield f"{node.lineno}: write `import simpy`"


def random_numbers_from_streams(where: PurePosixPath, tree: ast.Module, text: str) -> Iterator[str]:
    allowed = RANDOM_TYPES if is_product(where) else RANDOM_TYPES | {"default_rng"}
    for line, name in imports(where, tree):
        parts = name.split(".")
        if parts[0] == "random" or (parts[:2] == ["numpy", "random"] and parts[-1] not in allowed):
            yield f"{line}: {name}; take a stream of the replication"
    for line, name in attributes(tree):
        found = re.fullmatch(r"(?:np|numpy)\.random\.(\w+)", name)
        if found and found[1] not in allowed:
            yield f"{line}: {name}; take a stream of the replication"


def no_posix_only_call(where: PurePosixPath, tree: ast.Module, text: str) -> Iterator[str]:
    if not is_product(where):
        return
    for line, name in [*imports(where, tree), *attributes(tree)]:
        top, _, rest = name.partition(".")
        if top in POSIX_MODULES and any(top == n.split(".")[0] for _, n in imports(where, tree)):
            yield f"{line}: {name} is not there on Windows"
        if rest in POSIX_CALLS.get(top, ()):
            yield f"{line}: {name} is not there on Windows"


def has_docstring(where: PurePosixPath, tree: ast.Module, text: str) -> Iterator[str]:
    if not ast.get_docstring(tree):
        yield "1: no docstring"


def is_short_enough(where: PurePosixPath, tree: ast.Module, text: str) -> Iterator[str]:
    lines = text.count("\n")
    most = LONGEST_TEST_LINES if where.parts[0] == "tests" else LONGEST_MODULE_LINES
    if lines > most:
        yield f"{lines}: more than {most} lines; split by noun"


def ignores_have_reasons(where: PurePosixPath, tree: ast.Module, text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        found = re.search(r"#\s*type:\s*ignore(\[[\w, -]+\])?(.*)", line)
        if found and not (found[1] and re.search(r"#.*\w{3}|--.*\w{3}", found[2])):
            yield f"{number}: an ignore needs its code and, behind it, the reason"


def name_hides_no_module(where: PurePosixPath, tree: ast.Module, text: str) -> Iterator[str]:
    if where.parts[0] == "scenarios" and where.stem in sys.stdlib_module_names:
        yield f"1: {where.stem} is a standard module"


def no_package_below_tests(where: PurePosixPath, tree: ast.Module, text: str) -> Iterator[str]:
    if where.parts[0] == "tests" and where.name == "__init__.py":
        yield "1: a package below tests/ hides the real one"


def text_is_for_everyone(where: PurePosixPath, text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        found = UNWANTED_TEXT.search(ISSUE_CITED.sub("", line))
        if found:
            yield f"{number}: {found[0]!r}"


# -- the checks ---------------------------------------------------------------------------------

RULES = (
    *(imports_go_down, runtime_sees_no_scheme, scenario_imports_no_scenario),
    *(matplotlib_in_one_place, environment_made_in_one_place, simpy_by_its_name),
    *(random_numbers_from_streams, no_posix_only_call, has_docstring, is_short_enough),
    *(ignores_have_reasons, name_hides_no_module, no_package_below_tests),
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_file_keeps(rule):
    wrong = []
    for where in python_files():
        text = (ROOT / where).read_text(encoding="utf-8")
        wrong += [f"{where}:{what}" for what in rule(where, ast.parse(text), text)]
    assert not wrong, "\n".join(wrong)


def test_every_text_is_for_everyone():
    wrong = []
    for where in text_files():
        text = (ROOT / where).read_text(encoding="utf-8")
        wrong += [f"{where}:{what}" for what in text_is_for_everyone(where, text)]
    assert not wrong, "\n".join(wrong)


# -- negative controls --------------------------------------------------------------------------

CAUGHT = [
    (imports_go_down, "sim/a.py", "from models.win32 import memory"),
    (imports_go_down, "sim/a.py", "import pydantic"),
    (imports_go_down, "models/win32/a.py", "from models import cygwin"),
    (imports_go_down, "models/win32/a.py", "from ..cygwin import heap"),
    (imports_go_down, "models/cygwin/a.py", "def f():\n    import scenarios"),
    (imports_go_down, "scenarios/a.py", "import notebooks.first"),
    (runtime_sees_no_scheme, "models/cygwin/a.py", "from models.cygwin.schemes import blocking"),
    (runtime_sees_no_scheme, "models/cygwin/a.py", "from .schemes import blocking"),
    (matplotlib_in_one_place, "sim/a.py", "from matplotlib import pyplot"),
    (environment_made_in_one_place, "sim/a.py", "import simpy\nenv = simpy.Environment()"),
    (environment_made_in_one_place, "sim/a.py", "class E(simpy.core.Environment): ..."),
    (simpy_by_its_name, "tests/a.py", "from simpy.events import Event"),
    (random_numbers_from_streams, "tests/a.py", "import random"),
    (random_numbers_from_streams, "sim/a.py", "x = np.random.default_rng(1)"),
    (random_numbers_from_streams, "tests/a.py", "x = np.random.normal()"),
    (random_numbers_from_streams, "sim/a.py", "from numpy.random import default_rng"),
    (no_posix_only_call, "sim/a.py", "import os\nos.fork()"),
    (no_posix_only_call, "sim/a.py", "from os import fork"),
    (no_posix_only_call, "scenarios/a.py", "import resource"),
    (no_posix_only_call, "scenarios/a.py", "import signal\nkill(1, signal.SIGKILL)"),
    (has_docstring, "sim/a.py", "x = 1"),
    (is_short_enough, "sim/a.py", "x = 1\n" * (LONGEST_MODULE_LINES + 1)),
    (ignores_have_reasons, "sim/a.py", "x = 1  # type:" + " ignore"),
    (ignores_have_reasons, "sim/a.py", "x = 1  # type:" + " ignore[assignment]"),
    (name_hides_no_module, "scenarios/trace.py", "x = 1"),
    (no_package_below_tests, "tests/sim/__init__.py", ""),
]


@pytest.mark.parametrize(("rule", "where", "text"), CAUGHT)
def test_a_wrong_file_is_caught(rule, where, text):
    assert list(rule(PurePosixPath(where), ast.parse(text), text))


def test_a_scenario_that_imports_another_is_caught(monkeypatch, tmp_path):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "b.py").write_text("SPEC: int = 1\n")
    (tmp_path / "scenarios" / "c.py").write_text("")
    a = PurePosixPath("scenarios/a.py")
    for name, caught in (("b", True), ("c", False)):
        tree = ast.parse(f"from scenarios import {name}\nfrom scenarios.{name} import x\nSPEC = 2")
        assert bool(list(scenario_imports_no_scenario(a, tree, ""))) is caught


def test_every_rule_has_a_negative_control():
    assert {rule for rule, *_ in CAUGHT} | {scenario_imports_no_scenario} == set(RULES)


@pytest.mark.parametrize("text", ["see /wo" + "rk/shared", "pypi" + ".org", "the Ag" + "ent said"])
def test_an_unwanted_text_is_caught(text):
    assert list(text_is_for_everyone(PurePosixPath("README.md"), text))


ALLOWED = [
    (imports_go_down, "models/cygwin/a.py", "from models.win32 import memory\nimport sim.trace"),
    (imports_go_down, "sim/a.py", "from .errors import SimError\nimport math, numpy"),
    (imports_go_down, "tests/a.py", "import scenarios, models.cygwin"),
    (runtime_sees_no_scheme, "models/cygwin/schemes/a.py", "from . import blocking"),
    (scenario_imports_no_scenario, "scenarios/a.py", "import scenarios.options\nSPEC = 1"),
    (environment_made_in_one_place, "sim/a.py", "def f(env: simpy.Environment): ..."),
    (random_numbers_from_streams, "sim/a.py", "x: np.random.Generator"),
    (no_posix_only_call, "sim/a.py", "resource = request()\nresource.release()"),
    (ignores_have_reasons, "sim/a.py", "x = 1  # type:" + " ignore[misc]  # its stub is wrong"),
]


@pytest.mark.parametrize(("rule", "where", "text"), ALLOWED)
def test_a_right_file_passes(rule, where, text):
    assert not list(rule(PurePosixPath(where), ast.parse(text), text))
