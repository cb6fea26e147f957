"""A user in the docker group, without root: the same content and bytes, their own files, one set of lanes for all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.faults_tool import ROOT, Tool, quick, sealed_manifest
from tests.support.other_user import OtherUser, other_user, why_not
from toolkit.engine.docker import DockerEngine
from toolkit.lease import lease
from toolkit.readback.host_view import OWNERS_ONLY
from toolkit.readback.rows import lacking

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "can"),
]
BUSY = 7
Json = dict[str, Any]


@pytest.fixture(scope="module")
def user() -> Iterator[OtherUser]:
    """One for all of these tests."""
    with other_user() as one:
        yield one


@pytest.fixture
def lanes(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A lane folder in a place that everybody may look into."""
    with tempfile.TemporaryDirectory(prefix="rl", dir="/tmp") as folder:
        Path(folder).chmod(0o1777)
        monkeypatch.setenv("REPRO_LANES", f"{folder}/lanes")
        yield f"{folder}/lanes"


def carry(user: OtherUser) -> None:
    """Give the user the images that we have, if they have none yet, as ``scripts/carry.py`` packs them."""
    if (user.home / "store").exists():
        return
    command = [sys.executable, str(ROOT / "scripts" / "carry.py"), str(user.home), "--no-sources"]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, timeout=800)
    subprocess.run(["chown", "-R", f"{user.name}:{user.name}", str(user.home / "store")], check=True)


@pytest.mark.parametrize("umask", ["022", "077"])
def test_the_same_content_and_bytes_and_files_of_their_own(tool: Tool, user: OtherUser, lanes: str, umask: str) -> None:
    mine = tool.launch(REPRO_LANES=lanes)
    assert mine.code == 0, mine
    carry(user)
    former = os.umask(int(umask, 8))
    try:
        code, document, words = user.run(*quick("--runs", f"runs-{umask}"), REPRO_LANES=lanes)
    finally:
        os.umask(former)
    assert code == 0, words
    run = user.home / document["path"]
    theirs, ours = sealed_manifest(run), sealed_manifest(tool.only_run())
    assert theirs["images"] == ours["images"]
    assert theirs["definition"] == ours["definition"]
    assert theirs["inputs"] == ours["inputs"]
    differing = {key for key in ours["host"] if ours["host"][key] != theirs["host"].get(key)}
    assert differing == {"rights"}
    check_witnesses(ours["constraints"], theirs["constraints"])
    owner = run.stat().st_uid
    assert {path.stat().st_uid for path in run.rglob("*")} == {owner}
    removed = user.shell(f"rm -r runs-{umask}")
    assert (removed.returncode, removed.stderr, run.exists()) == (0, "", False)


def check_witnesses(ours: Json, theirs: Json) -> None:
    """Without root the host cannot read what is its owner's alone; all else is seen alike, and all of it held."""
    for cell, roles in ours.items():
        for role, rows in roles.items():
            told = {row["id"]: row for row in theirs[cell][role]}
            for row in rows:
                other = told[row["id"]]
                assert other["state"] == row["state"]
                if row["state"] == "absent":
                    assert row["id"] in lacking("1") | lacking("2")
                    continue
                assert row["state"] == "held"
                assert other["effective"] == row["effective"] == row["requested"]
                missing = set(row["witness"]) - set(other["witness"])
                assert missing == ({"host"} if row["id"] in OWNERS_ONLY else set()), row["id"]


def test_their_lane_is_busy_while_we_hold_it(tool: Tool, user: OtherUser, lanes: str, engine: DockerEngine) -> None:
    carry(user)
    with lease("0", engine, wait_seconds=600):
        code, document, words = user.run(*quick("--wait", "0"), REPRO_LANES=lanes)
    assert code == document["code"] == BUSY, words
    assert f"process {os.getpid()}" in document["cause"]


def test_ours_is_busy_while_they_hold_it(tool: Tool, user: OtherUser, lanes: str) -> None:
    carry(user)
    theirs = user.start(*quick("--duration", "40"), REPRO_LANES=lanes)
    try:
        assert theirs.stderr is not None
        while "measuring" not in (line := theirs.stderr.readline()):
            assert line, "it ended before it measured"
        mine = tool.launch("--wait", "0", REPRO_LANES=lanes)
        assert mine.code == BUSY, mine
        assert "leased by process" in mine.error["cause"] or "runs on CPU" in mine.error["cause"]
    finally:
        out, words = theirs.communicate(timeout=800)
    assert theirs.returncode == 0, words
    assert json.loads(out)["valid"] is True
    # And their lock file, in their folder, serves us afterwards.
    assert tool.launch(REPRO_LANES=lanes).code == 0
