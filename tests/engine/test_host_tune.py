"""Knobs of this very machine: turned, and put back exactly, also by whoever comes after a kill."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.faults_tool import ROOT
from toolkit.schemas import problems

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: changes knobs of this machine")
THP = Path("/sys/kernel/mm/transparent_hugepage")
IRQ = Path("/proc/irq")
Json = dict[str, Any]

# Dies at the n-th write to a knob, after it: the product knows nothing of it.
DOOMED = """
import os, signal, sys
from toolkit.host.knobs import knob
left = int(sys.argv.pop(1))
write = knob.write_value
def doomed(*arguments):
    global left
    write(*arguments)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
knob.write_value = doomed
from toolkit.cli.app import run
sys.exit(run(sys.argv[1:]))
"""


def knobs_now() -> dict[str, str]:
    """Every value that a test here could change, as far as nobody else changes it meanwhile."""
    files = [THP / "enabled", THP / "defrag", Path("/proc/sys/kernel/perf_event_max_sample_rate")]
    files += [] if balanced() else sorted(IRQ.glob("*/smp_affinity_list"))
    return {str(path): path.read_text() for path in files if path.exists()} | {"swap": swap_areas()}


def swap_areas() -> str:
    """Device, kind, size and priority of each area; how much is in use is the machine's affair."""
    rows = [line.split() for line in Path("/proc/swaps").read_text().splitlines()[1:]]
    return "\n".join(" ".join((*row[:3], row[-1])) for row in rows)


def balanced() -> bool:
    """Whether a daemon moves interrupts about here."""
    for path in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if path.read_text().strip() == "irqbalance":
                return True
    return False


@dataclass(frozen=True)
class Host:
    """``repro host`` with a journal of the test's own."""

    state: Path

    def run(self, *words: str, doomed_at: int = 0) -> subprocess.CompletedProcess[str]:
        program = ["-c", DOOMED, str(doomed_at)] if doomed_at else ["-m", "toolkit"]
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "REPRO_STATE": str(self.state),
            "REPRO_LANES": str(self.state),
        }
        line = [sys.executable, *program, "host", *words]
        return subprocess.run(line, capture_output=True, text=True, check=False, env=environment, timeout=800)

    def changes(self, *words: str, code: int = 0) -> list[Json]:
        """What became of each value, from a command that ended with this code."""
        done = self.run(*words, "--json")
        assert done.returncode == code, done.stdout + done.stderr
        document = json.loads(done.stdout)
        assert problems(document, "host") == []
        found: list[Json] = document["changes"]
        return found


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """Afterwards everything is as it was found, whatever the test did."""
    found = knobs_now()
    one = Host(tmp_path / "state")
    yield one
    one.run("undo", "--force")
    assert knobs_now() == found


@pytest.fixture
def huge_pages() -> Iterator[None]:
    """Switched on as distributions have them, whatever this machine has: so that there is something to switch off."""
    if not THP.exists():
        pytest.skip("this kernel has no transparent huge pages")
    former = {name: re.findall(r"\[(.+)\]", (THP / name).read_text())[0] for name in ("enabled", "defrag")}
    for name in former:
        (THP / name).write_text("madvise")
    yield
    for name, value in former.items():
        (THP / name).write_text(value)


@pytest.fixture
def swap_area(tmp_path: Path) -> Iterator[str]:
    """A small one on a loop device, with a priority that nobody else has."""
    image = tmp_path / "swap"
    image.write_bytes(bytes(16 << 20))
    image.chmod(0o600)
    made = subprocess.run(["losetup", "-f", "--show", image], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"this machine has no loop devices: {made.stderr.strip()}")
    device = made.stdout.strip()
    try:
        subprocess.run(["mkswap", device], check=True, capture_output=True)
        subprocess.run(["swapon", "-p", "1234", device], check=True)
        yield device
        subprocess.run(["swapoff", device], check=True)
    finally:
        subprocess.run(["losetup", "-d", device], check=True)


@pytest.mark.usefixtures("huge_pages")
def test_huge_pages_are_switched_off_and_back(host: Host) -> None:
    before = knobs_now()
    done = host.changes("tune", "--only", "thp", "--only", "perf")
    assert {one["state"] for one in done} <= {"changed", "as-wanted"}
    assert "[never]" in (THP / "enabled").read_text()
    assert {one["state"] for one in host.changes("status")} == {"tuned"}
    assert {one["state"] for one in host.changes("undo")} == {"restored"}
    assert knobs_now() == before
    assert host.changes("undo") == []


def test_swap_goes_and_comes_back_with_its_priority(swap_area: str, host: Host) -> None:
    before = swap_areas()
    done = {one["target"]: one for one in host.changes("tune", "--only", "swap")}
    assert (done[swap_area]["state"], done[swap_area]["former"]) == ("changed", "priority=1234")
    assert swap_area not in Path("/proc/swaps").read_text()
    assert {one["state"] for one in host.changes("undo")} == {"restored"}
    assert swap_areas() == before


def test_interrupts_leave_the_measured_cpu_and_those_that_cannot_are_said(host: Host) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one CPU is all there is: interrupts have nowhere to go")
    before = knobs_now()
    done = [one for one in host.changes("tune", "--only", "irq", "--cpus", "0") if one["target"]]
    assert done
    assert any(one["state"] == "changed" for one in done) or not any(can_move(one) for one in done)
    for one in done:
        assert one["state"] == "changed" or (one["state"] == "refused" and one["note"]), one
        now = Path("/", one["target"]).read_text().strip()
        assert now == (one["wanted"] if one["state"] == "changed" else one["former"]), one
    assert {one["state"] for one in host.changes("undo")} == {"restored"}
    assert knobs_now() == before


def can_move(change: Json) -> bool:
    """Whether the kernel takes another value of an interrupt; it is put back."""
    path = Path("/", change["target"])
    former = path.read_text()
    try:
        path.write_text(change["wanted"])
        path.write_text(former)
    except OSError:
        return False
    return True


@pytest.mark.usefixtures("huge_pages")
@pytest.mark.parametrize("step", [1, 2])
def test_a_kill_between_two_values_is_put_right(host: Host, step: int) -> None:
    before = knobs_now()
    assert host.run("tune", "--only", "thp", doomed_at=step).returncode == -signal.SIGKILL
    assert knobs_now() != before
    assert host.run("undo", doomed_at=1).returncode == -signal.SIGKILL
    assert {one["state"] for one in host.changes("undo")} <= {"restored", "as-before"}
    assert knobs_now() == before


@pytest.mark.usefixtures("huge_pages")
def test_somebody_elses_value_is_left_alone_and_forced_back(host: Host) -> None:
    before = (THP / "defrag").read_text()
    host.changes("tune", "--only", "thp")
    (THP / "defrag").write_text("defer")
    left = [one for one in host.changes("undo", code=1) if one["state"] == "left"]
    assert [one["target"] for one in left] == [str(THP / "defrag").lstrip("/")]
    assert "[defer]" in (THP / "defrag").read_text()
    host.changes("undo", "--force")
    assert (THP / "defrag").read_text() == before


def test_a_second_command_is_kept_out(host: Host) -> None:
    host.changes("status")
    host.state.mkdir()
    with (host.state / "host.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert host.run("tune", "--only", "thp").returncode == 7
