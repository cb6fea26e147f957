"""Who is told of a run while it happens. What it is told decides nothing; its methods return at once and never raise.

This one takes no notice; ``toolkit.telemetry.channels`` has the one that does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolkit.launch.folder import AttemptFolder
    from toolkit.model.plan import CellPlan
    from toolkit.proto.agent_pb2 import Record


class Onlooker:
    """Told of every attempt, in the order in which things happen. Records may come from another thread."""

    def begins(self, run: str, cell: CellPlan, launch: int, attempt: int) -> None:
        """An attempt begins; whatever follows is its, until it ends."""

    def step(self, name: str) -> None:
        """The host came to a moment of its own: ``created``, ``removing``, ``removed``."""

    def record(self, role: str, record: Record) -> None:
        """An agent said this on its stream."""

    def ends(self, result: dict[str, Any], readback: dict[str, Any], files: AttemptFolder) -> None:
        """The attempt was judged; its journals are closed."""
