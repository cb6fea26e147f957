"""The rules for a go.mod of ours or of a user's entry."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from toolkit import resources
from toolkit.catalogue.files import bad, text_of
from toolkit.errors import CatalogueError

EXACT_VERSION = re.compile(r"^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+incompatible)?$")


def check_go_module(folder: Path, require: tuple[str, str] | None = None) -> None:
    """The rules for a go.mod of ours: the toolchain's own go line, no toolchain line, exact versions, go.sum present.

    The go line sets the default GODEBUG, so another line is another runtime. Raises CatalogueError.
    """
    file = folder / "go.mod"
    text = text_of(file)
    rows = [line.split("//")[0].split() for line in text.splitlines()]
    go_line = next((row[1] for row in rows if len(row) == 2 and row[0] == "go"), "none")
    if go_line != locked_go():
        raise bad(file, "go", f"the go line is {go_line}, the locked toolchain is {locked_go()}")
    if any(row[:1] in (["toolchain"], ["replace"]) for row in rows):
        raise bad(file, "toolchain or replace", "neither belongs here: the build decides both")
    required = dict(_required(rows))
    for module, version in required.items():
        if not EXACT_VERSION.fullmatch(version):
            raise CatalogueError(
                f"{file}:{_line_of(rows, module)}: {module}", f"floating version {version!r}", "correct the entry"
            )
    if require is not None and required.get(require[0]) != require[1]:
        found = required.get(require[0], "nothing")
        raise bad(file, require[0], f"sdk.yaml says {require[1]}, go.mod requires {found}")
    if required and not (folder / "go.sum").is_file():
        raise CatalogueError(
            f"{folder / 'go.sum'} is missing", "go.sum binds every module by hash", f"run `repro lock --entry {folder}`"
        )


def required_version(folder: Path, module: str) -> str:
    """The version that a go.mod requires of a module; empty when it requires none. Raises CatalogueError."""
    rows = [line.split("//")[0].split() for line in text_of(folder / "go.mod").splitlines()]
    return dict(_required(rows)).get(module, "")


def _line_of(rows: list[list[str]], module: str) -> int:
    return next((number for number, row in enumerate(rows, 1) if module in row), 1)


def _required(rows: Iterable[list[str]]) -> Iterable[tuple[str, str]]:
    inside = False
    for row in rows:
        if row[:2] == ["require", "("]:
            inside = True
        elif row == [")"]:
            inside = False
        elif inside and len(row) == 2:
            yield row[0], row[1]
        elif row[:1] == ["require"] and len(row) == 3:
            yield row[1], row[2]


def locked_go() -> str:
    """The Go version of the locked toolchain, for example ``1.26.6``. Raises CatalogueError."""
    file = resources.images_dir() / "lock.json"
    try:
        return str(json.loads(text_of(file))["toolchain"]["go"])
    except (ValueError, KeyError, TypeError) as error:
        raise bad(file, "toolchain.go", "missing or malformed") from error
