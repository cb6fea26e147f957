"""Rootless Docker and Podman's socket, both Debian's: what is refused, in which words, and what then holds.

These packages come from the machine's own apt. What the refusal advises is done word by word.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.faults_tool import sealed_manifest
from tests.support.lab import PLACE, Machine
from toolkit.readback.rows import ENGINE_ONLY

pytestmark = pytest.mark.timeout(1800)
USER, NUMBER = "reviewer", 1500
HOME = f"/home/{USER}"
LAUNCH = "launch --sdk net-http --cpus 2 --duration 10 --warmup 1 --arm rate_hz=2 --timing-gates record"
REFUSED = 4
Json = dict[str, Any]

# The kernel and its initrd are not on that disk: making one anew would take minutes.
INSTALL = (
    "echo update_initramfs=no > /etc/initramfs-tools/update-initramfs.conf; apt-get update -qq && "
    "DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends"
)
MAKE_USER = f"""
ln -sf /usr/share/docker.io/contrib/dockerd-rootless*.sh /usr/bin/
useradd -m -s /bin/bash -u {NUMBER} {USER}
cp -a {PLACE} {HOME}/parcel && chown -R {USER}: {HOME}
loginctl enable-linger {USER}
for _ in $(seq 60); do [ -S /run/user/{NUMBER}/bus ] && break; sleep 1; done
"""


@dataclass(frozen=True)
class Rootless:
    """Commands of a user who has an engine of their own."""

    machine: Machine

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """A shell command as that user, in a session of theirs."""
        settings = {
            "HOME": HOME,
            "XDG_RUNTIME_DIR": f"/run/user/{NUMBER}",
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path=/run/user/{NUMBER}/bus",
            "DOCKER_HOST": f"unix:///run/user/{NUMBER}/docker.sock",
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "PYTHONPATH": f"{HOME}/parcel/sealbench",
            "REPRO_STORE": f"{HOME}/parcel/store",
        }
        given = " ".join(f"{name}={value}" for name, value in settings.items())
        become = f"setpriv --reuid {USER} --regid {USER} --init-groups --reset-env env {given}"
        return self.machine.ssh(f"cd {HOME} && {become} sh -c {shlex.quote(command)}", check=False)

    def document(self, words: str, *, code: int) -> Json:
        """What the product prints as that user."""
        ended = self.run(f"{HOME}/parcel/sealbench/.venv/bin/python -m toolkit {words} --json")
        assert ended.returncode == code, f"exit {ended.returncode}\n{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"
        found: Json = json.loads(ended.stdout)
        return found

    def await_engine(self) -> None:
        """Wait until it answers."""
        ended = self.run("for _ in $(seq 90); do docker info >/dev/null 2>&1 && exit 0; sleep 1; done; exit 1")
        assert ended.returncode == 0, self.run("systemctl --user status docker").stdout


@pytest.fixture(scope="module")
def rootless(machine: Machine) -> Rootless:
    """Debian's rootless Docker as its own set-up tool leaves it: systemd delegates no CPU sets to users by default."""
    machine.ssh(f"{INSTALL} uidmap slirp4netns rootlesskit dbus-user-session")
    machine.ssh(MAKE_USER)
    one = Rootless(machine)
    # It starts the engine, gives it three seconds to answer, and only then enables its unit.
    ended = one.run("dockerd-rootless-setuptool.sh install || systemctl --user enable docker")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    one.await_engine()
    return one


def test_rootless_docker_without_a_delegated_cpuset_is_refused_and_with_it_every_row_is_held(
    rootless: Rootless, tmp_path: Path
) -> None:
    told = {row["id"]: row for row in rootless.document("doctor", code=REFUSED)["checks"]}
    assert told["cgroup"]["state"] == "fail"
    assert "cpuset" in told["cgroup"]["advice"]
    error = rootless.document(LAUNCH, code=REFUSED)
    assert error["title"] == "The engine cannot set every limit"
    assert rootless.run("docker ps -aq").stdout == ""

    follow(rootless.machine, error["remedy"])
    rootless.await_engine()
    found = {row["id"]: row for row in rootless.document("doctor", code=0)["checks"]}
    assert found["cgroup"]["state"] == "ok"
    document = rootless.document(LAUNCH, code=0)
    assert document["valid"] is True
    rootless.machine.pull(f"{HOME}/{document['path']}", tmp_path)
    manifest = sealed_manifest(tmp_path)
    assert manifest["host"]["engine_rootless"] is True
    assert manifest["host"]["rights"] == "user"
    check_rows(manifest)
    # Sealed, it is theirs alone to move and remove.
    assert rootless.run(f"rm -r {document['path']}").returncode == 0


def check_rows(manifest: Json) -> None:
    """Every row of both containers is held, by a kernel view wherever there can be one."""
    (cell,) = manifest["constraints"].values()
    for role in ("sdk", "backend"):
        for row in cell[role]:
            if row["state"] == "absent":
                continue
            assert (row["state"], row["effective"]) == ("held", row["requested"]), row
            assert "agent" in row["witness"] or row["id"] in ENGINE_ONLY, row
        user = next(row for row in cell[role] if row["id"] == "user")
        assert user["witness"] == ["agent", "engine", "host"]


def follow(machine: Machine, remedy: str) -> None:
    """Do what an error advises, as that user would who has sudo; the machine has none, and its root needs none."""
    command = remedy.split(": ", 1)[1]
    machine.ssh(f'sudo() {{ "$@"; }}; id() {{ echo {NUMBER}; }}; {command}')


def test_podman_is_refused_by_name(machine: Machine) -> None:
    machine.ssh(f"{INSTALL} podman crun && systemctl start podman.socket")
    socket = "unix:///run/podman/podman.sock"
    told = {row["id"]: row for row in machine.document("doctor", code=REFUSED, DOCKER_HOST=socket)["checks"]}
    assert told["engine"]["state"] == "fail"
    assert "Podman" in told["engine"]["advice"]
    error = machine.document(LAUNCH, code=REFUSED, DOCKER_HOST=socket)
    assert error["title"] == "The engine is Podman"
    assert machine.ssh("podman ps -aq").stdout == ""
    assert machine.ssh("podman images -q").stdout == ""
