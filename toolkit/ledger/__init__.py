"""The ledger of interference: what else happened on the measured CPUs, window by window.

``texts`` reads kernel texts (pure), ``sources`` knows which file tells what, ``sampler`` takes snapshots when told,
``difference`` makes windows of them (pure), ``budget`` says which of these are tainted, ``late`` says it of those whose
snapshot came late (pure). The host reads: newer engines mask such files inside containers. Take the snapshots in the
warm-up, at t0, at each t0 + k windows and at the end of CLOCK_MONOTONIC, which host and containers share::

    sampler = LedgerSampler(Observed(cpus="0", pid=4711, agent_cpus="1"))
    sampler.snapshot("start"); sampler.snapshot("t0"); sampler.snapshot("window:0"); ...; sampler.snapshot("end")
    write(ledger(sampler.snapshots, Judged.of(plan, windows=3)))
"""

from __future__ import annotations

from toolkit.ledger.budget import parse_budget, reasons_against
from toolkit.ledger.difference import LEAD, LEDGER_SCHEMA, Judged, ledger
from toolkit.ledger.sampler import LedgerSampler, Snapshot, snapshot_cost
from toolkit.ledger.sources import Observed

__all__ = [
    "LEAD",
    "LEDGER_SCHEMA",
    "Judged",
    "LedgerSampler",
    "Observed",
    "Snapshot",
    "ledger",
    "parse_budget",
    "reasons_against",
    "snapshot_cost",
]
