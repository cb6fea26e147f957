"""The grade judges the host."""

from __future__ import annotations

from toolkit.grade import GradeEvidence, grade


def test_a_needs_everything() -> None:
    assert grade(GradeEvidence(interference_judged=True)).letter == "A"


def test_a_virtual_machine_is_b_at_best() -> None:
    judged = grade(GradeEvidence(virtual_machine=True, interference_judged=True))
    assert (judged.letter, judged.reasons) == ("B", ("virtual machine",))


def test_interference_that_nobody_judged_is_c() -> None:
    assert grade(GradeEvidence()).letter == "C"
    assert "interference not judged" in grade(GradeEvidence()).reasons


def test_interference_is_c_and_every_reason_is_given() -> None:
    reasons = ("1 of 3 windows tainted", "interference not judged in every window: steal_share")
    found = grade(GradeEvidence(virtual_machine=True, interference_judged=True, interference=reasons))
    assert (found.letter, found.reasons) == ("C", (*reasons, "virtual machine"))


def test_shared_cpus_are_c() -> None:
    assert grade(GradeEvidence(shared_cpus=True, interference_judged=True)).letter == "C"


def test_one_unwitnessed_row_is_d_and_named() -> None:
    judged = grade(GradeEvidence(unwitnessed=("sdk pids.limit",), interference_judged=True))
    assert (judged.letter, judged.reasons) == ("D", ("unwitnessed: sdk pids.limit",))


def test_recorded_timing_gates_are_d() -> None:
    assert grade(GradeEvidence(gates_recorded=True, interference_judged=True)).letter == "D"


def test_the_worst_decides_and_all_reasons_are_given() -> None:
    judged = grade(GradeEvidence(unwitnessed=("a b",), shared_cpus=True, virtual_machine=True))
    assert judged.letter == "D"
    assert len(judged.reasons) == 4
