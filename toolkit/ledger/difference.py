"""``ledger.json`` from snapshots: differences per window, of what no window covers, and in total. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from toolkit.ledger.budget import judge
from toolkit.ledger.late import LATE_SECONDS, judge_late, lateness
from toolkit.ledger.sampler import Snapshot
from toolkit.ledger.texts import ticks_hz
from toolkit.model.cpulist import parse_cpulist
from toolkit.model.evidence import NANOSECONDS, Sample
from toolkit.model.interference import QUANTITIES
from toolkit.model.plan import CellPlan

LEDGER_SCHEMA = "repro.ledger/1"
LEAD, START, END = "start", "t0", "end"
SAMPLE_DISTANCE_SECONDS = 2.5
"""Further back than this from a moment no sample of the agent's speaks for it (it takes one a second)."""

REST_SECONDS = 1.0
"""A shorter rest goes with the last window: one tick of a counter would be a large share of it."""

_PROBLEM_OF = {
    "clock_step_seconds": "wall_offset_seconds",
    "clock_slew_seconds": "raw_offset_seconds",
    "suspended_seconds": "boot_offset_seconds",
    "clock_source_changes": "clock_source",
}
_PROGRAM = {
    "run_queue_wait_seconds": ("run_queue_wait_ns", NANOSECONDS),
    "voluntary_switches": ("context_switches_voluntary", 1),
    "involuntary_switches": ("context_switches_involuntary", 1),
    "major_faults": ("major_faults", 1),
}
"""What only the agent sees, by the field of its samples and what that is divided by."""


@dataclass(frozen=True)
class Judged:
    """What the snapshots are judged with. ``windows``: how many the plan has; ``rest``: whether it measures more, which
    is judged like a window (without any window: the whole).

    ``method`` is how CPU time was counted (``Sources.method``); ``samples`` are the agent's, for what the program
    itself went through. ``t0_ns`` is when the first window began; None: as if every snapshot were on time.
    """

    windows: int
    window_seconds: float
    rest: bool
    budget: Mapping[str, float | None]
    cpus: int
    idle_cpus: int = 0
    method: str = ""
    samples: Sequence[Sample] = field(default=(), repr=False)
    t0_ns: int | None = None

    @staticmethod
    def of(
        plan: CellPlan, windows: int, method: str = "", samples: Sequence[Sample] = (), t0_ns: int | None = None
    ) -> Judged:
        """As a plan says."""
        return Judged(
            windows=windows,
            window_seconds=plan.window_seconds,
            rest=not windows or plan.duration_seconds - windows * plan.window_seconds >= REST_SECONDS,
            budget=plan.interference_budget,
            cpus=len(parse_cpulist(plan.cpus)),
            idle_cpus=len(parse_cpulist(plan.idle_cpus)) if plan.idle_cpus else 0,
            method=method,
            samples=samples,
            t0_ns=t0_ns,
        )

    def begins_ns(self, index: int) -> int | None:
        """When the window of this number begins (the rest: after the last one)."""
        return None if self.t0_ns is None else self.t0_ns + round(index * self.window_seconds * NANOSECONDS)


def ledger(snapshots: Sequence[Snapshot], judged: Judged) -> dict[str, Any]:
    """``ledger.json`` (``schemas/ledger.schema.json``): numbers, and which windows are tainted."""
    taken = {snapshot.label: snapshot for snapshot in snapshots}
    labels = [START, *(f"window:{index}" for index in range(judged.windows))]
    _end_for_last_window(taken, labels, judged)
    pieces = [_piece(taken, pair, judged) for pair in pairwise([LEAD, *labels, END])]
    verdicts = [
        _verdict(before, piece, lateness(taken.get(label), judged.begins_ns(index)), judged)
        for index, (label, (before, piece)) in enumerate(zip(labels, pairwise(pieces), strict=True))
    ]
    rows = [{"index": index} | one for index, one in enumerate(verdicts[:-1])]
    last = END if END in taken else labels[-1]
    return {
        "schema": LEDGER_SCHEMA,
        "resolution_seconds": 1 / ticks_hz(),
        "cpu_time": judged.method or None,
        "clock_source": next((one.values.get("clock_source") for one in reversed(snapshots)), None),
        "cost": {"snapshots": len(snapshots), "cpu_seconds": sum(one.cpu_seconds for one in snapshots)},
        "budget": dict(judged.budget),
        "windows": rows,
        "rest": verdicts[-1] if judged.rest else None,
        "total": _difference(taken.get(START), taken.get(last), (START, last), judged.samples),
    }


def _end_for_last_window(taken: dict[str, Snapshot], labels: Sequence[str], judged: Judged) -> None:
    """A plan of whole windows ends with its last one: the snapshot that was taken when the program announced its end
    serves for both. By the time of that window's own the program may be gone, and its counters with it.
    """
    first, own, end = taken.get(START), taken.get(labels[-1]), taken.get(END)
    if not judged.windows or first is None or end is None or (own is not None and own.monotonic_ns <= end.monotonic_ns):
        return
    if (end.monotonic_ns - first.monotonic_ns) / NANOSECONDS >= judged.windows * judged.window_seconds - LATE_SECONDS:
        taken[labels[-1]] = end


def _piece(taken: Mapping[str, Snapshot], labels: tuple[str, str], judged: Judged) -> dict[str, Any]:
    return _difference(taken.get(labels[0]), taken.get(labels[1]), labels, judged.samples)


def _verdict(before: dict[str, Any], piece: dict[str, Any], late: float, judged: Judged) -> dict[str, Any]:
    """A piece with what is to be said of it; ``before`` is the one before it."""
    if not late or piece["seconds"] is None:
        verdict = judge(piece, judged.budget, cpus=judged.cpus, idle_cpus=judged.idle_cpus)
    else:
        verdict = judge_late(piece, before, late, judged.budget, cpus=judged.cpus, idle_cpus=judged.idle_cpus)
    return piece | {"late_seconds": late} | verdict


def _difference(
    first: Snapshot | None, last: Snapshot | None, labels: tuple[str, str], samples: Sequence[Sample]
) -> dict[str, Any]:
    names = [one.id for one in QUANTITIES]
    if first is None or last is None or first is last:
        missing = labels[0] if first is None else labels[1]
        reasons = dict.fromkeys(names, f"no snapshot was taken at {missing}")
        return {"start_ns": None, "end_ns": None, "seconds": None, **dict.fromkeys(names)} | {
            "reason_unavailable": reasons
        }
    special = (
        _foreign(first, last, samples) | _frequency(first, last) | _clocks(first, last) | _program(first, last, samples)
    )
    values = {name: special[name] if name in special else _delta(first, last, name) for name in names}
    problems = {**first.problems, **last.problems}
    return {
        "start_ns": first.monotonic_ns,
        "end_ns": last.monotonic_ns,
        "seconds": (last.monotonic_ns - first.monotonic_ns) / NANOSECONDS,
        **values,
        "reason_unavailable": {name: _reason(name, problems) for name in names if values[name] is None} or None,
    }


def _reason(name: str, problems: Mapping[str, str]) -> str:
    if name == "foreign_cpu_seconds":
        return problems.get("total_cpu_seconds") or problems.get("ours_cpu_seconds") or "not read"
    if name in _PROGRAM:
        return "no sample of the agent at both ends, or a process ended between them"
    return problems.get(_PROBLEM_OF.get(name, name)) or "not read"


def _foreign(first: Snapshot, last: Snapshot, samples: Sequence[Sample]) -> dict[str, float | None]:
    total, ours = _delta(first, last, "total_cpu_seconds"), _delta(first, last, "ours_cpu_seconds")
    if total is None or ours is None:
        return {"foreign_cpu_seconds": None}
    # The counters are not read at the same moment: a small negative rest is nothing, not less than nothing.
    return {"foreign_cpu_seconds": max(total - ours + _intruders(first, last, samples), 0.0)}


def _intruders(first: Snapshot, last: Snapshot, samples: Sequence[Sample]) -> float:
    """CPU seconds of the SDK's container that neither the program nor its agent used.

    ``docker exec`` puts a process there, and so does whoever writes its control group: by the group's own account it is
    ours. Without samples nothing is known of it. (The three counters agree to 0.3 ms over a launch of ours.)
    """
    ends = _samples_at(first, last, samples)
    if ends is None:
        return 0.0
    spent = [one.cgroup_cpu_ns - one.cpu_ns - one.agent_cpu_ns for one in ends]
    return max(spent[1] - spent[0], 0) / NANOSECONDS


def _frequency(first: Snapshot, last: Snapshot) -> dict[str, float | None]:
    """Gauges: the end's mean, and the slowest CPU of both ends."""
    lowest = [_number(one, "frequency_lowest_hz") for one in (first, last)]
    seen = [one for one in lowest if one is not None]
    return {
        "frequency_mean_hz": _number(last, "frequency_mean_hz"),
        "frequency_lowest_hz": min(seen) if len(seen) == len(lowest) else None,
    }


def _clocks(first: Snapshot, last: Snapshot) -> dict[str, float | None]:
    """How the other clocks moved against CLOCK_MONOTONIC. RAW is not steered, so its offset moves the other way."""
    wall, boot, raw = (
        _delta(first, last, f"{name}_offset_seconds") for name in ("wall", "boot", "raw")
    )  # fmt: skip
    before, after = first.values.get("clock_source"), last.values.get("clock_source")
    return {
        "clock_step_seconds": None if wall is None else abs(wall),
        "clock_slew_seconds": None if raw is None else -raw,
        "suspended_seconds": None if boot is None else abs(boot),
        "clock_source_changes": None if before is None or after is None else int(before != after),
    }


def _program(first: Snapshot, last: Snapshot, samples: Sequence[Sample]) -> dict[str, float | None]:
    """What the agent saw of the program's process tree: the samples at or just before the two moments."""
    ends = _samples_at(first, last, samples)
    if ends is None:
        return dict.fromkeys(_PROGRAM)
    found: dict[str, float | None] = {}
    for name, (counter, unit) in _PROGRAM.items():
        spent = getattr(ends[1], counter) - getattr(ends[0], counter)
        # A sum over a tree runs backwards when a process of it ends.
        found[name] = (spent / unit if unit > 1 else spent) if spent >= 0 else None
    return found


def _samples_at(first: Snapshot, last: Snapshot, samples: Sequence[Sample]) -> tuple[Sample, Sample] | None:
    """The agent's samples at or just before two moments; None where one has none that is near enough."""
    moments = [one.monotonic_ns for one in samples]
    before, after = (_sample_before(samples, moments, one.monotonic_ns) for one in (first, last))
    return None if before is None or after is None else (before, after)


def _sample_before(samples: Sequence[Sample], moments: Sequence[int], at_ns: int) -> Sample | None:
    place = bisect_right(moments, at_ns) - 1
    if place < 0 or at_ns - moments[place] > SAMPLE_DISTANCE_SECONDS * NANOSECONDS:
        return None
    return samples[place]


def _delta(first: Snapshot, last: Snapshot, name: str) -> float | None:
    before, after = _number(first, name), _number(last, name)
    return None if before is None or after is None else after - before


def _number(snapshot: Snapshot, name: str) -> float | None:
    value = snapshot.values.get(name)
    return None if value is None or isinstance(value, str) else value
