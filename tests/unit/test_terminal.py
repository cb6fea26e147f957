"""What a run looks like on the terminal."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.journals import Load
from tests.support.runs import sealed_run
from toolkit.launch.folder import RunFolder
from toolkit.model.evidence import OUTCOMES
from toolkit.model.plan import ModelFile
from toolkit.output import Output
from toolkit.readback.decide import Observation
from toolkit.report.document import show_document
from toolkit.report.side_by_side import comparison, difference
from toolkit.report.terminal import launch_line, launch_summary, show_run
from toolkit.schemas import problems
from toolkit.seal import read_json, read_plan


def shown(folder: RunFolder) -> str:
    out = io.StringIO()
    show_run(show_document(folder), read_plan(folder), Output(stdout=out))
    return out.getvalue()


def test_it_leads_with_module_and_version_and_the_grade(tmp_path: Path) -> None:
    lines = shown(sealed_run(tmp_path)).splitlines()
    assert lines[0] == "run 20261123-121530-go-openai-7f3a: valid"
    assert lines[1] == "grade B: virtual machine"
    assert lines[3] == "go-openai v1.43.0 (github.com/sashabaranov/go-openai@v1.43.0)"


def test_a_tainted_window_is_named_beside_the_numbers_and_keeps_the_grade_at_c(tmp_path: Path) -> None:
    folder = sealed_run(tmp_path, duration_seconds=35.0, foreign={1: 3.1})
    text = shown(folder)
    assert text.splitlines()[1] == (
        "grade C: 1 of 3 windows tainted, the worst: foreign CPU 31 % of CPU 0, budget 2 %; virtual machine"
    )
    assert (
        "launch 1: valid, 2 of 3 windows clean; window 1 tainted: foreign CPU 31 % of CPU 0, budget 2 %; "
        "its numbers are of 25 s\n"
    ) in text
    document = show_document(folder)
    (entry,) = document["cells"][0]["launches"]
    assert (entry["windows"], entry["tainted_windows"], entry["headline_seconds"]) == (3, 1, 25.0)
    assert entry["taints"] == [{"window": 1, "what": "foreign_cpu_share", "found": pytest.approx(0.31), "limit": 0.02}]
    assert problems(document, "show") == []


def test_a_launch_that_is_tainted_throughout_has_no_numbers_and_says_so(tmp_path: Path) -> None:
    text = shown(sealed_run(tmp_path, duration_seconds=20.0, foreign={0: 5.0, 1: 0.5}))
    assert "0 of 2 windows clean" in text
    assert "no numbers: all that was measured is tainted" in text
    assert "lat.sched" not in text


def test_the_command_for_a_rerun_asks_for_the_model_that_the_run_does_not_hold(tmp_path: Path) -> None:
    folder = sealed_run(tmp_path)
    plan = read_plan(folder)
    own = replace(plan, cells=(replace(plan.cells[0], model_file=ModelFile("mine.gguf", "ab" * 32, 9)),))
    for given, end in ((plan, folder.id), (own, f"{folder.id} --model mine.gguf")):
        out = io.StringIO()
        show_run(show_document(folder), given, Output(stdout=out))
        assert f"the same again: repro rerun {end}\n" in out.getvalue()


def test_one_launch_has_no_interval_and_says_so(tmp_path: Path) -> None:
    assert "no interval: one launch" in shown(sealed_run(tmp_path))


def test_two_launches_have_none_either(tmp_path: Path) -> None:
    assert "no interval: fewer than 5 launches" in shown(sealed_run(tmp_path, launches=2))


def test_five_launches_have_one(tmp_path: Path) -> None:
    text = shown(sealed_run(tmp_path, launches=5))
    assert "95 % interval" in text
    assert "no interval" not in text


def test_paced_latency_stands_among_what_is_never_compared(tmp_path: Path) -> None:
    compared, _, described = shown(sealed_run(tmp_path)).partition("shown, never compared")
    assert "sdk.overhead.p95_seconds" in compared
    assert "lat.sched" not in compared
    assert "lat.sched.p95_seconds" in described
    assert "qps.ok_hz" in described


def test_what_has_no_value_says_why(tmp_path: Path) -> None:
    assert "no value (no baseline): rss.over_null_bytes, cpu.over_null_seconds" in shown(sealed_run(tmp_path))


def test_an_invalid_launch_has_a_reason_and_no_number(tmp_path: Path) -> None:
    text = shown(sealed_run(tmp_path, load=Load(drops=3)))
    assert "NOT VALID: drops" in text
    assert "no numbers: no launch is valid" in text
    assert "lat.sched" not in text


def test_a_broken_limit_is_named_with_both_values(tmp_path: Path) -> None:
    text = shown(sealed_run(tmp_path, lies=[Observation("pids.limit", "window:0", "agent", "max")]))
    assert "BROKEN sdk pids.limit: asked 256, found max" in text


def test_parts_of_the_error_rate_show_where_there_are_any(tmp_path: Path) -> None:
    text = shown(sealed_run(tmp_path, load=Load(outcome=lambda number: 4 if number % 50 == 0 else 0)))
    assert "error.truncated_stream.rate" in text
    assert "error.transport.rate" not in text


def test_the_summary_of_a_launch_is_the_same_text(tmp_path: Path) -> None:
    folder = sealed_run(tmp_path)
    document = show_document(folder)
    out = io.StringIO()
    launch_summary(read_json(folder.path / "manifest.json"), document, read_plan(folder), Output(stdout=out))
    assert out.getvalue() == shown(folder)


def test_the_document_has_the_published_shape(tmp_path: Path) -> None:
    assert problems(show_document(sealed_run(tmp_path, launches=5)), "show") == []


def compared(original: dict[str, Any], again: dict[str, Any]) -> str:
    out = io.StringIO()
    comparison(original, again, Output(stdout=out))
    return out.getvalue()


def test_two_runs_stand_side_by_side(tmp_path: Path) -> None:
    before = show_document(sealed_run(tmp_path / "a"))
    after = show_document(sealed_run(tmp_path / "b", load=Load(rss_bytes=22 << 20)))
    rows = {line.split()[0]: line for line in compared(before, after).splitlines() if line.strip()}
    cells = rows["rss.anon.max_bytes"].split()
    assert (cells[1:3], cells[4:6], cells[7:]) == (["20", "MiB"], ["22", "MiB"], ["+10.0", "%"])
    assert "without a verdict" in compared(before, after)


def test_a_cell_that_was_not_run_again_is_said(tmp_path: Path) -> None:
    before = show_document(sealed_run(tmp_path))
    assert "not run again" in compared(before, {**before, "cells": []})


def test_a_rerun_that_is_not_valid_has_no_numbers(tmp_path: Path) -> None:
    before = show_document(sealed_run(tmp_path / "a"))
    after = show_document(sealed_run(tmp_path / "b", load=Load(exit_code=2)))
    text = compared(before, after)
    assert "NOT VALID" in text
    assert "launch 1: NOT VALID" in text


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (1.0, 1.1, "+10.0 %"),
        (2.0, 1.0, "-50.0 %"),
        (0.0, 0.0, "0 %"),
        (0.0, 1.0, "from 0"),
        (None, 1.0, "-"),
        (1.0, None, "-"),
    ],
)
def test_differences(before: float | None, after: float | None, text: str) -> None:
    assert difference(before, after) == text


def test_gates_that_were_only_recorded_are_named() -> None:
    line = launch_line(
        {"n": 1, "attempt": 1, "valid": True, "windows": 1, "tainted_windows": 0, "recorded": ["drops", "dispatch"]}
    )
    assert line == "launch 1: valid, 1 window; not met, but only recorded: drops, dispatch"


def test_seventy_rows_that_nobody_saw_are_a_number_and_not_a_page(tmp_path: Path) -> None:
    folder = sealed_run(tmp_path)
    document = show_document(folder)
    names = [f"row.{number}" for number in range(70)]
    document["grade"] = "D"
    document["grade_reasons"] = [*(f"unwitnessed: sdk {name} (not seen)" for name in names * 2), "virtual machine"]
    rows = [{"container": "sdk", "id": name, "requested": "x"} for name in names]
    document["cells"][0]["unwitnessed"] = rows
    out = io.StringIO()
    show_run(document, read_plan(folder), Output(stdout=out))
    lines = out.getvalue().splitlines()
    assert lines[1] == "grade D: 70 limits unwitnessed, first sdk row.0 (not seen); virtual machine"
    assert "unwitnessed sdk: 70 limits (row.0, row.1, row.2 ...; all with --json)" in lines

    document["cells"][0]["unwitnessed"] = rows[:2]
    few = io.StringIO()
    show_run(document, read_plan(folder), Output(stdout=few))
    assert "unwitnessed sdk row.1: asked x" in few.getvalue().splitlines()


@pytest.mark.parametrize(
    ("every", "said"),
    [
        (1, "WARNING error.rate: all 1000 requests failed, most of them http status; there is no latency"),
        (40, "WARNING error.rate: 25 of 1000 requests failed, most of them http status; latencies are of the 975 that"),
        (500, ""),
        (0, ""),
    ],
)
def test_many_failed_requests_are_said_before_the_numbers_and_change_no_verdict(
    tmp_path: Path, every: int, said: str
) -> None:
    number = OUTCOMES.index("http_status")
    load = Load(outcome=lambda one: number if every and one % every == 0 else 0)
    folder = sealed_run(tmp_path, duration_seconds=25.0, load=load)
    text, document = shown(folder), show_document(folder)
    assert document["valid"]
    assert said in text
    assert ("WARNING" in text) == bool(said)
    (cell,) = document["cells"]
    assert [one["what"] for one in cell["warnings"]] == (["error.rate"] if said else [])
    assert problems(document, "show") == []
