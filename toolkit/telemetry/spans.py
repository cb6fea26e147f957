"""One trace per attempt, as plain values: what happened when, from the host's own moments and the journals' marks.

Times are nanoseconds of Unix time: CLOCK_MONOTONIC moved by the launch's one wall anchor. What never happened has no
span; what was cut off ends where the attempt did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from toolkit.analyse.windows import nanoseconds, window_count
from toolkit.telemetry.state import LaunchView

PREFIX = "repro."
_LONGEST_REASON = 500

AttributeValue = str | int | bool


@dataclass(frozen=True)
class SpanData:
    """A span and those within it. ``failed`` marks the root of an attempt that is no valid launch."""

    name: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    children: tuple[SpanData, ...] = ()
    failed: str = ""


def launch_span(launch: LaunchView) -> SpanData:
    """The trace of an attempt that has ended: ``launch``, and within it each stage that it came to."""
    steps, offset = launch.steps, launch.wall_offset_ns
    begin, end = steps["begin"], steps.get("ended", launch.last_ns)
    children = [
        _shift(span, offset) for span in _stages(launch, begin, end) if begin <= span.start_ns <= span.end_ns <= end
    ]
    judged = launch.judged
    failed = "" if judged is not None and judged.valid else (judged.termination if judged else "interrupted")
    return SpanData("launch", begin + offset, end + offset, _attributes(launch), tuple(children), failed)


def _attributes(launch: LaunchView) -> dict[str, AttributeValue]:
    attempt, judged = launch.attempt, launch.judged
    found: dict[str, AttributeValue] = {f"{PREFIX}{key}": value for key, value in attempt.labels.items()}
    found |= {f"{PREFIX}run": attempt.run, f"{PREFIX}cell": attempt.id}
    found |= {f"{PREFIX}launch": attempt.launch, f"{PREFIX}attempt": attempt.attempt}
    if judged is None:
        return found | {f"{PREFIX}termination": "interrupted"}
    found |= {
        f"{PREFIX}valid": judged.valid,
        f"{PREFIX}termination": judged.termination,
        f"{PREFIX}tainted_windows": judged.tainted_windows,
    }
    if judged.grade:
        reasons = "; ".join(judged.grade_reasons)[:_LONGEST_REASON]
        found |= {f"{PREFIX}grade": judged.grade, f"{PREFIX}grade.reason": reasons}
    return found | ({f"{PREFIX}invalid.reason": judged.reason[:_LONGEST_REASON]} if judged.reason else {})


def _stages(launch: LaunchView, begin: int, end: int) -> list[SpanData]:
    """In the order in which they begin, in monotonic time."""
    sdk, steps = launch.roles["sdk"].moments, launch.steps
    removing = steps.get("removing", end)
    drained = sdk.get("done", sdk.get("exit", removing))
    stages = [
        _span("create", begin, steps.get("created", end)),
        _span("start", steps.get("created"), sdk.get("hello", removing)),
        _span("read back", sdk.get("hello"), sdk.get("readback", removing)),
        _span("warm-up", sdk.get("warmup"), sdk.get("measure", removing)),
        _span("measure", sdk.get("measure"), sdk.get("drain", drained), _windows(launch, drained)),
        _span("drain", sdk.get("drain"), drained),
        _span("remove", steps.get("removing"), steps.get("removed", end)),
        _span("judge", steps.get("removed"), end),
    ]
    return [stage for stage in stages if stage is not None]


def _span(name: str, start: int | None, end: int, children: tuple[SpanData, ...] = ()) -> SpanData | None:
    return None if start is None else SpanData(name, start, max(start, end), {}, children)


def _windows(launch: LaunchView, end: int) -> tuple[SpanData, ...]:
    """Judged windows as the result has them; of an attempt that nobody judged those that had ended."""
    if launch.judged is not None:
        return tuple(
            SpanData(f"window {index}", start, stop, {f"{PREFIX}window": index, f"{PREFIX}tainted": tainted})
            for index, start, stop, tainted in launch.judged.windows
        )
    cell, t0 = launch.attempt.cell, launch.roles["sdk"].moments.get("measure")
    if t0 is None:
        return ()
    length = nanoseconds(cell.window_seconds)
    over = [index for index in range(window_count(cell)) if t0 + (index + 1) * length <= end]
    return tuple(
        SpanData(f"window {index}", t0 + index * length, t0 + (index + 1) * length, {f"{PREFIX}window": index})
        for index in over
    )


def _shift(span: SpanData, offset: int) -> SpanData:
    children = tuple(_shift(child, offset) for child in span.children)
    return SpanData(span.name, span.start_ns + offset, span.end_ns + offset, span.attributes, children, span.failed)
