"""The published JSON Schemas (2020-12), and the check of a document against one.

    validate(json.loads(text), "manifest")

A document may hold more keys than its schema names; what the schema names has the type and unit it says.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from toolkit import resources
from toolkit.errors import ArchiveInvalid

_SUFFIX = ".schema.json"
_SHOWN_CHARACTERS = 300


def schema_names() -> tuple[str, ...]:
    """Every published schema, by the name that ``validate`` takes."""
    return tuple(sorted(path.name.removesuffix(_SUFFIX) for path in resources.schemas_dir().glob(f"*{_SUFFIX}")))


@cache
def schema(name: str) -> dict[str, Any]:
    """One schema as parsed JSON. Raises KeyError when there is none of that name."""
    path = resources.schemas_dir() / f"{name}{_SUFFIX}"
    if not path.is_file():
        raise KeyError(name)
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value


def problems(document: Any, name: str) -> list[str]:
    """Where the document deviates from the schema, as sentences; empty when it does not."""
    from jsonschema import Draft202012Validator

    found = sorted(
        Draft202012Validator(schema(name)).iter_errors(document), key=lambda one: list(map(str, one.absolute_path))
    )
    return [f"{one.json_path}: {one.message[:_SHOWN_CHARACTERS]}" for one in found]


def validate(document: Any, name: str) -> None:
    """Raises ArchiveInvalid, naming the place, when the document does not have the published shape."""
    found = problems(document, name)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise ArchiveInvalid(
            f"this is no valid {name} document",
            found[0] + more,
            "restore the file, or read it with the version of repro that wrote it",
        )
