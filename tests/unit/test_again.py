"""The command printed below a report gives the same plan, whatever was chosen and whatever was left to defaults."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.journals import cell_plan
from toolkit.model.plan import CellPlan, ModelFile, Plan
from toolkit.report.again import anew


def command(*cells: CellPlan) -> str:
    return anew(Plan(cells, (), 7))


def null(**changes: Any) -> CellPlan:
    return cell_plan(cell="net-http/chat-stream-128/default", sdk="net-http", null_sdk=True, **changes)


def at(label: str, **changes: Any) -> CellPlan:
    return cell_plan(cell=f"go-openai/chat-stream-128/sdk-at={label}", arms={"sdk-at": label}, **changes)


def test_one_sdk() -> None:
    assert command(cell_plan()) == (
        "repro launch --sdk go-openai --workload chat-stream-128 --backend stub --drive open --duration 30 --warmup 5 "
        "--launches 1 --seed 7 --cpus 0 --mems 0 --memory 512m"
    )


def test_the_null_sdk_is_a_baseline_unless_it_was_asked_for() -> None:
    text = command(cell_plan(), null(baseline=True))
    assert "--sdk go-openai --baseline" in text
    assert "--sdk net-http" not in text
    text = command(null())
    assert "--sdk net-http" in text
    assert "--baseline" not in text


def test_versions_are_named_and_the_catalogues_own_is_pinned() -> None:
    text = command(cell_plan(), at("v1.42.0"), null(baseline=True))
    assert "--sdk go-openai --sdk-at pinned --sdk-at v1.42.0 --baseline" in text
    assert "--arm" not in text
    assert "--sdk-at" not in command(cell_plan(), null())


def test_a_checkout_is_a_folder_of_the_users_not_its_label() -> None:
    text = command(at("dir-0123456789ab"))
    assert "--sdk-at DIR" in text
    assert "dir-0123456789ab" not in text


def test_what_was_left_to_each_sdks_default_stays_so() -> None:
    inside = cell_plan(sdk="yzma", backend="in-process", drive="closed", in_process=True, memory_bytes=1 << 30)
    text = command(cell_plan(), inside)
    for option in ("--backend", "--drive", "--memory"):
        assert option not in text
    assert "--workload chat-stream-128" in text


def test_a_backend_that_is_only_the_first_sdks_default_is_named() -> None:
    other = cell_plan(sdk="eino", arm="backend=stub,tier=stub", arms={"backend": "stub", "tier": "stub"})
    assert "--backend stub" in command(cell_plan(), other)
    assert "--arm" not in command(other)


def test_arms_limits_and_gates_that_differ_from_the_defaults() -> None:
    text = command(
        cell_plan(
            arms={"gogc": "50", "godebug": "madvdontneed=1"}, memory_bytes=(512 << 20) + 4096, mem_policy="preferred",
            sample_hz=2.5, timing_gates="record",
        )
    )  # fmt: skip
    assert "--arm gogc=50 --arm godebug=madvdontneed=1" in text
    assert "--memory 524292k --mem-policy preferred --sample-hz 2.5 --timing-gates record" in text


def test_a_benchmark_has_no_duration() -> None:
    text = command(cell_plan(drive="bench", bench_time_seconds=2.0, arms={"drive": "bench"}))
    assert "--drive bench --bench-count 5 --bench-time 2s" in text
    assert "--duration" not in text


def test_a_model_of_the_users_own_is_named() -> None:
    model = ModelFile("mine.gguf", "ab" * 32, 5)
    text = command(null(), cell_plan(model_file=model, arms={"model": "ab" * 6, "tier": "your-model"}))
    assert text.count("--model mine.gguf") == 1


def test_a_probe_is_no_launch() -> None:
    cells = [cell_plan(drive="probe", sdk=sdk, workload="probe") for sdk in ("eino", "yzma")]
    assert command(*cells) == "repro probe eino yzma --cpus 0"


@pytest.mark.parametrize(("limit", "text"), [(1 << 30, "1g"), (768 << 20, "768m"), (10 << 20, "10m"), (8192, "8k")])
def test_limits_are_said_as_they_are_typed(limit: int, text: str) -> None:
    assert f"--memory {text}" in command(cell_plan(memory_bytes=limit)) + " "
