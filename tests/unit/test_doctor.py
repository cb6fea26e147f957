"""The doctor's properties, on machines that are written down."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from toolkit.engine.fake import FakeEngine
from toolkit.engine.port import EngineFacts
from toolkit.errors import EngineUnavailable, UsageError
from toolkit.host.checks import (
    GROUPS,
    PROPERTIES,
    Finding,
    Property,
    Surroundings,
    best_grade,
    check_syntax,
    examine,
)
from toolkit.host.load import Load, Reading
from toolkit.host.topology import Topology

FACTS: EngineFacts = FakeEngine().engine_facts
MEMINFO = "MemTotal: 8388608 kB\nMemAvailable: {free} kB\nSwapTotal: {swap} kB\nSwapFree: {swap_free} kB\n"
V3 = "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3 avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"
TWO_NODES = Topology(tuple(range(8)), {0: (0, 1, 2, 3), 1: (4, 5, 6, 7)}, 8 << 30)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    room = shutil.disk_usage(tmp_path)._replace(free=100 << 30)  # whatever this machine's disk has left
    monkeypatch.setattr("toolkit.host.checks.tools.shutil.disk_usage", lambda _path: room)
    (tmp_path / "proc").mkdir()
    write(tmp_path, "proc/meminfo", MEMINFO.format(free=4 << 20, swap=0, swap_free=0))
    write(tmp_path, "proc/cpuinfo", f"processor: 0\nflags: fpu {V3}\n\nprocessor: 1\nflags: fpu\n")
    write(tmp_path, "proc/pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n")
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


CPU = "sys/devices/system/cpu"


def reading(seconds: float, busy: int = 0, steal: int = 0, interrupts: int = 0) -> Reading:
    """Both CPUs counted the same."""
    counts = {name: dict.fromkeys((0, 1), value) for name, value in (("b", busy), ("s", steal), ("i", interrupts))}
    total = dict.fromkeys((0, 1), 10_000)
    return Reading(seconds, counts["b"], counts["s"], total, counts["i"])


def look(**last: int) -> Load:
    """A second between two readings; the first one is all zeros."""
    return Load(reading(0.0), reading(1.0, **last))


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
    assert {one.group for one in found} == set(GROUPS)


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
    (
        "cgroup",
        "fail",
        "Delegate=",
        {"engine": replace(FACTS, rootless=True, cgroup_version="2", missing_controllers=("cpuset",))},
    ),
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


SWAPS = "Filename\tType\tSize\tUsed\tPriority\n/dev/vda2  partition\t2048\t{used}\t-2\n"


def test_swap_is_shown_where_there_is_any_and_warned_of_where_it_is_used(root: Path) -> None:
    assert findings(root)["swap"].state == "absent"
    write(root, "proc/swaps", SWAPS.format(used=0))
    assert (findings(root)["swap"].state, findings(root)["swap"].found) == ("ok", "2 MiB, 0 B in use")
    write(root, "proc/swaps", SWAPS.format(used=1024))
    assert (findings(root)["swap"].state, findings(root)["swap"].found) == ("warn", "2 MiB, 1 MiB in use")


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


def test_a_disk_with_little_room_is_a_warning(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = shutil.disk_usage(root)._replace(free=1 << 20)
    monkeypatch.setattr("toolkit.host.checks.tools.shutil.disk_usage", lambda _path: full)
    found = findings(root)
    assert [found[name].state for name in ("disk.store", "disk.runs")] == ["warn", "warn"]


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
    [({}, "A"), ({"cpus": "0-1"}, "C"), ({"cpus": "9"}, None), ({"engine_error": EngineUnavailable("x")}, None)],
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


def machine(**parts: Any) -> Topology:
    """Two CPUs of one node, and what else is said of them."""
    return Topology((0, 1), {0: (0, 1)}, 8 << 30, **parts)


HYBRID = machine(classes=(("P", (0,)), ("E", (1,))))

WORKQUEUES = "sys/devices/virtual/workqueue/cpumask"


def state(cpu: int, number: int, name: str, latency: int, disable: int = 0) -> dict[str, str]:
    """The files of one idle state of one CPU."""
    folder = f"{CPU}/cpu{cpu}/cpuidle/state{number}"
    return {f"{folder}/name": name, f"{folder}/latency": str(latency), f"{folder}/disable": str(disable)}


FILES: list[tuple[str, str, str, str, dict[str, str], dict[str, Any]]] = [
    ("smt", "warn", "keep it idle", "other thread of CPU 0 is 1", {f"{CPU}/smt/control": "on"},
     {"topology": machine(cores=((0, 1),))}),
    ("smt", "ok", "", "is not online", {}, {"topology": machine(cores=((0, 1),)), "cpus": "0-1"}),
    ("smt", "ok", "", "off; the other thread", {f"{CPU}/smt/control": "off"}, {}),
    ("cpus", "warn", "fewer cores", "CPUs 0-1", {}, {"topology": machine(cores=((0, 1),)), "cpus": "0"}),
    ("l3", "warn", "several L3", "CPUs 0; CPUs 1", {}, {"topology": machine(caches=((0,), (1,))), "cpus": "0-1"}),
    ("l3", "ok", "", "CPUs 0-1", {}, {"topology": machine(caches=((0, 1),))}),
    ("hybrid", "warn", "(P, E)", "P cores: CPUs 0; E cores", {}, {"topology": HYBRID, "cpus": "0-1"}),
    ("hybrid", "ok", "", "P cores: CPUs 0", {}, {"topology": HYBRID, "cpus": "1"}),
    ("isolated", "warn", "isolcpus", "isolcpus 0", {}, {"topology": machine(isolated=(0,))}),
    ("isolated", "warn", "nohz_full", "nohz_full 0-1", {}, {"topology": machine(nohz_full=(0, 1))}),
    ("isolated", "ok", "", "isolcpus 1", {}, {"topology": machine(isolated=(1,))}),
    ("governor", "warn", "cpupower", "powersave on CPU 1",
     {f"{CPU}/cpu0/cpufreq/scaling_governor": "performance", f"{CPU}/cpu1/cpufreq/scaling_governor": "powersave"},
     {"cpus": "0-1"}),
    ("energy_preference", "warn", "--epp", "balance_power",
     {f"{CPU}/cpu0/cpufreq/energy_performance_preference": "balance_power"}, {}),
    ("turbo", "warn", "echo 1", "on", {f"{CPU}/intel_pstate/no_turbo": "0"}, {}),
    ("turbo", "warn", "echo 0", "on", {f"{CPU}/cpufreq/boost": "1"}, {}),
    ("turbo", "ok", "", "off", {f"{CPU}/intel_pstate/no_turbo": "1"}, {}),
    ("throttled", "warn", "too hot", "7 times", {f"{CPU}/cpu0/thermal_throttle/core_throttle_count": "7"}, {}),
    ("throttled", "ok", "", "0 times", {f"{CPU}/cpu0/thermal_throttle/core_throttle_count": "0"}, {}),
    ("idle", "warn", "idle-set -D 50", "deepest C6, 133 us to wake up (intel_idle)",
     {f"{CPU}/cpuidle/current_driver": "intel_idle", **state(0, 0, "POLL", 0), **state(0, 1, "C1", 2),
      **state(0, 2, "C6", 133)}, {}),
    ("idle", "ok", "", "deepest C1, 2 us to wake up",
     {**state(0, 0, "POLL", 0), **state(0, 1, "C1", 2), **state(0, 2, "C6", 133, disable=1)}, {}),
    ("idle", "warn", "C8", "deepest C8, 200 us", {**state(0, 0, "POLL", 0), **state(1, 0, "C8", 200)}, {"cpus": "0-1"}),
    ("idle", "absent", "", "not here", {f"{CPU}/cpuidle/current_driver": "none"}, {}),
    ("workqueues", "ok", "", "on CPUs 0-1: it may come to CPU 0", {WORKQUEUES: "3"}, {}),
    ("workqueues", "ok", "", "on CPUs 1: it does not come to CPU 0", {WORKQUEUES: "2"}, {}),
    ("workqueues", "warn", "gathered on few CPUs", "on CPUs 0: it may come to CPU 0", {WORKQUEUES: "ffffffff,00000001"},
     {}),
    ("workqueues", "absent", "", "not here", {WORKQUEUES: "no mask"}, {}),
    ("nmi_watchdog", "ok", "kernel.nmi_watchdog=0", "on, CPU 0", {"proc/sys/kernel/nmi_watchdog": "1"}, {}),
    ("nmi_watchdog", "ok", "", "not on the CPUs in question",
     {"proc/sys/kernel/nmi_watchdog": "1", "proc/sys/kernel/watchdog_cpumask": "1"}, {}),
    ("nmi_watchdog", "ok", "", "off", {"proc/sys/kernel/nmi_watchdog": "0"}, {}),
    ("power", "warn", "plug it in", "BAT0 discharging",
     {"sys/class/power_supply/BAT0/type": "Battery", "sys/class/power_supply/BAT0/status": "Discharging"}, {}),
    ("power", "absent", "", "not here",
     {"sys/class/power_supply/mouse/type": "Battery", "sys/class/power_supply/mouse/scope": "Device"}, {}),
    ("clocksource", "warn", "dmesg", "hpet",
     {"sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet"}, {}),
    ("clocksource", "ok", "", "tsc", {"sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc"}, {}),
    ("clock_kept", "ok", "set-ntp", "not synchronised", {}, {"clock_synchronised": False}),
    ("clock_kept", "ok", "", "synchronised", {}, {"clock_synchronised": True}),
    ("zswap", "ok", "", "on", {"sys/module/zswap/parameters/enabled": "Y"}, {}),
    ("zswap", "warn", "echo N", "on",
     {"sys/module/zswap/parameters/enabled": "Y", "proc/swaps": SWAPS.format(used=0)}, {}),
    ("thp", "warn", "tune --only thp", "enabled always",
     {"sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never"}, {}),
    ("ksm", "warn", "tune --only ksm", "on", {"sys/kernel/mm/ksm/run": "1"}, {}),
    ("numa_balancing", "warn", "numa_balancing", "on", {"proc/sys/kernel/numa_balancing": "1"},
     {"topology": TWO_NODES}),
    ("numa_balancing", "ok", "", "on", {"proc/sys/kernel/numa_balancing": "1"}, {}),
    ("aslr", "warn", "do not disable", "1", {"proc/sys/kernel/randomize_va_space": "1"}, {}),
    ("aslr", "ok", "", "2", {"proc/sys/kernel/randomize_va_space": "2"}, {}),
    ("mitigations", "ok", "", "1 of 2 at work; vulnerable: b",
     {f"{CPU}/vulnerabilities/a": "Mitigation: PTI", f"{CPU}/vulnerabilities/b": "Vulnerable: no microcode"}, {}),
    ("selinux", "warn", "chcon", "enforcing", {"sys/fs/selinux/enforce": "1"},
     {"engine": replace(FACTS, security_options=("name=seccomp", "name=selinux"))}),
    ("selinux", "ok", "", "not labelled", {"sys/fs/selinux/enforce": "1"}, {}),
    ("perf", "ok", "", "100000", {"proc/sys/kernel/perf_event_max_sample_rate": "100000"}, {}),
    ("wsl", "warn", "grade B", "WSL2", {"proc/sys/kernel/osrelease": "5.15.90-microsoft-standard-WSL2"}, {}),
    ("desktop", "warn", "virtual machine", "Docker Desktop", {},
     {"engine": replace(FACTS, operating_system="Docker Desktop")}),
    ("cgroup", "ok", "", "version 1, driver systemd", {}, {"engine": replace(FACTS, cgroup_driver="systemd")}),
    ("time_namespace", "ok", "clock", "its own", {}, {"engine": replace(FACTS, version="29.5.0")}),
    ("time_namespace", "absent", "", "not here", {}, {"engine": replace(FACTS, version="29.4.9")}),
    ("irq", "ok", "", "1 of 2 may come to CPU 0",
     {"proc/irq/4/smp_affinity_list": "0-1", "proc/irq/5/smp_affinity_list": "1"}, {}),
    ("load", "warn", "others work", "CPU 0 50% busy", {}, {"load": look(busy=50)}),
    ("load", "ok", "", "5% busy", {}, {"load": look(busy=5)}),
    ("steal", "warn", "hypervisor", "1.0% now", {}, {"load": look(steal=1)}),
    ("steal", "ok", "", "0.0% now, 0.00% since boot", {}, {"load": look()}),
    ("interrupts", "warn", "tune --only irq --cpus 0", "500/s", {}, {"load": look(interrupts=500)}),
    ("interrupts", "warn", "stop irqbalance", "irqbalance runs", {"proc/812/comm": "irqbalance"}, {"load": look()}),
    ("interrupts", "ok", "", "9/s on CPU 0", {}, {"load": look(interrupts=9)}),
]  # fmt: skip


@pytest.mark.parametrize("case", FILES, ids=[f"{case[0]}-{case[1]}-{case[3]}" for case in FILES])
def test_each_property_by_the_kernels_own_files(
    root: Path, case: tuple[str, str, str, str, dict[str, str], dict[str, Any]]
) -> None:
    name, state, advice, shown, files, changes = case
    for path, text in files.items():
        write(root, path, text + "\n")
    found = findings(root, **changes)[name]
    assert (found.state, shown in found.found, advice in found.advice) == (state, True, True), found
    assert bool(found.advice) == bool(advice)


def test_every_property_is_shown_present_by_some_test() -> None:
    """A property that no test ever saw present could be dead without anybody noticing."""
    elsewhere = {"engine", "swap_accounting", "seccomp", "apparmor", "architecture", "cpu_level", "virtualization",
                 "container", "cpus", "memory_nodes", "memory", "swap", "pressure", "rights", "tuned", "lanes",
                 "disk.store", "disk.runs", "client.apt", "client.pip"}  # fmt: skip
    shown = {name for name, state, *_ in FILES if state != "absent"}
    assert shown | elsewhere == {kind.id for kind in PROPERTIES}


def test_without_pressure_files_the_boot_option_is_named(root: Path) -> None:
    (root / "proc/pressure/cpu").unlink()
    assert findings(root)["pressure"].state == "warn"
    assert "psi=1" in findings(root)["pressure"].advice


@pytest.mark.parametrize(
    ("pid", "cgroup", "state"),
    [
        ("pid:[4026531836]", "cgroup:[4026531835]", "absent"),
        ("pid:[4026532180]", "cgroup:[4026532181]", "warn"),
        ("pid:[4026531836]", "cgroup:[4026532181]", "warn"),
    ],
)
def test_a_container_is_known_by_its_namespaces(root: Path, pid: str, cgroup: str, state: str) -> None:
    (root / "proc/self/ns").mkdir(parents=True)
    (root / "proc/self/ns/pid").symlink_to(pid)
    (root / "proc/self/ns/cgroup").symlink_to(cgroup)
    write(root, ".dockerenv", "")  # a file anybody can copy to a machine
    write(root, "proc/self/cgroup", "0::/\n")
    found = findings(root)["container"]
    assert found.state == state
    assert state == "absent" or ("CPUs 0-1" in found.found and "on the host itself" in found.advice)


def test_a_look_that_cannot_be_had_is_no_finding(root: Path) -> None:
    blind = Load(Reading(0.0), Reading(1.0))
    found = findings(root, load=blind)
    assert {found[name].state for name in ("load", "steal", "interrupts")} == {"absent"}
