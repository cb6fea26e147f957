"""Who runs where: pure decisions on a machine that is written down."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import HostUnfit, UsageError
from toolkit.host.topology import Topology, nearest_cpus, place
from toolkit.model.cpulist import format_cpulist, parse_cpulist

ONE = Topology((0,), {0: (0,)}, 1 << 30)
TWO = Topology((0, 1), {0: (0, 1)}, 8 << 30)
NUMA = Topology(tuple(range(16)), {0: tuple(range(8)), 1: tuple(range(8, 16))}, 64 << 30)


def test_the_backend_is_near_and_the_agent_takes_the_highest_cpu_outside() -> None:
    placement = place(NUMA, "0-3")
    assert (placement.agent_cpus, placement.backend_cpus) == ("15", "4-7")
    assert placement.housekeeping_cpus == "8-15"
    assert placement.mems == "0"
    assert not placement.shared


def test_two_cpus_leave_one_for_everybody_else() -> None:
    placement = place(TWO, "0")
    assert (placement.agent_cpus, placement.backend_cpus, placement.housekeeping_cpus) == ("1", "1", "1")
    assert not placement.shared


@pytest.mark.parametrize(("machine", "cpus"), [(ONE, "0"), (TWO, "0-1"), (NUMA, "0-15")])
def test_all_of_the_machine_is_shared(machine: Topology, cpus: str) -> None:
    placement = place(machine, cpus)
    assert placement.shared
    assert placement.agent_cpus == placement.backend_cpus == placement.housekeeping_cpus == cpus


def test_memory_nodes_follow_the_cpus_unless_named() -> None:
    assert place(NUMA, "6-9").mems == "0-1"
    assert place(NUMA, "8").mems == "1"
    assert place(NUMA, "8", "0").mems == "0"


@given(st.sets(st.integers(0, 15), min_size=1))
def test_nobody_sits_on_measured_cpus_while_others_are_free(cpus: set[int]) -> None:
    placement = place(NUMA, format_cpulist(cpus))
    others = {placement.agent_cpus, placement.backend_cpus, placement.housekeeping_cpus}
    touched = {cpu for text in others for cpu in parse_cpulist(text)}
    assert bool(touched & cpus) == placement.shared == (len(cpus) == 16)


@pytest.mark.parametrize("text", ["", "x", "3-1", "0,,1"])
def test_a_malformed_list_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        place(TWO, text)
    assert caught.value.exit_code == 2
    assert "--cpus 2 means CPU number 2" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "offer"), [("2", "--cpus 0"), ("1-2", "--cpus 0-1"), ("5-9", "--cpus 0-1"), ("1,7", "--cpus 0-1")]
)
def test_a_cpu_that_is_not_here_is_refused_with_the_nearest_that_is(text: str, offer: str) -> None:
    with pytest.raises(HostUnfit) as caught:
        place(TWO, text)
    assert caught.value.exit_code == 3
    assert offer in caught.value.remedy


@given(st.sets(st.integers(0, 40), min_size=1, max_size=20))
def test_the_offer_can_always_be_taken(wanted: set[int]) -> None:
    offered = nearest_cpus(NUMA, tuple(sorted(wanted)))
    assert place(NUMA, format_cpulist(offered)).cpus == format_cpulist(offered)
    assert set(offered) >= wanted & set(NUMA.cpus)


@pytest.mark.parametrize("text", ["1", "0-1"])
def test_a_memory_node_that_is_not_here(text: str) -> None:
    with pytest.raises(HostUnfit, match="no memory node"):
        place(TWO, "0", text)


def test_a_malformed_memory_node() -> None:
    with pytest.raises(UsageError, match="memory nodes"):
        place(TWO, "0", "x")
