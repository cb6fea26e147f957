"""``repro doctor --json`` says what is true on this host, without an engine, and inside a container.

The fourth kind of host, another machine with systemd and cgroup v2, is in ``tests/lab/test_doctor_there.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.faults_tool import ROOT, Tool
from toolkit.engine.docker import DockerEngine
from toolkit.engine.endpoint import engine_socket
from toolkit.host.topology import read_topology
from toolkit.model.container import ContainerSpec, Mount, Tmpfs
from toolkit.model.cpulist import format_cpulist
from toolkit.schemas import validate

Json = dict[str, Any]
_SECONDS = 600
_ENGINE = 4


def rows(document: Json) -> dict[str, Json]:
    """The checks by id, after the whole document was held against its schema."""
    validate(document, "doctor")
    return {row["id"]: row for row in document["checks"]}


def test_on_this_host_it_says_what_engine_and_kernel_say(tool: Tool) -> None:
    ended = tool.run("doctor", "--json")
    assert ended.code == 0, ended
    found = rows(ended.document)
    words = "{{.ServerVersion}} {{.CgroupVersion}} {{.CgroupDriver}}"
    said = subprocess.run(["docker", "info", "--format", words], capture_output=True, text=True, check=True).stdout
    version, cgroup, driver = said.split()
    assert found["engine"]["state"] in ("ok", "warn")
    assert found["engine"]["found"].startswith(f"{version}, ")
    # The kernel's own word: only version 2 has this file in the root of its hierarchy (cgroups(7)).
    assert cgroup == ("2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "1")
    assert found["cgroup"]["found"] == f"version {cgroup}, driver {driver}"
    assert found["cpus"]["found"] == f"CPUs {format_cpulist(sorted(os.sched_getaffinity(0)))}"
    below = "hypervisor" in Path("/proc/cpuinfo").read_text().split()
    assert found["virtualization"]["state"] == ("warn" if below else "ok")
    assert found["rights"]["found"] == ("root" if os.geteuid() == 0 else "user")
    assert ended.document["grade"] in (("B", "C", "D") if below else ("A", "B", "C", "D"))


def test_without_an_engine_the_rest_is_still_told(tool: Tool) -> None:
    ended = tool.run("doctor", "--json", DOCKER_HOST=f"unix://{tool.short}/none.sock")
    assert ended.code == _ENGINE, ended
    assert ended.document["grade"] is None
    found = rows(ended.document)
    assert found["engine"]["state"] == "fail"
    assert f"nothing answers on {tool.short}/none.sock" in found["engine"]["found"]
    for name in ("cgroup", "swap_accounting", "seccomp", "apparmor"):
        assert found[name]["state"] == "absent"
    assert found["cpus"]["found"] == f"CPUs {format_cpulist(sorted(os.sched_getaffinity(0)))}"
    assert found["memory"]["state"] in ("ok", "warn")


@pytest.fixture
def inside(engine: DockerEngine, tiny_image: str) -> Iterator[Any]:
    """Runs the doctor of this checkout by this Python in a container on one CPU, the highest of this machine."""
    made: list[str] = []
    cpu = str(max(read_topology().cpus))

    def doctor(*mounts: Mount) -> tuple[int | None, Json, str]:
        folders = {"/usr", os.path.realpath("/lib"), sys.base_prefix, sys.prefix, str(ROOT)}
        own = {path for path in folders if path == "/usr" or not path.startswith("/usr/")}
        aliases = [Mount(os.path.realpath(path), path) for path in ("/lib", "/lib64") if Path(path).exists()]
        spec = ContainerSpec(
            image=tiny_image,
            command=("-m", "toolkit", "doctor", "--json"),
            entrypoint=(sys.executable,),
            environment={"PATH": "/usr/bin:/bin", "HOME": "/tmp", "PYTHONPATH": str(ROOT), "REPRO_RUNS": "/tmp/runs"},
            labels={"org.sealbench.test": "doctor"},
            cpuset_cpus=cpu,
            user="0:0",
            mounts=(*(Mount(path, path) for path in sorted(own)), *aliases, *mounts),
            tmpfs=(Tmpfs("/tmp", 16 << 20),),
        )
        container, _warnings = engine.create(spec)
        made.append(container)
        engine.start(container)
        code = engine.wait(container, _SECONDS)
        words = engine.logs(container, stderr=True, limit_bytes=1 << 16).decode()
        out = engine.logs(container, stderr=False, limit_bytes=1 << 20).decode()
        assert out, words
        return code, json.loads(out), cpu

    yield doctor
    for container in made:
        engine.remove(container)


def test_inside_a_container_it_sees_that_containers_cpus_and_no_engine(inside: Any) -> None:
    code, document, cpu = inside()
    assert code == _ENGINE
    assert document["grade"] is None
    found = rows(document)
    assert found["container"]["state"] == "warn"
    assert f"CPUs {cpu}," in found["container"]["found"]
    assert "on the host itself" in found["container"]["advice"]
    assert found["cpus"]["found"] == f"CPUs {cpu}"
    assert (found["engine"]["state"], found["cgroup"]["state"]) == ("fail", "absent")


def test_an_engine_outside_of_the_container_does_not_share_its_files(inside: Any) -> None:
    """Its socket may be mounted: what it would mount for a launch would be the host's files all the same."""
    code, document, _cpu = inside(Mount(engine_socket(), "/var/run/docker.sock", writable=True))
    assert code == _ENGINE
    found = rows(document)
    assert found["engine"]["state"] == "fail"
    assert "does not share this machine's file system" in found["engine"]["advice"]
    assert "outside of containers" in found["engine"]["advice"]
