"""Which CPUs are chosen: what must hold on every machine, and what is chosen on machines that one knows."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.machines import MACHINES, Machine, clustered, epyc, laptop, uniform
from toolkit.errors import HostUnfit, ReproError, UsageError
from toolkit.host.allocate import Wanted, choose
from toolkit.host.placement import Placement, place
from toolkit.model.cpulist import format_cpulist, parse_cpulist
from toolkit.model.topology import Topology


def cpus(text: str) -> set[int]:
    return set(parse_cpulist(text)) if text else set()


@cache
def known(name: str) -> Machine:
    return MACHINES[name]()


@st.composite
def machines(draw: st.DrawFn) -> Topology:
    """One of the machines, with CPUs that are off or isolated, seen whole or in part."""
    machine = known(draw(st.sampled_from(sorted(MACHINES))))
    numbers = sorted(one.cpu for one in machine.threads)
    some = st.sets(st.sampled_from(numbers), max_size=max(0, min(4, len(numbers) - 1)))
    off = draw(some) - {numbers[0]} if draw(st.booleans()) else set(machine.offline)
    machine = machine.without(offline=off, isolated=draw(some) if draw(st.booleans()) else ())
    here = machine.topology()
    if draw(st.booleans()) and len(here.cpus) > 1:
        kept = draw(st.sets(st.sampled_from(here.cpus), min_size=1))
        here = replace(here, cpus=tuple(sorted(kept)))
    return here


wishes = st.builds(
    Wanted,
    cores=st.one_of(st.none(), st.integers(1, 9), st.integers(1, 140)),
    lanes=st.one_of(st.none(), st.integers(1, 5), st.integers(1, 40)),
    threads=st.sampled_from(["1", "all"]),
).filter(lambda wanted: wanted.cores is not None or wanted.lanes is not None)


def asked(here: Topology, wanted: Wanted) -> tuple[tuple[Placement, ...], HostUnfit | None]:
    """The lanes, or why there are none."""
    try:
        return choose(here, wanted), None
    except HostUnfit as refusal:
        return (), refusal


def check_lane(here: Topology, lane: Placement, wanted: Wanted) -> None:
    """What holds for one lane, whatever the machine."""
    measured, idle = cpus(lane.cpus), cpus(lane.idle_cpus)
    others = cpus(lane.agent_cpus) | cpus(lane.backend_cpus) | cpus(lane.housekeeping_cpus)
    cores = {here.core_of(cpu) for cpu in measured}
    assert measured | idle == {cpu for core in cores for cpu in core}, "a split core"
    assert not idle or wanted.threads == "1"
    assert len(measured) == (len(cores) if wanted.threads == "1" else len(measured | idle))
    assert wanted.cores in (None, len(cores))
    assert (measured | idle | others) <= set(here.cpus), "outside what we may use"
    assert not (measured | idle | others) & set(here.isolated)
    assert len({here.class_of(cpu) for cpu in measured}) == 1, "mixed classes"
    assert len({here.node_of(cpu) for cpu in measured}) == 1, "two memory nodes"
    assert parse_cpulist(lane.mems) == here.mems_of(measured)
    assert set(parse_cpulist(lane.mems)) <= set(here.usable_nodes())
    assert not others & (measured | idle), "somebody else on a measured core"
    assert (lane.shared, lane.shared_cores) == (False, False)
    spread = len({here.cache_of(cpu) for cpu in measured}) > 1
    assert spread == any("last-level caches, because" in note for note in lane.notes)
    assert lane.notes


@settings(max_examples=250, deadline=None)
@given(machines(), wishes)
def test_every_lane_on_every_machine_is_sound_or_refused_with_a_reason(here: Topology, wanted: Wanted) -> None:
    lanes, refusal = asked(here, wanted)
    if refusal is not None:
        assert refusal.exit_code == 3
        assert refusal.title
        assert "core" in refusal.cause
        assert "--cpus" in refusal.remedy
        return
    assert len(lanes) == wanted.count
    for lane in lanes:
        check_lane(here, lane, wanted)
    for index, lane in enumerate(lanes):
        for other in lanes[index + 1 :]:
            taken = cpus(other.cpus) | cpus(other.idle_cpus)
            assert not (cpus(lane.cpus) | cpus(lane.idle_cpus) | cpus(lane.backend_cpus)) & taken, "two on one core"
            assert not cpus(lane.cpus) & cpus(other.backend_cpus)
    equal = {
        (len(cpus(lane.cpus)), len(cpus(lane.backend_cpus)), here.class_of(min(cpus(lane.cpus)))) for lane in lanes
    }
    assert len(equal) == 1, "lanes that are not equal"
    assert choose(here, wanted) == lanes, "another answer to the same question"


@settings(max_examples=150, deadline=None)
@given(machines(), wishes)
def test_what_a_refusal_offers_can_be_had(here: Topology, wanted: Wanted) -> None:
    _lanes, refusal = asked(here, wanted)
    if refusal is not None:
        offers = refusal.remedy.partition("what fits: ")[2].partition("; or name CPUs")[0]
        for offer in filter(None, offers.split(" or ")):
            words = dict(zip(offer.split()[::2], offer.split()[1::2], strict=True))
            numbers = {
                key: int(words[option])
                for key, option in (("cores", "--cores"), ("lanes", "--lanes"))
                if option in words
            }
            assert choose(here, replace(wanted, **numbers))


@settings(max_examples=200, deadline=None)
@given(machines(), st.data())
def test_named_cpus_are_taken_as_they_are(here: Topology, data: st.DataObject) -> None:
    named = data.draw(st.sets(st.sampled_from(here.cpus), min_size=1, max_size=12))
    lane = place(here, format_cpulist(named))
    others = cpus(lane.agent_cpus) | cpus(lane.backend_cpus) | cpus(lane.housekeeping_cpus)
    siblings = set(here.siblings(named)) & set(here.cpus)
    room = set(here.cpus) - named - siblings
    assert cpus(lane.cpus) == named
    assert others <= set(here.cpus)
    assert lane.shared == (named == set(here.cpus)) == bool(others & named)
    assert lane.shared_cores == (not room and not lane.shared)
    assert cpus(lane.idle_cpus) == (siblings if room or lane.shared else set())
    assert not others & cpus(lane.idle_cpus)
    assert bool(named & set(here.isolated)) == any("isolated" in warning for warning in lane.warnings)
    assert not others & set(here.isolated) or not room - set(here.isolated)


def only(here: Topology, wanted: Wanted) -> Placement:
    (lane,) = choose(here, wanted)
    return lane


def seats(lane: Placement) -> tuple[str, str, str, str, str]:
    return (lane.cpus, lane.idle_cpus, lane.agent_cpus, lane.backend_cpus, lane.housekeeping_cpus)


def test_two_cpus_keep_cpu_0_for_everybody_else() -> None:
    lane = only(known("two CPUs").topology(), Wanted(cores=1))
    assert seats(lane) == ("1", "", "0", "0", "0")
    assert any("relaxed: the backend shares" in note for note in lane.notes)


def test_a_laptop_measures_on_p_cores_and_keeps_house_on_e_cores() -> None:
    here = laptop().topology()
    assert seats(only(here, Wanted(cores=2))) == ("0,2", "1,3", "12", "8-11", "12")
    assert seats(only(here, Wanted(cores=6))) == ("0,2,4,6,8,10", "1,3,5,7,9,11", "12", "14-19", "12")
    assert seats(only(here, Wanted(cores=2, threads="all"))) == ("0-3", "", "12", "8-11", "12")


def test_e_cores_are_measured_on_only_when_they_alone_are_enough() -> None:
    here = laptop().topology()
    lane = only(here, Wanted(cores=7))
    assert (lane.cpus, lane.housekeeping_cpus) == ("12-18", "0-1")
    assert "class E" in lane.notes[0]
    with pytest.raises(HostUnfit) as caught:
        choose(here, Wanted(cores=9))
    assert "6 cores of class P on node 0, 8 cores of class E on node 0" in caught.value.cause
    assert "what fits: --cores 8" in caught.value.remedy


def test_a_large_machine_gives_each_lane_one_cache_and_spreads_lanes() -> None:
    here = epyc().topology()
    lane = only(here, Wanted(cores=8))
    assert lane.cpus == "8-15"
    assert {here.cache_of(cpu) for cpu in cpus(lane.cpus)} == {here.cache_of(8)}
    assert {here.node_of(cpu) for cpu in cpus(lane.backend_cpus)} == {0}
    assert lane.housekeeping_cpus == "0,128"
    lanes = choose(here, Wanted(cores=4, lanes=4))
    assert len({here.cache_of(min(cpus(one.cpus))) for one in lanes}) == 4
    for one in lanes:
        assert {here.cache_of(cpu) for cpu in cpus(one.backend_cpus)} == {here.cache_of(min(cpus(one.cpus)))}


def test_more_cores_than_a_cache_has_relax_that_and_say_so() -> None:
    lane = only(epyc().topology(), Wanted(cores=12))
    assert any(note == "relaxed: 2 last-level caches, because none has 12 cores for each lane" for note in lane.notes)
    with pytest.raises(HostUnfit, match="no room") as caught:
        choose(epyc().topology(), Wanted(cores=65))
    assert "what fits: --cores 64" in caught.value.remedy


def test_clusters_of_a_socket_are_nodes() -> None:
    here = clustered().topology()
    assert only(here, Wanted(cores=8)).mems == "1"
    with pytest.raises(HostUnfit):
        choose(here, Wanted(cores=9))


def test_memory_nodes_can_be_asked_for() -> None:
    here = known("memory-only node").topology()
    assert only(here, Wanted(cores=2, mems="1")).cpus == "4-5"
    with pytest.raises(HostUnfit) as caught:
        choose(here, Wanted(cores=1, mems="2"))
    assert "here of 2" in caught.value.cause
    with pytest.raises(HostUnfit, match="no memory node 7"):
        choose(here, Wanted(cores=1, mems="7"))


def test_a_node_without_memory_is_served_by_the_nearest_and_comes_last() -> None:
    here = known("nodes without memory").topology()
    assert only(here, Wanted(cores=2)).mems == "2"
    assert [lane.mems for lane in choose(here, Wanted(cores=1, lanes=5))] == ["2", "0", "2", "0", "2"]
    assert place(here, "6").mems == "2"
    with pytest.raises(HostUnfit, match="node 1 has no memory"):
        place(here, "0", "1")


def test_half_a_core_is_no_core() -> None:
    with pytest.raises(HostUnfit) as caught:
        choose(known("first threads").topology(), Wanted(cores=1))
    assert "no core may be used whole" in caught.value.cause
    assert "CPUs 0-3 (a hardware sibling is beyond our reach" in caught.value.cause


def test_isolated_cpus_are_left_out_and_named() -> None:
    here = uniform(4).without(isolated={2, 3}).topology()
    with pytest.raises(HostUnfit) as caught:
        choose(here, Wanted(cores=2))
    assert "isolated CPUs 2-3" in caught.value.cause
    assert "Go needs that" in place(here, "2").warnings[0]


def test_tickless_cpus_are_noted() -> None:
    here = replace(uniform(4).topology(), nohz_full=(3,))
    assert any("nohz_full" in note for note in place(here, "3").notes)
    assert not any("nohz_full" in note for note in place(here, "1").notes)


def test_two_lanes_of_the_lab_machine() -> None:
    lanes = choose(known("lab").topology(), Wanted(lanes=2))
    assert [seats(lane) for lane in lanes] == [("4-5", "", "0", "7", "0"), ("1-2", "", "0", "3", "0")]
    assert [lane.mems for lane in lanes] == ["1", "0"]
    assert [lane.notes[0] for lane in lanes] == ["lane 1 of 2", "lane 2 of 2"]


def test_agents_of_many_lanes_are_dealt_out_over_housekeeping_cores() -> None:
    lanes = choose(epyc().topology(), Wanted(cores=1, lanes=16))
    assert {lane.housekeeping_cpus for lane in lanes} == {"0-1,128-129"}
    assert {lane.agent_cpus for lane in lanes} == {"0", "1", "128", "129"}


def test_where_no_core_is_left_backends_share_the_housekeeping_cores() -> None:
    lanes = choose(uniform(4).topology(), Wanted(lanes=3))
    assert [lane.cpus for lane in lanes] == ["1", "2", "3"]
    assert {lane.backend_cpus for lane in lanes} == {"0"}
    with pytest.raises(HostUnfit) as caught:
        choose(uniform(4).topology(), Wanted(lanes=4))
    assert "what fits: --lanes 3" in caught.value.remedy


@pytest.mark.parametrize("wanted", [Wanted(cores=0), Wanted(lanes=0), Wanted(cores=-1), Wanted(cores=1, threads="2")])
def test_numbers_that_mean_nothing(wanted: Wanted) -> None:
    with pytest.raises(UsageError) as caught:
        choose(uniform(2).topology(), wanted)
    assert caught.value.remedy


def test_the_only_core_is_not_given_away() -> None:
    with pytest.raises(ReproError) as caught:
        choose(uniform(1, smt=2).topology(), Wanted(cores=1))
    assert "there is 1 core on node 0" in caught.value.cause


def test_siblings_of_named_cpus_stay_idle() -> None:
    lane = place(uniform(4, smt=2).topology(), "0-1")
    assert seats(lane) == ("0-1", "4-5", "7", "2,6", "3,7")


def test_on_one_core_the_others_share_it_and_that_is_said() -> None:
    lane = place(uniform(1, smt=2).topology(), "0")
    assert (lane.idle_cpus, lane.agent_cpus, lane.shared, lane.shared_cores) == ("", "1", False, True)
    assert "siblings of measured CPUs" in lane.warnings[0]


def test_a_mixture_of_classes_and_nodes_is_warned_of() -> None:
    assert "mix classes of core (P, E)" in place(laptop().topology(), "0,12").warnings[0]
    assert "memory nodes 0-1" in place(epyc().topology(), "0,64").warnings[0]


def test_a_sibling_beyond_our_reach_is_warned_of() -> None:
    lane = place(known("first threads").topology(), "0")
    assert "beyond our reach: 4" in lane.warnings[0]
    assert lane.idle_cpus == ""


@pytest.mark.parametrize(("text", "why"), [("5", "CPU 5 is offline"), ("2", "no CPU 2")])
def test_a_cpu_that_cannot_be_used_is_told_apart(text: str, why: str) -> None:
    with pytest.raises(HostUnfit, match=why):
        place(known("sparse").topology(), text)
    with pytest.raises(HostUnfit, match="CPU 4 is outside this process's CPU set"):
        place(known("half a machine").topology(), "4")
