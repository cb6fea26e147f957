"""What once broke a parser, or nearly did, is read or refused by every later version: tests/fixtures/fuzz."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulated.test_hostile import read_honest
from tests.support.archives import author
from tests.support.fuzzed import KEPT, Fuzzed

FILES = sorted(KEPT.glob("*/*"))


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Fuzzed:
    honest = read_honest(author(tmp_path_factory.mktemp("author")).archive())
    return Fuzzed(honest, tmp_path_factory.mktemp("files"))


def test_a_good_input_of_every_parser_is_read(fuzzed: Fuzzed) -> None:
    for name, parser in fuzzed.parsers.items():
        if name not in ("bundle", "index"):  # the bundle's blob is not what its name says; an index alone lists others
            parser(fuzzed.seeds(name)[0])


@pytest.mark.parametrize("path", FILES, ids=[f"{path.parent.name}-{path.name}" for path in FILES])
def test_a_kept_input_is_read_or_refused(fuzzed: Fuzzed, path: Path) -> None:
    fuzzed.feed(path.parent.name, path.read_bytes())


def test_there_are_some() -> None:
    assert FILES
