"""Throw-away machines: a program named by ``REPRO_LAB_VM`` starts them, and everything they need is carried over.

The program knows ``start NAME CPUS NODES MEMORY_MB``, ``ssh NAME COMMAND``, ``push`` and ``pull NAME FROM TO`` and
``stop NAME``; ``LAB_CPU`` tells it the model of the processor. ``REPRO_LAB_NAME`` names a machine that runs already,
which takes the place of ``machine`` and is left running.

One machine runs at a time (emulated ones would starve each other): the usual one is booted once for all tests, and the
tests of another kind come after its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from scripts.carry import TEST_PACKAGES
from tests.support.faults_tool import CATALOGUE, ROOT
from tests.support.lab import CHECKOUT, PLACE, Machine

# Read before the tests begin: they see no setting of whoever runs them.
PROGRAM = os.environ.get("REPRO_LAB_VM", "")
RUNNING = os.environ.get("REPRO_LAB_NAME", "")
_CARRY = str(ROOT / "scripts" / "carry.py")
_ENVIRONMENT = "environment.tar"
_OTHER_MACHINES = ("without_avx",)
_BOOT_SECONDS = 900
_BUILD_SECONDS = 900

_notes: list[str] = []


@dataclass(frozen=True)
class Kind:
    """What a machine is and what is carried to it. ``processor`` empty: the program's own choice, with AVX2."""

    name: str
    cpus: int
    nodes: int
    memory_mb: int
    sdks: tuple[str, ...]
    processor: str = ""
    tests: bool = False


USUAL = Kind("repro-lab", 8, 2, 6144, ("net-http", "go-openai", "go-llama"), tests=True)
# SSE4.2 and no AVX: x86-64-v2. Its images must not be loaded there, and are carried to show that they could be.
WITHOUT_AVX = Kind("repro-lab-without-avx", 8, 2, 4096, ("go-llama",), processor="Nehalem-v1")


@dataclass
class Lab:
    """At most one machine at a time."""

    parcels: pytest.TempPathFactory
    running: dict[Kind, Machine] = field(default_factory=dict)
    environment: Path | None = None

    def machine(self, kind: Kind) -> Machine:
        """The machine of this kind; another one that runs is switched off first."""
        if kind not in self.running:
            self.stop()
            self.running[kind] = self._start(kind)
        return self.running[kind]

    def stop(self) -> None:
        """Switch off what is ours."""
        for kind, one in self.running.items():
            if one.name == kind.name:
                subprocess.run([PROGRAM, "stop", one.name], check=False, timeout=60)
        self.running.clear()

    def _start(self, kind: Kind) -> Machine:
        if not PROGRAM:
            pytest.fail("tier lab was asked for and cannot run: REPRO_LAB_VM names no program that starts machines")
        # Before it takes the processor: images are made here, never there.
        parcel = _pack(kind, self.parcels.mktemp(kind.name))
        one = Machine(PROGRAM, RUNNING if kind is USUAL and RUNNING else kind.name)
        began = time.monotonic()
        if one.name == kind.name:
            self.running[kind] = one  # also one that does not come up is switched off
            words = [PROGRAM, "start", one.name, str(kind.cpus), str(kind.nodes), str(kind.memory_mb)]
            environment = {**os.environ, **({"LAB_CPU": kind.processor} if kind.processor else {})}
            subprocess.run(words, env=environment, check=True, timeout=_BOOT_SECONDS)
        up = time.monotonic()
        self._fill(one, parcel, tests=kind.tests)
        _notes.append(f"{one.name}: up after {up - began:.0f} s, filled and set up in {time.monotonic() - up:.0f} s")
        return one

    def _fill(self, machine: Machine, parcel: Path, *, tests: bool) -> None:
        """The parcel with wheels for its Python, then the set-up of a fresh machine from these alone.

        It takes an emulated machine minutes, and all of them are alike: the environment is made once, and carried on.
        """
        ask = 'python3 -c "import sys; print(\\"%d.%d\\" % sys.version_info[:2])"'
        python = machine.ssh(ask).stdout.strip()
        wheels = ["--python", python, "--level", "runtime", *(["--tests"] if tests else [])]
        _here(_CARRY, str(parcel), "--no-sources", "--no-images", *wheels)
        machine.ssh(f"mkdir -p {PLACE}")
        machine.push(parcel, PLACE)
        if self.environment is not None:
            machine.push(self.environment, PLACE)
            machine.ssh(f"tar -C {CHECKOUT} -xf {PLACE}/{_ENVIRONMENT}")
        # Compiling every module of every package costs a slow machine more than compiling those that are used. "no" is
        # how pip's own --no-compile is switched on there (pip, "Configuration", boolean options).
        offline = f"PIP_NO_INDEX=1 PIP_FIND_LINKS={PLACE}/wheels PIP_NO_COMPILE=no"
        machine.ssh(f"cd {CHECKOUT} && {offline} sh scripts/setup.sh runtime engine")
        if tests:
            pip = ".venv/bin/python -m pip install -q --no-deps"
            machine.ssh(f"cd {CHECKOUT} && {offline} {pip} {' '.join(TEST_PACKAGES)}")
        if self.environment is None:
            machine.ssh(f"mkdir -p {PLACE}/made && tar -C {CHECKOUT} -cf {PLACE}/made/{_ENVIRONMENT} .venv")
            kept = self.parcels.mktemp("environment")
            machine.pull(f"{PLACE}/made", kept)
            self.environment = kept


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of another machine come last, so that each kind is booted once."""
    items.sort(key=lambda item: any(name in getattr(item, "fixturenames", ()) for name in _OTHER_MACHINES))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the machines took."""
    for note in _notes:
        terminalreporter.write_line(f"lab: {note}")


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The machines; all of ours are off afterwards."""
    one = Lab(tmp_path_factory)
    yield one
    one.stop()


@pytest.fixture(scope="session")
def machine(lab: Lab) -> Machine:
    """8 CPUs with AVX2 on 4 cores, 2 nodes, systemd, cgroup v2; images of a client, an engine in process, a fault."""
    return lab.machine(USUAL)


@pytest.fixture(scope="session")
def without_avx(lab: Lab) -> Machine:
    """8 CPUs of level x86-64-v2."""
    return lab.machine(WITHOUT_AVX)


def _pack(kind: Kind, parcel: Path) -> Path:
    """Sources and images, from what this machine has; images that are missing are built here, never there."""
    own = ["--catalogue", str(CATALOGUE), "--sdk", "misbehaving"] if kind.tests else []
    for options in (*(["--sdk", sdk] for sdk in kind.sdks), own):
        if options:
            _here("-m", "toolkit", "build", *options)
    _here(_CARRY, str(parcel), *(word for sdk in kind.sdks for word in ("--sdk", sdk)))
    if own:
        _here(_CARRY, str(parcel), "--no-sources", *own)
    return parcel


def _here(*words: str) -> None:
    """A program of this checkout, its words among the test's own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, *words], env=environment, check=True, timeout=_BUILD_SECONDS, stdout=sys.stderr)
