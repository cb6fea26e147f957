"""What the engine is asked for: the isolation baseline, said explicitly."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from toolkit.engine.request import creation_body
from toolkit.model.container import ContainerSpec, Mount, Tmpfs

SPEC = ContainerSpec(image="image", command=("numactl", "--membind=0", "--", "/repro/workload"))


def test_the_defaults_are_the_baseline() -> None:
    body = creation_body(SPEC, cgroup_version="1")
    host = body["HostConfig"]
    assert body["User"] == "65534:65534"
    assert body["Healthcheck"] == {"Test": ["NONE"]}
    assert "Entrypoint" not in body
    assert host["CapDrop"] == ["ALL"]
    assert host["CapAdd"] == []
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["ReadonlyRootfs"] is True
    assert host["Privileged"] is False
    assert host["Init"] is False
    assert host["NetworkMode"] == "none"
    assert host["IpcMode"] == "private"
    assert host["Memory"] == host["MemorySwap"] == 512 * 1024 * 1024
    assert host["OomKillDisable"] is False
    assert host["RestartPolicy"]["Name"] == "no"
    assert host["LogConfig"]["Type"] == "json-file"
    assert host["LogConfig"]["Config"]["max-file"] == "1"
    assert {limit["Name"]: limit["Hard"] for limit in host["Ulimits"]}["core"] == 0


@pytest.mark.parametrize(("version", "sent"), [("1", True), ("2", False)])
def test_swappiness_is_sent_where_the_kernel_has_it(version: str, sent: bool) -> None:
    assert ("MemorySwappiness" in creation_body(SPEC, cgroup_version=version)["HostConfig"]) is sent


def test_the_seccomp_profile_goes_as_json_and_not_as_a_path() -> None:
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}
    options = creation_body(replace(SPEC, seccomp=profile), cgroup_version="1")["HostConfig"]["SecurityOpt"]
    kind, _, text = options[1].partition("=")
    assert kind == "seccomp"
    assert json.loads(text) == profile
    assert " " not in text


def test_tmpfs_is_sized_and_closed_unless_it_must_execute() -> None:
    spec = replace(SPEC, tmpfs=(Tmpfs("/tmp", 1024), Tmpfs("/work", 2048, executable=True)))
    tmpfs = creation_body(spec, cgroup_version="2")["HostConfig"]["Tmpfs"]
    assert tmpfs["/tmp"].split(",") == ["rw", "nosuid", "nodev", "noexec", "size=1024", "mode=1777"]
    assert "exec" in tmpfs["/work"].split(",")


def test_mounts_are_private_and_read_only_unless_said() -> None:
    spec = replace(SPEC, mounts=(Mount("/a", "/x"), Mount("/b", "/y", writable=True)))
    first, second = creation_body(spec, cgroup_version="1")["HostConfig"]["Mounts"]
    assert first["ReadOnly"] is True
    assert "ReadOnly" not in second
    assert first["BindOptions"] == second["BindOptions"] == {"Propagation": "rprivate"}


def test_the_same_spec_gives_the_same_bytes_whatever_the_order_of_its_mappings() -> None:
    one = replace(SPEC, environment={"B": "2", "A": "1"}, labels={"y": "2", "x": "1"})
    two = replace(SPEC, environment={"A": "1", "B": "2"}, labels={"x": "1", "y": "2"})
    assert json.dumps(creation_body(one, cgroup_version="1")) == json.dumps(creation_body(two, cgroup_version="1"))
