"""The reader finds in the kernel's files what the machine is, on machines that are written down."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.machines import MACHINES, uniform
from toolkit.host.topology import read_topology
from toolkit.model.topology import Topology

CPU = "sys/devices/system/cpu"


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_is_read_as_it_is(name: str, tmp_path: Path) -> None:
    machine = MACHINES[name]()
    assert read_topology(machine.write(tmp_path)) == machine.topology()


def test_this_machine_is_one_of_whole_groups() -> None:
    here = read_topology()
    assert set(here.cpus) <= os.sched_getaffinity(0)
    assert set(here.cpus) <= set(here.online) <= set(here.present)
    for groups in (here.cores, here.caches, here.packages):
        assert sorted(cpu for group in groups for cpu in group) == list(here.online)
    for core in here.cores:
        assert len({here.cache_of(cpu) for cpu in core}) == len({here.node_of(cpu) for cpu in core}) == 1
    assert set(here.usable_nodes()) <= set(here.nodes)


def test_the_least_that_a_kernel_shows_is_enough(tmp_path: Path) -> None:
    write(tmp_path, {f"{CPU}/online": "0-1\n", "proc/meminfo": "MemTotal: 4 kB\n"})
    found = read_topology(tmp_path)
    assert (found.cpus, found.nodes, found.memory_bytes) == ((0, 1), {0: (0, 1)}, 4096)
    assert (found.cores, found.caches, found.classes) == (((0,), (1,)), ((0, 1),), ())


def test_an_affinity_that_was_recorded_counts(tmp_path: Path) -> None:
    uniform(4).write(tmp_path)
    write(tmp_path, {"proc/self/status": "Name:\tx\nCpus_allowed_list:\t1,3\n"})
    assert read_topology(tmp_path).cpus == (1, 3)


def test_the_nearest_cgroup_that_is_there_counts(tmp_path: Path) -> None:
    uniform(4).write(tmp_path)
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/a/b/c\n",
            "sys/fs/cgroup/a/cpuset.cpus.effective": "0-2\n",
            "sys/fs/cgroup/a/b/cpuset.cpus.effective": "2\n",
            "sys/fs/cgroup/cpuset.cpus.effective": "0-3\n",
        },
    )
    assert read_topology(tmp_path).cpus == (2,)


def test_both_trees_of_a_hybrid_hierarchy_are_looked_at(tmp_path: Path) -> None:
    uniform(4).write(tmp_path)
    write(tmp_path, {"proc/self/cgroup": "0::/x\n3:cpu,cpuset:/box\n"})
    write(tmp_path, {"sys/fs/cgroup/cpu,cpuset/box/cpuset.cpus": "1-2\n"})
    assert read_topology(tmp_path).cpus == (1, 2)


def test_without_a_third_level_the_largest_shared_cache_counts(tmp_path: Path) -> None:
    files = {f"{CPU}/cpu{cpu}/cache/index2/shared_cpu_list": "0-1" if cpu < 2 else "2-3" for cpu in range(4)}
    files |= {f"{CPU}/cpu{cpu}/cache/index0/shared_cpu_list": str(cpu) for cpu in range(4)}
    write(tmp_path, {f"{CPU}/online": "0-3\n", "proc/meminfo": "", **files})
    assert read_topology(tmp_path).caches == ((0, 1), (2, 3))


def test_isolated_and_tickless_cpus(tmp_path: Path) -> None:
    uniform(4).without(isolated={2, 3}).write(tmp_path)
    write(tmp_path, {f"{CPU}/nohz_full": "3\n"})
    found = read_topology(tmp_path)
    assert (found.isolated, found.nohz_full) == ((2, 3), (3,))


def speeds(root: Path, file: str, values: list[int]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    uniform(len(values)).write(root)
    write(root, {f"{CPU}/cpu{cpu}/{file}": f"{value}\n" for cpu, value in enumerate(values)})
    return read_topology(root).classes


@pytest.mark.parametrize(
    ("file", "values", "expected"),
    [
        ("cpu_capacity", [446, 446, 871, 1024], (("capacity 1024", (2, 3)), ("capacity 446", (0, 1)))),
        (
            "cpufreq/cpuinfo_max_freq",
            [5_200_000, 3_900_000],
            (("frequency 5200000", (0,)), ("frequency 3900000", (1,))),
        ),
        # Favoured cores of one class, and two chiplets of one kind: no classes.
        ("cpufreq/cpuinfo_max_freq", [5_800_000, 5_500_000], ()),
        ("cpu_capacity", [1024, 1024, 1024], ()),
    ],
)
def test_classes_are_told_apart_by_a_clear_difference(
    file: str, values: list[int], expected: tuple[tuple[str, tuple[int, ...]], ...], tmp_path: Path
) -> None:
    assert speeds(tmp_path, file, values) == expected


def test_one_named_kind_is_no_class(tmp_path: Path) -> None:
    uniform(2).write(tmp_path)
    write(tmp_path, {"sys/devices/cpu_core/cpus": "0-1\n"})
    assert read_topology(tmp_path).classes == ()


def test_what_nobody_recorded_is_the_simplest_case() -> None:
    bare = Topology((0, 1, 2), {0: (0, 1), 1: (2,)}, 1)
    assert (bare.core_of(1), bare.cache_of(1), bare.node_of(2)) == ((1,), (0, 1), 1)
    assert (bare.siblings((0, 1)), bare.mems_of((0, 2)), bare.class_of(2), bare.class_name(0)) == ((), (0, 1), 0, "")
