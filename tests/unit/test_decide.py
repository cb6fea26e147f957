"""Did each limit hold: arithmetic on observations."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.readback.decide import NO_FILE, Observation, RowVerdict, broken_rows, decide, unwitnessed_rows
from toolkit.readback.rows import ENGINE_BLIND, ENGINE_ONLY

ROW = "pids.limit"
TIMES = ("start", "window:0", "end")


def seen(witness: str, found: str | None = "256", *times: str) -> list[Observation]:
    return [Observation(ROW, when, witness, found) for when in times or ("start", "end")]


def state(*observations: list[Observation], row: str = ROW, requested: str = "256") -> str:
    renamed = [Observation(row, one.when, one.witness, one.found) for group in observations for one in group]
    return decide({row: requested}, renamed)[0].state


def test_engine_and_one_kernel_view_hold_a_row() -> None:
    assert state(seen("engine"), seen("agent")) == "held"
    assert state(seen("engine"), seen("host")) == "held"


def test_the_engine_alone_does_not() -> None:
    assert state(seen("engine")) == "unwitnessed"


def test_a_kernel_view_alone_does_not() -> None:
    assert state(seen("agent"), seen("host")) == "unwitnessed"


def test_nobody_does_not() -> None:
    assert state() == "unwitnessed"


@pytest.mark.parametrize("times", [("start",), ("end",), ("window:0",)])
def test_a_kernel_view_must_span_the_launch(times: tuple[str, ...]) -> None:
    assert state(seen("engine"), seen("agent", "256", *times)) == "unwitnessed"


def test_two_kernel_witnesses_may_share_the_span() -> None:
    assert state(seen("engine"), seen("agent", "256", "start"), seen("host", "256", "end")) == "held"


@pytest.mark.parametrize("witness", ["engine", "host", "agent"])
@pytest.mark.parametrize("when", TIMES)
def test_any_view_that_differs_at_any_time_breaks_a_row(witness: str, when: str) -> None:
    verdict = decide(
        {ROW: "256"}, [*seen("engine"), *seen("agent"), *seen("host"), Observation(ROW, when, witness, "max")]
    )[0]
    assert (verdict.state, verdict.found) == ("broken", "max")
    assert verdict.broken == (Observation(ROW, when, witness, "max"),)
    assert broken_rows([verdict]) == [verdict]


def verdict_of(*observations: list[Observation], lacking: tuple[str, ...] = ()) -> RowVerdict:
    return decide({ROW: "256"}, [one for group in observations for one in group], lacking=lacking)[0]


def test_a_knob_that_this_version_lacks_is_absent() -> None:
    gone = verdict_of(seen("agent", None), seen("host", None), lacking=(ROW,))
    assert (gone.state, gone.found, gone.reason) == ("absent", None, "")
    assert broken_rows([gone]) == unwitnessed_rows([gone]) == []


def test_a_file_that_this_version_should_have_is_missed() -> None:
    missed = verdict_of(seen("engine"), seen("agent", None), seen("host", None))
    assert (missed.state, missed.found, missed.reason) == ("unwitnessed", None, NO_FILE)


def test_an_engine_that_drops_what_the_kernel_has_no_file_for_breaks_nothing() -> None:
    assert verdict_of(seen("engine", "0"), seen("agent", None)).state == "unwitnessed"
    assert verdict_of(seen("engine", "0"), seen("agent", None), seen("host")).state == "broken"


def test_a_row_that_is_lacking_is_absent_only_if_somebody_looked() -> None:
    assert verdict_of(seen("engine"), lacking=(ROW,)).state == "unwitnessed"


def test_an_unwitnessed_row_says_who_was_missed_and_when() -> None:
    assert verdict_of(seen("engine")).reason == "the kernel was not seen to say so at start, end"
    assert (
        verdict_of(seen("agent"), seen("engine", "256", "end")).reason == "the engine was not seen to say so at start"
    )


def test_what_broke_is_in_the_order_of_time_whoever_told_it_first() -> None:
    late, early = Observation(ROW, "end", "host", "1"), Observation(ROW, "window:10", "agent", "2")
    first = Observation(ROW, "window:9", "agent", "3")
    assert verdict_of([late, early, first]).broken == (first, early, late)
    assert verdict_of([late, early, first]).found == "3"


def test_a_row_whose_file_vanishes_midway_is_not_absent() -> None:
    assert state(seen("engine"), seen("agent", "256", "start"), seen("agent", None, "end")) == "unwitnessed"


@pytest.mark.parametrize("row", sorted(ENGINE_ONLY))
def test_what_only_the_engine_knows_is_held_by_it_alone(row: str) -> None:
    looks = [Observation(row, when, "engine", "x") for when in ("start", "end")]
    verdict = decide({row: "x"}, looks)[0]
    assert (verdict.state, verdict.engine_only) == ("held", True)
    assert decide({row: "x"}, looks[:1])[0].state == "unwitnessed"
    assert decide({row: "x"}, [])[0].state == "unwitnessed"


@pytest.mark.parametrize("row", sorted(ENGINE_BLIND))
def test_what_the_engine_cannot_know_needs_no_engine(row: str) -> None:
    assert state(seen("agent"), row=row) == "held"
    assert state(seen("engine"), row=row) == "unwitnessed"


def test_every_window_must_have_been_looked_at() -> None:
    windows = ("start", "window:0", "window:1", "end")
    both = [*seen("engine", "256", *windows), *seen("agent", "256", *windows)]
    assert decide({ROW: "256"}, both, windows=2)[0].state == "held"
    assert decide({ROW: "256"}, both, windows=3)[0].state == "unwitnessed"
    assert decide({ROW: "256"}, both, windows=2)[0].seen["agent"] == windows


def test_rows_that_nobody_asked_for_are_not_judged() -> None:
    assert decide({}, seen("agent")) == []


def test_unwitnessed_rows_are_listed() -> None:
    looks = [Observation("privileged", when, "engine", "false") for when in ("start", "end")]
    verdicts = decide({ROW: "256", "privileged": "false"}, looks)
    assert [one.row for one in unwitnessed_rows(verdicts)] == [ROW]


@given(
    st.lists(
        st.builds(
            Observation,
            row=st.sampled_from([ROW, "privileged", "workload.affinity"]),
            when=st.sampled_from(TIMES),
            witness=st.sampled_from(["engine", "host", "agent"]),
            found=st.sampled_from(["256", "max", None]),
        ),
        max_size=12,
    )
)
def test_held_means_that_nobody_disagreed_and_broken_that_somebody_did(observations: list[Observation]) -> None:
    requested = dict.fromkeys((ROW, "privileged", "workload.affinity"), "256")
    for verdict in decide(requested, observations):
        differing = [one for one in observations if one.row == verdict.row and one.found not in ("256", None)]
        kernel = [one for one in observations if one.row == verdict.row and one.witness != "engine"]
        no_file = verdict.row != "privileged" and kernel and all(one.found is None for one in kernel)
        assert (verdict.state == "broken") == bool(differing and not no_file)
        if verdict.state == "held":
            assert any(one.row == verdict.row and one.found == "256" for one in observations)
        assert verdict.state in ("held", "broken", "unwitnessed", "absent")


def test_the_published_list_of_engine_only_rows_is_the_real_one() -> None:
    page = (Path(__file__).parents[2] / "docs" / "hosts.md").read_text()
    paragraph = page[page.index("Rows that the kernel does not know") :].split("\n\n", 1)[0]
    named = set(re.findall(r"`([a-z_.]+)`", paragraph.split("lower the grade", 1)[1]))
    assert named == ENGINE_ONLY
