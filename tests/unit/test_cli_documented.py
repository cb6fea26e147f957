"""docs/cli.md names every command, shape, exit code and arm; the pages of entries name every key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from toolkit.arms import _ARM_VALUES
from toolkit.catalogue.entries import Backend, Sdk
from toolkit.cli.app import app
from toolkit.errors import ReproError
from toolkit.schemas import schema_names

DOCS = Path(__file__).resolve().parents[2] / "docs"
TEXT = (DOCS / "cli.md").read_text()
GROUPS = [found.typer_instance for found in app.registered_groups if found.typer_instance is not None]
TABLE = TEXT.partition("## Commands")[2].partition("## Exit codes")[0]


def codes(kind: type[ReproError]) -> Iterator[int]:
    yield kind.exit_code
    for below in kind.__subclasses__():
        yield from codes(below)


def commands() -> set[str]:
    """Every command; one of a group with the group's name before it."""
    groups = {f"{group.info.name} {one.name}" for group in GROUPS for one in group.registered_commands}
    return {str(one.name) for one in app.registered_commands} | groups


def test_every_command_is_in_the_table() -> None:
    groups = "|".join(str(group.info.name) for group in GROUPS)
    found = re.findall(rf"^\| `repro ((?:(?:{groups}) )?[a-z]+)", TABLE, re.MULTILINE)
    assert set(found) == commands()


def test_every_shape_that_the_table_names_is_published() -> None:
    named = re.findall(r"\| `([a-z][a-z-]*)` \|$", TABLE, re.MULTILINE)
    assert len(named) == len(commands())
    assert set(named) <= set(schema_names())


def test_every_exit_code_of_an_error_is_explained() -> None:
    explained = {int(code) for code in re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)}
    assert set(codes(ReproError)) | {0} <= explained


def test_nothing_on_the_page_names_a_machine() -> None:
    assert not re.search(r"/root|/home/|/work/", TEXT)


def test_the_lists_on_the_page_are_what_the_command_prints(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["list", "--runs", str(tmp_path)])
    printed = TEXT.partition("$ repro list\n")[2].partition("```")[0]
    assert [line.rstrip() for line in printed.splitlines()] == [line.rstrip() for line in done.stdout.splitlines()]


def test_every_arm_is_in_the_table() -> None:
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", TEXT.partition("| arm | values |")[2], re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(_ARM_VALUES)


@pytest.mark.parametrize(("page", "kind"), [("add-an-sdk.md", Sdk), ("backends.md", Backend)])
def test_every_key_of_an_entry_is_explained(page: str, kind: type[BaseModel]) -> None:
    table = (DOCS / page).read_text().rpartition("| key | default | meaning |")[2]
    firsts = re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)
    assert {name.strip('"') for cell in firsts for name in re.findall(r"`([^`]+)`", cell)} == set(kind.model_fields)
