"""The throw-away machine: a program named by ``REPRO_LAB_VM`` starts it, and everything it needs is carried over.

The program knows ``start NAME CPUS NODES MEMORY_MB``, ``ssh NAME COMMAND``, ``push`` and ``pull NAME FROM TO`` and
``stop NAME``. ``REPRO_LAB_NAME`` names a machine that runs already; it is then left running.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.faults_tool import ROOT

# Read before the tests begin: they see no setting of whoever runs them.
PROGRAM = os.environ.get("REPRO_LAB_VM", "")
RUNNING = os.environ.get("REPRO_LAB_NAME", "")
PLACE = "/root/parcel"
_CPUS, _NODES, _MEMORY_MB = 4, 2, 4096


@dataclass(frozen=True)
class Machine:
    """A machine that has the parcel at ``PLACE`` and an environment in its checkout."""

    name: str

    def ssh(self, command: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A shell command there, as root."""
        ended = self._call("ssh", command)
        assert not check or ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
        return ended

    def start(self, command: str) -> subprocess.Popen[str]:
        """Begin a shell command there."""
        pipe = subprocess.PIPE
        return subprocess.Popen([PROGRAM, "ssh", self.name, command], stdout=pipe, stderr=pipe, text=True)

    def push(self, source: Path, target: str) -> None:
        """Copy a folder's content there."""
        assert self._call("push", f"{source}/", target).returncode == 0

    def pull(self, source: str, target: Path) -> None:
        """Copy a folder's content back."""
        assert self._call("pull", f"{source}/", f"{target}/").returncode == 0

    def _call(self, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
        line = [PROGRAM, verb, self.name, *words]
        return subprocess.run(line, capture_output=True, text=True, check=False, timeout=3000)


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Started, filled, set up; switched off at the end when it was ours."""
    if not PROGRAM:
        pytest.fail("tier lab was asked for and cannot run: REPRO_LAB_VM names no program that starts machines")
    name = RUNNING or "repro-lab"
    if not RUNNING:
        subprocess.run([PROGRAM, "start", name, str(_CPUS), str(_NODES), str(_MEMORY_MB)], check=True, timeout=900)
    one = Machine(name)
    try:
        _fill(one, tmp_path_factory.mktemp("parcel"))
        yield one
    finally:
        if not RUNNING:
            subprocess.run([PROGRAM, "stop", name], check=False, timeout=60)


def _fill(machine: Machine, parcel: Path) -> None:
    """Sources, images and wheels; then the set-up of a fresh machine, from these alone."""
    ask = 'python3 -c "import sys; print(\\"%d.%d\\" % sys.version_info[:2])"'
    python = machine.ssh(ask).stdout.strip()
    words = [str(ROOT / "scripts" / "carry.py"), str(parcel), "--python", python, "--level", "runtime"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, *words], env=environment, check=True, timeout=600)
    machine.ssh(f"mkdir -p {PLACE}")
    machine.push(parcel, PLACE)
    wheels = f"PIP_NO_INDEX=1 PIP_FIND_LINKS={PLACE}/wheels"
    machine.ssh(f"cd {PLACE}/sealbench && {wheels} sh scripts/setup.sh runtime engine")
