"""Knobs of the host: ``repro host tune`` turns them, ``repro host undo`` puts each one back exactly as it was.

The order is that of tuning (interrupts leave before a CPU goes); they are put back in reverse.
"""

from __future__ import annotations

from toolkit.host.knobs.irq import Interrupts
from toolkit.host.knobs.kernel import HugePages, NumaBalancing, PerfSampler, SamePageMerging
from toolkit.host.knobs.knob import Change, Knob
from toolkit.host.knobs.smt import Siblings
from toolkit.host.knobs.swap import Swap

__all__ = ["KNOBS", "Change", "Knob"]

KNOBS: tuple[type[Knob], ...] = (Swap, HugePages, NumaBalancing, SamePageMerging, PerfSampler, Interrupts, Siblings)
