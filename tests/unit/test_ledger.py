"""The ledger: kernel texts as they are, differences by hand, and a reason wherever there is no number."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from toolkit.ledger import Judged, LedgerSampler, Observed, Snapshot, ledger, snapshot_cost
from toolkit.ledger.sources import Sources, cgroup_files
from toolkit.ledger.texts import (
    read_interrupts,
    read_oom_kills,
    read_pressure,
    read_schedstat,
    read_stat,
    read_throttling,
    read_usage_percpu,
    read_vmstat,
    tightest,
)
from toolkit.model.evidence import Sample
from toolkit.model.interference import QUANTITIES, default_budget, markdown

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "toolkit/model/schemas/ledger.schema.json").read_text(encoding="utf-8"))
NAMES = [one.id for one in QUANTITIES]
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
VMSTAT = "nr_free_pages 1\npswpin 3\npswpout 4\npgmajfault 11\noom_kill 2\n"
INTERRUPTS = """           CPU0       CPU2       CPU7
  1:          5          6          7  IO-APIC   1-edge      i8042
 24:         10         20         30  PCI-MSIX-0000:00:01.0   0-edge      virtio0
LOC:        100        200        300  Local timer interrupts
ERR:          9
"""
SOFTIRQS = "                    CPU0       CPU2       CPU7\n       TIMER:          1          2          3\n"
SCHEDSTAT = """version 17
timestamp 4294892296
cpu0 0 0 100 50 90 80 7000000000 250000000 40
domain0 MC 03 1 2 3
cpu1 0 0 1 1 1 1 1 1000000000 2
"""


def test_idle_steal_and_interrupts_are_those_of_the_measured_cpus() -> None:
    found = read_stat(STAT, [0, 2])
    assert found == {
        "idle_seconds": (905 + 105) / HZ,
        "steal_seconds": 9 / HZ,
        "irq_seconds": 3 / HZ,
        "softirq_seconds": 6 / HZ,
        "context_switches": 5,
    }


def test_an_absent_cpu_is_no_number() -> None:
    with pytest.raises(KeyError):
        read_stat(STAT, [7])
    with pytest.raises(KeyError):
        read_interrupts(INTERRUPTS, [1])
    with pytest.raises(IndexError):
        read_usage_percpu("1 2 \n", [2])


def test_swap_throttling_pressure_and_kills() -> None:
    assert read_vmstat(VMSTAT) == {
        "swap_in_pages": 3,
        "swap_out_pages": 4,
        "machine_major_faults": 11,
        "machine_oom_kills": 2,
    }
    assert read_throttling(V1) == {"throttled_periods": 2, "throttled_seconds": 0.25}
    assert read_throttling(V2) == {"throttled_periods": 3, "throttled_seconds": 0.5}
    assert read_pressure(PRESSURE) == {"some": 2.5, "full": 9e-6}
    assert read_oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n") == 3
    assert read_oom_kills("low 0\nhigh 0\nmax 5\noom 4\noom_kill 1\noom_group_kill 0\n") == 1


def test_interrupts_go_by_the_column_of_the_cpu_not_by_its_number() -> None:
    assert read_interrupts(INTERRUPTS, [2, 7]) == {"all": 6 + 7 + 20 + 30 + 200 + 300, "devices": 6 + 7 + 20 + 30}
    assert read_interrupts(SOFTIRQS, [7]) == {"all": 3, "devices": 0}


def test_run_queues_of_the_measured_cpus() -> None:
    assert read_schedstat(SCHEDSTAT, [0, 1]) == {"cpu_run_queue_wait_seconds": 1.25, "timeslices": 42}


def test_a_clock_reading_that_was_interrupted_does_not_count() -> None:
    assert tightest([(100, 7_000, 9_000), (200, 1_201, 202), (300, 5_000, 8_000)]) == 1_000


def machine(root: Path, version: str) -> Path:
    """A made-up /proc and /sys with one container, whose agent is process 42."""
    files = {
        "proc/stat": STAT,
        "proc/vmstat": VMSTAT,
        "proc/interrupts": INTERRUPTS,
        "proc/softirqs": SOFTIRQS,
        "proc/42/stat": "42 (agent (x)) S 1 1 1 0 -1 0 0 0 0 0 50 50 0 0 20 0 5 0 100 0 0\n",
        "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
    }
    files |= {f"proc/pressure/{name}": PRESSURE for name in ("cpu", "memory", "io")}
    if version == "v1":
        groups = "sys/fs/cgroup"
        files |= {
            "proc/42/cgroup": "4:memory:/docker/abc\n2:cpuacct:/docker/abc\n1:cpu:/docker/abc\n0::/\n",
            f"{groups}/cpu/docker/abc/cpu.stat": V1,
            f"{groups}/cpuacct/docker/abc/cpuacct.usage_percpu": f"{SECOND // 2} {7 * SECOND} {SECOND // 4} \n",
            f"{groups}/cpuacct/cpuacct.usage_percpu": f"{3 * SECOND} {9 * SECOND} {2 * SECOND} \n",
            f"{groups}/cpuacct/release_agent": "",
            f"{groups}/memory/docker/abc/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n",
        }
    else:
        group = "sys/fs/cgroup/system.slice/docker-abc.scope"
        files |= {
            "proc/42/cgroup": "0::/system.slice/docker-abc.scope\n",
            "proc/pressure/irq": "full avg10=0.00 avg60=0.00 avg300=0.00 total=4000000\n",
            "proc/schedstat": SCHEDSTAT,
            f"{group}/cpu.stat": V2,
            f"{group}/memory.events": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 1\noom_group_kill 0\n",
        }
        files |= {f"{group}/{name}.pressure": PRESSURE for name in ("cpu", "memory", "io")}
        files |= {f"{group}/irq.pressure": "full avg10=0.00 avg60=0.00 avg300=0.00 total=3000000\n"}
        for cpu in (0, 2):
            folder = f"sys/devices/system/cpu/cpu{cpu}"
            files |= {
                f"{folder}/cpufreq/scaling_cur_freq": f"{1_000_000 + cpu * 500_000}\n",
                f"{folder}/thermal_throttle/core_throttle_count": "1\n",
                f"{folder}/thermal_throttle/package_throttle_count": "2\n",
            }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_v1_counts_our_time_and_everybodys_on_the_measured_cpus(tmp_path: Path) -> None:
    sampler = LedgerSampler(Observed("0,2", 42, agent_cpus="1", idle_cpus="1"), machine(tmp_path, "v1"))
    assert sampler.method == "cpuacct"
    values = sampler.snapshot("t0").values
    assert values["ours_cpu_seconds"] == 0.75
    assert values["total_cpu_seconds"] == 5
    assert values["sibling_cpu_seconds"] == 9
    assert (values["throttled_periods"], values["throttled_seconds"]) == (2, 0.25)
    assert values["oom_kills"] == 0
    assert values["interrupts"] == (5 + 10 + 100) + (6 + 20 + 200)


def test_a_group_of_v1_that_is_not_the_root_does_not_count_everybody(tmp_path: Path) -> None:
    root = machine(tmp_path, "v1")
    (root / "sys/fs/cgroup/cpuacct/release_agent").unlink()
    assert Sources(Observed("0", 42), root).method == "proc-stat"


def test_v2_takes_the_agent_away_where_it_runs_elsewhere(tmp_path: Path) -> None:
    root = machine(tmp_path, "v2")
    assert Sources(Observed("0", 42, agent_cpus="1"), root).our_time() == {"ours_cpu_seconds": 7 - 100 / HZ}
    assert Sources(Observed("0", 42, agent_cpus="0"), root).our_time() == {"ours_cpu_seconds": 7}


def test_what_shares_the_measured_cpus_is_ours(tmp_path: Path) -> None:
    root = machine(tmp_path, "v2")
    alone = Sources(Observed("0", 42, agent_cpus="0"), root).our_time()["ours_cpu_seconds"]
    beside = Sources(Observed("0", 42, backend_pid=42, agent_cpus="0"), root).our_time()["ours_cpu_seconds"]
    with_host = Sources(Observed("0", 42, agent_cpus="0", host_shares=True), root).our_time()["ours_cpu_seconds"]
    assert beside == 2 * float(alone)
    assert float(with_host) > float(alone)


def test_v2_has_what_v1_lacks(tmp_path: Path) -> None:
    sampler = LedgerSampler(Observed("0,2", 42), machine(tmp_path, "v2"))
    taken = sampler.snapshot("t0")
    assert taken.values["container_pressure_memory_some_seconds"] == 2.5
    assert taken.values["container_pressure_irq_full_seconds"] == 3
    assert taken.values["pressure_irq_full_seconds"] == 4
    assert taken.values["oom_kills"] == 1
    assert taken.values["frequency_mean_hz"] == 1.5e9
    assert taken.values["frequency_lowest_hz"] == 1e9
    assert taken.values["thermal_throttles"] == 6
    assert taken.problems == {
        "sibling_cpu_seconds": "the plan keeps no siblings idle",
        "timeslices": "the kernel's file has not the field",
        "cpu_run_queue_wait_seconds": "the kernel's file has not the field",
    }


def test_a_cgroup_path_is_found_for_either_version(tmp_path: Path) -> None:
    v1, v2 = machine(tmp_path / "1", "v1"), machine(tmp_path / "2", "v2")
    assert cgroup_files(42, v1).stat == v1 / "sys/fs/cgroup/cpu/docker/abc/cpu.stat"
    assert cgroup_files(42, v2).percpu is None
    for version, root in ((1, v1), (2, v2)):
        files = cgroup_files(42, root)
        assert files.stat.exists()
        assert files.oom.exists()
        assert (files.pressure is None) == (version == 1)


def judged(windows: int, **changes: Any) -> Judged:
    """Windows of 10 s on one CPU, the default budget, no rest."""
    values: dict[str, Any] = {
        "windows": windows,
        "window_seconds": 10.0,
        "rest": not windows,
        "budget": default_budget(),
        "cpus": 1,
    }
    return Judged(**{**values, **changes})


def test_what_cannot_be_read_has_a_reason_without_paths(tmp_path: Path) -> None:
    root = machine(tmp_path, "v2")
    (root / "proc/pressure/cpu").unlink()
    (root / "proc/vmstat").write_text("nr_free_pages 1\n")
    sampler = LedgerSampler(Observed("0", 43), root)
    sampler.snapshot("t0")
    sampler.snapshot("window:0")
    document = ledger(sampler.snapshots, judged(1))
    (row,) = document["windows"]
    for name in ("throttled_periods", "swap_in_pages", "foreign_cpu_seconds", "pressure_cpu_some_seconds", "oom_kills"):
        assert row[name] is None
        assert row["reason_unavailable"][name]
    assert all((row[name] is None) == (name in row["reason_unavailable"]) for name in NAMES)
    assert {"foreign_cpu_share", "throttled_periods", "swap_pages_hz"} <= set(row["unjudged"])
    assert not row["tainted"]
    assert str(tmp_path) not in json.dumps(document)
    Draft202012Validator(SCHEMA).validate(document)


def counters(total: float, ours: float, **more: float | str) -> dict[str, float | str]:
    """A whole snapshot's values, quiet but for what is given."""
    quiet: dict[str, float | str] = dict.fromkeys(NAMES, 0)
    offsets = dict.fromkeys(("wall_offset_seconds", "boot_offset_seconds", "raw_offset_seconds"), 0.0)
    return {**quiet, **offsets, "clock_source": "tsc", "total_cpu_seconds": total, "ours_cpu_seconds": ours, **more}


def snapshot(label: str, at: float, total: float, ours: float, **more: float | str) -> Snapshot:
    """A snapshot at some second."""
    return Snapshot(label, round(at * SECOND), counters(total, ours, **more))


def test_windows_are_differences() -> None:
    taken = [
        snapshot("t0", 0, 100.0, 50.0),
        snapshot("window:0", 10, 109.5, 59.0, throttled_periods=10, throttled_seconds=2.5),
        snapshot("window:1", 20, 119.5, 69.0, swap_in_pages=8, throttled_periods=10, throttled_seconds=2.5),
        snapshot("end", 25, 121.0, 70.0, swap_in_pages=8, throttled_periods=10, throttled_seconds=2.5),
    ]
    document = ledger(taken, judged(2, rest=True))
    Draft202012Validator(SCHEMA).validate(document)
    first, second = document["windows"]
    assert first["foreign_cpu_seconds"] == pytest.approx(0.5)
    assert (first["throttled_periods"], first["throttled_seconds"], second["throttled_periods"]) == (10, 2.5, 0)
    assert (first["swap_in_pages"], second["swap_in_pages"]) == (0, 8)
    assert (first["seconds"], second["seconds"], document["rest"]["seconds"]) == (10.0, 10.0, 5.0)
    assert document["rest"]["foreign_cpu_seconds"] == pytest.approx(0.5)
    assert document["total"]["seconds"] == 25.0
    assert document["total"]["foreign_cpu_seconds"] == pytest.approx(1.0)
    assert "tainted" not in document["total"]


def test_a_rest_below_nothing_is_nothing() -> None:
    document = ledger([snapshot("t0", 0, 1.0, 1.0), snapshot("window:0", 10, 10.99, 11.0)], judged(1))
    assert document["windows"][0]["foreign_cpu_seconds"] == 0.0


def test_130_clocks_that_were_set_steered_or_stopped_are_told_apart() -> None:
    taken = [
        snapshot("t0", 0, 0, 0),
        snapshot("window:0", 10, 0, 0, wall_offset_seconds=-0.5, raw_offset_seconds=-0.004),
        snapshot("window:1", 20, 0, 0, wall_offset_seconds=-0.5, raw_offset_seconds=-0.004, clock_source="hpet"),
        snapshot("window:2", 30, 0, 0, wall_offset_seconds=3.5, boot_offset_seconds=4.0, clock_source="hpet"),
    ]
    first, second, third = ledger(taken, judged(3))["windows"]
    assert first["clock_step_seconds"] == 0.5
    assert first["clock_slew_seconds"] == pytest.approx(0.004)
    assert [row["clock_source_changes"] for row in (first, second, third)] == [0, 1, 0]
    assert third["suspended_seconds"] == 4.0
    assert [one["what"] for one in third["taints"]] == ["clock_step_seconds", "suspended_seconds"]


def test_the_programs_own_waits_come_from_the_agents_samples() -> None:
    def sample(second: float, waited_ns: int, faults: int) -> Sample:
        fields = dict.fromkeys(Sample._fields, 0)
        return Sample(
            **fields | {"monotonic_ns": round(second * SECOND), "run_queue_wait_ns": waited_ns, "major_faults": faults}
        )

    taken = [snapshot("t0", 10, 0, 0), snapshot("window:0", 20, 0, 0), snapshot("window:1", 30, 0, 0)]
    samples = [sample(9.9, SECOND, 1), sample(19.9, 3 * SECOND, 4), sample(27.0, 4 * SECOND, 4)]
    samples[1] = samples[1]._replace(context_switches_voluntary=70, context_switches_involuntary=8)
    first, second = ledger(taken, judged(2, samples=samples))["windows"]
    assert (first["run_queue_wait_seconds"], first["major_faults"]) == (2.0, 3)
    assert (first["voluntary_switches"], first["involuntary_switches"]) == (70, 8)
    assert second["run_queue_wait_seconds"] is None
    assert "no sample" in second["reason_unavailable"]["run_queue_wait_seconds"]


def test_time_in_the_container_that_is_neither_the_programs_nor_its_agents_is_foreign() -> None:
    def sample(second: float, group: float, program: float, agent: float) -> Sample:
        spent = {"cgroup_cpu_ns": group, "cpu_user_ns": program, "agent_cpu_ns": agent}
        fields = dict.fromkeys(Sample._fields, 0) | {name: round(value * SECOND) for name, value in spent.items()}
        return Sample(**fields | {"monotonic_ns": round(second * SECOND)})

    # By the group's own account all of it is ours: 4 s of 4 s, then 6.5 s of 6.6 s.
    taken = [snapshot("t0", 10, 0, 0), snapshot("window:0", 20, 4.0, 4.0), snapshot("window:1", 30, 10.6, 10.5)]
    samples = (sample(9.9, 1.0, 0.9, 0.1), sample(19.9, 5.0, 4.8, 0.2), sample(29.9, 11.5, 8.3, 0.3))
    first, second = ledger(taken, judged(2, samples=samples))["windows"]
    assert first["foreign_cpu_seconds"] == pytest.approx(0.0)
    assert second["foreign_cpu_seconds"] == pytest.approx(0.1 + 2.9)
    assert not first["tainted"]
    assert [one["what"] for one in second["taints"]] == ["foreign_cpu_share"]
    unknown = ledger(taken, judged(2))["windows"][1]
    assert unknown["foreign_cpu_seconds"] == pytest.approx(0.1)


def late(*rows: tuple[str, float, float], lead: bool = True, **changes: Any) -> list[dict[str, Any]]:
    """Windows of 10 s from second 10 on; each row: label, when it was taken, foreign seconds so far."""
    first = [snapshot("start", 6, 0, 0)] if lead else []
    taken = first + [snapshot(label, at, foreign, 0, steal_seconds=0) for label, at, foreign in rows]
    windows: list[dict[str, Any]] = ledger(taken, judged(len(rows) - 1, t0_ns=10 * SECOND, **changes))["windows"]
    return windows


def foreign_of(row: dict[str, Any]) -> float | None:
    """The share of foreign CPU that it is tainted by."""
    found = [one["found"] for one in row["taints"] if one["what"] == "foreign_cpu_share"]
    return found[0] if found else None


def test_what_a_neighbour_did_before_a_late_snapshot_counts_for_both_windows() -> None:
    # It ran for 1.3 s from second 20 on; the host looked at second 21.5.
    on_time = late(("t0", 10, 0.0), ("window:0", 20.04, 0.04), ("window:1", 30, 1.3))
    assert [row["tainted"] for row in on_time] == [False, True]
    assert [row["late_seconds"] for row in on_time] == [0, 0]
    rows = late(("t0", 10, 0.0), ("window:0", 21.5, 1.3), ("window:1", 30, 1.3))
    assert [row["late_seconds"] for row in rows] == [0, 1.5]
    assert foreign_of(rows[1]) == pytest.approx(1.3 / 10)
    assert rows[1]["foreign_cpu_seconds"] == 0


def test_no_more_counts_for_both_than_fits_into_the_lateness() -> None:
    rows = late(("t0", 10, 0.0), ("window:0", 20.1, 8.0), ("window:1", 30, 8.05))
    assert [row["tainted"] for row in rows] == [True, False]  # 0.1 s and 0.05 s of 10 s
    rows = late(("t0", 10, 0.0), ("window:0", 20.1, 8.0), ("window:1", 30, 8.15))
    assert foreign_of(rows[1]) == pytest.approx(0.025)


def test_before_the_first_window_the_warm_up_counts() -> None:
    (row,) = late(("t0", 11.35, 1.0), ("window:0", 20, 1.0))
    assert foreign_of(row) == pytest.approx(0.1)
    (row,) = late(("t0", 11.35, 0.0), ("window:0", 20, 0.0), lead=False)
    assert not row["tainted"]
    assert {"foreign_cpu_share", "steal_share"} <= set(row["unjudged"])


def test_other_taints_of_the_piece_before_are_carried_over_a_late_snapshot() -> None:
    for at, count in ((20.04, 0), (20.2, 1)):
        taken = [
            snapshot("t0", 10, 0, 0, oom_kills=0),
            snapshot("window:0", at, 0, 0, oom_kills=1),
            snapshot("window:1", 30, 0, 0, oom_kills=1),
        ]
        rows = ledger(taken, judged(2, t0_ns=10 * SECOND))["windows"]
        assert [one["what"] for one in rows[1]["taints"]] == ["oom_kills"] * count


def test_a_missing_snapshot_is_named() -> None:
    document = ledger([snapshot("t0", 0, 1.0, 1.0), snapshot("window:1", 20, 2.0, 2.0)], judged(2))
    Draft202012Validator(SCHEMA).validate(document)
    assert document["windows"][0]["seconds"] is None
    assert document["windows"][0]["reason_unavailable"]["steal_seconds"] == "no snapshot was taken at window:0"
    assert "foreign_cpu_share" in document["windows"][0]["unjudged"]


def test_the_end_serves_for_the_last_window_only_when_it_came_after_it() -> None:
    for at, seen in ((20.001, 10.001), (17.0, None)):
        taken = [snapshot("t0", 0, 0, 0), snapshot("window:0", 10, 0, 0), snapshot("end", at, 0, 0)]
        row = ledger(taken, judged(2))["windows"][1]
        assert row["seconds"] == (pytest.approx(seen) if seen else None)


def test_a_last_window_ends_with_the_program_that_was_gone_before_its_own_snapshot() -> None:
    lost = {"ours_cpu_seconds": "No such process"}
    gone = Snapshot("window:0", round(10.3 * SECOND), {"total_cpu_seconds": 9.0}, lost)
    taken = [snapshot("t0", 0, 0, 0), snapshot("end", 10.01, 3.0, 2.9), gone]
    (row,) = ledger(taken, judged(1))["windows"]
    assert row["foreign_cpu_seconds"] == pytest.approx(0.1)
    assert row["unjudged"] == []


def test_a_launch_without_t0_has_an_empty_ledger() -> None:
    document = ledger([], judged(0))
    Draft202012Validator(SCHEMA).validate(document)
    assert document["windows"] == []
    assert document["total"]["reason_unavailable"]["steal_seconds"] == "no snapshot was taken at t0"
    assert document["rest"]["tainted"] is False


def test_this_machine_can_be_read() -> None:
    cpu = str(min(os.sched_getaffinity(0)))
    taken = LedgerSampler(Observed(cpu, os.getpid())).snapshot("t0")
    assert float(taken.values["total_cpu_seconds"]) > 0
    assert {"swap_in_pages", "interrupts", "softirqs", "context_switches", "clock_source"} <= set(taken.values)
    cost = snapshot_cost(Observed(cpu, os.getpid()), 3)
    assert cost.keys() == {"cpu_seconds", "wall_seconds"}


def test_the_schema_names_every_number() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    numbers = SCHEMA["$defs"]["numbers"]["properties"]
    assert [name for name in numbers if name in NAMES] == NAMES
    assert numbers["reason_unavailable"]["oneOf"][1]["propertyNames"]["enum"] == NAMES


def test_the_page_holds_the_tables() -> None:
    assert markdown() in (ROOT / "docs/interference.md").read_text(encoding="utf-8")
