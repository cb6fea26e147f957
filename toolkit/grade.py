"""The grade: how well isolation was proven on this host. It judges the host, never the SDK (design section 9)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Grade:
    """``letter`` A to D, and every reason that kept it from being better."""

    letter: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class GradeEvidence:
    """What a grade is decided on. ``interference``: sentences, what was found or why it could not be judged."""

    unwitnessed: tuple[str, ...] = ()
    gates_recorded: bool = False
    shared_cpus: bool = False
    virtual_machine: bool = False
    interference_judged: bool = False
    shared_cores: bool = False
    interference: tuple[str, ...] = ()


def grade(evidence: GradeEvidence) -> Grade:
    """D for anything unwitnessed or unjudged by rule, C for shared CPUs or interference, B in a VM, else A."""
    reasons_d = [f"unwitnessed: {row}" for row in evidence.unwitnessed]
    if evidence.gates_recorded:
        reasons_d.append("timing gates recorded, not judged")
    reasons_c = ["measured CPUs are shared with agent, backend or host program"] if evidence.shared_cpus else []
    if evidence.shared_cores:
        reasons_c.append("measured cores are shared: agent, backend or host program run on hardware siblings")
    if not evidence.interference_judged and not evidence.interference:
        reasons_c.append("interference not judged")
    reasons_c += evidence.interference
    reasons_b = ["virtual machine"] if evidence.virtual_machine else []
    for letter, reasons in (("D", reasons_d), ("C", reasons_c), ("B", reasons_b)):
        if reasons:
            return Grade(letter, tuple(reasons_d + reasons_c + reasons_b))
    return Grade("A", ())
