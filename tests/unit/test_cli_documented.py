"""docs/cli.md names every command, every shape and every exit code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from toolkit.cli.app import app
from toolkit.errors import ReproError
from toolkit.schemas import schema_names

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text()
TABLE = TEXT.partition("## Commands")[2].partition("## Exit codes")[0]


def codes(kind: type[ReproError]) -> Iterator[int]:
    yield kind.exit_code
    for below in kind.__subclasses__():
        yield from codes(below)


def test_every_command_is_in_the_table() -> None:
    assert set(re.findall(r"^\| `repro ([a-z]+)", TABLE, re.MULTILINE)) == {one.name for one in app.registered_commands}


def test_every_shape_that_the_table_names_is_published() -> None:
    named = set(re.findall(r"\| `([a-z][a-z-]*)` \|$", TABLE, re.MULTILINE))
    assert len(named) == len(app.registered_commands)
    assert named <= set(schema_names())


def test_every_exit_code_of_an_error_is_explained() -> None:
    explained = {int(code) for code in re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)}
    assert set(codes(ReproError)) | {0} <= explained


def test_nothing_on_the_page_names_a_machine() -> None:
    assert not re.search(r"/root|/home/|/work/", TEXT)
