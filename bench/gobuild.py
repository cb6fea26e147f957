"""Our Go programs, compiled on the host by the locked Go with the flags of the sealed build, for benches."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from common import ROOT

from toolkit.build import targets


def locked_go() -> str:
    """The locked toolchain's go program, fetched if it is not in the store."""
    script = [sys.executable, str(ROOT / "scripts" / "locked_go.py")]
    return subprocess.run(script, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def unpack(target: targets.Target, folder: Path) -> Path:
    """Write a target's sources as the hardened container sees them; returns the folder that its command runs in."""
    for name, content in target.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder / target.workdir


def compile_go(go: str, folder: Path, program: Path, verb: Sequence[str]) -> Path:
    """``verb`` is ``build`` or ``test -c``. SystemExit with Go's words."""
    # The sealed build's settings, but the host's own caches and its way to modules.
    sealed = {key: value for key, value in targets.ENVIRONMENT.items() if key not in ("HOME", "PATH", "GOMODCACHE")}
    done = subprocess.run(
        [go, *verb, targets.LINKER_FLAGS, "-o", str(program), "."],
        cwd=folder, env={**os.environ, **sealed}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"go {' '.join(verb)} in {folder.name}: {done.stdout}{done.stderr}")
    return program
