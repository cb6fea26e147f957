"""The wheel holds what the checkout holds: the installed command works from any folder, without the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the freshly built wheel was unpacked (a pure wheel installs by being unpacked)."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, check=True, cwd=ROOT, capture_output=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


def repro(installed: Path, folder: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """The installed command, run in a foreign folder; PYTHONPATH comes before the editable checkout."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-m", "toolkit", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)


@pytest.mark.parametrize("folder", ["images", "templates"])
def test_the_wheel_holds_all_tracked_data(installed: Path, folder: str) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: what is tracked is unknown")
    listing = subprocess.run(["git", "ls-files", folder], capture_output=True, text=True, check=True, cwd=ROOT)
    for name in listing.stdout.splitlines():
        if "/testdata/" in name:
            continue
        assert (installed / "toolkit" / "_data" / name).read_bytes() == (ROOT / name).read_bytes(), name


def test_the_installed_command_reads_its_own_catalogue(installed: Path, tmp_path: Path) -> None:
    done = repro(installed, tmp_path, ["list", "sdks", "--json"])
    assert done.returncode == 0, done.stderr
    assert [sdk["id"] for sdk in json.loads(done.stdout)["sdks"]]


def test_the_installed_command_renders_without_the_checkout(installed: Path, tmp_path: Path) -> None:
    done = repro(installed, tmp_path, ["render", "--sdk", "go-openai", "-o", str(tmp_path / "rendered"), "--json"])
    assert done.returncode == 0, done.stderr
    written = sorted(path.name for path in (tmp_path / "rendered").rglob("*") if path.is_file())
    assert {"Dockerfile", "Dockerfile.backend", "seccomp.json"} <= set(written)


def test_the_metadata_names_command_licence_and_python(installed: Path) -> None:
    folder = next(installed.glob("sealbench-*.dist-info"))
    metadata = (folder / "METADATA").read_text()
    assert "Requires-Python: >=3.11" in metadata
    assert "License-Expression: Apache-2.0" in metadata
    assert "repro = toolkit.cli:main" in (folder / "entry_points.txt").read_text()
