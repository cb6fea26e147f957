"""yzma belongs to one libllama: with another one the program says so and ends, before it passes a struct to it.

That the right one generates tokens and embeds is the self-test of every launch (test_every_sdk.py).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.stub import build_workload

pytestmark = pytest.mark.timeout(600)
PAIRED = "0.25.3"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_workload(tmp_path_factory.mktemp("yzma"), "yzma")


def library(folder: Path, version: str) -> Path:
    """A folder with nothing of libllama but the function that tells its version."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("no gcc on this host")
    source = folder / "version.c"
    source.write_text(f'const char *ggml_version(void) {{ return "{version}"; }}\n')
    target = str(folder / "libggml-base.so")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", target, str(source)], check=True)
    return folder


def run(program: Path, libraries: Path) -> subprocess.CompletedProcess[str]:
    workload = {
        "schema": "repro.workload/1",
        "workload": "chat-stream-128",
        "kind": "chat-stream",
        "drive": "closed",
        "seed": 1,
        "warmup_seconds": 0,
        "duration_seconds": 1,
        "request_timeout_seconds": 30,
        "base_url": "",
        "model": "yzma",
        "tokens": 128,
        "model_path": "/repro/models/chat.gguf",
        "library_path": str(libraries),
        "threads": 1,
    }
    environment = {"PATH": os.environ["PATH"], "REPRO_WORKLOAD": json.dumps(workload)}
    return subprocess.run([program], check=False, env=environment, capture_output=True, text=True, timeout=600)


def test_a_libllama_of_another_version_is_refused_with_both_versions_named(program: Path, tmp_path: Path) -> None:
    ended = run(program, library(tmp_path, "0.24.0"))
    assert ended.returncode == 64
    assert "is built on ggml 0.24.0; this yzma and its adapter belong to ggml 0.25.3" in ended.stderr
    assert "goroutine" not in ended.stderr


def test_a_libllama_that_lacks_functions_is_refused_by_name(program: Path, tmp_path: Path) -> None:
    ended = run(program, library(tmp_path, PAIRED))
    assert ended.returncode == 64
    assert f"libllama in {tmp_path} does not match yzma: " in ended.stderr


def test_a_folder_without_libllama_is_named(program: Path, tmp_path: Path) -> None:
    ended = run(program, tmp_path)
    assert ended.returncode == 64
    assert f"no libllama in {tmp_path}" in ended.stderr
