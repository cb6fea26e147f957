"""``scripts/setup.sh`` on machines that this one is not: other Pythons, no engine, no rights."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("sh", "cat", "cut", "dirname", "env", "flock", "id", "pwd", "rm", "sha256sum")
# A pyenv shim of a version that is not chosen.
BROKEN = '#!/bin/sh\necho "pyenv: command not found" >&2\nexit 127\n'
# It works, but says that it is 3.9 and has no ensurepip.
OLD = '#!/bin/sh\ncase "$*" in *print*) echo "python3 is 3.9";; *) exit 1;; esac\n'
# Makes a folder instead of an environment, and takes note of its own name.
RECORDING = """#!/bin/sh
case "$*" in
  --version) echo "Python {name}" ;;
  "-m venv"*) mkdir -p .venv/bin; echo {name} >>chosen
    for tool in python repro; do printf '#!/bin/sh\\nexit 0\\n' >.venv/bin/$tool; chmod +x .venv/bin/$tool; done ;;
esac
"""

Machine = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Runs set-up in a copy of the scripts, with nothing on PATH but a few tools and the given programs."""
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / "scripts", checkout / "scripts")
    shutil.copytree(ROOT / "requirements", checkout / "requirements")
    shutil.copy(ROOT / "pyproject.toml", checkout)
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for tool in (*TOOLS, "mkdir", "chmod"):
        found = shutil.which(tool)
        if found is not None:
            (bin_folder / tool).symlink_to(found)

    def run(*arguments: str, **programs: str) -> subprocess.CompletedProcess[str]:
        for name, text in programs.items():
            path = bin_folder / name.replace("_", ".")
            path.write_text(text.format(name=path.name))
            path.chmod(0o755)
        environment = {"PATH": str(bin_folder), "HOME": str(tmp_path)}
        command = [str(bin_folder / "sh"), "scripts/setup.sh", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=checkout)

    return run


def chosen(tmp_path: Path) -> list[str]:
    """Which Pythons made an environment."""
    path = tmp_path / "checkout" / "chosen"
    return path.read_text().split() if path.exists() else []


def test_the_newest_python_by_name_is_taken(machine: Machine, tmp_path: Path) -> None:
    done = machine(python3_13=RECORDING, python3_11=RECORDING, python3=RECORDING)
    assert done.returncode == 0, done.stderr
    assert chosen(tmp_path) == ["python3.13"]


def test_a_shim_that_fails_is_passed_over(machine: Machine, tmp_path: Path) -> None:
    done = machine(python3_13=BROKEN, python3_12=BROKEN, python3_11=RECORDING)
    assert done.returncode == 0, done.stderr
    assert chosen(tmp_path) == ["python3.11"]


def test_the_second_time_makes_nothing(machine: Machine, tmp_path: Path) -> None:
    machine(python3=RECORDING)
    assert machine().returncode == 0
    assert chosen(tmp_path) == ["python3"]
    assert machine("dev").returncode == 0
    assert machine("runtime").returncode == 0
    assert chosen(tmp_path) == ["python3", "python3"]


def test_changed_pins_make_it_anew(machine: Machine, tmp_path: Path) -> None:
    machine(python3=RECORDING)
    with (tmp_path / "checkout" / "requirements" / "runtime.txt").open("a") as stream:
        stream.write("# changed\n")
    machine()
    assert chosen(tmp_path) == ["python3", "python3"]


@pytest.mark.parametrize("programs", [{}, {"python3": OLD}])
def test_without_a_new_enough_python_the_commands_are_named(machine: Machine, programs: dict[str, str]) -> None:
    done = machine(**programs)
    assert done.returncode == 4
    assert "Python >= 3.11" in done.stderr
    assert "apt-get install" in done.stderr
    assert ("3.9" in done.stderr) is bool(programs)


def test_a_python_without_ensurepip_names_the_package(machine: Machine) -> None:
    bare = '#!/bin/sh\ncase "$*" in *ensurepip*) exit 1;; *version_info*print* | *print*) echo 3.12;; esac\n'
    done = machine(python3_12=bare)
    assert done.returncode == 4
    assert "sudo apt-get install -y python3.12-venv" in done.stderr


def test_an_unknown_level_is_a_usage_error(machine: Machine) -> None:
    assert machine("everything", python3=RECORDING).returncode == 2
