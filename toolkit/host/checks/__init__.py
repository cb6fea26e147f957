"""What ``repro doctor`` looks at: one small class per host property, each of which can tell whether it applies here
(``available``), what is there (``show``) and what is lost by it (``advise``). Nothing here changes the host::

    surroundings = look_around(cpus="0-3", runs=Path("runs"), store=Path("..."))
    for finding in examine(surroundings):
        print(finding.id, finding.state, finding.found, finding.advice)

Adding a property is adding a class to ``PROPERTIES``; one that ``repro host tune`` can change is a knob, and stands in
``toolkit.host.knobs``. Reading the world happens in ``look_around`` and behind
``Surroundings.root``, so that every class can be tested against a made-up machine.
"""

from __future__ import annotations

from contextlib import suppress

from toolkit.errors import HostUnfit, UsageError
from toolkit.grade import GradeEvidence, grade
from toolkit.host.checks.clocks import (
    Battery,
    ClockKept,
    ClockSource,
    EnergyPreference,
    Governor,
    IdleStates,
    Throttled,
    Turbo,
)
from toolkit.host.checks.cpus import CacheDomains, Cpus, HybridCores, Isolated, Numa
from toolkit.host.checks.engine import AppArmor, Cgroup, Desktop, EngineAnswers, Seccomp, SwapAccounting, TimeNamespace
from toolkit.host.checks.kernel import Aslr, Mitigations, NmiWatchdog, Pressure, SeLinux, Workqueues, Zswap
from toolkit.host.checks.machine import Architecture, CpuLevel, InContainer, Memory, Virtualization, Wsl
from toolkit.host.checks.now import ForeignLoad, InterruptRate, Steal
from toolkit.host.checks.tools import AptClient, Lanes, PipClient, Rights, RunsDisk, StoreDisk, Tuned
from toolkit.host.knobs import irq, kernel, smt, swap
from toolkit.host.property import GROUPS, Finding, Property, Surroundings, placement_of

__all__ = ["GROUPS", "PROPERTIES", "Finding", "Property", "Surroundings", "best_grade", "check_syntax", "examine"]

PROPERTIES: tuple[type[Property], ...] = (
    EngineAnswers, Desktop, Cgroup, SwapAccounting, Seccomp, AppArmor, TimeNamespace,
    Architecture, CpuLevel, Virtualization, Wsl, InContainer,
    Cpus, smt.Siblings, CacheDomains, HybridCores, Isolated, irq.Interrupts, Numa,
    Governor, EnergyPreference, Turbo, IdleStates, Throttled, Battery, ClockSource, ClockKept,
    Memory, swap.Swap, Zswap, kernel.HugePages, kernel.SamePageMerging, kernel.NumaBalancing,
    Aslr, Pressure, Mitigations, SeLinux, kernel.PerfSampler, Workqueues, NmiWatchdog,
    ForeignLoad, Steal, InterruptRate,
    Rights, Tuned, Lanes, StoreDisk, RunsDisk, AptClient, PipClient,
)  # fmt: skip


def examine(around: Surroundings) -> list[Finding]:
    """Every property, in the order of the table."""
    return [kind(around).finding() for kind in PROPERTIES]


def check_syntax(around: Surroundings) -> None:
    """Raises UsageError for a malformed ``cpus``; CPUs that are well written and not here are a finding instead."""
    with suppress(HostUnfit):
        placement_of(around)


def best_grade(around: Surroundings, findings: list[Finding]) -> str | None:
    """The best grade a launch could have here now, when nothing disturbs it; None when something failed."""
    if any(finding.state == "fail" for finding in findings):
        return None
    try:
        placed = placement_of(around)
    except (HostUnfit, UsageError):
        return None
    machines = (Virtualization.id, Wsl.id, Desktop.id)
    virtual = any(one.state == "warn" for one in findings if one.id in machines)
    evidence = GradeEvidence(
        shared_cpus=placed.shared,
        shared_cores=placed.shared_cores,
        virtual_machine=virtual,
        interference_judged=True,
    )
    return grade(evidence).letter
