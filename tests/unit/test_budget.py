"""``rerun FILE --try MINUTES``: as many launches as fit, in the plan's order, with what each takes; time is kept."""

from __future__ import annotations

import io
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.archives import CELL, FOLDER, author
from tests.support.journals import cell_plan
from toolkit.archive import layout
from toolkit.cli import budget
from toolkit.cli.budget import Cost, costs, within
from toolkit.errors import Inconclusive, UsageError
from toolkit.launch import run
from toolkit.launch.interrupts import Interrupts
from toolkit.model.plan import Plan, Turn
from toolkit.output import Output
from toolkit.seal import read_plan
from toolkit.units import size

NAMES = ("a/w/default", "b/w/default")


@pytest.fixture(autouse=True)
def _pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting takes four seconds here, whatever else this machine does."""
    monkeypatch.setattr(budget, "start_seconds", lambda: 4.0)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Two cells, three launches of each; one is planned for 16 s."""
    whole = read_plan(author(tmp_path).folder)
    cells = tuple(
        cell_plan(cell=name, sdk=name[0], warmup_seconds=2.0, duration_seconds=10.0, drain_seconds=2.0, launches=3)
        for name in NAMES
    )
    order = tuple(Turn(name, launch) for launch in (1, 2, 3) for name in NAMES)
    return replace(whole, cells=cells, order=order)


def said(plan: Plan, minutes: float | None, taken: dict[str, Cost] | None = None) -> tuple[Plan, float | None, str]:
    stream = io.StringIO()
    found, seconds = within(plan, minutes, taken or {}, Output(stderr=stream))
    return found, seconds, stream.getvalue()


def test_without_a_time_everything_runs(plan: Plan) -> None:
    assert said(plan, None) == (plan, None, "")


@pytest.mark.parametrize(("minutes", "launches"), [(0.75, 2), (1.05, 2), (1.1, 3), (1.4, 4), (60.0, 6)])
def test_as_many_launches_as_fit_in_the_plans_order(plan: Plan, minutes: float, launches: int) -> None:
    """A launch takes 16 s and 4 s to start; 4 s are kept back."""
    found, seconds, text = said(plan, minutes)
    assert found.order == plan.order[:launches]
    assert [cell.launches for cell in found.cells] == [(launches + 1) // 2, launches // 2]
    assert seconds == minutes * 60
    assert 4 + 20 * launches <= minutes * 60
    assert f"{launches} of 6 launches" in text


def test_a_time_that_does_not_do_for_every_cell_is_refused_with_the_one_that_does(plan: Plan) -> None:
    with pytest.raises(UsageError, match="too short") as caught:
        said(plan, 0.7)
    assert caught.value.exit_code == 2
    least = float(caught.value.remedy.split()[-1])
    assert len(said(plan, least)[0].order) >= 2


def test_the_forecast_says_time_memory_and_disk_of_each_cell(plan: Plan) -> None:
    taken = {NAMES[0]: Cost(50_000_000, 300_000), NAMES[1]: Cost(1_000, 2_000)}
    text = said(plan, 60, taken)[2].splitlines()
    for line, name in zip(text, NAMES, strict=False):
        cell = plan.cell(name)
        assert line.startswith(f"forecast: {name}: a launch takes 20 s, ")
        assert f"{size(cell.memory_bytes + cell.backend_memory_bytes)} of memory" in line
        assert f"{size(taken[name].launch_bytes)} of disk, and the images {size(taken[name].image_bytes)}" in line


def test_the_disk_of_a_cell_is_its_layers_once_and_its_largest_launch(tmp_path: Path) -> None:
    mine = author(tmp_path)
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    layers = {
        diff.removeprefix("sha256:")
        for row in mine.contents().index["images"]
        for diff in row["diff_ids"]
    }  # fmt: skip
    for number, one in enumerate(sorted(layers)):
        (blobs / one).write_bytes(bytes(1000 + number))
    attempts = mine.folder.path / "attempts" / FOLDER
    (attempts / "2.1").mkdir()
    (attempts / "2.1" / "journal.pb").write_bytes(bytes(1 << 20))
    found = costs(mine.folder, blobs)[CELL]
    assert found == Cost(sum(1000 + number for number in range(len(layers))), 1 << 20)
    assert layout.BLOBS.startswith(layout.IMAGES)


# -- the time is kept while it runs


class Clock:
    """Time that passes when a launch does."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def world(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``execute`` without containers: each attempt takes as long as the test says, and comes to what it says."""
    clock, attempts = Clock(), list[tuple[str, int, int]]()
    monkeypatch.setattr(run, "time", clock)
    monkeypatch.setattr(run, "_begin", lambda *_: SimpleNamespace(path=tmp_path))
    monkeypatch.setattr(
        run, "_sealed", lambda _folder, error: {"state": "complete" if error is None else "interrupted"}
    )
    found = SimpleNamespace(clock=clock, attempts=attempts, seconds=20.0, broken=False)

    def attempt(_prepared: Any, turn: Turn, number: int, *_: Any) -> Any:
        attempts.append((turn.cell, turn.launch, number))
        clock.now += found.seconds
        invalid = [{"gate": "backend-late"}] if found.broken else []
        result = {"valid": not invalid, "invalid": invalid}
        return run.AttemptOutcome(turn.cell, turn.launch, number, result, {}, {}, None)

    monkeypatch.setattr(run, "_attempt", attempt)
    monkeypatch.setattr(run, "_TRIED_AGAIN", frozenset({"backend-late"}))
    monkeypatch.setattr(run, "reason", lambda _: "late")

    def execute(budget_seconds: float | None) -> run.RunReport:
        prepared: Any = SimpleNamespace(plan=plan, budget_seconds=budget_seconds)
        hands: Any = run.Hands(None, Interrupts(), lambda _: None)  # type: ignore[arg-type]
        monkeypatch.setattr(run, "housekeeping", lambda _: nullcontext())
        return run.execute(prepared, hands, tmp_path)

    found.execute = execute
    return found


def test_what_fits_runs_to_its_end(world: Any) -> None:
    report = world.execute(6 * 20.0)
    assert (report.error, report.manifest["state"], len(world.attempts)) == (None, "complete", 6)


def test_a_launch_that_would_end_too_late_is_not_begun_and_what_was_measured_is_kept(world: Any) -> None:
    world.seconds = 30.0
    report = world.execute(6 * 20.0)
    assert isinstance(report.error, Inconclusive)
    assert (report.error.exit_code, "4 of 6 launches" in report.error.cause) == (8, True), report.error.cause
    assert (report.manifest["state"], len(report.outcomes)) == ("interrupted", 4)
    assert world.clock.now - 1000.0 <= 6 * 20.0


def test_a_broken_gate_is_not_tried_again_beyond_the_time(world: Any) -> None:
    world.broken = True
    world.execute(45.0)
    assert world.attempts == [(NAMES[0], 1, 1), (NAMES[0], 1, 2)]
    assert world.clock.now - 1000.0 <= 45.0


def test_without_a_time_every_launch_has_its_attempts(world: Any) -> None:
    world.broken = True
    world.execute(None)
    assert len(world.attempts) == 6 * run.ATTEMPTS
