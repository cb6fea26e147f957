"""Jinja2 with the settings that make rendering strict and byte-stable: an undefined name is an error, never an
empty text.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from toolkit import resources

if TYPE_CHECKING:
    import jinja2


@functools.cache
def environment() -> jinja2.Environment:
    """The one environment for all templates."""
    import jinja2

    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resources.templates_dir()),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 (no HTML: Dockerfiles, YAML and Go; values are escaped by the filters below)
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        newline_sequence="\n",
    )
    found.filters["json"] = _json
    found.filters["line"] = _line
    found.filters["dollars"] = _dollars
    return found


def render(template: str, **values: Any) -> bytes:
    """Render a template to bytes. Raises jinja2.UndefinedError for a name the template wants and nobody gave."""
    return environment().get_template(template).render(**values).encode()


def _json(value: object) -> str:
    """JSON on one line; YAML and exec-form Dockerfile lines read it as their own."""
    import json

    return json.dumps(value, ensure_ascii=True, sort_keys=True)


def _dollars(value: Any) -> Any:
    """Compose takes ``$`` for a variable; ``$$`` is a plain one. Texts and lists of texts."""
    return value.replace("$", "$$") if isinstance(value, str) else [_dollars(item) for item in value]


def _line(value: object) -> str:
    """Text for a comment. Raises ValueError when it holds a line break: it would inject an instruction."""
    text = str(value)
    if any(character in text for character in "\r\n\x85\u2028\u2029"):
        raise ValueError(f"line break in {text!r}")
    return text
