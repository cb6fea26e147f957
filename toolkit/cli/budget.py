"""``--try MINUTES``: what a launch of each cell takes here, and how many of them fit into the time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import UsageError

if TYPE_CHECKING:
    from toolkit.launch.folder import RunFolder
    from toolkit.model.plan import CellPlan, Plan
    from toolkit.output import Output

_STARTS_SECONDS = 4.0
_YARDSTICK_MIB, _YARDSTICK_SECONDS = 32, 0.07
"""SHA-256 of 32 MiB took 0.07 s where a launch's containers took 4 s to start, be read back and go."""


@dataclass(frozen=True)
class Cost:
    """Disk of a cell: its images in the engine, and what a launch leaves in the run folder, both in bytes."""

    image_bytes: int
    launch_bytes: int


def costs(original: RunFolder, blobs: Path) -> dict[str, Cost]:
    """What each cell of an unpacked run took of the disk of its author. ``blobs``: the archive's image blobs."""
    from toolkit.model.names import on_disk
    from toolkit.seal import read_json

    found = {}
    for name, cell in read_json(original.path / "lock.json")["cells"].items():
        layers = {
            diff.removeprefix("sha256:")
            for kind, image in cell["images"].items()
            if kind != "base"
            for diff in image["identity"]["diff_ids"]
        }
        images = sum((blobs / one).stat().st_size for one in layers if (blobs / one).is_file())
        attempts = [_bytes_below(one) for one in (original.path / "attempts" / on_disk(name)).glob("*")]
        found[name] = Cost(images, max(attempts, default=0))
    return found


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def within(plan: Plan, minutes: float | None, taken: Mapping[str, Cost], output: Output) -> tuple[Plan, float | None]:
    """As many launches, in the plan's own order, as fit into the time, and the seconds that they may take together.

    Every cell is launched at least once. Raises UsageError where the time is too short for that.
    """
    from toolkit.model.plan import Turn

    if minutes is None:
        return plan, None
    # A launch may begin as long as what is planned of it fits; what its start takes longer than here is kept back once.
    start = start_seconds()
    left, turns = minutes * 60 - start, list[Turn]()
    for cell in plan.cells:
        output.talk(f"forecast: {cell.cell}: {_needs(cell, start, taken.get(cell.cell))}")
    for turn in plan.order:
        needs = plan.cell(turn.cell).planned_seconds + start
        if needs > left:
            break
        left -= needs
        turns.append(turn)
    counts = {cell.cell: sum(turn.cell == cell.cell for turn in turns) for cell in plan.cells}
    if not all(counts.values()):
        least = (_once(plan, start) + start) / 60
        raise UsageError(
            f"--try {minutes:g} is too short",
            f"one launch of every cell takes {least:.1f} minutes here",
            f"give at least --try {least + 0.1:.1f}",
        )
    spent = minutes - left / 60
    output.talk(f"--try {minutes:g}: {len(turns)} of {len(plan.order)} launches, {spent:.1f} minutes")
    cells = tuple(replace(cell, launches=counts[cell.cell]) for cell in plan.cells)
    return replace(plan, cells=cells, order=tuple(turns)), minutes * 60


def _needs(cell: CellPlan, start: float, cost: Cost | None) -> str:
    from toolkit.units import size

    memory = size(cell.memory_bytes + cell.backend_memory_bytes)
    launch = f"a launch takes {cell.planned_seconds + start:.0f} s, {memory} of memory"
    if cost is None:
        return launch
    return f"{launch}, {size(cost.launch_bytes)} of disk, and the images {size(cost.image_bytes)}"


def start_seconds() -> float:
    """What starting, reading back and removing the containers of a launch takes on this machine, in seconds.

    Scaled from a machine where it was measured by the time of one fixed piece of work on each: a laptop that is half
    as fast waits twice as long.
    """
    import hashlib
    import time

    block, begin = bytes(1 << 20), time.perf_counter()
    for _ in range(_YARDSTICK_MIB):
        hashlib.sha256(block).digest()
    return _STARTS_SECONDS * max(1.0, (time.perf_counter() - begin) / _YARDSTICK_SECONDS)


def _once(plan: Plan, start: float) -> float:
    """Seconds until every cell has run once, in the plan's order."""
    seen: set[str] = set()
    seconds = 0.0
    for turn in plan.order:
        if len(seen) == len(plan.cells):
            break
        seen.add(turn.cell)
        seconds += plan.cell(turn.cell).planned_seconds + start
    return seconds
