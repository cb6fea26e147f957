"""A run that is going on, for people and as JSON lines: pure text and values from the live state.

Whatever comes from a run's files may have been written by anybody: nothing but printable characters leaves here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from toolkit.analyse.histogram import Histogram
from toolkit.analyse.metrics import max_value, quantile_value
from toolkit.analyse.windows import window_count
from toolkit.model.evidence import NANOSECONDS, Sample
from toolkit.model.metrics import QUANTILES
from toolkit.model.plan import CellPlan
from toolkit.telemetry.fold import RoleView
from toolkit.telemetry.instruments import INSTRUMENTS
from toolkit.telemetry.state import LaunchView
from toolkit.telemetry.tally import TallyView
from toolkit.telemetry.windowed import SHOWN, WindowView
from toolkit.units import readable, size

SCHEMA = "repro.watch/1"
_NAME = 10


def printable(text: str) -> str:
    """The text with every control and escape character, and all else that is not to be seen, replaced."""
    return "".join(one if one.isprintable() else "?" for one in text)


def block(cell: CellPlan, launch: LaunchView | None) -> list[str]:
    """One cell as it is now, a few lines."""
    if launch is None:
        return [printable(f"{cell.cell}: not begun")]
    sdk, backend = launch.roles["sdk"], launch.roles.get("backend")
    lines = [f"{title(launch)}: {stage(launch)}"]
    lines += _row("requests", _requests(sdk))
    window = latest_window(sdk)
    if window is not None:
        lines += _row(f"window {window.index + 1}", ", ".join(window_numbers(window)))
    lines += _row("sdk", _process(sdk.sample))
    lines += _row("go", _go(sdk))
    lines += _row("backend", _process(backend.sample) if backend else "")
    lines += _row("agents", _agents(launch.roles.values()))
    lines += _row("read-back", _readback(launch))
    return [printable(line) for line in lines]


def title(launch: LaunchView) -> str:
    """Which attempt of which launch."""
    at = launch.attempt
    again = f" attempt {at.attempt}" if at.attempt > 1 else ""
    return f"{at.id} launch {at.launch}/{at.cell.launches}{again}"


def stage(launch: LaunchView) -> str:
    """Where it stands, or what it came to."""
    if launch.judged is not None:
        if launch.judged.valid:
            return f"valid, grade {launch.judged.grade}" if launch.judged.grade else "valid"
        return f"NOT VALID: {launch.judged.reason or launch.judged.termination}"
    words = {"warmup": "warming up", "measure": "measuring", "drain": "draining", "done": "judging"}
    word = words.get(launch.phase, launch.phase)
    sdk, planned = launch.roles["sdk"], window_count(launch.attempt.cell)
    if launch.phase == "measure" and planned and sdk.windows:
        return f"{word}, window {sdk.windows[-1].index + 1} of {planned}"
    return word


def window_line(launch: LaunchView, index: int) -> str:
    """A window that has ended, on one line."""
    window = next(one for one in launch.roles["sdk"].windows if one.index == index)
    numbers = ", ".join(window_numbers(window))
    return printable(f"{title(launch)}: window {index + 1} of {window_count(launch.attempt.cell)}: {numbers}")


def window_numbers(window: WindowView) -> list[str]:
    """Counts and quantiles of a window."""
    found = [f"{window.sent} sent", f"{window.ok} ok", f"{window.failed} failed"]
    for name, quantile in (("lat.sched", "p50"), ("lat.sched", "p95"), ("sdk.overhead", "p95")):
        histogram = window.histograms.get(name)
        value = quantile_value(histogram, quantile).value if histogram is not None else None
        if value is not None:
            found.append(f"{name} {quantile.upper()} {' '.join(readable(value, '_seconds'))}")
    return found


def latest_window(sdk: RoleView) -> WindowView | None:
    """The window that is being filled, or the last one."""
    return sdk.windows[-1] if sdk.windows else None


def event_document(kind: str, launch: LaunchView, window: int = 0) -> dict[str, Any]:
    """``repro.watch/1``: something that happened to an attempt. ``window`` and ``end`` come with all numbers."""
    at = launch.attempt
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "event": kind,
        "run": at.run,
        "cell": at.id,
        "launch": at.launch,
        "attempt": at.attempt,
        "phase": launch.phase,
    }
    if kind == "window":
        document["window"] = _window(next(one for one in launch.roles["sdk"].windows if one.index == window))
    if kind == "end" and launch.judged is not None:
        document |= {
            "valid": launch.judged.valid,
            "termination": launch.judged.termination,
            "reason": launch.judged.reason or None,
            "tainted_windows": launch.judged.tainted_windows,
            "grade": launch.judged.grade or None,
        }
    if kind == "end":
        document["windows"] = [_window(one) for one in launch.roles["sdk"].windows]
    if kind in ("window", "end"):
        document["numbers"] = numbers(launch)
    return document


def numbers(launch: LaunchView) -> list[dict[str, Any]]:
    """Every number that the channels would show of an attempt now; of histograms the count and the sum."""
    found = []
    for instrument in INSTRUMENTS:
        for point in instrument.read(launch):
            value = point.value
            shown = {"count": value.n, "sum_seconds": value.sum_seconds} if isinstance(value, TallyView) else value
            found.append({"name": instrument.prometheus_series, "labels": dict(point.labels), "value": shown})
    return found


def _window(window: WindowView) -> dict[str, Any]:
    metrics: dict[str, Any] = {}
    for name in SHOWN:
        histogram = window.histograms.get(name, Histogram({}, 0, 0))
        for quantile in QUANTILES:
            metrics[f"{name}.{quantile}_seconds"] = quantile_value(histogram, quantile).value
        metrics[f"{name}.max_seconds"] = max_value(histogram).value
    counts = {"sent": window.sent, "ok": window.ok, "failed": window.failed}
    return {"index": window.index, **counts, "metrics": metrics}


def _row(name: str, text: str) -> list[str]:
    return [f"  {name.ljust(_NAME)} {text}"] if text else []


def _requests(sdk: RoleView) -> str:
    if not sdk.sent:
        return ""
    phases = {phase: sum(n for (one, _), n in sdk.requests.items() if one == phase) for phase in ("warmup", "measure")}
    failed = ", ".join(f"{n} {name}" for name, n in _failed(sdk.requests).items() if n)
    dropped = f", {sdk.totals.dropped} dropped" if sdk.totals is not None else ""
    return (
        f"{sdk.sent} sent ({phases['warmup']} in warm-up, {phases['measure']} measured), {sdk.ok} ok, "
        f"{failed or '0 failed'}{dropped}"
    )


def _failed(requests: Mapping[tuple[str, str], int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for (_phase, outcome), count in requests.items():
        if outcome != "ok":
            found[outcome] = found.get(outcome, 0) + count
    return found


def _process(sample: Sample | None) -> str:
    if sample is None:
        return ""
    return (
        f"CPU {_seconds(sample.cpu_ns)}, RSS {size(sample.rss_bytes)} (peak {size(sample.rss_peak_bytes)}), "
        f"cgroup {size(sample.cgroup_memory_bytes)}, {sample.threads} threads, "
        f"{sample.cgroup_throttled_periods} throttled periods"
    )


def _go(sdk: RoleView) -> str:
    if sdk.go is None:
        return ""
    go = sdk.go
    longest = max((edge for edge, count in go.pause if count), default=0.0)
    return (
        f"{go.goroutines} goroutines, heap {size(go.heap_live_bytes)} live, goal {size(go.heap_goal_bytes)}, "
        f"{go.gc_cycles} collections, longest pause {' '.join(readable(longest, '_seconds'))}"
    )


def _agents(roles: Iterable[RoleView]) -> str:
    return ", ".join(
        f"{one.role} CPU {_seconds(one.sample.agent_cpu_ns)}, RSS {size(one.sample.agent_rss_bytes)}"
        for one in roles
        if one.sample is not None
    )


def _readback(launch: LaunchView) -> str:
    if launch.judged is not None and launch.judged.rows:
        states: dict[str, int] = {}
        for (_role, state), count in launch.judged.rows.items():
            states[state] = states.get(state, 0) + count
        return ", ".join(f"{count} {state}" for state, count in states.items())
    rows = launch.roles["sdk"].readback
    return ", ".join(f"{count} {state}" for state, count in rows.items()) + " (the agent's view)" if rows else ""


def _seconds(nanoseconds: int) -> str:
    return " ".join(readable(nanoseconds / NANOSECONDS, "_seconds"))
