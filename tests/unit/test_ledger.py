"""The ledger: kernel texts as they are, differences by hand, and a reason wherever there is no number."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from toolkit.ledger import (
    LedgerSampler,
    Snapshot,
    cgroup_files,
    ledger,
    read_pressure,
    read_stat,
    read_throttling,
    read_vmstat,
)

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "toolkit/model/schemas/ledger.schema.json").read_text(encoding="utf-8"))
HZ = os.sysconf("SC_CLK_TCK")
SECOND = 1_000_000_000
STAT = """cpu  1300 130 260 9000 50 13 26 39 0 0
cpu0 100 10 20 900 5 1 2 3 0 0
cpu1 1000 100 200 8000 40 10 20 30 0 0
cpu2 200 20 40 100 5 2 4 6 50 0
intr 1 2 3
ctxt 5
"""
V1 = "nr_periods 10\nnr_throttled 2\nthrottled_time 250000000\n"
V2 = "usage_usec 7000000\nuser_usec 5000000\nsystem_usec 2000000\nnr_periods 0\nnr_throttled 3\nthrottled_usec 500000\n"
PRESSURE = "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n"


def test_busy_and_steal_are_those_of_the_measured_cpus() -> None:
    assert read_stat(STAT, [0, 2]) == {"busy_seconds": (133 + 266) / HZ, "steal_seconds": 9 / HZ}


def test_an_absent_cpu_is_no_number() -> None:
    with pytest.raises(KeyError):
        read_stat(STAT, [7])


def test_swap_throttling_and_pressure() -> None:
    assert read_vmstat("nr_free_pages 1\npswpin 3\npswpout 4\n") == {"swap_in_pages": 3, "swap_out_pages": 4}
    assert read_throttling(V1) == {"throttled_periods": 2, "throttled_seconds": 0.25}
    assert read_throttling(V2) == {"throttled_periods": 3, "throttled_seconds": 0.5}
    assert read_pressure(PRESSURE) == {"pressure_cpu_seconds": 2.5}


def machine(root: Path, version: str) -> Path:
    """A made-up /proc and /sys with one container, whose agent is process 42."""
    (root / "proc/42").mkdir(parents=True)
    (root / "proc/pressure").mkdir()
    (root / "proc/stat").write_text(STAT)
    (root / "proc/vmstat").write_text("pswpin 0\npswpout 0\n")
    (root / "proc/pressure/cpu").write_text(PRESSURE)
    (root / "proc/42/stat").write_text("42 (agent (x)) S 1 1 1 0 -1 0 0 0 0 0 50 50 0 0 20 0 5 0 100 0 0\n")
    if version == "v1":
        (root / "proc/42/cgroup").write_text("4:memory:/docker/abc\n2:cpuacct:/docker/abc\n1:cpu:/docker/abc\n0::/\n")
        (root / "sys/fs/cgroup/cpu/docker/abc").mkdir(parents=True)
        (root / "sys/fs/cgroup/cpuacct/docker/abc").mkdir(parents=True)
        (root / "sys/fs/cgroup/cpu/docker/abc/cpu.stat").write_text(V1)
        used = root / "sys/fs/cgroup/cpuacct/docker/abc/cpuacct.usage_percpu"
        used.write_text(f"{SECOND // 2} {7 * SECOND} {SECOND // 4} \n")
    else:
        (root / "proc/42/cgroup").write_text("0::/system.slice/docker-abc.scope\n")
        (root / "sys/fs/cgroup/system.slice/docker-abc.scope").mkdir(parents=True)
        (root / "sys/fs/cgroup/system.slice/docker-abc.scope/cpu.stat").write_text(V2)
    return root


def test_v1_counts_our_time_on_the_measured_cpus(tmp_path: Path) -> None:
    taken = LedgerSampler("0,2", 42, agent_cpus="1", root=machine(tmp_path, "v1")).snapshot("t0")
    assert taken.problems == {}
    assert taken.ours_seconds == 0.75
    assert (taken.throttled_periods, taken.throttled_seconds) == (2, 0.25)


def test_v2_takes_the_agent_away_where_it_runs_elsewhere(tmp_path: Path) -> None:
    root = machine(tmp_path, "v2")
    assert LedgerSampler("0", 42, agent_cpus="1", root=root).snapshot("t0").ours_seconds == 7 - 100 / HZ
    assert LedgerSampler("0", 42, agent_cpus="0", root=root).snapshot("t0").ours_seconds == 7


def test_a_cgroup_path_is_found_for_either_version(tmp_path: Path) -> None:
    v1, v2 = machine(tmp_path / "1", "v1"), machine(tmp_path / "2", "v2")
    assert cgroup_files(42, v1).stat == v1 / "sys/fs/cgroup/cpu/docker/abc/cpu.stat"
    assert cgroup_files(42, v2).percpu is None
    assert cgroup_files(42, v2).stat.exists()


def test_what_cannot_be_read_has_a_reason_without_paths(tmp_path: Path) -> None:
    root = machine(tmp_path, "v2")
    (root / "proc/pressure/cpu").unlink()
    (root / "proc/vmstat").write_text("nr_free_pages 1\n")
    sampler = LedgerSampler("0", 43, root=root)
    sampler.snapshot("t0")
    taken = sampler.snapshot("window:0")
    assert taken.ours_seconds is None
    document = ledger(sampler.snapshots, windows=1)
    reasons = document["windows"][0]["reason_unavailable"]
    assert set(reasons) == {
        "throttled_periods",
        "throttled_seconds",
        "swap_in_pages",
        "swap_out_pages",
        "foreign_cpu_seconds",
        "pressure_cpu_seconds",
    }
    assert str(tmp_path) not in json.dumps(document)
    Draft202012Validator(SCHEMA).validate(document)


def snapshot(label: str, at: int, busy: float, ours: float, swap: int = 0) -> Snapshot:
    """A whole snapshot."""
    return Snapshot(label, at * SECOND, busy, 0.5 * at, swap, 0, ours, at, 0.25 * at, 1.0)


def test_windows_are_differences() -> None:
    taken = [
        snapshot("t0", 0, 100.0, 50.0),
        snapshot("window:0", 10, 109.5, 59.0),
        snapshot("window:1", 20, 119.5, 69.0, swap=8),
        snapshot("end", 25, 121.0, 70.0, swap=8),
    ]
    document = ledger(taken, windows=2)
    Draft202012Validator(SCHEMA).validate(document)
    first, second = document["windows"]
    assert first["foreign_cpu_seconds"] == pytest.approx(0.5)
    assert (first["throttled_periods"], first["throttled_seconds"], first["steal_seconds"]) == (10, 2.5, 5.0)
    assert (first["swap_in_pages"], second["swap_in_pages"]) == (0, 8)
    assert (first["seconds"], second["seconds"]) == (10.0, 10.0)
    assert first["reason_unavailable"] is None
    assert document["total"]["seconds"] == 25.0
    assert document["total"]["foreign_cpu_seconds"] == pytest.approx(1.0)


def test_a_rest_below_nothing_is_nothing() -> None:
    document = ledger([snapshot("t0", 0, 1.0, 1.0), snapshot("window:0", 10, 10.99, 11.0)], windows=1)
    assert document["windows"][0]["foreign_cpu_seconds"] == 0.0


def test_a_missing_snapshot_is_named() -> None:
    document = ledger([snapshot("t0", 0, 1.0, 1.0), snapshot("window:1", 20, 2.0, 2.0)], windows=2)
    Draft202012Validator(SCHEMA).validate(document)
    assert document["windows"][0]["seconds"] is None
    assert document["windows"][0]["reason_unavailable"]["steal_seconds"] == "no snapshot was taken at window:0"


def test_a_launch_without_t0_has_an_empty_ledger() -> None:
    document = ledger([], windows=0)
    Draft202012Validator(SCHEMA).validate(document)
    assert document["windows"] == []
    assert document["total"]["reason_unavailable"]["steal_seconds"] == "no snapshot was taken at t0"


def test_this_machine_can_be_read() -> None:
    cpu = str(min(os.sched_getaffinity(0)))
    taken = LedgerSampler(cpu, os.getpid()).snapshot("t0")
    assert taken.busy_seconds is not None
    assert taken.busy_seconds > 0
    assert taken.swap_in_pages is not None


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
