"""Each package has a job and an adapter: docs/architecture.md, pyproject.toml and the imports tell the same story."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Where the name to import is not the name to install.
MODULES = {"pyyaml": "yaml", "grpcio": "grpc", "protobuf": "google", "hdrhistogram": "hdrh"}


def table() -> dict[str, list[str]]:
    """Package to its adapters, from the page's table."""
    page = (ROOT / "docs" / "architecture.md").read_text().split("## Packages", 1)[1]
    rows = re.findall(r"^\| ([a-z0-9]+) \| [^|]+ \| ([^|]+) \|$", page, re.MULTILINE)
    return {package: re.findall(r"`([^`]+)`", adapters) for package, adapters in rows if package != "package"}


def declared() -> set[str]:
    """What the distribution depends on."""
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {re.split(r"[<>=\[ ]", line)[0].lower() for line in metadata["project"]["dependencies"]}


def importers(module: str) -> list[str]:
    """Our files that import it."""
    found = []
    for path in (ROOT / "toolkit").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
        if any(name.split(".")[0] == module for name in names):
            found.append(path.relative_to(ROOT).as_posix())
    return sorted(found)


def test_the_page_lists_exactly_what_is_installed() -> None:
    assert set(table()) == declared()


@pytest.mark.parametrize("package", sorted(table()))
def test_only_its_adapters_import_a_package(package: str) -> None:
    users = importers(MODULES.get(package, package))
    assert users, f"{package} is a dependency that nothing imports"
    for user in users:
        assert any(user == place or user.startswith(place) for place in table()[package]), user
