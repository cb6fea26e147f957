"""A real run goes into an archive, is checked and run again by both routes; public validators accept what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from toolkit.archive import layout
from toolkit.engine.docker import DockerEngine
from toolkit.engine.port import LABEL_KIND
from toolkit.schemas import validate

ROOT = Path(__file__).resolve().parents[2]
SHORT = ["--duration", "2", "--warmup", "1", "--timing-gates", "record", "--wait", "300"]


def repro(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "toolkit", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=900,
    )


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "canary@nowhere", "-f", str(path)], check=True)
    return path


@pytest.fixture(scope="module")
def archive(engine: DockerEngine, key: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("archive")
    runs = ["--runs", str(place / "runs")]
    done = repro("launch", "--sdk", "net-http", "--workload", "embed-512", "--cpus", "0", *SHORT, *runs)
    assert done.returncode == 0, done.stderr
    target = place / "a.tar.zst"
    done = repro("archive", "last", *runs, "-o", str(target), "--key", str(key), "--json")
    assert done.returncode == 0, done.stderr
    validate(json.loads(done.stdout), "archive-report")
    return target


def test_it_verifies_and_says_who_signed(archive: Path, key: Path) -> None:
    done = repro("verify", str(archive), "--signer", f"{key}.pub", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["verdict"], document["author"]) == (0, "verified", "verified")
    assert document["warnings"] == document["differences"] == []


def test_without_somebody_to_believe_it_is_not_run(archive: Path) -> None:
    done = repro("rerun", str(archive), "--json")
    assert (done.returncode, json.loads(done.stdout)["code"]) == (6, 6)


def test_138_it_is_run_again_and_compared_before_a_number(archive: Path, key: Path, tmp_path: Path) -> None:
    options = ["--signer", f"{key}.pub", "--wait", "300", "--runs", str(tmp_path), "--store", str(tmp_path / "store")]
    done = repro("rerun", str(archive), *options, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    validate(document, "rerun")
    assert [one for one in document["differences"] if one["meaning"] == "blocking"] == []
    assert (document["judgement"], document["valid"]) == ("not judged", True)
    assert not list((tmp_path / "store" / "records").rglob("*.json")), "a stranger's images are no memory of ours"


def test_plain_docker_runs_it_and_show_reads_what_that_leaves(archive: Path, tmp_path: Path) -> None:
    data = zstandard.ZstdDecompressor().decompressobj().decompress(archive.read_bytes())
    subprocess.run(["tar", "-x", "-C", str(tmp_path)], input=data, check=True)
    plain = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "DOCKER_HOST": os.environ.get("DOCKER_HOST", "")}
    done = subprocess.run(
        ["sh", str(tmp_path / layout.RERUN), "--out", str(tmp_path / "again")],
        env={name: value for name, value in plain.items() if value}, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "again").iterdir()
    shown = repro("show", str(run), "--json")
    assert shown.returncode == 0, shown.stderr
    document = json.loads(shown.stdout)
    validate(document, "show")
    assert (document["valid"], document["grade"]) == (True, "D")
    assert document["cells"][0]["metrics"]["qps.ok_hz"]["value"] > 0
    files = {path.name for path in run.rglob("*") if path.is_file()}
    assert {"journal.pb", "backend.journal.pb", "result.json", "readback.json", "plan.json", "manifest.json"} <= files
    left = subprocess.run(["docker", "ps", "-aq", "--filter", f"name={run.name}"], check=True, capture_output=True)
    assert left.stdout == b""


def test_its_bill_of_materials_is_valid_spdx_and_its_provenance_an_in_toto_statement(
    archive: Path, tmp_path: Path
) -> None:
    spdx = pytest.importorskip("spdx_tools.spdx.parser.parse_anything")
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    data = zstandard.ZstdDecompressor().decompressobj().decompress(archive.read_bytes())
    subprocess.run(["tar", "-x", "-C", str(tmp_path), layout.SBOM, layout.PROVENANCE], input=data, check=True)
    document = spdx.parse_file(str(tmp_path / layout.SBOM))
    assert validate_full_spdx_document(document) == []
    from google.protobuf.json_format import Parse
    from in_toto_attestation.v1.statement_pb2 import Statement

    statement = Parse((tmp_path / layout.PROVENANCE).read_text(), Statement())
    assert statement.type == "https://in-toto.io/Statement/v1"


def test_it_is_built_again_from_its_own_inputs_and_the_engine_keeps_nothing(
    engine: DockerEngine, archive: Path, key: Path, tmp_path: Path
) -> None:
    """Bitwise, with a store of its own that holds nothing; images and containers are those of before."""

    def held() -> tuple[list[str], list[str]]:
        return engine.image_names(LABEL_KIND), [one.id for one in engine.owned()]

    before = held()
    done = repro("rebuild", str(archive), "--signer", f"{key}.pub", "--json", "--store", str(tmp_path / "store"))
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    validate(document, "rebuild")
    assert {row["kind"]: row["level"] for row in document["images"]} == {
        "base": "bitwise", "sdk": "bitwise", "backend": "bitwise",
    }  # fmt: skip
    assert held() == before
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file() and "locks" not in path.parts] == [
        tmp_path / "store" / "CACHEDIR.TAG"
    ]
