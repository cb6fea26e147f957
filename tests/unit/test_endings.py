"""What the fault tests found, each behaviour without an engine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.journals import backend_journal, cell_plan, evidence, launch_journal
from tests.support.runs import RUN_ID, unsealed_run
from toolkit.analyse.termination import termination
from toolkit.engine.fake import FakeEngine
from toolkit.errors import EngineLost, RunFolderLost
from toolkit.launch.folder import RESERVE_BYTES, RESERVE_FILE, take_reserve
from toolkit.launch.interrupts import Interrupts
from toolkit.launch.pair import Member, Pair
from toolkit.launch.terminate import JOURNAL_EXIT, NO_SPACE, Ending, Evidence
from toolkit.model.evidence import Evidence as JournalEvidence
from toolkit.model.evidence import LaunchFacts
from toolkit.owner import start_ticks
from toolkit.seal import recover_runs, seal

CELL = cell_plan().cell


def send() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_removal_and_sealing_are_not_cut_short_by_an_impatient_user() -> None:
    with Interrupts().installed() as interrupts, interrupts.hold():
        send()
        send()
        assert interrupts.count == 2
        with pytest.raises(KeyboardInterrupt):
            send()


def test_what_unwinds_already_is_not_interrupted_again() -> None:
    with Interrupts().installed():
        with pytest.raises(KeyboardInterrupt):
            send()
        send()
        with pytest.raises(KeyboardInterrupt):
            send()


def test_a_backend_that_ended_first_without_a_word_lost_its_agent() -> None:
    cell = cell_plan()
    told = evidence(launch_journal(cell)), evidence(backend_journal(cell))
    assert termination(*told, LaunchFacts())[0] == "completed"
    silent = replace(told[1], exit=None)
    assert termination(told[0], silent, LaunchFacts(backend_ended_first=True))[0] == "agent-lost"


@pytest.mark.parametrize(
    ("end", "oom", "word", "said"),
    [
        ({"exit_code": 2, "signal": 0, "oom_kills": 0}, False, "backend-died", "exit code 2"),
        ({"exit_code": 137, "signal": 9, "oom_kills": 0}, False, "backend-died", "signal 9"),
        ({"exit_code": 137, "signal": 9, "oom_kills": 1}, False, "oom", "out of memory"),
        (None, False, "agent-lost", "agent"),
        (None, True, "oom", "out of memory"),
    ],
)
def test_a_backend_that_was_ready_and_gone_before_the_sdk_started_is_told_by_its_own_end(
    end: dict[str, int] | None, oom: bool, word: str, said: str
) -> None:
    told = evidence(backend_journal(cell_plan()))
    assert told.exit
    backend = replace(told, exit=replace(told.exit, **end) if end else None)
    facts = LaunchFacts(backend_ended_first=True, backend_oom=oom)
    found, why = termination(JournalEvidence(), backend, facts)
    assert why
    assert (found, said in why.cause) == (word, True)
    assert termination(JournalEvidence(), backend, LaunchFacts())[0] == "container-failed"


def test_a_program_that_is_done_but_never_ends_hangs() -> None:
    told = evidence(launch_journal(cell_plan()))
    assert told.agent
    assert told.exit
    lived = (told.exit.monotonic_ns - told.agent.monotonic_ns) / 1e9
    told = replace(told, exit=replace(told.exit, exit_code=137, signal=9))
    assert termination(told, None, LaunchFacts(stop_after_seconds=lived))[0] == "hang"
    assert termination(told, None, LaunchFacts(stop_after_seconds=lived + 60))[0] == "killed"


@pytest.mark.parametrize("role", ["sdk", "backend"])
def test_a_journal_without_space_is_a_full_disk(role: str) -> None:
    full = Ending(started=True, exit_code=JOURNAL_EXIT, stderr=b"agent: write the journal: " + NO_SPACE)
    assert Evidence(**{role: full}).stopped == "disk-full"
    assert Evidence(sdk=Ending(exit_code=JOURNAL_EXIT, stderr=b"permission denied")).stopped is None


def test_a_full_disk_has_room_for_the_seal(tmp_path: Path) -> None:
    folder = unsealed_run(tmp_path)
    take_reserve(folder)
    assert (folder.path / RESERVE_FILE).stat().st_blocks * 512 >= RESERVE_BYTES
    manifest = seal(folder)
    assert not (folder.path / RESERVE_FILE).exists()
    assert RESERVE_FILE not in manifest["files"]


def test_an_attempt_that_was_cut_off_carries_what_ended_it(tmp_path: Path) -> None:
    folder = unsealed_run(tmp_path)
    result = folder.attempt(CELL, 1, 1).path / "result.json"
    result.unlink()
    seal(folder, "interrupted", "interrupted")
    assert json.loads(result.read_text())["termination"] == "interrupted"


@pytest.mark.parametrize("damage", ["missing", "garbage"])
def test_a_journal_that_cannot_be_read_does_not_keep_its_run_from_being_sealed(tmp_path: Path, damage: str) -> None:
    folder = unsealed_run(tmp_path)
    files = folder.attempt(CELL, 1, 1)
    (files.path / "result.json").unlink()
    if damage == "missing":
        files.sdk_journal.unlink()
    else:
        files.sdk_journal.write_bytes(b"not a journal of ours")
    assert recover_runs(tmp_path) == [RUN_ID]
    assert folder.sealed


def test_a_run_folder_that_is_gone_is_lost_not_damaged(tmp_path: Path) -> None:
    folder = unsealed_run(tmp_path)
    shutil.rmtree(folder.path)
    with pytest.raises(RunFolderLost, match="cannot be written"):
        seal(folder)


class LostEngine(FakeEngine):
    """Stops answering."""

    def wait(self, container: str, timeout_seconds: float) -> int | None:
        raise EngineLost("lost")


def test_a_lost_engines_processes_are_ended(fake_engine: FakeEngine) -> None:
    process = subprocess.Popen(["sleep", "3600"])
    member = Member("sdk", "x", (), LostEngine(), started=True, pid=process.pid, born=start_ticks(process.pid))
    member._wait(lambda _code: None)
    pair = Pair(fake_engine, {})
    pair._members["sdk"] = member
    pair.kill_processes()
    assert process.wait(300) == -signal.SIGKILL
    member.engine = fake_engine


def test_a_number_that_belongs_to_another_process_now_is_left_alone(fake_engine: FakeEngine) -> None:
    process = subprocess.Popen(["sleep", "3600"])
    try:
        pair = Pair(fake_engine, {})
        pair._members["sdk"] = Member("sdk", "x", (), fake_engine, started=True, pid=process.pid, born=1)
        pair.kill_processes()
        assert process.poll() is None
    finally:
        process.kill()
        process.wait(10)
