"""Profiles and draws: what a machine costs, and what is refused."""

from __future__ import annotations

import gzip
import json
import math
import statistics
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.win32 import profile_check
from models.win32.cost_parameters import Lognormal, Mixture, Triangular
from models.win32.cost_profile import (
    CHECKED,
    FOLDER,
    describe,
    digest_of,
    load_profile,
    profile_names,
)
from models.win32.costs import FIRST_PROCESS, CostDraws, CostRow
from sim.errors import InputError
from sim.streams import Replication

NAMES = ["desktop-w11", "desktop-w11-defender", "ideal", "p3-800-w2000", "p3-800-w98"]
ABOUT = {"unit": "us", "kind": "assumed", "source": "test"}
W2000 = "p3-800-w2000"


def rows(profile, count=400, seed=1, number=0):
    return CostDraws(profile, Replication(seed, number), count).rows


def edited(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    text = (FOLDER / f"{W2000}.toml").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    path = tmp_path / "mine.toml"
    path.write_bytes(text.encode("utf-8"))
    return path


# -- the profiles that come along ----------------------------------------------------------------


def test_the_promised_profiles_are_there():
    assert profile_names() == NAMES


def test_every_profile_that_comes_along_passes_the_check_and_is_listed_so():
    listed = dict(line.split()[::-1] for line in CHECKED.read_text().splitlines())
    assert listed.keys() == {f"{name}.toml" for name in NAMES}
    for file, digest in listed.items():
        raw = (FOLDER / file).read_bytes().replace(b"\r\n", b"\n")
        profile_check.check(tomllib.loads(raw.decode()), file, "")
        assert digest_of(raw) == digest, f"{file} has changed: write {CHECKED.name} anew"


def test_a_profile_with_one_other_byte_is_checked(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(profile_check, "check", lambda content, where, allowed: seen.append(where))
    load_profile(W2000)
    assert not seen
    path = edited(tmp_path, ("value = 1500.0", "value = 1500.5"))
    load_profile(str(path))
    assert seen == [str(path)]


def test_the_keys_of_the_check_are_those_of_every_profile():
    for name in NAMES:
        assert list(load_profile(name).parameters) == profile_check.keys()[5:]


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_is_whole_and_says_its_sources(name):
    profile = load_profile(name)
    assert profile.name == name
    text = describe(profile)
    assert text["summary"]
    for parameter in text["parameters"]:
        assert parameter.keys() == {"key", "distribution", "unit", "source", "kind"}
        assert parameter["kind"] in {"measured", "derived", "assumed"}
        assert all(parameter.values())
    json.dumps(text, allow_nan=False)


@pytest.mark.parametrize("name", NAMES)
def test_a_recommended_value_is_the_one_in_the_file(name):
    profile = load_profile(name)
    p3 = name.startswith("p3")
    if name != "ideal":
        assert profile.parameters["create_process"].median == (4000 if p3 else 2000)
        assert profile.value("copy_bandwidth") == (124 if p3 else 5000)
        assert profile.value("page_touch") == (8 if p3 else 0.7)
    assert profile.system == ("9x" if name == "p3-800-w98" else "nt")
    assert profile.size("pipe_capacity_bytes") == (65536 if "w11" in name else 16384)


def test_ideal_costs_nothing_and_draws_nothing():
    draws = CostDraws(load_profile("ideal"), Replication(1, 0), 10)
    assert set(draws.rows) == {CostRow(*[0.0] * len(CostRow._fields))}
    assert (draws.cpu_scale, draws.machine_speed, draws.antivirus_us) == (1.0, 1.0, 0.0)


def test_only_the_scanner_tells_the_two_desktops_apart():
    plain, scanned = (load_profile(n).parameters for n in NAMES[:2])
    assert [key for key in plain if plain[key] != scanned[key]] == ["antivirus"]


# -- reading -------------------------------------------------------------------------------------


def test_a_profile_is_read_from_a_path(tmp_path):
    path = edited(tmp_path, ("median = 4000.0", "median = 5000.0"))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert load_profile(str(path)).parameters["create_process"].median == 5000


def test_a_packed_profile_is_the_same(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(gzip.compress((FOLDER / f"{W2000}.toml").read_bytes()))
    assert describe(load_profile(str(path))) == describe(load_profile(W2000))


def test_a_stack_that_has_no_room_for_a_word_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"stack_bytes\.value \(3\) must be from 4 to"):
        load_profile("ideal").replace({"workload.stack_bytes": 3})


def test_unknown_name_gives_the_nearest():
    with pytest.raises(InputError) as caught:
        load_profile("p3-800-w200")
    assert str(caught.value).startswith("--profile: there is no profile 'p3-800-w200'; nearest")
    assert W2000 in str(caught.value)


def test_all_faults_are_listed_at_once_with_their_key_paths(tmp_path):
    path = edited(
        tmp_path,
        ("median = 4000.0", "median = -1.0"),
        ("[loader]", "[lodaer]"),
        ("mode = 2.5", "mode = 7.5"),
        ('unit = "bytes/us"', 'unit = "MB/s"'),
        ("probability = 0.0", "probability = 1.5"),
        (
            '[workload.user_name_bytes]\ndistribution = "constant"\nvalue = 13',
            '[workload.user_name_bytes]\ndistribution = "constant"\nvalue = 13.5',
        ),
        ('[exit]\ndistribution = "constant"', '[exit]\ndistribution = "weibull"'),
        (
            '[wake]\ndistribution = "lognormal"\nmedian = 5.0',
            '[wake]\ndistribution = "lognormal"\nmedian = true',
        ),
        ('system = "nt"', 'system = "os2"'),
    )
    with pytest.raises(InputError) as caught:
        load_profile(str(path))
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    for fault in (
        "create_process.median (-1.0) must be above 0",
        "loader is missing",
        "lodaer is not a key of a profile (nearest known: loader",
        "handle_op.high (5.0) must be at least mode (7.5)",
        "copy_bandwidth.unit ('MB/s') must be 'bytes/us'",
        "contention.probability (1.5)",
        "workload.user_name_bytes.value (13.5) must be a whole number",
        "exit.distribution must be one of constant, lognormal, triangular, mixture",
        "wake.median (True)",
        "system ('os2')",
    ):
        assert fault in text


@pytest.mark.parametrize("value", ["nan", "inf", "-0.5", "2e9"])
def test_impossible_durations_are_refused(tmp_path, value):
    path = edited(tmp_path, ("value = 1500.0", f"value = {value}"))
    with pytest.raises(InputError, match=r"exit\.value \(.*\) must be from 0 to 1e\+09 us"):
        load_profile(str(path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name = ", "not TOML"),
        (b"\xff\xfe", "byte 0 is not UTF-8"),
        (b"", "name is missing"),
        (b"name = " + b"[" * 100_000, "it is nested too deeply"),
        (b"# " + b"x" * (1 << 20), "too long; at most 1048576 bytes"),
        (gzip.compress(b"#\n" * (1 << 20)), "too long; at most 1048576 bytes"),
    ],
)
def test_files_that_are_no_profile_are_refused(tmp_path, content, said):
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        load_profile(str(path))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        load_profile(str(tmp_path / "none.toml"))


# -- other numbers -------------------------------------------------------------------------------


def test_one_number_is_set_and_is_assumed_from_then_on():
    profile = load_profile(W2000).replace({"cpu_scale": "2.5", "workload.file_name_bytes": 40})
    assert profile.value("cpu_scale") == 2.5
    assert profile.size("workload.file_name_bytes") == 40
    assert profile.parameters["cpu_scale"].kind == "assumed"
    assert profile.parameters["cpu_scale"].source == "set by the user: cpu_scale"
    assert load_profile(W2000).value("cpu_scale") == 10


def test_a_key_without_a_part_becomes_a_constant():
    assert load_profile(W2000).replace({"create_process": 100}).value("create_process") == 100


def test_a_median_takes_the_tail_with_it_unless_that_is_set_too():
    profile = load_profile(W2000)
    moved = profile.replace({"create_process.median": 8000}).parameters["create_process"]
    assert (moved.median, moved.p95) == (8000, 18000)
    both = {"create_process.median": 8000, "create_process.p95": 8500}
    kept = profile.replace(both).parameters["create_process"]
    assert (kept.median, kept.p95) == (8000, 8500)
    wider = profile.replace({"map_view.mode": 60}).parameters["map_view"]
    assert (wider.low, wider.mode, wider.high) == (30, 60, 160)


def test_constants_can_be_set_by_their_part():
    assert load_profile("ideal").replace({"exit.value": 5}).value("exit") == 5


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("cpu_scal", "cpu_scale"),
        ("create_process.mean", "create_process.median"),
        ("file_name_bytes", "workload.file_name_bytes"),
        ("nope", "nearest known"),
        ("create_process.source", "create_process"),
        ("name", "nearest known"),
    ],
)
def test_unknown_keys_name_the_nearest(key, near):
    with pytest.raises(InputError) as caught:
        load_profile(W2000).replace({key: "1"})
    assert str(caught.value).startswith(f"--set {key}: ")
    assert near in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cpu_scale", "0"),
        ("cpu_scale", "nan"),
        ("cpu_scale", "fast"),
        ("exit", "-1"),
        ("create_process.p95", "10"),
        ("pipe_capacity_bytes", "0"),
        ("pipe_capacity_bytes", "1.5"),
        ("contention.probability", "2"),
        ("copy_bandwidth", "0"),
    ],
)
def test_values_out_of_range_are_refused_by_key(key, value):
    with pytest.raises(InputError, match=key.partition(".")[0]):
        load_profile(W2000).replace({key: value})


# -- distributions -------------------------------------------------------------------------------


def test_distributions_have_the_points_that_they_are_given_by():
    generator = np.random.default_rng(3)
    normal = Lognormal(median=4000, p95=9000, **ABOUT)
    assert np.quantile(normal.sample(generator, 200_000), [0.5, 0.95]) == pytest.approx(
        [4000, 9000], rel=0.02
    )
    three = Triangular(low=15, mode=30, high=80, **ABOUT)
    values = three.sample(generator, 200_000)
    assert values.mean() == pytest.approx((15 + 30 + 80) / 3, rel=0.01)
    assert (values.min(), values.max()) == (pytest.approx(15, abs=1), pytest.approx(80, abs=1))
    tail = Mixture(probability=0.3, median=100, p95=250, **ABOUT)
    values = tail.sample(generator, 200_000)
    assert np.mean(values > 0) == pytest.approx(0.3, rel=0.02)
    assert np.quantile(values[values > 0], [0.5, 0.95]) == pytest.approx([100, 250], rel=0.03)


def test_a_triangle_without_width_is_a_constant():
    flat = Triangular(low=2, mode=2, high=2, **ABOUT)
    assert flat.sample(np.random.default_rng(1), 3).tolist() == [2, 2, 2]


# -- draws ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@given(short=st.integers(0, 50), more=st.integers(0, 50))
def test_a_longer_trace_begins_with_the_same_rows(name, short, more):
    profile = load_profile(name).replace({"contention.probability": 0.3} if name != "ideal" else {})
    assert rows(profile, short + more)[: short + 1] == rows(profile, short)


def test_the_same_replication_gives_the_same_rows_twice(rep):
    profile = load_profile(W2000)
    assert CostDraws(profile, rep, 5).rows == CostDraws(profile, rep, 5).rows


def test_seed_and_replication_change_the_rows():
    profile = load_profile(W2000)
    assert len({tuple(rows(profile, 3, *key)) for key in ((1, 0), (2, 0), (1, 1))}) == 3


def test_place_finds_its_row(rep):
    draws = CostDraws(load_profile(W2000), rep, 3)
    assert [draws.at(place) for place in (FIRST_PROCESS, 0, 1, 2)] == draws.rows
    for wrong in (-2, 3):
        with pytest.raises(IndexError):
            draws.at(wrong)
    with pytest.raises(ValueError, match="places"):
        CostDraws(load_profile(W2000), rep, -1)


def test_rows_hold_plain_floats(rep):
    assert {type(value) for value in CostDraws(load_profile(W2000), rep, 1).at(0)} == {float}


def test_one_parameter_does_not_move_the_others():
    """Common random numbers: only the column asked for changes."""
    profile = load_profile(W2000)
    other = profile.replace({"create_process": 1.0, "exit": 7.0})
    for before, after in zip(rows(profile), rows(other), strict=True):
        assert before.loader_us == after.loader_us
        assert before[4:] == after[4:]


def test_antivirus_is_one_effect_of_the_machine():
    profile = load_profile("desktop-w11-defender")
    without = load_profile("desktop-w11")
    pairs = list(zip(rows(profile), rows(without), strict=True))
    extra = {round(a.create_process_us - b.create_process_us, 6) for a, b in pairs}
    assert len(extra) == 1
    assert all(a[1:] == b[1:] for a, b in pairs)
    machines = [CostDraws(profile, Replication(1, n), 0).antivirus_us for n in range(400)]
    assert statistics.median(machines) == pytest.approx(650, rel=0.15)


def test_speed_of_the_machine_multiplies_costs_and_work():
    profile = load_profile("ideal").replace({"exit": 100, "wake": 3, "antivirus": 50})
    slow = CostDraws(profile.replace({"machine_speed": 2}), Replication(1, 0), 0)
    row = slow.at(-1)
    assert (row.exit_us, row.wake_us, row.create_process_us) == (200, 6, 50)
    assert slow.cpu_scale == 2


def test_bandwidth_becomes_time_for_a_byte():
    profile = load_profile("ideal").replace({"copy_bandwidth": 124})
    assert rows(profile, 0)[0].copy_us_per_byte == pytest.approx(1 / 124)


def test_contention_hits_as_often_as_it_says():
    profile = load_profile("ideal").replace({"contention": 0})
    assert rows(profile, 10)[3].create_process_us == 0
    busy = load_profile(W2000).replace({"contention.probability": 0.5, "create_process": 0})
    hit = [row.create_process_us > 0 for row in rows(busy, 2000)]
    assert math.isclose(sum(hit) / len(hit), 0.5, abs_tol=0.05)


def test_medians_of_the_rows_are_those_of_the_profile():
    profile = load_profile(W2000).replace({"machine_speed": 1})
    drawn = rows(profile, 20_000)
    assert statistics.median(r.create_process_us for r in drawn) == pytest.approx(4000, rel=0.03)
    assert statistics.median(r.init_us for r in drawn) == pytest.approx(3000, rel=0.03)


def test_files_of_profiles_are_named_as_they_say():
    for path in FOLDER.glob("*.toml"):
        assert tomllib.loads(path.read_text(encoding="utf-8"))["name"] == path.stem
