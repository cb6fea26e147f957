"""docs/agent.md lists every row, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.journals import cell_plan
from tests.support.runs import specs
from toolkit.readback.rows import ENGINE_BLIND, ENGINE_ONLY, requested_rows

PAGE = (Path(__file__).parents[2] / "docs" / "agent.md").read_text()


def documented() -> dict[str, list[str]]:
    """Row id to the cells of its line: example, engine, host, agent."""
    table = PAGE[PAGE.index("| id | example |") :].split("\n\n", 1)[0]
    rows = {}
    for line in table.splitlines()[2:]:
        first, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        rows |= dict.fromkeys(re.findall(r"`([a-z_.]+)`", first), cells)
    return rows


def test_every_row_is_documented_with_its_readers() -> None:
    for role, spec in specs(cell_plan()).items():
        assert documented().keys() == requested_rows(spec, cell_plan(), role).keys()
    for row, (_example, engine, host, agent) in documented().items():
        assert (engine == "-") == (row in ENGINE_BLIND), row
        assert (host == "-") == (agent == "-") == (row in ENGINE_ONLY), row
