"""Knobs that are plain files of the kernel (Documentation/admin-guide: mm, sysctl/kernel.rst)."""

from __future__ import annotations

from typing import ClassVar

from toolkit.host.knobs.knob import Change, FileKnob
from toolkit.host.property import OK, Advice

_THP = "sys/kernel/mm/transparent_hugepage"


class HugePages(FileKnob):
    """Transparent huge pages: made in the background, or by compaction in the middle of a page fault."""

    id = "thp"
    group = "memory"
    does = "no transparent huge pages, and no compaction for them"
    files: ClassVar = ((f"{_THP}/enabled", "never"), (f"{_THP}/defrag", "never"))

    def advise(self) -> Advice:
        if self._value(f"{_THP}/enabled") != "always":
            return OK
        return (
            "warn",
            "memory grows by 2 MiB, and pages are made huge while you measure: sudo repro host tune --only thp",
        )


class NumaBalancing(FileKnob):
    """The kernel unmaps pages to learn who uses them, and moves them between nodes."""

    id = "numa_balancing"
    group = "memory"
    does = "pages stay on the node where they were put"
    files: ClassVar = (("proc/sys/kernel/numa_balancing", "0"),)

    def show(self) -> str:
        return "off" if self._value(self.files[0][0]) == "0" else "on"

    def advise(self) -> Advice:
        if self.show() == "off" or len(self.around.topology.nodes) < 2:
            return OK
        return "warn", "pages are moved while you measure: sudo repro host tune --only numa_balancing"


class SamePageMerging(FileKnob):
    """KSM: a kernel thread that looks for equal pages and merges them."""

    id = "ksm"
    group = "memory"
    does = "no kernel thread looks for equal pages; those merged stay merged"
    files: ClassVar = (("sys/kernel/mm/ksm/run", "0"),)

    def show(self) -> str:
        words = {"0": "off", "1": "on", "2": "off, unmerged"}
        return words.get(self._value(self.files[0][0]) or "", "unknown")

    def changes(self) -> list[Change]:
        # 2 is off, too, and writing it back would unmerge everything anew.
        return [] if self._value(self.files[0][0]) == "2" else super().changes()

    def advise(self) -> Advice:
        if self.show() != "on":
            return OK
        return "warn", "a kernel thread reads all memory it may merge: sudo repro host tune --only ksm"


class PerfSampler(FileKnob):
    """How often perf may interrupt: pyperf, Krun and ReBench all set 1."""

    id = "perf"
    group = "kernel"
    does = "perf may sample once a second; a profiler that runs gets nothing meanwhile"
    files: ClassVar = (("proc/sys/kernel/perf_event_max_sample_rate", "1"),)

    def show(self) -> str:
        return f"at most {self._value(self.files[0][0])} samples/s"
