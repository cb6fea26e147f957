"""What goes on on each CPU, from files that are written down."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.host.clock import clock_synchronised
from toolkit.host.load import Load, Reading, device_interrupts, read_counters, watch_load

STAT = """cpu  100 0 50 800 10 5 5 30 0 0
cpu0 60 4 20 400 10 5 1 10 3 0
cpu1 40 0 30 400 0 0 4 20 0 0
intr 1 2 3
"""
INTERRUPTS = """            CPU0       CPU2
  1:          5          7   IO-APIC   1-edge      i8042
 24:        100          0  PCI-MSI 512-edge      nvme0q1
NMI:          9          9   Non-maskable interrupts
ERR:          3
"""


def test_the_counters_of_each_cpu_are_read(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text(STAT)
    (tmp_path / "proc/interrupts").write_text(INTERRUPTS)
    found = read_counters(tmp_path)
    assert found.busy_ticks == {0: 60 + 4 + 20 + 5 + 1, 1: 40 + 30 + 4}
    assert found.steal_ticks == {0: 10, 1: 20}
    assert found.interrupts == {0: 105, 2: 7}
    assert found.steal_share((0, 1)) == pytest.approx(30 / (510 + 494))


def test_rows_of_the_kernels_own_interrupts_do_not_count() -> None:
    assert device_interrupts(INTERRUPTS.splitlines()) == {0: 105, 2: 7}
    assert device_interrupts([]) == {}


def test_shares_are_of_the_cpus_that_were_asked_for() -> None:
    look = Load(Reading(0.0, {0: 0, 1: 0}, {0: 0, 1: 0}), Reading(2.0, {0: 100, 1: 0}, {0: 0, 1: 20}))
    assert look.busy_share((0,)) == pytest.approx(0.5)
    assert look.busy_share((0, 1)) == pytest.approx(0.25)
    assert look.steal_share((1,)) == pytest.approx(0.1)
    assert look.busy_share((2,)) is None
    assert look.interrupts_hz((0,)) is None


def test_a_machine_that_tells_nothing_is_no_error(tmp_path: Path) -> None:
    look = watch_load(0.0, tmp_path)
    assert look.busy_share((0,)) is None
    assert look.last.steal_share((0,)) is None


def test_this_machine_can_be_looked_at() -> None:
    look = watch_load(0.05)
    cpus = tuple(look.last.busy_ticks)
    assert cpus
    assert 0 <= (look.busy_share(cpus) or 0) <= 1
    assert clock_synchronised() in (True, False, None)
