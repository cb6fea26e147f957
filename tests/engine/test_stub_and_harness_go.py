"""The Go tests of harness and stub, run by the host's Go: they pin the schedule and the allocation-free path."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.support.stub import need_go, run_go
from toolkit.resources import images_dir

MODULES = ("harness", "backends/stub", "backends/qdrant-exact")


@pytest.mark.parametrize("module", MODULES)
def test_go_vet_and_go_test(module: str) -> None:
    run_go(need_go(), images_dir() / module, "vet", "./...")
    run_go(need_go(), images_dir() / module, "test", "-short", "./...")


@pytest.mark.parametrize("module", [*MODULES, "sdks"])
def test_go_code_is_formatted(module: str) -> None:
    gofmt = shutil.which("gofmt")
    if gofmt is None:
        pytest.skip("no gofmt on this host")
    done = subprocess.run([gofmt, "-l", str(images_dir() / module)], check=True, capture_output=True, text=True)
    assert done.stdout == ""
