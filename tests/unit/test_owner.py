"""Who owns a container or a run: a process, told apart from every later one."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from toolkit.owner import Owner, current_owner, owner_from_labels, provably_dead, start_ticks


def test_this_process_is_alive() -> None:
    assert not provably_dead(current_owner())


def test_an_owner_survives_labels() -> None:
    assert owner_from_labels(current_owner().labels()) == current_owner()


def test_labels_that_are_not_ours_name_nobody() -> None:
    assert owner_from_labels({}) is None
    assert owner_from_labels({**current_owner().labels(), "org.sealbench.owner.pid": "many"}) is None


def test_a_process_that_ended_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as child:
        owner = replace(current_owner(), pid=child.pid, start_ticks=start_ticks(child.pid) or 0)
        child.wait()
    assert provably_dead(owner)


def test_a_zombie_is_dead() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    try:
        assert start_ticks(child) is None
    finally:
        os.waitpid(child, 0)


def test_a_process_that_could_not_be_looked_at_is_not_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = current_owner()
    read = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "stat":
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert start_ticks(owner.pid) is None
    assert not provably_dead(owner)


def test_a_later_process_with_the_same_number_is_another() -> None:
    assert provably_dead(replace(current_owner(), start_ticks=current_owner().start_ticks - 1))


def test_another_boot_is_over() -> None:
    assert provably_dead(replace(current_owner(), boot_id="00000000-0000-0000-0000-000000000000"))


def test_numbers_of_another_pid_namespace_prove_nothing() -> None:
    stranger = Owner(2**22 - 1, 1, current_owner().boot_id, "1")
    assert not provably_dead(stranger)


def test_the_start_of_nobody() -> None:
    assert start_ticks(2**22 + 1) is None


def test_a_process_that_proc_hides_is_not_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """hidepid shows a user no process of another; kill(2) still tells that there is one."""

    def not_yours(pid: int, number: int) -> None:
        assert number == 0
        raise PermissionError(pid)

    monkeypatch.setattr("toolkit.owner.start_ticks", lambda _pid: None)
    monkeypatch.setattr("toolkit.owner.os.kill", not_yours)
    assert not provably_dead(current_owner())


def test_a_process_may_call_itself_anything() -> None:
    name = b"\xff) R 1 (\xfe"
    code = f"import ctypes, sys; ctypes.CDLL(None).prctl(15, {name!r}); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        ticks = start_ticks(child.pid)
        assert ticks is not None
        assert ticks >= current_owner().start_ticks
        child.communicate(b"")
