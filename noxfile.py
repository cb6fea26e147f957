"""Everything that can be run on this repository: ``nox -l`` lists it, ``nox -s NAME`` runs it.

Sessions that test use the pinned requirements. ``make`` needs none of this; it is for people who work here.
"""

from __future__ import annotations

import nox

nox.options.sessions = ["lint", "types", "tests"]
nox.options.error_on_missing_interpreters = False

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
UV = "uv==0.13.9"


def install(session: nox.Session) -> None:
    """The pinned environment with this checkout in it."""
    session.install("--require-hashes", "--no-deps", "-r", "requirements/dev.txt")
    session.install("--no-deps", "--no-build-isolation", "--no-index", "-e", ".")


@nox.session
def lint(session: nox.Session) -> None:
    """Rules and format."""
    install(session)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Strict types."""
    install(session)
    session.run("mypy")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Unit and simulated tests, on every Python found."""
    install(session)
    session.run("pytest", "tests/unit", "tests/simulated", *session.posargs)


@nox.session
def engine(session: nox.Session) -> None:
    """Tests on the real engine; fails where there is none."""
    install(session)
    session.run("pytest", "--require", "engine", "tests/engine", *session.posargs)


@nox.session
def schema(session: nox.Session) -> None:
    """Every published JSON Schema is one."""
    install(session)
    script = (
        "import json, pathlib, jsonschema\n"
        "for path in sorted(pathlib.Path('toolkit/model/schemas').glob('*.json')):\n"
        "    value = json.loads(path.read_text())\n"
        "    jsonschema.validators.validator_for(value).check_schema(value)\n"
        "    print('ok:', path)\n"
    )
    session.run("python", "-c", script)


@nox.session
def proto(session: nox.Session) -> None:
    """Generate toolkit/proto from agent.proto; ``-- --check`` compares instead."""
    session.install(UV)
    session.run("python", "scripts/generate_proto.py", *session.posargs)


@nox.session
def pins(session: nox.Session) -> None:
    """Refresh requirements/*.txt; ``-- --upgrade`` takes newer versions."""
    session.install(UV)
    session.run("bash", "scripts/pin_requirements.sh", *session.posargs, external=True)
