"""The run folder and its names."""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path

import pytest

from toolkit.errors import RunFolderLost, UsageError
from toolkit.launch.folder import (
    AttemptFolder,
    RunFolder,
    check_writable,
    create_run,
    lost,
    read_owner,
    remove_owner,
    resolve_run,
    run_folders,
    run_id,
    write_json,
)
from toolkit.owner import current_owner


def make(runs: Path, *names: str) -> None:
    for name in names:
        (runs / name).mkdir(parents=True)
        (runs / name / "plan.json").write_text("{}")


def test_an_id_is_utc_time_label_and_four_digits() -> None:
    assert run_id("go-openai", now=0, suffix="7f3a") == "19700101-000000-go-openai-7f3a"
    assert re.fullmatch(r"\d{8}-\d{6}-x-[0-9a-f]{4}", run_id("x"))


def test_a_new_run_knows_its_owner_until_it_is_sealed(tmp_path: Path) -> None:
    folder = create_run(tmp_path / "deep" / "runs", "x", current_owner())
    assert read_owner(folder) == current_owner()
    remove_owner(folder)
    remove_owner(folder)
    assert read_owner(folder) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": 1}', "\xff"])
def test_a_damaged_owner_file_names_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / ".owner.json").write_text(text)
    assert read_owner(RunFolder(tmp_path)) is None


def test_a_folder_for_runs_that_cannot_be_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for attempt in (check_writable, lambda runs: create_run(runs, "x", current_owner())):
        with pytest.raises(UsageError) as caught:
            attempt(tmp_path / "file" / "runs")
        assert "--runs" in caught.value.remedy


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder_for_runs_is_a_usage_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(UsageError):
        check_writable(tmp_path)


def test_finding_out_leaves_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_containers_can_append_to_the_journals_whatever_the_umask_and_only_while_they_live(tmp_path: Path) -> None:
    former = os.umask(0o077)
    try:
        files = AttemptFolder(tmp_path / "1.1")
        files.prepare()
        assert {journal.stat().st_mode & 0o777 for journal in (files.sdk_journal, files.backend_journal)} == {0o666}
        files.close()
        assert {journal.stat().st_mode & 0o777 for journal in (files.sdk_journal, files.backend_journal)} == {0o644}
    finally:
        os.umask(former)


def test_an_attempt_is_never_begun_twice(tmp_path: Path) -> None:
    AttemptFolder(tmp_path / "1.1").prepare()
    with pytest.raises(RunFolderLost):
        AttemptFolder(tmp_path / "1.1").prepare()


def test_an_attempts_place(tmp_path: Path) -> None:
    files = RunFolder(tmp_path).attempt("a/b/default", 2, 3)
    assert files.path == tmp_path / "attempts" / "a--b--default" / "2.3"


def test_a_folder_that_vanished_is_lost(tmp_path: Path) -> None:
    with pytest.raises(RunFolderLost, match="cannot be written any more"):
        write_json(tmp_path / "gone" / "x.json", {})


def test_a_full_disk_is_told_apart(tmp_path: Path) -> None:
    assert "is full" in lost(tmp_path, OSError(errno.ENOSPC, "No space left on device")).title
    assert "is full" not in lost(tmp_path, OSError(errno.ENOENT, "No such file")).title


def test_json_is_readable_and_whole(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"ä": 1})
    assert json.loads((tmp_path / "x.json").read_text()) == {"ä": 1}
    assert "ä" in (tmp_path / "x.json").read_text()


def test_runs_are_listed_oldest_first_and_other_folders_are_not_runs(tmp_path: Path) -> None:
    make(tmp_path, "20260102-000000-a-0001", "20260101-000000-b-0002")
    (tmp_path / "notes").mkdir()
    (tmp_path / "README.md").touch()
    assert [folder.id for folder in run_folders(tmp_path)] == ["20260101-000000-b-0002", "20260102-000000-a-0001"]
    assert run_folders(tmp_path / "absent") == []


@pytest.mark.parametrize("text", ["last", "0001", "a-0001", "20260102-000000-a-0001"])
def test_a_run_is_found_by_id_by_its_end_and_as_the_last(tmp_path: Path, text: str) -> None:
    make(tmp_path, "20260102-000000-a-0001", "20260101-000000-b-0002")
    assert resolve_run(tmp_path, text).id == "20260102-000000-a-0001"


def test_a_run_is_found_by_its_path(tmp_path: Path) -> None:
    make(tmp_path, "x")
    assert resolve_run(Path("elsewhere"), str(tmp_path / "x")).path == tmp_path / "x"


@pytest.mark.parametrize("text", ["9999", "-000", "", "last"])
def test_no_run_or_several_is_a_usage_error_that_names_them(tmp_path: Path, text: str) -> None:
    runs = tmp_path / "runs"
    if text != "last":
        make(runs, "20260101-000000-a-0001", "20260102-000000-b-0001")
    with pytest.raises(UsageError) as caught:
        resolve_run(runs, text)
    assert "repro list runs" in caught.value.remedy


def test_an_end_that_fits_two_runs_is_refused(tmp_path: Path) -> None:
    make(tmp_path, "20260101-000000-a-0001", "20260102-000000-b-0001")
    with pytest.raises(UsageError, match="fits 2 runs"):
        resolve_run(tmp_path, "0001")
