"""The doctor's properties, on machines that are written down."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from toolkit.engine.fake import FakeEngine
from toolkit.engine.port import EngineFacts
from toolkit.errors import EngineUnavailable, UsageError
from toolkit.host.checks import (
    PROPERTIES,
    Finding,
    Property,
    Surroundings,
    best_grade,
    check_syntax,
    examine,
)
from toolkit.host.topology import Topology

FACTS: EngineFacts = FakeEngine().engine_facts
MEMINFO = "MemTotal: 8388608 kB\nMemAvailable: {free} kB\nSwapTotal: {swap} kB\nSwapFree: {swap_free} kB\n"
V3 = "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3 avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"
TWO_NODES = Topology(tuple(range(8)), {0: (0, 1, 2, 3), 1: (4, 5, 6, 7)}, 8 << 30)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "proc").mkdir()
    write(tmp_path, "proc/meminfo", MEMINFO.format(free=4 << 20, swap=0, swap_free=0))
    write(tmp_path, "proc/cpuinfo", f"processor: 0\nflags: fpu {V3}\n\nprocessor: 1\nflags: fpu\n")
    (tmp_path / "store").mkdir()
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def around(root: Path, **changes: Any) -> Surroundings:
    values: dict[str, Any] = {
        "topology": Topology((0, 1), {0: (0, 1)}, 8 << 30),
        "runs": root / "runs",
        "store": root / "store",
        "engine": FACTS,
        "root": root,
        "architecture": "x86_64",
        "is_root": True,
        "which": lambda name: f"/usr/bin/{name}",
        "lanes": root / "lanes",
    }
    return Surroundings(**{**values, **changes})


def findings(root: Path, **changes: Any) -> dict[str, Finding]:
    return {one.id: one for one in examine(around(root, **changes))}


def test_a_good_host_has_nothing_to_say(root: Path) -> None:
    found = findings(root)
    assert {one.state for one in found.values()} <= {"ok", "absent"}
    assert all(not one.advice for one in found.values() if one.state == "absent")


def test_every_property_shows_something_and_is_named_once(root: Path) -> None:
    found = examine(around(root))
    assert len({one.id for one in found}) == len(found) == len(PROPERTIES)
    assert all(one.found for one in found)


@pytest.mark.parametrize("kind", PROPERTIES)
def test_a_property_that_warns_or_fails_says_what_to_do(kind: type[Property], root: Path) -> None:
    bad = around(
        root,
        topology=Topology((0,), {0: (0,)}, 1 << 20),
        cpus="0",
        engine=replace(FACTS, swap_limit=False, security_options=(), rootless=True),
        architecture="s390x",
        is_root=False,
        which=lambda _: None,
    )
    write(root, "proc/meminfo", MEMINFO.format(free=4, swap=8, swap_free=4))
    found = kind(bad).finding()
    assert found.state in ("ok", "absent") or found.advice


CASES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("swap_accounting", "warn", "swapaccount=1", {"engine": replace(FACTS, swap_limit=False)}),
    ("seccomp", "fail", "without seccomp", {"engine": replace(FACTS, security_options=())}),
    ("apparmor", "fail", "apt-get install", {"engine": replace(FACTS, security_options=("name=apparmor",))}),
    ("engine", "warn", "rootless", {"engine": replace(FACTS, rootless=True)}),
    ("architecture", "fail", "x86_64", {"architecture": "aarch64"}),
    ("cpus", "warn", "grade C", {"cpus": "0-1"}),
    ("cpus", "warn", "one CPU", {"topology": Topology((0,), {0: (0,)}, 8 << 30)}),
    ("cpus", "fail", "--cpus 0-1", {"cpus": "4-5"}),
    ("memory_nodes", "warn", "one node", {"topology": TWO_NODES, "cpus": "3-4"}),
    ("memory_nodes", "ok", "", {"topology": TWO_NODES, "cpus": "4-5"}),
    ("memory", "fail", "at least", {"topology": Topology((0, 1), {0: (0, 1)}, 100 << 20)}),
    ("rights", "ok", "without root", {"is_root": False}),
    ("client.apt", "warn", "repro fetch", {"which": lambda _: None}),
]


@pytest.mark.parametrize(("name", "state", "advice", "changes"), CASES)
def test_what_is_lost_is_said(root: Path, name: str, state: str, advice: str, changes: dict[str, Any]) -> None:
    found = findings(root, **changes)[name]
    assert (found.state, advice in found.advice) == (state, True)


def test_little_free_memory_is_a_warning(root: Path) -> None:
    write(root, "proc/meminfo", MEMINFO.format(free=500_000, swap=0, swap_free=0))
    assert findings(root)["memory"].state == "warn"


def test_swap_is_shown_where_there_is_any(root: Path) -> None:
    assert findings(root)["swap"].state == "absent"
    write(root, "proc/meminfo", MEMINFO.format(free=4 << 20, swap=2048, swap_free=1024))
    assert findings(root)["swap"].found == "2 MiB, 1 MiB in use"


def test_a_processor_without_avx2_is_told_what_is_refused(root: Path) -> None:
    assert (findings(root)["cpu_level"].state, findings(root)["cpu_level"].found) == ("ok", "x86-64-v3")
    write(root, "proc/cpuinfo", f"flags: fpu {V3.replace('avx2 ', '')}\n")
    found = findings(root)["cpu_level"]
    assert (found.state, found.found) == ("warn", "x86-64-v2")
    assert "llama.cpp" in found.advice
    assert findings(root, architecture="aarch64")["cpu_level"].state == "absent"


def test_a_hypervisor_is_seen(root: Path) -> None:
    write(root, "proc/cpuinfo", "flags: fpu hypervisor\n")
    assert findings(root)["virtualization"].state == "warn"


@pytest.mark.parametrize(("governor", "state"), [("performance", "ok"), ("powersave", "warn")])
def test_the_governor_is_judged_where_there_is_one(root: Path, governor: str, state: str) -> None:
    write(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", f"{governor}\n")
    assert findings(root)["governor"].state == state


def test_a_folder_that_is_a_file_cannot_be_written(root: Path) -> None:
    (root / "runs").touch()
    assert findings(root)["disk.runs"].state == "fail"


def test_a_folder_that_is_not_there_yet_is_judged_by_what_is_above(root: Path) -> None:
    assert findings(root, store=root / "a" / "b" / "c")["disk.store"].state == "ok"


def test_without_an_engine_its_properties_are_absent_and_the_rest_is_still_told(root: Path) -> None:
    error = EngineUnavailable("No container engine answers", "nothing answers", "Start it: x")
    found = findings(root, engine=None, engine_error=error)
    assert (found["engine"].state, found["engine"].exit_code) == ("fail", 4)
    assert "Start it: x" in found["engine"].advice
    assert found["cgroup"].state == found["swap_accounting"].state == "absent"
    assert found["memory"].state == "ok"


def test_a_host_that_is_unfit_is_exit_3(root: Path) -> None:
    assert findings(root, cpus="9")["cpus"].exit_code == 3


@pytest.mark.parametrize(
    ("changes", "grade"),
    [({}, "C"), ({"cpus": "0-1"}, "C"), ({"cpus": "9"}, None), ({"engine_error": EngineUnavailable("x")}, None)],
)
def test_the_best_grade(root: Path, changes: dict[str, Any], grade: str | None) -> None:
    machine = around(root, **changes)
    assert best_grade(machine, examine(machine)) == grade


@pytest.mark.parametrize("cpus", ["x", "1-0", ","])
def test_a_malformed_list_is_a_usage_error_and_not_a_finding(root: Path, cpus: str) -> None:
    with pytest.raises(UsageError):
        check_syntax(around(root, cpus=cpus))


def test_cpus_that_are_not_here_are_a_finding(root: Path) -> None:
    check_syntax(around(root, cpus="9"))
