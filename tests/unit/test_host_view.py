"""What the host reads of a container, from a /proc and a cgroup tree that are written down."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.readback.host_view import HostProbe, descendants, host_rows

STATUS = """Name:\tx
Uid:\t65534\t65534\t65534\t65534
Gid:\t65534\t65534\t65534\t65534
Groups:\t{groups}
CapInh:\t0000000000000000
CapPrm:\t0000000000000000
CapEff:\t{effective}
CapBnd:\t0000000000000000
CapAmb:\t0000000000000000
NoNewPrivs:\t1
Seccomp:\t2
Cpus_allowed_list:\t{cpus}
Mems_allowed_list:\t0
"""
MOUNTS = """1 0 0:1 / / ro,relatime - overlay overlay rw
2 1 0:2 / /proc rw,nosuid - proc proc rw
3 1 0:3 / /dev rw - tmpfs tmpfs rw
4 1 0:4 / /sys ro - sysfs sysfs ro
5 4 0:5 / /sys/fs/cgroup/memory rw - cgroup cgroup rw
6 2 0:2 /sys /proc/sys ro - proc proc rw
7 1 0:7 / /tmp rw,nosuid - tmpfs tmpfs rw
8 1 8:1 /x /repro/out/journal.pb rw - ext4 /dev/x rw
"""
LIMITS = """Limit                     Soft Limit           Hard Limit           Units
Max core file size        0                    0                    bytes
Max open files            16384                16384                files
"""
PID, CHILD = 100, 107


def process(
    proc: Path, pid: int, *, cpus: str, children: str = "", threads: tuple[int, ...] = (), **fields: str
) -> None:
    values = {"groups": "", "effective": "0000000000000000", **fields}
    for thread in (pid, *threads):
        task = proc / str(pid) / "task" / str(thread)
        task.mkdir(parents=True)
        (task / "status").write_text(STATUS.format(cpus=cpus, **values))
        (task / "children").write_text(children if thread == pid else "")
    (proc / str(pid) / "status").write_text(STATUS.format(cpus=cpus, **values))


def write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text + "\n")


@pytest.fixture
def probe(tmp_path: Path) -> HostProbe:
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    process(proc, PID, cpus="1", children=f"{CHILD} ")
    process(proc, CHILD, cpus="0", threads=(108, 109))
    folder = proc / str(PID)
    write(folder, {"mountinfo": MOUNTS.rstrip(), "limits": LIMITS.rstrip()})
    write(folder, {"uid_map": "0 0 4294967295", "gid_map": "0 0 4294967295"})
    write(folder / "net", {"dev": "a\nb\n    lo: 0 0", "route": "Iface Destination"})
    write(proc / str(CHILD), {"numa_maps": "7f00 bind:0 anon=1\n7f01 bind:0 file=/x"})
    names = {"cpuset": "4:cpuset", "memory": "5:memory", "pids": "6:pids", "cpu": "7:cpu,cpuacct"}
    write(folder, {"cgroup": "\n".join(f"{name}:/docker/c1" for name in names.values())})
    write(groups / "cpuset/docker/c1", {"cpuset.cpus": "0-1", "cpuset.mems": "0"})
    write(
        groups / "memory/docker/c1",
        {"memory.limit_in_bytes": "536870912", "memory.memsw.limit_in_bytes": "536870912", "memory.swappiness": "0"},
    )
    write(groups / "pids/docker/c1", {"pids.max": "256"})
    write(groups / "cpu/docker/c1", {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"})
    return HostProbe(PID, proc, groups)


def test_every_row_of_cgroup_1_is_read(probe: HostProbe) -> None:
    assert host_rows(probe) == {
        "container.cpuset": "0-1",
        "container.mems": "0",
        "cpu.quota": "none",
        "memory.limit_bytes": "536870912",
        "memory.swap_bytes": "0",
        "memory.swappiness": "0",
        "pids.limit": "256",
        "agent.affinity": "1",
        "capabilities": "none",
        "no_new_privileges": "1",
        "seccomp.mode": "2",
        "user": "65534:65534",
        "workload.affinity": "0",
        "mems.allowed": "0",
        "memory.policy": "bind:0",
        "rootfs.readonly": "ro",
        "sys.readonly": "ro",
        "proc_sys.readonly": "ro",
        "mounts.writable": "/repro/out/journal.pb,/tmp",
        "network": "loopback-only",
        "ulimit.core": "0:0",
        "ulimit.nofile": "16384:16384",
    }


def test_cgroup_2_has_one_folder_and_no_swappiness(probe: HostProbe) -> None:
    write(probe.proc / str(PID), {"cgroup": "0::/system.slice/docker-c1.scope"})
    write(
        probe.cgroup_root / "system.slice/docker-c1.scope",
        {
            "cpu.max": "max 100000",
            "cpuset.cpus.effective": "0-1",
            "cpuset.mems.effective": "0",
            "memory.max": "536870912",
            "memory.swap.max": "0",
            "pids.max": "256",
        },
    )
    rows = host_rows(probe)
    assert (rows["cpu.quota"], rows["memory.swap_bytes"], rows["pids.limit"]) == ("none", "0", "256")
    assert rows["memory.swappiness"] is None


def test_a_controller_that_is_not_delegated_hides_its_own_rows_only(probe: HostProbe) -> None:
    write(probe.proc / str(PID), {"cgroup": "0::/system.slice/docker-c1.scope"})
    write(probe.cgroup_root / "system.slice/docker-c1.scope", {"memory.max": "536870912", "pids.max": "256"})
    rows = host_rows(probe)
    assert (rows["memory.limit_bytes"], rows["pids.limit"]) == ("536870912", "256")
    assert (rows["container.cpuset"], rows["container.mems"], rows["cpu.quota"]) == (None, None, None)


def test_a_quota_is_shown_with_its_period(probe: HostProbe) -> None:
    write(probe.cgroup_root / "cpu/docker/c1", {"cpu.cfs_quota_us": "50000"})
    assert host_rows(probe)["cpu.quota"] == "50000/100000"


def test_a_kernel_without_swap_accounting_has_no_such_row(probe: HostProbe) -> None:
    (probe.cgroup_root / "memory/docker/c1/memory.memsw.limit_in_bytes").unlink()
    assert host_rows(probe)["memory.swap_bytes"] is None


def test_one_thread_elsewhere_shows_in_the_affinity(probe: HostProbe) -> None:
    status = probe.proc / str(CHILD) / "task/109/status"
    status.write_text(status.read_text().replace("Cpus_allowed_list:\t0", "Cpus_allowed_list:\t0-1"))
    assert host_rows(probe)["workload.affinity"] == "0 (thread 107); 0-1 (thread 109)"


def test_a_capability_a_group_a_device_show(probe: HostProbe) -> None:
    status = probe.proc / str(PID) / "status"
    status.write_text(STATUS.format(cpus="1", groups="0 65534", effective="0000000000003000"))
    write(probe.proc / str(PID) / "net", {"dev": "a\nb\n lo: 0\n eth0: 0", "route": "Iface\neth0 0"})
    rows = host_rows(probe)
    assert (
        rows["capabilities"]
        == "inh=0000000000000000,prm=0000000000000000,eff=0000000000003000,bnd=0000000000000000,amb=0000000000000000"
    )
    assert rows["user"] == "65534:65534+0"
    assert rows["network"] == "lo,eth0,routes"


def test_mixed_memory_policies_are_listed(probe: HostProbe) -> None:
    write(probe.proc / str(CHILD), {"numa_maps": "7f00 bind:0\n7f01 default"})
    assert host_rows(probe)["memory.policy"] == "bind:0,default"


def test_what_may_not_be_read_is_left_out_and_nothing_else(probe: HostProbe) -> None:
    (probe.proc / str(CHILD) / "numa_maps").unlink()
    rows = host_rows(probe)
    assert "memory.policy" not in rows
    assert rows["workload.affinity"] == "0"


def test_a_container_that_has_gone_shows_nothing(tmp_path: Path) -> None:
    assert host_rows(HostProbe(5, tmp_path, tmp_path)) == {}


def test_a_container_without_a_child_yet_has_no_rows_of_it(probe: HostProbe) -> None:
    (probe.proc / str(PID) / "task" / str(PID) / "children").write_text("")
    assert "workload.affinity" not in host_rows(probe)


def test_grandchildren_count_as_the_workload(probe: HostProbe) -> None:
    (probe.proc / str(CHILD) / "task/108/children").write_text("300")
    process(probe.proc, 300, cpus="0")
    assert descendants(probe) == [CHILD, 300]


def test_users_of_a_rootless_engine_are_named_as_inside(probe: HostProbe) -> None:
    """What stands in ``status`` is the subordinate id (user_namespaces(7)), here of subid(5) 100000:65536."""
    folder = probe.proc / str(PID)
    outside = STATUS.format(cpus="1", groups="165533 1500", effective="0000000000000000").replace("65534", "165533")
    (folder / "status").write_text(outside)
    write(folder, {"uid_map": "0 1500 1\n1 100000 65536", "gid_map": "0 1500 1\n1 100000 65536"})
    assert host_rows(probe)["user"] == "65534:65534+0"


def test_a_user_that_the_namespace_does_not_map_is_told_as_it_is(probe: HostProbe) -> None:
    write(probe.proc / str(PID), {"uid_map": "0 1500 1", "gid_map": "0 1500 1"})
    assert host_rows(probe)["user"] == "65534:65534"
