"""Writes docs/performance.md from bench/results/*.json. ``--check``: exit code 1 when it would change.

python bench/report.py
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from common import RESULTS, ROOT, SCHEMA, table

PAGE = ROOT / "docs" / "performance.md"
ORDER = (
    "engine_overhead",
    "help_cpu",
    "doctor",
    "agent",
    "ledger",
    "measuring_effect",
    "generator",
    "harness_overhead",
    "rebuild",
    "launch_wall",
    "archive",
)
GIB = 1024**3
HEAD = """# Performance

Written by `python bench/report.py` from `bench/results/*.json`: do not edit. `make bench` runs everything and writes
it anew; `make bench ARGS="--quick"` sees whether it runs, `ARGS="help_cpu agent"` runs some, `ARGS=--cold` adds a
launch from an empty store and an empty engine.

Arms of one table ran in one process, one after the other, in an order drawn anew each round, so that the machine's
drift meets all alike. Medians and 95th percentiles are nearest-rank; a difference is the median over pairs of the same
round with a 95 % bootstrap interval. Raw values are in the JSON files. The machine is shared: where the load average
below a table exceeds the number of CPUs, wall times are upper bounds.
"""


def section(result: Mapping[str, Any]) -> str:
    """One bench as Markdown."""
    goals = [
        [goal["what"], goal["limit"], goal["found"], "yes" if goal["met"] else "**no**"] for goal in result["goals"]
    ]
    parts = [
        f"## {result['title']}",
        f"`{result['command']}`",
        table(result["columns"], result["rows"]).rstrip(),
        table(["goal", "limit", "found", "met"], goals).rstrip(),
        "\n".join(f"* {note}" for note in result["notes"]),
        conditions(result["environment"]),
    ]
    return "\n\n".join(part for part in parts if part)


def conditions(where: Mapping[str, Any]) -> str:
    """Machine, versions, date and load on one line."""
    before, after = (" / ".join(f"{value:g}" for value in where[key]) for key in ("load_average", "load_average_after"))
    parts = [
        f"{where['date_utc']} UTC",
        where["cpu"],
        f"{where['cpus']} CPUs",
        f"{where['memory_bytes'] / GIB:.0f} GiB",
        f"kernel {where['kernel']}",
        f"engine {where['engine']}",
        f"docker {where['docker_cli']}",
        f"Python {where['python']}",
        f"commit {where['commit']}",
    ]
    return f"{', '.join(parts)}. Load average before {before}, after {after}."


def page() -> str:
    """The whole page. Raises ValueError for a result of another schema."""
    sections = [HEAD.rstrip()]
    for name in ORDER:
        path = RESULTS / f"{name}.json"
        if not path.is_file():
            sections.append(f"## {name}\n\nNot measured yet: `python bench/{name}.py`.")
            continue
        result = json.loads(path.read_text())
        if result["schema"] != SCHEMA:
            raise ValueError(f"{path.name}: schema {result['schema']!r} is not {SCHEMA!r}")
        sections.append(section(result))
    return "\n\n".join(sections) + "\n"


def main() -> int:
    """The command."""
    text = page()
    if "--check" in sys.argv[1:]:
        return 0 if PAGE.is_file() and PAGE.read_text() == text else 1
    PAGE.write_text(text)
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
