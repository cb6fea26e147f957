"""Launches of the entry that really has faults (tests/engine/faulty), and what the joint analysis says of them.

Windows of 1 s instead of 10: a pattern takes eight of them. This machine has neighbours, so tainted windows count here
and timing gates are recorded; what the faults wait for is time, not CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.support.faults_tool import ROOT, Tool
from toolkit.schemas import problems

FAULTY = ROOT / "tests" / "engine" / "faulty" / "catalogue"
Json = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """A launch with a fault: its report, its joint analysis, and the verdict on each pattern."""

    report: Json
    cell: Json
    verdicts: dict[str, str]


def launch_with(tool: Tool, way: str, seconds: int, *arms: str) -> Seen:
    """Launch the faulty entry in one of its ways, and analyse it."""
    named = [f"godebug=faulty={way}", "arrival=constant", *arms]
    options = ["--catalogue", str(FAULTY), "--sdk", "faulty", "--duration", str(seconds), "--sample-hz", "4"]
    ended = tool.begin(*options, *(word for arm in named for word in ("--arm", arm))).end(1100)
    assert ended.code == 0, ended.stderr
    return Seen(ended.document, *joint(tool))


def joint(tool: Tool) -> tuple[Json, dict[str, str]]:
    """The only cell of the newest run in windows of 1 s, and the verdict on each pattern."""
    shown = tool.run("show", "last", "--joint", "--window", "1", "--with-tainted", "--json")
    assert shown.code == 0, shown
    document = shown.document
    assert problems(document, "joint") == []
    (cell,) = document["cells"]
    return cell, {one["id"]: one["launches"][0]["verdict"] for one in cell["patterns"]}


def evidence(seen: Seen, pattern: str) -> dict[str, Json]:
    """The conditions of a pattern by metric."""
    (found,) = [one for one in seen.cell["patterns"] if one["id"] == pattern]
    return {one["metric"]: one for one in found["launches"][0]["conditions"]}
