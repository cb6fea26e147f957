"""The only place that locates ``images/``, ``templates/`` and the JSON Schemas.

Inside an installed wheel they are package data under ``toolkit/_data``; in a checkout they stand beside the package.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _locate(name: str) -> Path:
    packaged = _PACKAGE / "_data" / name
    return packaged if packaged.is_dir() else _PACKAGE.parent / name


def images_dir() -> Path:
    """The folder of what is built, and of the catalogue that says how."""
    return _locate("images")


def templates_dir() -> Path:
    """The folder of the Jinja2 templates."""
    return _locate("templates")


def schemas_dir() -> Path:
    """The folder of the published JSON Schemas."""
    return _PACKAGE / "model" / "schemas"
