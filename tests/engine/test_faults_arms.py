"""Answers that go wrong do not break a launch: they are counted, each under its own name."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.faults_tool import Tool, result_of, sealed_manifest

CLASSES = ("transport", "http_status", "json_parse", "truncated_stream", "wrong_answer", "timeout", "other")
PROBABILITY = 0.2


def value(result: dict[str, Any], metric: str) -> float:
    found = result["metrics"][metric]["value"]
    assert isinstance(found, (int, float)), (metric, result["metrics"][metric])
    return float(found)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("http503", "http_status"),
        ("truncate", "truncated_stream"),
        ("corrupt", "json_parse"),
        ("reset", "transport"),
    ],
)
def test_wrong_answers_are_counted_by_kind_and_the_launch_stays_valid(tool: Tool, fault: str, kind: str) -> None:
    ended = tool.launch("--workload", "chat-stream-128", "--arm", f"fault={fault}-{PROBABILITY}")
    assert ended.code == 0, ended
    assert ended.document["valid"] is True
    run = tool.only_run()
    assert sealed_manifest(run)["valid"] is True
    result = result_of(run)
    counts = result["counts"]
    assert result["termination"] == "completed"
    assert counts["sent"] == counts["ok"] + counts["failed"]
    assert counts["failed"] == sum(counts[name] for name in CLASSES) == counts[kind] > 0
    assert value(result, "error.rate") == pytest.approx(counts["failed"] / counts["sent"])
    assert value(result, "error.rate") == pytest.approx(sum(value(result, f"error.{name}.rate") for name in CLASSES))
    assert 0.05 < value(result, "error.rate") < 0.45  # some 80 draws with a fixed seed
    assert {one["outcome"] for one in result["errors"]} == {kind}
    shown = ended.document["cells"][0]["metrics"]["error.rate"]
    assert shown["value"] == pytest.approx(value(result, "error.rate"))
