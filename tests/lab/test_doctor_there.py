"""``repro doctor --json`` on a machine with systemd and cgroup v2 says what that machine says of itself.

The other kinds of host (this one, no engine, inside a container) are in ``tests/engine/test_doctor_kinds.py``.
"""

from __future__ import annotations

import pytest

from tests.support.lab import Machine
from toolkit.schemas import validate

pytestmark = pytest.mark.timeout(900)


def test_what_it_says_is_what_the_machine_says(machine: Machine) -> None:
    document = machine.document("doctor --cpus 4-5")
    validate(document, "doctor")
    found = {row["id"]: row for row in document["checks"]}
    words = "{{.ServerVersion}} {{.CgroupVersion}} {{.CgroupDriver}}"
    version, cgroup, driver = machine.ssh(f"docker info --format '{words}'").stdout.split()
    assert (cgroup, driver) == ("2", "systemd")
    assert machine.ssh("stat -f -c %T /sys/fs/cgroup").stdout.strip() == "cgroup2fs"
    assert found["engine"]["found"].startswith(f"{version}, ")
    assert found["cgroup"]["found"] == f"version {cgroup}, driver {driver}"
    assert found["cpus"]["found"] == "CPUs 0-7, asked for 4-5"
    assert found["memory_nodes"]["found"] == "node 0: CPUs 0-3; node 1: CPUs 4-7"
    assert found["virtualization"]["state"] == "warn"
    assert found["rights"]["found"] == "root"
    assert found["container"]["state"] == "absent"
    assert machine.ssh("cat /sys/module/apparmor/parameters/enabled").stdout.strip() == "Y"
    assert found["apparmor"]["state"] == "ok"
    assert document["grade"] in ("B", "C", "D")


def test_cpus_of_two_nodes_are_told(machine: Machine) -> None:
    document = machine.document("doctor --cpus 3-4")
    found = {row["id"]: row for row in document["checks"]}
    assert found["memory_nodes"]["state"] == "warn"
    assert "0-1" in found["memory_nodes"]["advice"]


def test_cpus_that_it_lacks_are_exit_3(machine: Machine) -> None:
    document = machine.document("doctor --cpus 8", code=3)
    assert document["grade"] is None
    found = {row["id"]: row for row in document["checks"]}
    assert found["cpus"]["state"] == "fail"
    assert found["engine"]["state"] == "ok"
