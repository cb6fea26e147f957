"""An engine that needs AVX2, on a processor without AVX: refused before the container engine is asked for anything."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.support.lab import PLACE, Machine

pytestmark = pytest.mark.timeout(3600)
LAUNCH = f"cd {PLACE} && REPRO_STORE={PLACE}/store sealbench/.venv/bin/repro launch --sdk go-llama --cpus 0-7 --json"


@pytest.fixture(scope="module")
def refused(without_avx: Machine) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """The launch that was refused, and what the engine told of containers and images while it ran."""
    before = without_avx.ssh("date +%s.%N").stdout.strip()
    ended = without_avx.ssh(LAUNCH, check=False)
    told = without_avx.ssh(
        f"docker events --since {before} --until $(date +%s.%N) --format '{{{{.Type}}}} {{{{.Action}}}}'"
    )
    return ended, told.stdout.splitlines()


def test_it_is_refused_with_what_the_processor_lacks(
    refused: tuple[subprocess.CompletedProcess[str], list[str]],
) -> None:
    ended, _events = refused
    assert ended.returncode == 3, ended.stderr
    error = json.loads(ended.stdout)
    assert error["schema"] == "repro.error/1"
    assert "needs a processor of level x86-64-v3" in ended.stdout
    assert "this one is x86-64-v2" in ended.stdout
    assert "avx, avx2" in ended.stdout


def test_nothing_was_started(without_avx: Machine, refused: tuple[subprocess.CompletedProcess[str], list[str]]) -> None:
    assert refused[1] == []
    assert without_avx.ssh("docker ps -aq").stdout == ""
    # The images lie in the store there: it could have loaded them.
    assert without_avx.ssh(f"find {PLACE}/store -type f | head -n 1").stdout != ""
    assert without_avx.ssh("docker images -aq").stdout == ""
