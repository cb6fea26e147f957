"""The throw-away machine: a program named by ``REPRO_LAB_VM`` starts it, and everything it needs is carried over.

The program knows ``start NAME CPUS NODES MEMORY_MB``, ``ssh NAME COMMAND``, ``push`` and ``pull NAME FROM TO`` and
``stop NAME``; ``LAB_CPU`` tells it the model of the processor. ``REPRO_LAB_NAME`` names a machine that runs already,
which takes the place of ``machine`` and is left running.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.faults_tool import ROOT

# Read before the tests begin: they see no setting of whoever runs them.
PROGRAM = os.environ.get("REPRO_LAB_VM", "")
RUNNING = os.environ.get("REPRO_LAB_NAME", "")
PLACE = "/root/parcel"
# SSE4.2 and no AVX: x86-64-v2.
_WITHOUT_AVX = "Nehalem-v1"


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
    """4 CPUs, 2 nodes, the images of one client."""
    parcel = tmp_path_factory.mktemp("parcel")
    with _started("repro-lab", (4, 2, 4096), ["go-openai"], parcel, running=RUNNING) as one:
        yield one


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """8 CPUs with AVX2, 2 nodes. Of its module alone: two emulated machines at once would starve each other."""
    parcel = tmp_path_factory.mktemp("parcel-eight")
    with _started("repro-lab-eight", (8, 2, 6144), ["go-openai", "go-llama"], parcel) as one:
        yield one


@pytest.fixture(scope="module")
def without_avx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """8 CPUs of level x86-64-v2, and the images that it must not load."""
    parcel = tmp_path_factory.mktemp("parcel-without-avx")
    with _started("repro-lab-without-avx", (8, 2, 4096), ["go-llama"], parcel, processor=_WITHOUT_AVX) as one:
        yield one


@contextmanager
def _started(
    name: str, size: tuple[int, int, int], sdks: Sequence[str], parcel: Path, *, processor: str = "", running: str = ""
) -> Iterator[Machine]:
    """Started (CPUs, nodes, MB), filled, set up; switched off at the end when it was ours."""
    if not PROGRAM:
        pytest.fail("tier lab was asked for and cannot run: REPRO_LAB_VM names no program that starts machines")
    environment = {**os.environ, **({"LAB_CPU": processor} if processor else {})}
    one = Machine(running or name)
    try:
        if not running:
            words = [PROGRAM, "start", name, *map(str, size)]
            subprocess.run(words, env=environment, check=True, timeout=900)
        _fill(one, parcel, sdks)
        yield one
    finally:
        if not running:
            subprocess.run([PROGRAM, "stop", name], check=False, timeout=60)


def _fill(machine: Machine, parcel: Path, sdks: Sequence[str]) -> None:
    """Sources, images and wheels; then the set-up of a fresh machine, from these alone."""
    ask = 'python3 -c "import sys; print(\\"%d.%d\\" % sys.version_info[:2])"'
    python = machine.ssh(ask).stdout.strip()
    words = [str(ROOT / "scripts" / "carry.py"), str(parcel), "--python", python, "--level", "runtime"]
    words += [word for sdk in sdks for word in ("--sdk", sdk)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, *words], env=environment, check=True, timeout=600)
    machine.ssh(f"mkdir -p {PLACE}")
    machine.push(parcel, PLACE)
    wheels = f"PIP_NO_INDEX=1 PIP_FIND_LINKS={PLACE}/wheels"
    machine.ssh(f"cd {PLACE}/sealbench && {wheels} sh scripts/setup.sh runtime engine")
