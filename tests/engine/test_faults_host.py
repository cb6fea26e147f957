"""Faults of the machine around a launch: disk full, read-only, folder deleted, CPUs taken."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.faults_tool import LONG_SECONDS, Tool, check_record, check_said, sealed_manifest

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts a file system")
DISK_BYTES = 8 << 20


@contextmanager
def mounted(place: Path, options: str) -> Iterator[Path]:
    """A small tmpfs, gone afterwards."""
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def fill(place: Path) -> Path:
    """Take all the space there is."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(b"x" * 4096)
        except OSError:
            pass
    return filler


@root_only
def test_a_disk_that_fills_in_the_middle_still_holds_a_sealed_record(tool: Tool) -> None:
    with mounted(tool.runs, f"size={DISK_BYTES}"):
        running = tool.begin("--duration", "10")
        running.say("measuring")
        filler = fill(tool.runs)
        check_said(running.end(), 1, "disk", "full", "free some space")
        filler.unlink()
        check_record(tool.only_run(), "disk-full", state="interrupted")


@root_only
def test_a_disk_that_is_full_from_the_start(tool: Tool) -> None:
    with mounted(tool.runs, f"size={DISK_BYTES}"):
        filler = fill(tool.runs)
        check_said(tool.launch(), 1, "full", "free some space")
        filler.unlink()
        assert list(tool.runs.iterdir()) == []


@root_only
def test_a_folder_for_runs_that_is_read_only(tool: Tool) -> None:
    with mounted(tool.runs, f"ro,size={DISK_BYTES}"):
        check_said(tool.launch(), 2, str(tool.runs), "--runs")
        assert list(tool.runs.iterdir()) == []


def delete(folder: Path, tool: Tool) -> None:
    """At once, as far as the launch can see: file by file it might write another one meanwhile."""
    shutil.rmtree(folder.rename(tool.folder / "gone"))


def test_a_run_folder_that_is_deleted_in_the_middle(tool: Tool) -> None:
    running = tool.begin("--duration", "10")
    running.say("measuring")
    delete(tool.only_run(), tool)
    check_said(running.end(), 1, "moved or deleted")
    assert list(tool.runs.iterdir()) == []


def test_a_folder_for_runs_that_is_deleted_in_the_middle(tool: Tool) -> None:
    running = tool.begin("--duration", "10")
    running.say("measuring")
    delete(tool.runs, tool)
    check_said(running.end(), 1, "moved or deleted")
    assert not tool.runs.exists()


def test_two_launches_at_once_on_one_cpu(tool: Tool) -> None:
    first = tool.begin("--duration", "40")  # until the second one has come to its lane, on a slow machine, too
    first.say("warming up")
    second = tool.launch("--wait", "0")
    check_said(second, 7, "CPU 0 is busy", f"process {first.process.pid}", "--wait")
    ended = first.end()
    assert ended.code == 0, ended
    assert ended.document["valid"] is True
    assert sealed_manifest(tool.only_run())["valid"] is True


def test_a_launch_with_other_locks_sees_the_containers_on_its_cpu(tool: Tool) -> None:
    """Another lock folder (another mount namespace, another user's) does not hide who runs there."""
    first = tool.begin("--duration", str(LONG_SECONDS))
    first.say("warming up")
    second = tool.launch("--wait", "0", REPRO_LANES=str(tool.folder / "other-lanes"))
    check_said(second, 7, "CPU 0 is busy", tool.only_run().name)
    first.interrupt()
    check_said(first.end(), 130)
