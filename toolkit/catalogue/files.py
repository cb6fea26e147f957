"""Catalogue files as checked values: text of limited size, YAML without surprises, errors that name the key."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from toolkit.errors import CatalogueError

_MAX_FILE_BYTES = 1 << 20
_M = TypeVar("_M", bound=BaseModel)


def text_of(file: Path) -> str:
    """A file's text. Raises CatalogueError when it is missing, too large or not text."""
    try:
        found = file.stat()
        if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for, a device has no end
            raise CatalogueError(f"{file} cannot be read", "it is not a file", "put a file there")
        if found.st_size > _MAX_FILE_BYTES:
            raise CatalogueError(f"{file} is too large", f"more than {_MAX_FILE_BYTES} bytes", "shorten it")
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise CatalogueError(f"{file} is missing", "the entry needs it", "add it") from error
    except (OSError, UnicodeDecodeError) as error:
        cause = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        raise CatalogueError(f"{file} cannot be read", cause, "it must be a text file in UTF-8") from error


class _UniqueKeys(yaml.SafeLoader):
    """PyYAML lets a repeated key win silently; here it is an error, as are aliases (they can make 300 bytes huge)."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.constructor.ConstructorError(None, None, "aliases are not allowed", None)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be plain text", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} given twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def parse(file: Path, model: type[_M]) -> _M:
    """A YAML file as a value of ``model``. Raises CatalogueError naming file and key."""
    try:
        data = yaml.load(text_of(file), _UniqueKeys)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise CatalogueError(f"{file} is not valid YAML", " ".join(str(error).split()), "correct the file") from error
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise bad(file, key, str(first["msg"])) from error


def bad(file: Path, key: str, why: str) -> CatalogueError:
    """The error of one key of an entry."""
    return CatalogueError(f"{file}: {key}", why, "correct the entry")
