"""Hostile archives against the installed command: a verdict or a typed error each, bounded in time and memory, and
nothing left behind.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import zstandard

from tests.support.archives import author
from tests.support.hostile import Case, Honest, cases, fields, zst
from toolkit.archive import layout
from toolkit.schemas import problems
from toolkit.verify.report import EXIT_CODES
from toolkit.verify.run import Question, verify

SECONDS = 800
MEMORY_BYTES = 150 * 1024**2
CASES = cases()


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Honest:
    return read_honest(author(tmp_path_factory.mktemp("author")).archive())


def read_honest(path: Path) -> Honest:
    """The parts of an archive."""
    data = zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        files = {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]
    return Honest({name: one for name, one in files.items() if name != layout.INDEX}, json.loads(files[layout.INDEX]))


def run(path: Path, options: list[str]) -> tuple[subprocess.CompletedProcess[str], int]:
    """The command as people have it; its answer and its largest resident memory in bytes."""
    program = shutil.which("repro", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert program is not None
    measured = (
        "import os, resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], check=False)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)\n"
        "sys.exit(done.returncode)\n"
    )
    command = [sys.executable, "-c", measured, program, "verify", str(path), "--json", *options]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=SECONDS)
    text, _newline, memory = done.stderr.strip().rpartition("\n")
    return subprocess.CompletedProcess(command, done.returncode, done.stdout, text), int(memory) * 1024


@pytest.mark.parametrize("case", CASES, ids=[case.folder for case in CASES])
def test_a_hostile_archive_meets_its_verdict(case: Case, honest: Honest, tmp_path: Path) -> None:
    folder = tmp_path / case.folder
    folder.mkdir()
    path = case.make(honest.copy(), folder)
    options = case.options(folder)
    before = sorted(tmp_path.rglob("*"))
    done, memory = run(path, options)
    assert "Traceback" not in done.stderr + done.stdout
    assert memory <= MEMORY_BYTES
    assert sorted(tmp_path.rglob("*")) == before
    document = json.loads(done.stdout)
    if case.verdict == "usage":
        assert (done.returncode, document["schema"]) == (2, "repro.error/1")
        return
    assert document["verdict"] == case.verdict, document["stages"][-1]
    assert done.returncode == EXIT_CODES[case.verdict]
    assert problems(document, "verify") == []
    failed = [stage["n"] for stage in document["stages"] if stage["verdict"] != "verified"]
    assert failed == ([] if case.verdict == "verified" else [document["stages"][-1]["n"]])


def test_what_is_no_lie_is_shown_all_the_same(honest: Honest, tmp_path: Path) -> None:
    wanted = {
        (9, "wrong-extension"): "compression",
        (65, "from-the-future"): "future",
        (91, "another-architecture"): "is for linux/arm64",
        (94, "image-of-root"): "image.user",
        (94, "image-onbuild"): "image.onbuild",
        (95, "setuid-in-a-layer"): "setuid",
        (96, "key-in-a-layer"): "like a key",
    }
    for case in CASES:
        if (case.number, case.name) in wanted:
            folder = tmp_path / case.folder
            folder.mkdir()
            found = verify(Question(case.make(honest.copy(), folder)))
            assert wanted[case.number, case.name] in " ".join((*found.warnings, *found.differences, *found.forecast)), (
                case.folder
            )


def test_a_cut_anywhere_is_noticed(honest: Honest, tmp_path: Path) -> None:
    for name, data in (("a.tar", honest.tar()), ("a.tar.zst", zst(honest.tar()))):
        path = tmp_path / name
        step = 512 if name == "a.tar.zst" else 512 * max(1, len(data) // 512 // 150)
        for cut in range(step, len(data), step):
            path.write_bytes(data[:cut])
            assert verify(Question(path)).verdict == "tampered", (name, cut)


def test_a_flipped_bit_in_any_field_of_any_header_is_noticed(honest: Honest, tmp_path: Path) -> None:
    data, path = honest.tar(), tmp_path / "a.tar"
    at, headers = 0, []
    while any(data[at : at + 512]):
        headers.append(at)
        size = int(data[at + 124 : at + 135], 8)
        at += 512 + size + (-size % 512)
    for start in headers[:: max(1, len(headers) // 6)]:
        for name, offset in fields():
            for bit in (0, 3, 7):
                spoilt = bytearray(data)
                spoilt[start + offset] ^= 1 << bit
                path.write_bytes(spoilt)
                assert verify(Question(path)).verdict in ("tampered", "malformed"), (start, name, bit)


def test_text_of_strangers_is_escaped_before_it_meets_a_terminal(honest: Honest, tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == "escape")
    done = subprocess.run(
        [sys.executable, "-m", "toolkit", "verify", str(case.make(honest.copy(), tmp_path))],
        check=False, capture_output=True, cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    assert b"\x1b" not in done.stdout + done.stderr
    assert b"\\x1b" in done.stdout


def test_the_digest_of_the_file_itself_can_be_demanded(honest: Honest, tmp_path: Path) -> None:
    import hashlib

    path = tmp_path / "a.tar.zst"
    path.write_bytes(zst(honest.tar()))
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    assert verify(Question(path, sha256=right)).verdict == "verified"
    assert verify(Question(path, sha256="0" * 64)).verdict == "tampered"
