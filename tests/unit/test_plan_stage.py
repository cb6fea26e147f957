"""From a request and the catalogue to cells in a recorded order."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import pytest

from toolkit.arms import parse_arms, parse_memory
from toolkit.cli.options import parse_seconds
from toolkit.errors import UsageError
from toolkit.host.topology import Placement
from toolkit.model.catalogue import BackendEntry, SdkEntry, WorkloadEntry
from toolkit.model.plan import CellPlan, ModelFile, plan_from_json
from toolkit.plan import Choice, Request, check_request, make_plan
from toolkit.schemas import problems

HERE = Path()
PLACEMENT = Placement("0-1", "0", "3", "2", "3", shared=False)
SDK = SdkEntry("sdk-a", "example.org/a", "v1.2.3", "MIT", HERE, (("chat", ("stub", "other")), ("embed", ("stub",))))
WORKLOAD = WorkloadEntry(
    "chat", "chat-stream", "one chat", "poisson", 40, 128, 0, ("open", "closed", "bench"), HERE,
    backend={"pacing": "paced", "images": 1},
)  # fmt: skip
STUB = BackendEntry(
    "stub", "stub", {"openai": "/v1"}, HERE, 8080, 8081, "tcp:127.0.0.1:8080",
    settings={"pacing": "unpaced", "fault": ""}, model="stub",
)  # fmt: skip
OTHER = replace(STUB, id="other", tier="simulator")
CHOICE = Choice(SDK, WORKLOAD, STUB)


def sdks(*names: str) -> list[Choice]:
    return [replace(CHOICE, sdk=replace(SDK, id=name)) for name in names]


def cell(request: Request | None = None, choice: Choice = CHOICE, placement: Placement = PLACEMENT) -> Any:
    return make_plan(request or Request(), [choice], placement).cells[0]


def test_defaults_are_the_designs() -> None:
    plan = cell()
    assert plan.cell == "sdk-a/chat/default"
    assert (plan.duration_seconds, plan.warmup_seconds, plan.launches, plan.seed) == (30.0, 5.0, 1, 1)
    assert (plan.drive, plan.timing_gates, plan.sample_hz, plan.mem_policy) == ("open", "judge", 1.0, "bind")
    assert (plan.memory_bytes, plan.backend_memory_bytes) == (512 << 20, 256 << 20)
    assert plan.base_url == "http://127.0.0.1:8080/v1"


def test_gomaxprocs_is_the_number_of_measured_cpus() -> None:
    assert cell().gomaxprocs == 2
    assert cell(Request(arms={"gomaxprocs": "1"})).gomaxprocs == 1


def test_the_workload_overrules_the_backends_settings_and_an_arm_overrules_both() -> None:
    assert cell().backend_settings["pacing"] == "paced"
    assert cell(Request(arms={"pacing": "unpaced"})).backend_settings["pacing"] == "unpaced"


def test_the_seed_and_the_port_of_the_plan_reach_the_backend() -> None:
    known = {**STUB.settings, "seed": 1, "listen": "127.0.0.1:9999"}
    settings = cell(Request(seed=7), replace(CHOICE, backend=replace(STUB, settings=known))).backend_settings
    assert (settings["seed"], settings["listen"]) == (7, "127.0.0.1:8080")


def test_a_backend_gets_only_settings_that_it_knows() -> None:
    assert "images" not in cell().backend_settings
    server = replace(STUB, id="server", settings={}, command=("/repro/backend", "--port", "{port}", "-t", "{threads}"))
    plan = cell(choice=replace(CHOICE, backend=server))
    assert plan.backend_settings == {}
    assert plan.backend_command == ("/repro/backend", "--port", "8080", "-t", "1")
    with pytest.raises(UsageError, match="no such setting"):
        cell(Request(arms={"fault": "reset-1"}), replace(CHOICE, backend=server))


def test_a_kind_may_have_a_command_and_a_model_of_its_own() -> None:
    server = replace(
        STUB, settings={}, environment={"P": "{projector}"},
        command=("/repro/backend", "{model}"), commands={"embed": ("/repro/backend", "-e", "{model}")},
        models={"embed": ("embed.gguf",), "chat-stream": ("chat.gguf", "vision.gguf")},
    )  # fmt: skip
    assert cell(choice=replace(CHOICE, backend=server)).backend_command[1] == "/repro/models/chat.gguf"
    assert cell(choice=replace(CHOICE, backend=server)).backend_environment == {"P": "/repro/models/vision.gguf"}
    embed = replace(CHOICE, backend=server, workload=replace(WORKLOAD, kind="embed"))
    assert cell(choice=embed).backend_command == ("/repro/backend", "-e", "/repro/models/embed.gguf")


INSIDE = replace(STUB, id="in-process", tier="tiny-model", build="none", drive="closed", wires={"in-process": ""})
ENGINE = replace(
    SDK, wire="in-process", workloads=(("chat", ("in-process",)),), models={"chat-stream": ("chat.gguf",)},
    native=("llama.cpp",), cpu_level="x86-64-v3", text_unit="characters", special_tokens=1,
)  # fmt: skip


def test_an_engine_in_process_runs_closed_without_a_backend() -> None:
    plan = cell(choice=Choice(ENGINE, WORKLOAD, INSIDE, asked_as="go-llama"))
    assert (plan.drive, plan.concurrency, plan.in_process, plan.backend_memory_bytes) == ("closed", 1, True, 0)
    assert (plan.base_url, plan.backend_command, plan.cell) == ("", (), "sdk-a/chat/default")
    assert (plan.model_path, plan.library_path, plan.threads) == ("/repro/models/chat.gguf", "/repro/lib", 2)
    assert (plan.asked_as, plan.cpu_level) == ("go-llama", "x86-64-v3")
    assert (plan.text_unit, plan.special_tokens) == ("characters", 1)
    assert plan.synthetic_model


def test_the_threads_of_an_engine_are_an_arm() -> None:
    plan = cell(Request(arms={"threads": "1"}), Choice(ENGINE, WORKLOAD, INSIDE))
    assert (plan.threads, plan.arm) == (1, "threads=1")
    with pytest.raises(UsageError, match="cannot be used with sdk-a"):
        cell(Request(arms={"threads": "1"}))


def test_the_closed_drive_has_a_fixed_concurrency() -> None:
    plan = cell(Request(arms={"concurrency": "8"}))
    assert (plan.drive, plan.concurrency, plan.arm) == ("closed", 8, "concurrency=8,drive=closed")
    with pytest.raises(UsageError, match="closed loop"):
        check_request(Request(drive="open", arms={"concurrency": "8"}))
    with pytest.raises(UsageError, match="out of range") as error:
        cell(Request(arms={"concurrency": "4097"}))
    assert error.value.remedy


def test_a_model_of_ones_own_is_named_by_its_bytes_and_given_room() -> None:
    own = ModelFile("mine.gguf", "ab" * 32, 5000)
    plan = cell(Request(model=own), Choice(ENGINE, WORKLOAD, INSIDE))
    assert plan.cell == "sdk-a/chat/model=abababababab,tier=your-model"
    assert (plan.model_path, plan.backend_tier) == ("/repro/own/model.gguf", "your-model")
    assert plan.memory_bytes == (512 << 20) + 8192
    assert not plan.synthetic_model
    written = make_plan(Request(model=own), [Choice(ENGINE, WORKLOAD, INSIDE)], PLACEMENT).to_json()
    again = plan_from_json(json.loads(json.dumps(written)))
    assert again.cells[0] == plan


def test_http2_over_tls_is_an_arm() -> None:
    plan = cell(Request(arms={"http": "h2"}))
    assert (plan.base_url, plan.control_url, plan.tls) == ("https://127.0.0.1:8081/v1", "http://127.0.0.1:8080", True)
    with pytest.raises(UsageError, match="cannot be used with sdk-a"):
        cell(Request(arms={"http": "h2"}), replace(CHOICE, backend=replace(STUB, tls_port=0)))


@pytest.mark.parametrize(
    ("arm", "drive", "choice"),
    [
        ({"http": "h2"}, None, "inside"),
        ({"http": "h1"}, None, "inside"),
        ({"pacing": "unpaced"}, None, "inside"),
        ({"fault": "never_ready"}, None, "inside"),
        ({"rate_hz": "3"}, None, "inside"),
        ({"rate_hz": "3"}, "bench", "outside"),
        ({"arrival": "constant"}, "closed", "outside"),
        ({"arrival": "constant", "concurrency": "2"}, None, "outside"),
        ({"threads": "2"}, None, "outside"),
    ],
)
def test_an_arm_that_would_change_nothing_is_refused(arm: dict[str, str], drive: str | None, choice: str) -> None:
    places = {"inside": Choice(ENGINE, WORKLOAD, INSIDE), "outside": CHOICE}
    with pytest.raises(UsageError, match=f"--arm {next(iter(arm))}=.* cannot be used with"):
        cell(Request(arms=arm, drive=drive), places[choice])


def test_a_memory_limit_that_the_runtime_could_not_read_is_refused() -> None:
    with pytest.raises(UsageError, match="out of range"):
        cell(Request(arms={"gomemlimit": "999999999999999g"}))


def test_without_the_moved_settings_and_at_another_version() -> None:
    assert cell(Request(arms={"sdk": "defaults"})).sdk_defaults
    assert cell(choice=replace(CHOICE, at="v1.2.2")).cell == "sdk-a/chat/sdk-at=v1.2.2"


def test_a_fault_is_written_without_a_colon_and_handed_on_with_one() -> None:
    plan = cell(Request(arms={"fault": "http503-0.01"}))
    assert plan.backend_settings["fault"] == "http503:0.01"
    assert plan.cell == "sdk-a/chat/fault=http503-0.01"


@pytest.mark.parametrize("text", ["truncate-1", "reset-0.5", "never_ready", "exit_after-2.5", "corrupt-0"])
def test_faults_that_the_stub_knows(text: str) -> None:
    assert cell(Request(arms={"fault": text})).backend_settings["fault"] == text.replace("-", ":")


def test_runtime_arms_become_the_programs_environment() -> None:
    plan = cell(Request(arms={"gogc": "200", "gomemlimit": "64m"}))
    assert plan.environment == {"GOGC": "200", "GOMEMLIMIT": str(64 << 20)}


def test_the_arm_names_what_is_off_its_default_and_nothing_else() -> None:
    assert cell(Request(drive="bench")).arm == "drive=bench"
    assert cell(choice=replace(CHOICE, backend=OTHER)).arm == "backend=other,tier=simulator"
    assert cell(Request(launches=7, duration_seconds=12)).arm == "default"


def test_every_round_of_the_order_holds_each_cell_once() -> None:
    plan = make_plan(Request(launches=10, seed=3), sdks("a", "b", "c"), PLACEMENT)
    assert Counter((turn.cell, turn.launch) for turn in plan.order).most_common(1)[0][1] == 1
    rounds = [plan.order[start : start + 3] for start in range(0, 30, 3)]
    assert all({turn.cell for turn in one} == {cell.cell for cell in plan.cells} for one in rounds)
    assert len({tuple(turn.cell for turn in one) for one in rounds}) > 1


def test_the_seed_draws_the_order() -> None:
    def order(seed: int) -> list[str]:
        plan = make_plan(Request(launches=10, seed=seed), sdks("a", "b", "c"), PLACEMENT)
        return [turn.cell for turn in plan.order]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_a_plan_survives_json_and_its_schema() -> None:
    plan = make_plan(Request(arms={"gogc": "50"}), sdks("a", "b"), PLACEMENT)
    text = json.loads(json.dumps(plan.to_json()))
    assert plan_from_json(text) == plan
    assert problems(text, "plan") == []


@pytest.mark.parametrize(
    "damage", [{"schema": "repro.plan/9"}, {"cells": [{}]}, {"order": [{"cell": "a"}]}, {"seed": None}]
)
def test_a_plan_that_we_cannot_read_is_a_value_error(damage: dict[str, Any]) -> None:
    document = make_plan(Request(), [CHOICE], PLACEMENT).to_json()
    with pytest.raises(ValueError, match=r"\S"):
        plan_from_json({**document, **damage})


def test_a_plan_from_before_a_field_is_readable_and_one_whose_field_is_another_thing_is_not() -> None:
    document = make_plan(Request(), [CHOICE], PLACEMENT).to_json()
    (old,) = document["cells"]
    newer = [field.name for field in fields(CellPlan) if field.default is not MISSING]
    newer += [field.name for field in fields(CellPlan) if field.default_factory is not MISSING]
    assert plan_from_json({**document, "cells": [{k: v for k, v in old.items() if k not in newer}]}).cells[0].cell
    for damage in ({"models": [1]}, {"model_file": "x"}, {"backend_command": 3}):
        with pytest.raises(ValueError, match="missing or unknown"):
            plan_from_json({**document, "cells": [{**old, **damage}]})


@pytest.mark.parametrize(
    "request_",
    [
        Request(launches=0),
        Request(duration_seconds=0),
        Request(duration_seconds=-1),
        Request(duration_seconds=float("nan")),
        Request(duration_seconds=float("inf")),
        Request(warmup_seconds=0.5),
        Request(warmup_seconds=float("nan")),
        Request(warmup_seconds=float("inf")),
        Request(sample_hz=0),
        Request(sample_hz=101),
        Request(sample_hz=float("nan")),
        Request(drive="sideways"),
        Request(drive="bench", duration_seconds=5),
        Request(bench_count=0),
        Request(bench_time_seconds=0),
        Request(bench_time_seconds=float("inf")),
        Request(timing_gates="ignore"),
        Request(mem_policy="local"),
        Request(arms={"colour": "red"}),
        Request(arms={"rate_hz": "fast"}),
        Request(arms={"rate_hz": "0"}),
        Request(arms={"rate_hz": "nan"}),
        Request(arms={"arrival": "bursty"}),
        Request(arms={"pacing": "slow"}),
        Request(arms={"gomaxprocs": "1.5"}),
        Request(arms={"godebug": "A=B"}),
        Request(arms={"gogc": "fast"}),
        Request(arms={"gomemlimit": "64MiB"}),
        Request(arms={"fault": "http503:0.1"}),
        Request(arms={"fault": "http503-2"}),
        Request(arms={"fault": "burn"}),
        Request(memory_bytes=1 << 20),
        Request(memory_bytes=(512 << 20) + 1),
    ],
    ids=lambda one: " ".join(f"{key}={value}" for key, value in vars(one).items() if value != vars(Request())[key]),
)
def test_what_no_launch_could_have_is_a_usage_error(request_: Request) -> None:
    with pytest.raises(UsageError) as caught:
        make_plan(request_, [CHOICE], PLACEMENT)
    assert caught.value.title


def test_a_drive_that_the_workload_lacks() -> None:
    with pytest.raises(UsageError, match="no drive 'bench'"):
        cell(Request(drive="bench"), replace(CHOICE, workload=replace(WORKLOAD, drives=("open",))))


def test_one_cell_twice() -> None:
    with pytest.raises(UsageError, match="twice"):
        make_plan(Request(), [CHOICE, CHOICE], PLACEMENT)


@pytest.mark.parametrize(
    ("text", "size"), [("512m", 512 << 20), ("4G", 4 << 30), ("4096k", 4 << 20), ("1000", 1000), ("7b", 7)]
)
def test_memory_is_written_as_docker_does(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "m", "1.5g", "-1m", "512mb", "1t", "9" * 40])
def test_memory_that_is_none(text: str) -> None:
    with pytest.raises(UsageError):
        parse_memory(text)


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("500ms", 0.5), ("2m", 120), ("1.5s", 1.5)])
def test_times_are_written_as_go_does(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "30", "1h", "-1s", ".s", "1.2.3s", "nans", "infs"])
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(UsageError):
        parse_seconds(text)


def test_arms_are_pairs() -> None:
    assert parse_arms(["a=1", "b=x=y"]) == {"a": "1", "b": "x=y"}


@pytest.mark.parametrize("pairs", [["a"], ["=1"], ["a="], ["a=1", "a=2"]])
def test_arms_that_are_none(pairs: list[str]) -> None:
    with pytest.raises(UsageError):
        parse_arms(pairs)


def test_a_bench_is_planned_longer_than_its_own_time() -> None:
    plan = cell(Request(drive="bench", bench_count=2, bench_time_seconds=3))
    assert plan.planned_seconds > 2 * 3
    assert cell(Request(duration_seconds=12)).planned_seconds == 5 + 12 + 2 + 2


@pytest.mark.parametrize("seed", [-1, 2**53])
def test_a_seed_that_json_or_go_cannot_hold_is_refused(seed: int) -> None:
    with pytest.raises(UsageError, match="--seed"):
        cell(Request(seed=seed))


def test_a_probe_has_room_for_models_side_by_side() -> None:
    probe = replace(WORKLOAD, id="probe", kind="probe", drives=("probe",))
    assert cell(choice=Choice(ENGINE, probe, INSIDE)).memory_bytes == 1 << 30
