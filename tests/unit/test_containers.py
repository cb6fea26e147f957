"""From a cell's plan to its two containers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.journals import cell_plan
from tests.support.runs import WIRING
from toolkit.launch.containers import COMPOSE_GAPS, Wiring, backend_container, sdk_container
from toolkit.model.container import ContainerSpec
from toolkit.readback.rows import ENGINE_ONLY, HOST_JUDGED, requested_rows

PROFILE: dict[str, object] = {"defaultAction": "SCMP_ACT_ERRNO"}


def make(role: str = "sdk", wiring: Wiring = WIRING, **changes: Any) -> ContainerSpec:
    build = sdk_container if role == "sdk" else backend_container
    return build(cell_plan(**changes), "image", PROFILE, wiring)


def agent(spec: ContainerSpec) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(spec.environment["REPRO_AGENT"])
    return settings


@pytest.mark.parametrize("role", ["sdk", "backend"])
@pytest.mark.parametrize(
    ("policy", "option"),
    [
        ("bind", "--membind=0"),
        ("interleave", "--interleave=0"),
        ("preferred", "--preferred=0"),
        ("none", "--localalloc"),
    ],
)
def test_every_command_begins_with_numactl(role: str, policy: str, option: str) -> None:
    assert make(role, mem_policy=policy).command[:3] == ("numactl", option, "--")


def test_the_bench_drive_is_go_tests_own() -> None:
    command = make(drive="bench", bench_count=3, bench_time_seconds=1.5).command
    assert "-test.benchtime=1.5s" in command
    assert "-test.count=3" in command
    assert "-test.benchmem" in command
    assert r"-test.bench=^BenchmarkWorkload$/^chat-stream-128$" in command
    assert not [part for part in make().command if part.startswith("-test.")]


def test_the_cpuset_is_the_program_and_its_agent() -> None:
    spec = make(cpus="0-2", agent_cpus="7", backend_cpus="5-6")
    assert (spec.cpuset_cpus, agent(spec)["workload_cpus"], agent(spec)["agent_cpus"]) == ("0-2,7", "0-2", "7")
    backend = make("backend", cpus="0-2", agent_cpus="7", backend_cpus="5-6")
    assert (backend.cpuset_cpus, agent(backend)["workload_cpus"]) == ("5-7", "5-6")


def test_there_is_never_a_network_of_its_own() -> None:
    assert make().network == make("backend").network == "none"


def test_the_environment_is_an_allow_list() -> None:
    assert set(make().environment) == {"PATH", "HOME", "REPRO_AGENT", "REPRO_WORKLOAD", "GOMAXPROCS"}
    assert set(make("backend").environment) == {"PATH", "HOME", "REPRO_AGENT", "REPRO_BACKEND", "GOMAXPROCS"}
    assert make(environment={"GOGC": "50"}).environment["GOGC"] == "50"


@pytest.mark.parametrize("role", ["sdk", "backend"])
def test_the_agent_expects_what_was_requested(role: str) -> None:
    spec = make(role)
    requested = requested_rows(spec, cell_plan(), role)
    judged = {row: value for row, value in requested.items() if row not in ENGINE_ONLY | HOST_JUDGED}
    assert agent(spec)["expect"] == judged


def test_what_compose_cannot_say_is_not_expected_there() -> None:
    expected = agent(make(wiring=Wiring()))["expect"]
    assert not set(COMPOSE_GAPS) & set(expected)
    assert expected["memory.policy"] == "bind:0"
    assert expected["memory.swap_bytes"] == "0"


def test_without_a_host_there_is_no_journal_and_no_path_of_a_machine() -> None:
    for role in ("sdk", "backend"):
        spec = make(role, Wiring())
        assert (agent(spec)["journal"], agent(spec)["socket"]) == ("", "")
        assert [mount.source for mount in spec.mounts] == ["/dev/null"]


def test_only_the_journal_is_writable() -> None:
    assert [mount.target for mount in make().mounts if mount.writable] == ["/repro/out/journal.pb"]


def test_the_same_plan_gives_the_same_container() -> None:
    assert make() == make()
    assert make().environment["REPRO_WORKLOAD"] != make(seed=2).environment["REPRO_WORKLOAD"]


def test_the_agent_outlives_the_plan_a_little_and_the_backend_the_sdk() -> None:
    planned = cell_plan().planned_seconds
    assert planned < agent(make())["stop_after_seconds"] < agent(make("backend"))["stop_after_seconds"] < planned + 60


def test_only_the_backend_is_probed() -> None:
    assert agent(make("backend"))["ready"] == "http://127.0.0.1:8080/healthz"
    assert agent(make())["ready"] == ""


def test_no_memory_policy_means_that_none_is_required() -> None:
    assert "memory.policy" not in agent(make(mem_policy="none"))["expect"]
    assert agent(make(mem_policy="interleave"))["expect"]["memory.policy"] == "interleave:0"
    assert agent(make(mem_policy="preferred"))["expect"]["memory.policy"] == "prefer:0"
