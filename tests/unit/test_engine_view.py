"""The engine's account of a container, against what was asked: a faithful engine must agree in every row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.journals import cell_plan
from tests.support.runs import specs
from toolkit.engine.fake import FakeEngine
from toolkit.readback.engine_view import engine_rows
from toolkit.readback.rows import ENGINE_BLIND, lacking, requested_rows

Change = Callable[[dict[str, Any], dict[str, Any]], Any]


def inspected(role: str = "sdk", version: str = "1") -> tuple[dict[str, str], dict[str, Any]]:
    """What was asked, and the view of an engine that did exactly that."""
    spec = specs(cell_plan())[role]
    engine = FakeEngine(images=[spec.image], cgroup_version=version)
    container, _ = engine.create(spec)
    return requested_rows(spec, cell_plan(), role), engine.inspect(container)


@pytest.mark.parametrize("role", ["sdk", "backend"])
@pytest.mark.parametrize("version", ["1", "2"])
def test_a_faithful_engine_agrees_in_every_row_it_can_know(role: str, version: str) -> None:
    requested, view = inspected(role, version)
    view["State"]["Status"] = "running"
    found = engine_rows(view, version)
    visible = {row: value for row, value in requested.items() if row not in ENGINE_BLIND | lacking(version)}
    assert {row: found.get(row) for row in visible} == visible


def test_what_a_version_lacks_is_asked_for_everywhere_and_seen_nowhere_there() -> None:
    for version in ("1", "2"):
        requested, view = inspected(version=version)
        assert lacking("1") | lacking("2") <= requested.keys()
        assert not lacking(version) & engine_rows(view, version).keys()


def test_before_the_start_nobody_knows_the_profile_of_apparmor() -> None:
    _, view = inspected()
    assert "apparmor" not in engine_rows(view, "1")
    view["State"]["Status"] = "running"
    assert engine_rows(view, "1")["apparmor"] == "none"
    view["AppArmorProfile"] = "docker-default"
    assert engine_rows(view, "1")["apparmor"] == "docker-default"


def test_a_volume_shows_among_the_binds() -> None:
    requested, view = inspected()
    view["Mounts"].append({"Type": "volume", "Destination": "/data", "RW": True})
    assert engine_rows(view, "1")["mounts.binds"] == f"/data:rw,{requested['mounts.binds']}"


def test_the_values_of_an_environment_are_compared_and_never_shown() -> None:
    requested, view = inspected()
    view["Config"]["Env"] = [entry.replace("HOME=/tmp", "HOME=/secret") for entry in view["Config"]["Env"]]
    rows = engine_rows(view, "1")
    assert rows["environment"] == requested["environment"]
    assert rows["environment.values"] != requested["environment.values"]
    assert "secret" not in str(rows)


CHANGES: list[tuple[str, Change]] = [
    ("container.cpuset", lambda host, _: host.update(CpusetCpus="0-3")),
    ("container.cpuset", lambda host, _: host.update(CpusetCpus="")),
    ("container.mems", lambda host, _: host.update(CpusetMems="")),
    ("cpu.quota", lambda host, _: host.update(NanoCpus=500_000_000)),
    ("cpu.quota", lambda host, _: host.update(CpuQuota=50_000)),
    ("memory.limit_bytes", lambda host, _: host.update(Memory=0)),
    ("memory.swap_bytes", lambda host, _: host.update(MemorySwap=-1)),
    ("memory.swap_bytes", lambda host, _: host.update(MemorySwap=0)),
    ("memory.swappiness", lambda host, _: host.update(MemorySwappiness=60)),
    ("memory.swappiness", lambda host, _: host.pop("MemorySwappiness")),
    ("pids.limit", lambda host, _: host.update(PidsLimit=None)),
    ("pids.limit", lambda host, _: host.update(PidsLimit=-1)),
    ("user", lambda _, config: config.update(User="")),
    ("environment", lambda _, config: config["Env"].append("HTTP_PROXY=x")),
    ("network", lambda host, _: host.update(NetworkMode="bridge")),
    ("shm_bytes", lambda host, _: host.update(ShmSize=1 << 26)),
    ("log.driver", lambda host, _: host.update(LogConfig={"Type": "journald", "Config": {}})),
    ("restart_policy", lambda host, _: host.update(RestartPolicy={"Name": "always"})),
    ("healthcheck", lambda _, config: config.update(Healthcheck={"Test": ["CMD", "true"]})),
    ("init", lambda host, _: host.update(Init=True)),
    ("namespaces", lambda host, _: host.update(PidMode="host")),
    ("namespaces", lambda host, _: host.update(IpcMode="host")),
    ("namespaces", lambda host, _: host.update(UTSMode="host")),
    ("namespaces", lambda host, _: host.update(UsernsMode="host")),
    ("namespaces", lambda host, _: host.update(IpcMode="container:abc")),
    ("cpu.weight", lambda host, _: host.update(CpuShares=512)),
    ("oom.kill_disable", lambda host, _: host.update(OomKillDisable=True)),
    ("gomaxprocs", lambda _, config: config.update(Env=["GOMAXPROCS=7"])),
    ("agent.settings", lambda _, config: config.update(Env=["REPRO_AGENT={}"])),
    ("devices", lambda host, _: host.update(DeviceCgroupRules=["c 10:229 rwm"])),
    ("devices", lambda host, _: host.update(Devices=[{"PathOnHost": "/dev/kvm"}])),
    ("privileged", lambda host, _: host.update(Privileged=True)),
    ("capabilities", lambda host, _: host.update(CapAdd=["NET_ADMIN"])),
    ("capabilities", lambda host, _: host.update(CapDrop=[])),
    ("no_new_privileges", lambda host, _: host.update(SecurityOpt=host["SecurityOpt"][1:])),
    ("no_new_privileges", lambda host, _: host.update(SecurityOpt=["no-new-privileges:false"])),
    ("seccomp.profile", lambda host, _: host.update(SecurityOpt=["no-new-privileges"])),
    ("seccomp.mode", lambda host, _: host.update(SecurityOpt=["no-new-privileges", "seccomp=unconfined"])),
    ("rootfs.readonly", lambda host, _: host.update(ReadonlyRootfs=False)),
    ("proc_sys.readonly", lambda host, _: host.update(ReadonlyPaths=[])),
    ("mounts.binds", lambda host, _: host.update(Binds=["/:/host"])),
    ("mounts.writable", lambda host, _: host.update(Binds=["/:/host"])),
    ("mounts.writable", lambda host, _: host.update(Tmpfs={"/tmp": "size=1", "/run": "size=1"})),
    ("tmpfs", lambda host, _: host.update(Tmpfs={"/tmp": "size=1g"})),
    ("resolv_conf", lambda host, _: host.update(Mounts=[])),
    ("ulimit.nofile", lambda host, _: host.update(Ulimits=[{"Name": "nofile", "Soft": 1, "Hard": 2}])),
]


@pytest.mark.parametrize(("row", "change"), CHANGES, ids=[f"{row}-{index}" for index, (row, _) in enumerate(CHANGES)])
def test_an_engine_that_did_something_else_shows_in_the_row(row: str, change: Change) -> None:
    requested, view = inspected()
    change(view["HostConfig"], view["Config"])
    assert engine_rows(view, "1").get(row) != requested[row]


def test_the_order_of_a_cpu_list_does_not_matter() -> None:
    _, view = inspected()
    view["HostConfig"]["CpusetCpus"] = "1,0"
    assert engine_rows(view, "1")["container.cpuset"] == "0-1"


def test_an_almost_empty_view_is_read_without_an_error() -> None:
    assert engine_rows({"HostConfig": {}, "Config": {}}, "1")["container.cpuset"] == "all"
