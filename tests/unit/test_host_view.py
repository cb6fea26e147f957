"""What the host reads of a container, from a /proc and a cgroup tree that are written down."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from toolkit.readback.host_view import HostProbe, host_rows

STATUS = """Name:\tagent
NSpid:\t100\t1
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
7 1 0:7 / /tmp rw,nosuid - tmpfs tmpfs rw,size=65536k
8 1 8:1 /x /repro/out/journal.pb rw - ext4 /dev/x rw
9 1 0:9 /sb-x/run /repro/run ro shared:1 master:2 - tmpfs tmpfs rw,size=8192k
10 1 0:6 /null /etc/resolv.conf ro - devtmpfs devtmpfs rw
11 1 8:1 /hosts /etc/hosts ro - ext4 /dev/x rw
12 3 0:10 / /dev/shm rw - tmpfs shm rw,size=16384k
13 2 0:11 / /proc/acpi ro - tmpfs tmpfs ro
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
    write(proc / str(CHILD), {"stat": f"{CHILD} (x) S " + " ".join(map(str, range(19)))})
    for pid, numbers in (("self", 0), (str(PID), 10)):
        (proc / pid / "ns").mkdir(parents=True)
        for index, kind in enumerate(("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")):
            number = 4026531830 + index + (numbers if kind not in ("cgroup", "user") else 0)
            (proc / pid / "ns" / kind).symlink_to(f"{kind}:[{number}]")
    (folder / "environ").write_bytes(b"HOME=/tmp\0GOMAXPROCS=2\0REPRO_AGENT={}\0HOSTNAME=abc\0")
    (proc / str(CHILD) / "environ").write_bytes(b"GOMAXPROCS=2\0HOME=/tmp\0REPRO_FD=3\0")
    write(folder / "root/etc", {})
    (folder / "root/etc/resolv.conf").touch()
    write(folder / "root/dev", {"null": "", "zero": ""})
    (folder / "root/dev/pts").mkdir()
    os.mkfifo(folder / "root/dev/pts/1")
    write(folder, {"uid_map": "0 0 4294967295", "gid_map": "0 0 4294967295"})
    write(folder / "net", {"dev": "a\nb\n    lo: 0 0", "route": "Iface Destination"})
    write(proc / str(CHILD), {"numa_maps": "7f00 bind:0 anon=1\n7f01 bind:0 file=/x"})
    names = {
        "cpuset": "4:cpuset",
        "memory": "5:memory",
        "pids": "6:pids",
        "cpu": "7:cpu,cpuacct",
        "devices": "8:devices",
    }
    write(folder, {"cgroup": "\n".join(f"{name}:/docker/c1" for name in names.values())})
    write(groups / "cpuset/docker/c1", {"cpuset.cpus": "0-1", "cpuset.mems": "0"})
    write(
        groups / "memory/docker/c1",
        {
            "memory.limit_in_bytes": "536870912",
            "memory.memsw.limit_in_bytes": "536870912",
            "memory.swappiness": "0",
            "memory.oom_control": "oom_kill_disable 0\nunder_oom 0",
        },
    )
    write(groups / "devices/docker/c1", {"devices.list": "c *:* m\nc 1:3 rwm\nc 136:* rwm"})
    write(groups / "pids/docker/c1", {"pids.max": "256"})
    write(groups / "cpu/docker/c1", {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000", "cpu.shares": "1024"})
    return HostProbe(PID, proc, groups)


ENVIRONMENT = "sha256:" + hashlib.sha256(b"GOMAXPROCS=2\0HOME=/tmp").hexdigest()


def test_every_row_of_cgroup_1_is_read(probe: HostProbe) -> None:
    assert host_rows(probe) == {
        "container.cpuset": "0-1",
        "container.mems": "0",
        "cpu.quota": "none",
        "cpu.weight": "default",
        "memory.limit_bytes": "536870912",
        "memory.high_bytes": None,
        "oom.kill_disable": "false",
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
        "mounts.binds": "/etc/resolv.conf:ro,/repro/out/journal.pb:rw,/repro/run:ro",
        "tmpfs": "/tmp:67108864",
        "shm_bytes": "16777216",
        "devices": "none",
        "namespaces": "private",
        "init": "false",
        "apparmor": "none",
        "resolv_conf": "empty",
        "environment": "GOMAXPROCS,HOME,HOSTNAME,REPRO_AGENT",
        "environment.values": ENVIRONMENT,
        "workload.environment": ENVIRONMENT,
        "agent.settings": "sha256:" + hashlib.sha256(b"{}").hexdigest(),
        "gomaxprocs": "2",
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
            "cpu.weight": "100",
            "memory.high": "max",
            "cpuset.cpus.effective": "0-1",
            "cpuset.mems.effective": "0",
            "memory.max": "536870912",
            "memory.swap.max": "0",
            "pids.max": "256",
        },
    )
    rows = host_rows(probe)
    assert (rows["cpu.quota"], rows["memory.swap_bytes"], rows["pids.limit"]) == ("none", "0", "256")
    assert (rows["cpu.weight"], rows["memory.high_bytes"]) == ("default", "max")
    assert rows["memory.swappiness"] is rows["oom.kill_disable"] is None


def test_a_limit_of_a_group_above_is_the_containers_where_it_is_lower(probe: HostProbe) -> None:
    write(probe.cgroup_root / "cpu/docker", {"cpu.cfs_quota_us": "50000", "cpu.cfs_period_us": "100000"})
    write(probe.cgroup_root / "memory/docker", {"memory.limit_in_bytes": "1048576"})
    write(probe.cgroup_root / "pids/docker", {"pids.max": "max"})
    rows = host_rows(probe)
    assert rows["cpu.quota"] == "50000/100000 (of a parent)"
    assert rows["memory.limit_bytes"] == "1048576 (of a parent)"
    assert rows["pids.limit"] == "256"


def test_the_same_in_cgroup_2(probe: HostProbe) -> None:
    write(Path(probe.folder), {"cgroup": "0::/system.slice/docker-c1.scope"})
    own, above = probe.cgroup_root / "system.slice/docker-c1.scope", probe.cgroup_root / "system.slice"
    write(own, {"cpu.max": "200000 100000", "memory.max": "536870912", "memory.high": "max", "pids.max": "256"})
    write(above, {"cpu.max": "50000 100000", "memory.max": "max", "memory.high": "1048576", "pids.max": "100"})
    rows = host_rows(probe)
    assert rows["cpu.quota"] == "50000/100000 (of a parent)"
    assert rows["memory.limit_bytes"] == "536870912"
    assert rows["memory.high_bytes"] == "1048576 (of a parent)"
    assert rows["pids.limit"] == "100 (of a parent)"


def relink(probe: HostProbe, pid: int, kind: str, like: str) -> None:
    link = probe.proc / str(pid) / "ns" / kind
    link.unlink()
    link.symlink_to((probe.proc / like / "ns" / kind).readlink())


def test_a_namespace_of_the_host_is_named(probe: HostProbe) -> None:
    relink(probe, PID, "ipc", "self")
    assert host_rows(probe)["namespaces"] == "ipc=host"


def test_the_cgroup_namespace_counts_in_version_2(probe: HostProbe) -> None:
    assert host_rows(replace(probe, cgroup_version="2"))["namespaces"] == "cgroup=host"


def test_134_the_pair_shares_the_network_and_nothing_else(probe: HostProbe) -> None:
    other = probe.proc / "300" / "ns"
    other.mkdir(parents=True)
    for kind in ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts"):
        (other / kind).symlink_to(f"{kind}:[5]")
    pair = replace(probe, other_pid=300)
    assert host_rows(pair)["namespaces"] == "net=not the other container's"
    relink(probe, 300, "net", str(PID))
    assert host_rows(pair)["namespaces"] == "private"
    relink(probe, 300, "uts", str(PID))
    assert host_rows(pair)["namespaces"] == "uts=other container"


def test_a_device_a_rule_an_init_and_a_profile_show(probe: HostProbe) -> None:
    os.mkfifo(Path(probe.folder) / "root/dev/extra")  # a device node takes root
    write(probe.cgroup_root / "devices/docker/c1", {"devices.list": "a *:* rwm"})
    status = Path(probe.folder) / "status"
    status.write_text(status.read_text().replace("agent", "docker-init"))
    write(Path(probe.folder) / "attr/apparmor", {"current": "docker-default (enforce)"})
    rows = host_rows(probe)
    assert rows["devices"] == "/dev/extra,a *:* rwm"
    assert (rows["init"], rows["apparmor"]) == ("true", "docker-default")
    write(Path(probe.folder) / "attr/apparmor", {"current": "rootlesskit (unconfined)"})
    assert host_rows(probe)["apparmor"] == "none"


def test_a_program_with_another_environment_shows(probe: HostProbe) -> None:
    (probe.proc / str(CHILD) / "environ").write_bytes(b"HOME=/other\0")
    rows = host_rows(probe)
    assert rows["gomaxprocs"] == "unset"
    assert rows["workload.environment"] == "sha256:" + hashlib.sha256(b"HOME=/other").hexdigest()
    assert rows["environment.values"] == ENVIRONMENT


def test_the_program_is_the_oldest_child(probe: HostProbe) -> None:
    (Path(probe.folder) / "task" / str(PID) / "children").write_text(f"50 {CHILD} ")
    process(probe.proc, 50, cpus="0")  # an orphan with a number that was free again
    write(probe.proc / "50", {"stat": "50 (a) b) S " + " ".join(["99"] * 19)})
    assert host_rows(probe)["gomaxprocs"] == "2"


def test_another_users_container_shows_what_everybody_may_see(probe: HostProbe) -> None:
    everything = host_rows(probe)
    for path in ("environ", "ns", "root"):
        (Path(probe.folder) / path).rename(Path(probe.folder) / f"hidden-{path}")
    gone = everything.keys() - host_rows(probe).keys()
    assert gone == {
        "agent.settings",
        "devices",
        "environment",
        "environment.values",
        "namespaces",
        "resolv_conf",
    }


def test_a_controller_that_is_not_delegated_hides_its_own_rows_only(probe: HostProbe) -> None:
    write(probe.proc / str(PID), {"cgroup": "0::/system.slice/docker-c1.scope"})
    write(probe.cgroup_root / "system.slice/docker-c1.scope", {"memory.max": "536870912", "pids.max": "256"})
    rows = host_rows(probe)
    assert (rows["memory.limit_bytes"], rows["pids.limit"]) == ("536870912", "256")
    assert (rows["container.cpuset"], rows["container.mems"], rows["cpu.quota"]) == (None, None, None)


def test_a_quota_is_shown_with_its_period(probe: HostProbe) -> None:
    write(probe.cgroup_root / "cpu/docker/c1", {"cpu.cfs_quota_us": "50000"})
    assert host_rows(probe)["cpu.quota"] == "50000/100000"


def test_123_a_kernel_without_swap_accounting_has_no_such_row(probe: HostProbe) -> None:
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
    assert probe.descendants == [CHILD, 300]


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
