"""Who may import whom (design, section 4), read from the source: nothing is imported to find out."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "toolkit"

# What everybody may import: words, bytes and places.
COMMON = ("toolkit.errors", "toolkit.canonical", "toolkit.resources")

# A library, and the only modules that may import it; "inside" means inside functions only.
ADAPTERS = {
    "docker": (("toolkit.engine.docker",), "inside"),
    "requests": (("toolkit.engine.docker",), "inside"),
    "urllib3": (("toolkit.engine.docker",), "inside"),
    "grpc": (("toolkit.collect.server", "toolkit.proto.agent_pb2_grpc"), "inside"),
    "httpx": (("toolkit.fetch.source",), "inside"),
    "distributed": (("toolkit.cluster.dask",), "inside"),
    "typer": (("toolkit.cli",), "anywhere"),
    "jinja2": (("toolkit.render",), "anywhere"),
    "prometheus_client": (("toolkit.telemetry.prometheus",), "inside"),
    "opentelemetry": (("toolkit.telemetry.otlp",), "inside"),
    "psutil": (("toolkit.host", "toolkit.ledger", "toolkit.owner"), "anywhere"),
}
GENERATED = "_pb2"
HEAVY_FOR_HELP = ("docker", "grpc", "httpx", "numpy", "prometheus_client", "opentelemetry")


@dataclass(frozen=True)
class Import:
    """One imported module, and whether it stands inside a function."""

    module: str
    inside: bool
    line: int


def module_name(path: Path) -> str:
    """``toolkit/engine/docker.py`` as ``toolkit.engine.docker``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources() -> list[Path]:
    """All modules of the package that people write."""
    return sorted(path for path in PACKAGE.rglob("*.py") if "_data" not in path.parts)


def imports(path: Path) -> list[Import]:
    """Everything a module imports; ``if TYPE_CHECKING`` counts for nothing, for it is never executed."""
    return list(_walk(ast.parse(path.read_text(encoding="utf-8")), inside=False))


def _walk(node: ast.AST, *, inside: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, inside, child.lineno)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            for alias in child.names:
                yield Import(f"{child.module}.{alias.name}", inside, child.lineno)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        else:
            function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from _walk(child, inside=inside or function)


def below(module: str, package: str) -> bool:
    """Whether a dotted name is the package or stands below it."""
    return module == package or module.startswith(package + ".")


def test_the_model_imports_nothing_of_ours_but_words() -> None:
    wrong = [
        f"{module_name(path)}:{found.line} {found.module}"
        for path in sources()
        if below(module_name(path), "toolkit.model")
        for found in imports(path)
        if below(found.module, "toolkit") and not any(below(found.module, ok) for ok in (*COMMON, "toolkit.model"))
    ]
    assert wrong == []


def test_the_common_modules_stand_alone() -> None:
    for name in COMMON:
        path = ROOT / (name.replace(".", "/") + ".py")
        ours = [found.module for found in imports(path) if below(found.module, "toolkit")]
        assert [name for name in ours if not any(below(name, ok) for ok in COMMON)] == [], path


def test_nothing_imports_the_command_line() -> None:
    wrong = [
        f"{module_name(path)}:{found.line}"
        for path in sources()
        if not below(module_name(path), "toolkit.cli")
        for found in imports(path)
        if below(found.module, "toolkit.cli") and module_name(path) != "toolkit.__main__"
    ]
    assert wrong == []


def test_only_the_command_line_and_the_adapter_itself_know_the_docker_adapter() -> None:
    wrong = [
        f"{module_name(path)}:{found.line}"
        for path in sources()
        if not below(module_name(path), "toolkit.cli") and not below(module_name(path), "toolkit.engine")
        for found in imports(path)
        if below(found.module, "toolkit.engine.docker")
    ]
    assert wrong == []


@pytest.mark.parametrize("library", sorted(ADAPTERS))
def test_a_library_has_one_adapter(library: str) -> None:
    allowed, place = ADAPTERS[library]
    for path in sources():
        name = module_name(path)
        for found in imports(path):
            if not below(found.module, library):
                continue
            assert any(below(name, one) for one in allowed), f"{name}:{found.line} imports {library}"
            if place == "inside" and GENERATED not in name:
                assert found.inside, f"{name}:{found.line} imports {library} outside of functions"


def test_every_module_can_be_imported_alone_without_the_heavy_libraries() -> None:
    names = [module_name(path) for path in sources() if GENERATED not in path.name and path.name != "__main__.py"]
    script = "import importlib, sys\n" + "\n".join(f"importlib.import_module({name!r})" for name in names)
    script += f"\nprint(*[name for name in {HEAVY_FOR_HELP!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_nothing_prints_but_the_command_line_and_the_output_module() -> None:
    wrong = [
        f"{module_name(path)}:{node.lineno}"
        for path in sources()
        if module_name(path) != "toolkit.output" and not below(module_name(path), "toolkit.cli")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert wrong == []


def test_functions_and_modules_keep_to_their_size() -> None:
    wrong = []
    for path in sources():
        if GENERATED in path.name:
            continue
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > 500:
            wrong.append(f"{module_name(path)}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno is not None:
                size = node.end_lineno - node.lineno + 1
                if size > 60:
                    wrong.append(f"{module_name(path)}:{node.lineno} {node.name}: {size} lines")
    assert wrong == []
