"""Engines that cannot do what we need are refused in words: Podman, missing controllers; long answers are cut."""

from __future__ import annotations

from dataclasses import replace

import pytest

from toolkit.engine import faults
from toolkit.engine.fake import FakeEngine
from toolkit.errors import EngineError

FACTS = FakeEngine().engine_facts


def test_podman_is_refused_by_name_and_version() -> None:
    with pytest.raises(EngineError) as caught:
        faults.check_product([{"Name": "Podman Engine", "Version": "4.3.1"}, {"Name": "Conmon"}])
    assert caught.value.exit_code == 4
    assert "4.3.1" in caught.value.cause
    assert "DOCKER_HOST" in caught.value.remedy


def test_docker_and_what_says_nothing_of_itself_are_not_podman() -> None:
    faults.check_product([{"Name": "Engine", "Version": "20.10.24"}, {"Name": "containerd"}])
    faults.check_product([])


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"rootless": True, "cgroup_version": "2"}, "Delegate=cpu cpuset io memory pids"),
        ({"rootless": True, "cgroup_version": "1"}, "cgroup version 2"),
        ({"rootless": False}, "cgroup_disable"),
    ],
)
def test_an_engine_without_a_controller_is_refused(changes: dict[str, object], remedy: str) -> None:
    facts = replace(FACTS, missing_controllers=("cpuset", "pids"), **changes)  # type: ignore[arg-type]
    with pytest.raises(EngineError) as caught:
        faults.check_controllers(facts)
    assert caught.value.exit_code == 4
    assert "cpuset, pids" in caught.value.cause
    assert remedy in caught.value.remedy


def test_an_engine_with_all_of_them_is_not() -> None:
    faults.check_controllers(FACTS)


def test_of_a_long_refusal_both_ends_are_kept() -> None:
    error = faults.refused("create a container", 500, f"opening {'x' * 9000} failed: file name too long")
    assert error.cause.startswith("opening xxx")
    assert error.cause.endswith("file name too long")
    assert len(error.cause) < 500
