"""What many tests share: the command line as a user calls it, and a replication."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from machine import CELLS, VARIANTS, World, bare_kernel, systems_of
from recording import Recording

from models.cygwin import schemes
from models.cygwin.replay import ReplayRun, prepare, run
from models.cygwin.workload import Workload
from models.win32.cost_profile import Profile, load_profile
from models.win32.kernel import Kernel
from models.win32.system import SYSTEMS
from sim.kept_files import CACHE
from sim.streams import Replication
from sim.trace import Trace

ROOT = Path(__file__).resolve().parent.parent

# The same examples in every run, and no limit that a slow machine could miss.
settings.register_profile("house", deadline=None, derandomize=True, database=None)
settings.load_profile("house")

LISTED = [(name, system) for name in schemes.names() for system in systems_of(name)]
Cygsim = Callable[..., subprocess.CompletedProcess[bytes]]


def in_python(*words: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run `python WORDS…` from the root of the project, its output as bytes."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Commands of the tests find nothing that the user's commands have kept."""
    os.environ[CACHE] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def python() -> Cygsim:
    return in_python


@pytest.fixture
def cygsim() -> Cygsim:
    def call(*words: object, **environment: str) -> subprocess.CompletedProcess[bytes]:
        return in_python("-m", "scenarios", *map(str, words), **environment)

    return call


@pytest.fixture
def rep() -> Replication:
    return Replication(1, 0)


@pytest.fixture
def trace() -> Trace:
    return Trace(calls=True)


@pytest.fixture
def kernel(trace: Trace) -> Kernel:
    """An NT machine with four processors on which calls cost nothing."""
    return bare_kernel(trace=trace)


@pytest.fixture(params=CELLS, ids=["-".join(cell) for cell in CELLS])
def world(request: pytest.FixtureRequest) -> World:
    """An installation of each scheme on each system."""
    name, system = request.param
    return World(schemes.get(name), system)


@pytest.fixture(params=VARIANTS)
def nt_world(request: pytest.FixtureRequest) -> World:
    """An installation of each scheme on NT, where the system makes no difference."""
    return World(schemes.get(request.param))


@pytest.fixture
def trace_of(tmp_path: Path) -> Recording:
    """A recording by hand, and what comes of it under a scheme."""
    return Recording(tmp_path / "by-hand.jsonl")


@pytest.fixture(params=LISTED, ids=["-".join(cell) for cell in LISTED])
def replay(request: pytest.FixtureRequest) -> Any:
    """Replay a workload under each listed scheme on each system."""
    name, system = request.param

    def carry_out(
        workload: Workload,
        profile: Profile | None = None,
        limit_bytes: int | None = None,
        vfork: bool = True,
    ) -> ReplayRun:
        costs = profile or load_profile("ideal")
        scheme, rep = schemes.get(name), Replication(1, 0)
        ready = prepare(workload, scheme, costs, SYSTEMS[system], rep, vfork=vfork)
        ready.kernel.commit_limit_bytes = limit_bytes or ready.kernel.commit_limit_bytes
        return run(ready)

    carry_out.blocking = name == "blocking"  # type: ignore[attr-defined]  # for tests to ask
    return carry_out


@pytest.fixture
def small_profile(tmp_path: Path) -> Callable[[int], str]:
    """The profile `p3-800-w2000` with another commit limit: the path of its file."""
    source = ROOT / "models" / "win32" / "profiles" / "p3-800-w2000.toml"

    def made(limit_bytes: int) -> str:
        text = source.read_text(encoding="utf-8")
        at = text.index("[commit_limit_bytes]")
        changed = re.sub(r"value = \S+", f"value = {limit_bytes}", text[at:], count=1)
        path = tmp_path / f"small-{limit_bytes}.toml"
        path.write_text(text[:at] + changed, encoding="utf-8")
        return str(path)

    return made
