"""The engine's account of a container, against what was asked: a faithful engine must agree in every row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.journals import cell_plan
from tests.support.runs import specs
from toolkit.engine.fake import FakeEngine
from toolkit.readback.engine_view import engine_rows
from toolkit.readback.rows import ENGINE_BLIND, requested_rows

Change = Callable[[dict[str, Any], dict[str, Any]], Any]


def inspected(role: str = "sdk", version: str = "1") -> tuple[dict[str, str], dict[str, Any]]:
    """What was asked, and the view of an engine that did exactly that."""
    spec = specs(cell_plan(), version)[role]
    engine = FakeEngine(images=[spec.image], cgroup_version=version)
    container, _ = engine.create(spec)
    return requested_rows(spec, cell_plan(), role, version), engine.inspect(container)


@pytest.mark.parametrize("role", ["sdk", "backend"])
@pytest.mark.parametrize("version", ["1", "2"])
def test_a_faithful_engine_agrees_in_every_row_it_can_know(role: str, version: str) -> None:
    requested, view = inspected(role, version)
    found = engine_rows(view, version)
    visible = {row: value for row, value in requested.items() if row not in ENGINE_BLIND}
    assert {row: found.get(row) for row in visible} == visible


def test_swappiness_is_a_row_of_cgroup_1_only() -> None:
    assert inspected(version="1")[0]["memory.swappiness"] == "0"
    assert "memory.swappiness" not in inspected(version="2")[0]
    assert "memory.swappiness" not in engine_rows(inspected(version="2")[1], "2")


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
