"""A user without root builds everything: packages by apt, toolchain by pip, modules by go, all in their own store."""

from __future__ import annotations

import os

import pytest

from tests.support.faults_tool import Tool, quick, sealed_manifest
from tests.support.other_user import other_user, why_not

pytestmark = [pytest.mark.timeout(1800), pytest.mark.skipif(bool(why_not()), reason=why_not() or "can")]


def test_a_user_without_root_fetches_and_builds_the_same_content(tool: Tool) -> None:
    mine = tool.launch()
    assert mine.code == 0, mine
    with other_user() as user:
        code, document, words = user.run(*quick(), REPRO_LANES=str(user.home / "lanes"))
        assert code == 0, words
        for client in ("by apt", "by pip", "by go"):
            assert client in words
        run = user.home / document["path"]
        theirs, ours = sealed_manifest(run), sealed_manifest(tool.only_run())
        assert theirs["images"] == ours["images"]
        assert theirs["definition"] == ours["definition"]
        assert run.stat().st_uid != os.geteuid()
