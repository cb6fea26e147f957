"""``repro host``: what the command line itself decides."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from toolkit.cli.app import app
from toolkit.host.knobs import KNOBS
from toolkit.host.knobs.journal import Journal
from toolkit.host.knobs.knob import Change
from toolkit.schemas import problems

CHANGE = Change("ksm", "sys/kernel/mm/ksm/no-such-file", "1", "0")


@pytest.fixture(autouse=True)
def _as_a_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REPRO_STATE", str(tmp_path))
    monkeypatch.setenv("REPRO_LANES", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


def host(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["host", *words])
    return done.exit_code, done.stdout, done.stderr


def test_without_root_the_command_to_type_is_said() -> None:
    code, _out, words = host("tune", "--only", "thp", "--only", "irq", "--cpus", "0")
    assert code == 3
    assert "sudo repro host tune --only thp --only irq --cpus 0" in words


def test_undo_needs_root_only_where_there_is_something_to_put_back(tmp_path: Path) -> None:
    assert host("undo")[:2] == (0, "nothing to put back\n")
    Journal(tmp_path).write([CHANGE])
    code, _out, words = host("undo")
    assert (code, "sudo repro host undo" in words) == (3, True)
    assert Journal(tmp_path).read() == [CHANGE]


def test_what_would_be_tuned_is_said_to_everybody() -> None:
    code, out, _words = host("tune", "--dry-run", "--json")
    assert code == 0
    document = json.loads(out)
    assert problems(document, "host") == []
    assert document["dry_run"] is True
    assert {one["knob"] for one in document["changes"]} == {kind.id for kind in KNOBS}


def test_status_tells_what_is_left_of_a_change(tmp_path: Path) -> None:
    assert host("status")[:2] == (0, "nothing is tuned\n")
    Journal(tmp_path).write([CHANGE])
    code, out, _words = host("status", "--json")
    assert (code, [one["state"] for one in json.loads(out)["changes"]]) == (0, ["gone"])


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("tune", "--only", "turbo"), 2, "there are swap, thp"),
        (("tune", "--only", "smt"), 2, "no CPUs were named"),
        (("tune", "--cpus", "x"), 2, "not a list"),
        (("tune", "--cpus", "4000"), 3, "no CPU"),
        (("undo", "--force", "--forget"), 2, "choose one"),
    ],
)
def test_what_cannot_be_is_refused(words: tuple[str, ...], code: int, said: str) -> None:
    found = host(*words)
    assert (found[0], said in found[2]) == (code, True)


def test_a_damaged_journal_is_exit_6(tmp_path: Path) -> None:
    Journal(tmp_path).path.write_text("{")
    assert host("status")[0] == host("undo")[0] == 6


def test_nothing_is_turned_while_somebody_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    Journal(tmp_path).write([CHANGE])
    with (tmp_path / "cpu0.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for words in (("tune", "--only", "ksm"), ("undo",)):
            code, _out, told = host(*words)
            assert (code, "somebody measures" in told) == (7, True)
    assert Journal(tmp_path).read() == [CHANGE]
