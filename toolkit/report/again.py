"""The command that gives such a run anew from the catalogue. It stands below every report: nobody must guess it."""

from __future__ import annotations

from toolkit.model.names import CHECKOUT_LABEL
from toolkit.model.plan import CellPlan, Plan
from toolkit.report.interference import budget_options

# Arms that have an option of their own.
_OPTIONS = frozenset({"backend", "tier", "drive", "model", "sdk-at"})
_UNITS = (("g", 1024**3), ("m", 1024**2), ("k", 1024))


def anew(plan: Plan) -> str:
    """The ``repro`` command of a plan. A plan holds no path: DIR and FILE names stand for what is the user's own."""
    if plan.cells[0].drive == "probe":
        sdks = dict.fromkeys(cell.sdk for cell in plan.cells)
        return " ".join(["repro probe", *sdks, f"--cpus {plan.cells[0].cpus}"])
    words = ["repro launch", *_selection(plan), *_load(plan), *_environment(plan)]
    words += [f"--arm {key}={value}" for key, value in plan.cells[0].arms.items() if key not in _OPTIONS]
    return " ".join(words)


def _selection(plan: Plan) -> list[str]:
    """SDKs, versions, workload, backend and drive. What was left to each SDK's own default differs between cells."""
    cells = plan.cells
    words = [f"--sdk {name}" for name in dict.fromkeys(cell.sdk for cell in cells if not cell.baseline)]
    words += [f"--sdk-at {version}" for version in dict.fromkeys(_versions(cells))]
    words += ["--baseline"] if any(cell.baseline for cell in cells) else []
    for option, values in (
        ("--workload", {cell.workload for cell in cells}),
        ("--backend", {cell.backend for cell in cells}),
        ("--drive", {cell.drive for cell in cells}),
    ):
        words += [f"{option} {value}" for value in values if len(values) == 1]
    files = [cell.model_file.name for cell in cells if cell.model_file is not None]
    return words + [f"--model {name}" for name in files[:1]]


def _versions(cells: tuple[CellPlan, ...]) -> list[str]:
    """The values of ``--sdk-at``; none where every SDK is the catalogue's own."""
    found = [cell.arms.get("sdk-at", "pinned") for cell in cells if not cell.null_sdk]
    if set(found) == {"pinned"}:
        return []
    # A checkout is a folder of the user's: its label names its content, not its place.
    return ["DIR" if version.startswith(CHECKOUT_LABEL) else version for version in found]


def _load(plan: Plan) -> list[str]:
    """How long, how often, with which seed."""
    first = plan.cells[0]
    words = []
    benched = next((cell for cell in plan.cells if cell.drive == "bench"), None)
    if benched is not None:
        words.append(f"--bench-count {benched.bench_count} --bench-time {benched.bench_time_seconds:g}s")
    else:
        words.append(f"--duration {first.duration_seconds:g}")
    return [*words, f"--warmup {first.warmup_seconds:g} --launches {first.launches} --seed {plan.seed}"]


def _environment(plan: Plan) -> list[str]:
    """Where, and within which limits."""
    first = plan.cells[0]
    words = [f"--cpus {first.cpus} --mems {first.mems}"]
    limits = {cell.memory_bytes for cell in plan.cells}
    words += [f"--memory {_size(limit)}" for limit in limits if len(limits) == 1]
    words += [f"--mem-policy {first.mem_policy}"] if first.mem_policy != "bind" else []
    words += [f"--sample-hz {first.sample_hz:g}"] if first.sample_hz != 1 else []
    words += budget_options(first)
    return words + (["--timing-gates record"] if first.timing_gates == "record" else [])


def _size(value: int) -> str:
    for unit, factor in _UNITS:
        if value % factor == 0:
            return f"{value // factor}{unit}"
    return str(value)
