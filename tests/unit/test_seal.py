"""The manifest is written once, from what is on disk, also after a kill at any moment."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.support.journals import Load, cell_plan, launch_journal
from tests.support.runs import RUN_ID, sealed_run, unsealed_run
from toolkit.cli.rerunning import _original
from toolkit.errors import ArchiveInvalid
from toolkit.launch.folder import RunFolder
from toolkit.readback.decide import NO_FILE
from toolkit.report.document import read_manifest
from toolkit.seal import _unwitnessed, dead_runs, read_plan, recover_runs, seal

CELL = "go-openai/chat-stream-128/default"


def manifest_of(folder: RunFolder) -> dict[str, object]:
    value: dict[str, object] = json.loads((folder.path / "manifest.json").read_text())
    return value


def test_every_file_but_the_manifests_own_is_listed_with_its_digest(tmp_path: Path) -> None:
    folder = sealed_run(tmp_path)
    files = manifest_of(folder)["files"]
    assert isinstance(files, dict)
    found = {path.relative_to(folder.path).as_posix() for path in folder.path.rglob("*") if path.is_file()}
    assert set(files) == found - {"manifest.json", "manifest.json.sha256"}
    for name, entry in files.items():
        assert hashlib.sha256((folder.path / name).read_bytes()).hexdigest() == entry["sha256"]


def test_the_manifests_digest_stands_beside_it(tmp_path: Path) -> None:
    folder = sealed_run(tmp_path)
    digest = hashlib.sha256((folder.path / "manifest.json").read_bytes()).hexdigest()
    assert (folder.path / "manifest.json.sha256").read_text() == f"{digest}  manifest.json\n"


def test_nothing_of_the_owner_stays(tmp_path: Path) -> None:
    assert not (sealed_run(tmp_path).path / ".owner.json").exists()


def test_sealing_twice_keeps_the_first(tmp_path: Path) -> None:
    folder = sealed_run(tmp_path)
    before = (folder.path / "manifest.json").read_bytes()
    seal(folder, "interrupted")
    assert (folder.path / "manifest.json").read_bytes() == before


def test_a_kill_between_the_manifest_and_its_digest_is_finished(tmp_path: Path) -> None:
    folder = unsealed_run(tmp_path)
    owner = (folder.path / ".owner.json").read_bytes()
    seal(folder)
    (folder.path / "manifest.json.sha256").unlink()
    (folder.path / ".owner.json").write_bytes(owner)
    assert recover_runs(tmp_path) == [RUN_ID]
    assert (folder.path / "manifest.json.sha256").exists()
    assert not (folder.path / ".owner.json").exists()
    assert dead_runs(tmp_path) == []


def test_a_killed_runs_half_attempt_keeps_what_its_journal_holds(tmp_path: Path) -> None:
    from toolkit.collect.journal import encode_journal

    folder = unsealed_run(tmp_path, launches=2)
    files = folder.attempt(CELL, 2, 1)
    (files.path / "result.json").unlink()
    (files.path / "readback.json").unlink()
    journal = encode_journal(
        launch_journal(cell_plan(duration_seconds=12.0), Load(without=frozenset({"done", "exit"}))).records()
    )
    files.sdk_journal.write_bytes(journal[: len(journal) * 2 // 3])
    assert recover_runs(tmp_path) == [RUN_ID]
    manifest = manifest_of(folder)
    assert (manifest["state"], manifest["valid"]) == ("recovered", False)
    result = json.loads((files.path / "result.json").read_text())
    assert (result["termination"], result["valid"]) == ("host-lost", False)
    assert result["samples"]["rows"]


def test_an_attempt_without_any_record_is_recorded_too(tmp_path: Path) -> None:
    folder = unsealed_run(tmp_path)
    (folder.attempt(CELL, 1, 1).path / "result.json").unlink()
    recover_runs(tmp_path)
    result = json.loads((folder.attempt(CELL, 1, 1).path / "result.json").read_text())
    assert result["termination"] == "host-lost"


def test_half_written_files_go(tmp_path: Path) -> None:
    folder = unsealed_run(tmp_path)
    (folder.path / ".plan.json.x8f").write_text("{")
    recover_runs(tmp_path)
    assert not list(folder.path.rglob(".*"))


def test_a_damaged_run_does_not_keep_others_from_being_sealed(tmp_path: Path) -> None:
    damaged = unsealed_run(tmp_path, run="20260101-000000-a-0001")
    (damaged.path / "plan.json").write_text("{")
    unsealed_run(tmp_path)
    assert recover_runs(tmp_path) == [RUN_ID]
    assert not damaged.sealed


def test_a_run_that_never_began_is_left_alone(tmp_path: Path) -> None:
    folder = unsealed_run(tmp_path)
    (folder.path / "setup.json").unlink()
    assert recover_runs(tmp_path) == []


def test_a_run_at_work_is_left_alone(tmp_path: Path) -> None:
    from dataclasses import asdict

    from toolkit.owner import current_owner

    folder = unsealed_run(tmp_path)
    (folder.path / ".owner.json").write_text(json.dumps(asdict(current_owner())))
    assert recover_runs(tmp_path) == []
    assert not folder.sealed


def test_a_damaged_plan_is_an_invalid_archive(tmp_path: Path) -> None:
    folder = unsealed_run(tmp_path)
    (folder.path / "plan.json").write_text("[]")
    with pytest.raises(ArchiveInvalid, match=r"plan\.json"):
        read_plan(folder)


def test_what_was_asked_and_has_no_file_here_is_named_and_what_a_version_lacks_is_not() -> None:
    rows = [
        {"id": "memory.swap_bytes", "state": "unwitnessed", "reason": NO_FILE},
        {"id": "memory.swappiness", "state": "absent", "reason": None},
        {"id": "user", "state": "held", "reason": None},
        {"id": "pids.limit", "state": "unwitnessed"},
    ]
    assert list(_unwitnessed({"cell": {"sdk": rows}})) == [f"sdk memory.swap_bytes ({NO_FILE})", "sdk pids.limit"]


@pytest.mark.parametrize("name", ["setup.json", "lock.json"])
def test_an_odd_run_folder_stops_nobody_else(tmp_path: Path, name: str) -> None:
    folder = unsealed_run(tmp_path)
    (folder.path / name).write_text("{}" if name == "setup.json" else "[" * 100_000)
    assert recover_runs(tmp_path) == []
    with pytest.raises(ArchiveInvalid):
        seal(folder)


def test_an_edited_manifest_is_not_shown(tmp_path: Path) -> None:
    folder = sealed_run(tmp_path)
    path = folder.path / "manifest.json"
    path.write_text(path.read_text().replace('"letter": "', '"letter": "A', 1))
    with pytest.raises(ArchiveInvalid, match="not what was sealed"):
        read_manifest(folder)
    (folder.path / "manifest.json.sha256").unlink()
    with pytest.raises(ArchiveInvalid, match="no digest"):
        read_manifest(folder)


@pytest.mark.parametrize("name", ["plan.json", "lock.json", "setup.json", "result.json"])
def test_an_edited_run_is_not_run_again(tmp_path: Path, name: str) -> None:
    folder = sealed_run(tmp_path)
    path = next(folder.path.rglob(name))
    path.write_text(path.read_text() + " ")
    with pytest.raises(ArchiveInvalid, match="not what was sealed"):
        _original(folder)
