"""Archives that were made once stay readable for ever: each fixture verifies with every later version."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.verify.run import Question, verify

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "archives"
ARCHIVES = sorted(FOLDER.glob("*.tar.zst"))


def test_there_are_some() -> None:
    assert ARCHIVES


@pytest.mark.parametrize("path", ARCHIVES, ids=[path.name for path in ARCHIVES])
def test_an_old_archive_verifies(path: Path) -> None:
    found = verify(Question(path))
    assert (found.verdict, found.author) == ("verified", "unverified"), found.to_json()["stages"][-1]
