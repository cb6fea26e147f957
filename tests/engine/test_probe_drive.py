"""The experiments of drive probe, run by the null SDK against the real stub: what each found, by id."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.stub import build_stub, build_workload, running_stub
from toolkit.collect.rows import LineReader
from toolkit.model.probes import EXPERIMENTS

PACE = {"pacing": "paced", "first_token_seconds": 0.005, "token_seconds": 0.001}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("probe")
    stub, workload = build_stub(folder), build_workload(folder, "net-http")
    with running_stub(stub, folder, **PACE) as running:
        return probe(workload, folder, running.url)


def probe(program: Path, folder: Path, url: str) -> list[dict[str, Any]]:
    """All records of one probe drive, which the reader of the launch has believed."""
    settings = {
        "schema": "repro.workload/1", "workload": "probe", "kind": "probe", "drive": "probe", "tokens": 128,
        "dimensions": 768, "model": "stub", "base_url": url + "/v1", "control_url": url,
    }  # fmt: skip
    path = folder / "probe.records"
    with path.open("wb") as out:
        environment = {"REPRO_WORKLOAD": json.dumps(settings), "REPRO_FD": str(out.fileno()), "GOMAXPROCS": "1"}
        subprocess.run([program], check=True, env=environment, pass_fds=[out.fileno()], timeout=800)
    reader = LineReader()
    lines = path.read_bytes().splitlines()
    for line in lines:
        reader.line(line, at_ns=2**62)
    assert not reader.findings()
    return [json.loads(line) for line in lines]


def test_every_experiment_of_the_matrix_leaves_one_record(records: list[dict[str, Any]]) -> None:
    ids = [record["id"] for record in records if record["k"] == "probe"]
    assert sorted(ids) == sorted(one.id for one in EXPERIMENTS)


@pytest.mark.parametrize(
    ("experiment", "outcome"),
    [
        ("openai-compatible", "yes"),
        ("local-model", "no"),
        ("streams", "yes"),
        ("embeds", "yes"),
        ("embeds-base64", "no"),
        ("images", "yes"),
        ("counts-tokens", "partial"),
        ("switches-backend", "yes"),
        ("custom-template", "not-applicable"),
        ("maps-model-file", "not-applicable"),
        ("chinese-split", "yes"),
        ("keep-alive-comments", "yes"),
        ("corrupt-frame", "yes"),
        ("truncated-stream", "yes"),
        ("frame-63k", "yes"),
        ("frame-65k", "yes"),
        ("frame-600k", "yes"),
        ("frame-9m", "yes"),
        ("chunk-cost", "yes"),
        ("retry-policy", "no"),
        ("stall", "yes"),
        ("cancel", "yes"),
        ("abandoned-streams", "yes"),
    ],
)
def test_the_null_sdk_is_what_it_was_written_to_be(
    records: list[dict[str, Any]], experiment: str, outcome: str
) -> None:
    (found,) = [record for record in records if record.get("id") == experiment]
    assert found["outcome"] == outcome, found


def test_evidence_is_what_the_server_saw(records: list[dict[str, Any]]) -> None:
    data = {record["id"]: record["data"] for record in records if record["k"] == "probe"}
    assert data["openai-compatible"]["path"] == "/v1/chat/completions"
    assert data["switches-backend"]["https"] is True
    assert data["connection-reuse"]["opened_at_1"] == 1
    assert data["retry-policy"]["requests"] == data["retry-policy"]["calls"] == 400
    assert data["retry-policy"]["requests_per_refused_call"] == 1
    assert data["frame-9m"]["bytes_received"] == (9 << 20) + 127 * 20
