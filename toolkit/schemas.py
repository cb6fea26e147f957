"""The published JSON Schemas (2020-12), and the check of a document against one.

    validate(json.loads(text), "manifest")

A document may hold more keys than its schema names; what the schema names has the type and unit it says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from toolkit import resources
from toolkit.errors import ArchiveInvalid

Json = dict[str, Any]

_SUFFIX = ".schema.json"
_SHOWN_CHARACTERS = 300


def schema_names() -> tuple[str, ...]:
    """Every published schema, by the name that ``validate`` takes."""
    return tuple(sorted(path.name.removesuffix(_SUFFIX) for path in resources.schemas_dir().glob(f"*{_SUFFIX}")))


@cache
def schema(name: str) -> Json:
    """One schema as parsed JSON. Raises KeyError when there is none of that name."""
    path = resources.schemas_dir() / f"{name}{_SUFFIX}"
    if not path.is_file():
        raise KeyError(name)
    value: Json = json.loads(path.read_text(encoding="utf-8"))
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


def key_table(name: str) -> str:
    """The keys of a document as a Markdown table (``docs/manifest.md`` holds the manifest's, and a test says so).

    ``*`` stands for any key of a mapping, ``[]`` for the elements of a list.
    """
    root = schema(name)
    lines = ["| key | type | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{path}` | {kind} | {text} |" for path, kind, text in _rows(root, root.get("$defs", {}), "")]
    return "\n".join(lines) + "\n"


def _rows(node: Json, named: Json, prefix: str) -> Iterator[tuple[str, str, str]]:
    found = _resolved(node, named)
    for key, value in found.get("properties", {}).items():
        text = value.get("description") or _resolved(value, named).get("description", "")
        optional = "" if key in found.get("required", ()) else " (optional)"
        yield prefix + key, _kind(value, named) + optional, text
        yield from _rows(value, named, f"{prefix}{key}.")
    if isinstance(found.get("additionalProperties"), dict):
        yield from _rows(found["additionalProperties"], named, f"{prefix}*.")
    if "items" in found:
        yield from _rows(found["items"], named, prefix.removesuffix(".") + "[].")


def _resolved(node: Json, named: Json) -> Json:
    found: Json = named[node["$ref"].removeprefix("#/$defs/")] if "$ref" in node else node
    return found


def _kind(node: Json, named: Json) -> str:
    """A type in a word or two."""
    found = _resolved(node, named)
    if "const" in found:
        return f"`{json.dumps(found['const'])}`"
    if "enum" in found:
        return ", ".join(str(value) for value in found["enum"])
    if "oneOf" in found:
        return " or ".join(_kind(one, named) for one in found["oneOf"])
    kind = found.get("type", "any")
    if isinstance(kind, list):
        return " or ".join(kind)
    return "list" if kind == "array" else str(kind)
