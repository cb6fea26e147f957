"""Knobs are turned and put back exactly, whoever dies in between, on a machine made of files."""

from __future__ import annotations

import fcntl
import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.knobs import (
    CPU,
    FILES,
    REFUSING,
    THP,
    Kernel,
    act,
    areas,
    around,
    assert_as_before,
    make_machine,
)
from toolkit import canonical
from toolkit.errors import ArchiveInvalid, HostUnfit, LaneBusy, UsageError
from toolkit.host.knobs import KNOBS
from toolkit.host.knobs.journal import Journal, state_folder
from toolkit.host.knobs.tune import Outcome, chosen_knobs, planned, status, tuned_knobs
from toolkit.host.property import Surroundings


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_machine(tmp_path / "root")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill does not lose what the kernel has; a power cut cannot be tried here, and each fsync costs milliseconds."""
    monkeypatch.setattr(canonical.os, "fsync", lambda _descriptor: None)


def test_the_journal_is_on_disk_before_the_value_is_touched(
    root: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(
        canonical.os, "fsync", lambda descriptor: told.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    )
    kernel = Kernel(root)
    write = kernel.write

    def noted(surroundings: Surroundings, path: str, value: str) -> None:
        told.append(path)
        write(surroundings, path, value)

    monkeypatch.setattr(kernel, "write", noted)
    act("tune", root, state, kernel)
    places = [index for index, one in enumerate(told) if one.startswith(("sys/", "proc/"))]
    assert len(places) > 10
    for place in places:  # the new file, then the folder that names it, then the value
        assert Path(told[place - 2]).name.startswith(".host-journal.json.")
        assert told[place - 1] == str(state)


def by_target(outcomes: list[Outcome]) -> dict[str, Outcome]:
    return {one.target or one.knob: one for one in outcomes}


def read(root: Path, name: str) -> str:
    return (root / name).read_text().strip()


def test_every_knob_is_turned_and_put_back(root: Path, state: Path) -> None:
    done = by_target(act("tune", root, state))
    assert {one.knob for one in done.values() if one.state == "changed"} == {kind.id for kind in KNOBS}
    assert read(root, f"{THP}/enabled") == "always madvise [never]"
    assert read(root, "proc/sys/kernel/numa_balancing") == "0"
    assert read(root, "proc/sys/kernel/perf_event_max_sample_rate") == "1"
    assert read(root, "sys/kernel/mm/ksm/run") == "0"
    assert areas(root) == set()
    assert read(root, "proc/irq/4/smp_affinity_list") == "1,3"
    assert read(root, "proc/irq/6/smp_affinity_list") == "1,3"
    assert read(root, f"{CPU}/cpu2/online") == "0"
    assert tuned_knobs(state, root) == tuple(sorted(kind.id for kind in KNOBS))
    assert {one.state for one in act("undo", root, state)} == {"restored", "as-before"}  # those held are as before
    assert_as_before(root)
    assert tuned_knobs(state, root) == ()
    assert list(state.glob("*.json")) == []


def test_an_interrupt_that_refuses_is_said_and_leaves_nothing_in_the_journal(root: Path, state: Path) -> None:
    refused = by_target(act("tune", root, state))[REFUSING]
    assert (refused.state, refused.note, refused.found) == ("refused", "Input/output error", "0-3")
    assert REFUSING not in {change.target for change in Journal(state).read()}


def test_an_interrupt_that_its_driver_spreads_anew_is_held_while_a_cpu_goes_and_comes(root: Path, state: Path) -> None:
    act("tune", root, state)
    assert read(root, "proc/irq/7/smp_affinity_list") == "1"
    assert "left" not in {one.state for one in status(around(root), state)}
    act("undo", root, state)
    assert read(root, "proc/irq/7/smp_affinity_list") == "0-2"


def test_swap_comes_back_with_its_priorities_and_discard_flags(root: Path, state: Path) -> None:
    act("tune", root, state)
    kernel = Kernel(root)
    act("undo", root, state, kernel)
    assert kernel.asked == {"/dev/vda2": 0x10000, "/dev/zram0": 0, "/swap file": 0x8000 | 7 | 0x30000}
    assert areas(root) == {("/dev/vda2", "-2"), ("/swap\\040file", "7"), ("/dev/zram0", "-3")}


def test_swap_that_does_not_fit_into_memory_is_refused(root: Path, state: Path) -> None:
    (root / "proc/meminfo").write_text("MemTotal: 8388608 kB\nMemAvailable: 512 kB\n")
    found = by_target(act("tune", root, state))["swap"]
    assert (found.state, "end other programs" in found.note) == ("refused", True)
    assert len(areas(root)) == 3


def test_a_swap_file_that_was_deleted_stays_on_because_it_could_not_come_back(root: Path, state: Path) -> None:
    (root / "swap file").unlink()
    found = by_target(act("tune", root, state))["/swap file"]
    assert (found.state, "deleted" in found.note) == ("refused", True)
    assert ("/swap\\040file", "7") in areas(root)


def test_a_cpu_that_some_group_cannot_do_without_stays_online(root: Path, state: Path) -> None:
    (root / "sys/fs/cgroup/cpuset/docker/web/cpuset.cpus").write_text("2\n")
    found = by_target(act("tune", root, state))["smt"]
    assert (found.state, "docker/web" in found.note) == ("refused", True)
    assert read(root, f"{CPU}/cpu2/online") == "1"


def test_the_last_cpus_keep_their_interrupts(root: Path) -> None:
    found = by_target(planned(around(root, "0-1"), KNOBS))
    assert (found["irq"].state, "no CPU is left" in found["irq"].note) == ("refused", True)


def test_tuning_again_adds_nothing_and_other_cpus_are_put_back_through_both(root: Path, state: Path) -> None:
    act("tune", root, state)
    first = Journal(state).read()
    assert {one.state for one in act("tune", root, state)} <= {"as-wanted", "absent", "refused"}
    assert Journal(state).read() == first
    act("tune", root, state, cpus="1")
    assert read(root, "proc/irq/4/smp_affinity_list") == "0"
    assert len(Journal(state).read()) > len(first)
    act("undo", root, state)
    assert_as_before(root)


def test_what_somebody_else_changed_is_left_alone_and_said(root: Path, state: Path) -> None:
    act("tune", root, state)
    (root / "proc/sys/kernel/perf_event_max_sample_rate").write_text("5000\n")
    target = "proc/sys/kernel/perf_event_max_sample_rate"
    assert by_target(status(around(root), state))[target].state == "left"
    assert "perf" not in tuned_knobs(state, root)
    found = by_target(act("undo", root, state))
    assert (found[target].state, "--force" in found[target].note) == ("left", True)
    assert {one.state for name, one in found.items() if name != target} == {"restored"}
    assert read(root, target) == "5000"
    assert "first 'repro host undo'" in by_target(act("tune", root, state))[target].note
    act("undo", root, state, force="restore")
    assert_as_before(root)


def test_what_somebody_else_changed_can_be_forgotten(root: Path, state: Path) -> None:
    act("tune", root, state)
    (root / "proc/sys/kernel/perf_event_max_sample_rate").write_text("5000\n")
    act("undo", root, state, force="forget")
    assert read(root, "proc/sys/kernel/perf_event_max_sample_rate") == "5000"
    assert Journal(state).read() == []


def test_after_a_reboot_an_interrupt_of_another_device_is_left_alone(root: Path, state: Path) -> None:
    act("tune", root, state)
    (root / "sys/kernel/irq/6/actions").write_text("another\n")
    found = by_target(act("undo", root, state))["proc/irq/6/smp_affinity_list"]
    assert (found.state, found.note) == ("gone", "it belongs to another device now")


def test_after_a_reboot_the_journal_is_closed_by_what_the_boot_brought_back(tmp_path: Path, state: Path) -> None:
    act("tune", make_machine(tmp_path / "before"), state)
    rebooted = make_machine(tmp_path / "after")
    (rebooted / "sys/kernel/mm/ksm/run").write_text("2\n")
    journal = Journal(state)
    journal.write([replace(change, boot_id="an earlier one") for change in journal.read()])
    found = by_target(act("undo", rebooted, state))
    assert found["sys/kernel/mm/ksm/run"].state == "gone"
    assert "the boot gave it this value" in found["sys/kernel/mm/ksm/run"].note
    assert (rebooted / "sys/kernel/mm/ksm/run").read_text() == "2\n"
    assert journal.read() == []
    assert {one.state for name, one in found.items() if name != "sys/kernel/mm/ksm/run"} == {"as-before"}


def test_a_machine_without_knobs_has_nothing_to_turn(tmp_path: Path, state: Path) -> None:
    bare = tmp_path / "bare"
    for name in (f"{CPU}/online", "proc/meminfo"):
        (bare / name).parent.mkdir(parents=True, exist_ok=True)
        (bare / name).write_text(FILES[name] + "\n")
    assert {one.state for one in act("tune", bare, state)} == {"absent"}


def test_two_at_once_are_kept_apart(root: Path, state: Path) -> None:
    state.mkdir()
    with (state / "host.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for verb in ("tune", "undo"):
            with pytest.raises(LaneBusy):
                act(verb, root, state)
    assert_as_before(root)


def test_nothing_is_changed_where_the_journal_cannot_be_written(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostUnfit):
        act("tune", root, tmp_path / "file" / "state")
    assert_as_before(root)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema":"repro.host-journal/9","changes":[]}',
                                  '{"schema":"repro.host-journal/1","changes":[{"knob":3}]}'])  # fmt: skip
def test_a_damaged_journal_is_named_and_kept(root: Path, state: Path, text: str) -> None:
    state.mkdir()
    journal = Journal(state)
    journal.path.write_text(text)
    for verb in ("tune", "undo"):
        with pytest.raises(ArchiveInvalid) as caught:
            act(verb, root, state)
        assert str(journal.path) in caught.value.cause
    assert journal.path.read_text() == text
    assert tuned_knobs(state, root) == ()
    assert_as_before(root)


def test_an_unknown_knob_and_a_missing_list_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="Unknown knob 'turbo'"):
        chosen_knobs(["turbo"], cpus_named=True)
    with pytest.raises(UsageError, match="turned for CPUs"):
        chosen_knobs(["irq"], cpus_named=False)
    assert [kind.id for kind in chosen_knobs(["thp", "swap"], cpus_named=False)] == ["swap", "thp"]


def test_the_journal_is_where_it_was_asked_to_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert state_folder() == Path("/var/lib/sealbench")
    monkeypatch.setenv("REPRO_STATE", str(tmp_path))
    assert state_folder() == tmp_path
