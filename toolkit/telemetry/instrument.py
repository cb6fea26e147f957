"""One exported number: its names in both channels, its unit, and how it is read off an attempt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from toolkit.model.evidence import GoSnapshot, Sample
from toolkit.telemetry.fold import RoleView
from toolkit.telemetry.state import LaunchView
from toolkit.telemetry.tally import TallyView

Kind = Literal["counter", "gauge", "histogram"]
Number = int | float
Labels = Mapping[str, str]
Found = Iterable[tuple[Labels, Number | TallyView]]

_UNITS = {"s": "seconds", "By": "bytes"}
_NONE: Labels = {}


@dataclass(frozen=True)
class Point:
    """One number of one attempt, with all its labels."""

    labels: Labels
    value: Number | TallyView


@dataclass(frozen=True)
class Instrument:
    """One exported metric. ``source``: our metric id or a field; ``labels``: those beside the common ones."""

    name: str
    kind: Kind
    unit: str
    help: str
    source: str
    labels: tuple[str, ...]
    read: Callable[[LaunchView], Iterator[Point]]

    @property
    def prometheus_unit(self) -> str:
        """The unit as Prometheus spells it; empty for counts."""
        return _UNITS.get(self.unit, "")

    @property
    def prometheus_name(self) -> str:
        """Without the ``_total`` of a counter, which the exposition adds."""
        base = self.name.replace(".", "_")
        return f"{base}_{self.prometheus_unit}" if self.prometheus_unit else base

    @property
    def prometheus_series(self) -> str:
        """The name that a query uses (histograms: with ``_bucket``, ``_sum`` or ``_count``)."""
        return self.prometheus_name + ("_total" if self.kind == "counter" else "")


def of_launch(
    name: str,
    kind: Kind,
    unit: str,
    text: str,
    source: str,
    *,
    read: Callable[[LaunchView], Found],
    labels: tuple[str, ...] = (),
) -> Instrument:
    def points(launch: LaunchView) -> Iterator[Point]:
        for more, value in read(launch):
            yield Point({**launch.attempt.labels, **more}, value)

    return Instrument(f"repro.{name}", kind, unit, text, source, labels, points)


def of_role(
    name: str,
    kind: Kind,
    unit: str,
    text: str,
    source: str,
    *,
    read: Callable[[RoleView], Found],
    labels: tuple[str, ...] = (),
) -> Instrument:
    def points(launch: LaunchView) -> Iterator[Point]:
        for role, view in launch.roles.items():
            for more, value in read(view):
                yield Point({**launch.attempt.labels, "role": role, **more}, value)

    return Instrument(f"repro.{name}", kind, unit, text, source, ("role", *labels), points)


def of_sample(
    name: str, kind: Kind, unit: str, text: str, source: str, *, value: Callable[[Sample], Number]
) -> Instrument:
    """One number of the agent's latest sample."""

    def read(role: RoleView) -> Found:
        return maybe(value(role.sample) if role.sample else None)

    return of_role(name, kind, unit, text, source, read=read)


def sample_by(
    name: str,
    kind: Kind,
    unit: str,
    text: str,
    source: str,
    *,
    label: str,
    values: Mapping[str, Callable[[Sample], Number]],
) -> Instrument:
    """Several numbers of the agent's latest sample, told apart by a label."""

    def read(role: RoleView) -> Found:
        sample = role.sample
        return [({label: key}, value(sample)) for key, value in values.items()] if sample else []

    return of_role(name, kind, unit, text, source, read=read, labels=(label,))


def of_go(
    name: str, kind: Kind, unit: str, text: str, source: str, *, value: Callable[[GoSnapshot], Number]
) -> Instrument:
    """One number of the program's latest snapshot of its Go runtime."""

    def read(role: RoleView) -> Found:
        return maybe(value(role.go) if role.go else None)

    return of_role(name, kind, unit, text, source, read=read)


def of_histogram(name: str, text: str) -> Instrument:
    """A latency histogram, named after the metric id it belongs to."""
    return of_role(name, "histogram", "s", text, f"{name}.*_seconds", read=lambda role: maybe(role.tallies.get(name)))


def maybe(value: Number | TallyView | None) -> Found:
    """The value alone, or nothing where there is none yet."""
    return [] if value is None else [(_NONE, value)]
