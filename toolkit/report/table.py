"""Plain tables: the same on a terminal, in a file and in a test."""

from __future__ import annotations

from collections.abc import Sequence

_GAP = "  "


def table(rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset()) -> str:
    """Aligned columns, the first row as heading; columns in ``right`` are right-aligned. No trailing blanks."""
    columns = max(len(row) for row in rows)
    widths = [max(len(row[index]) for row in rows if index < len(row)) for index in range(columns)]
    lines = []
    for row in rows:
        cells = [text.rjust(widths[i]) if i in right else text.ljust(widths[i]) for i, text in enumerate(row)]
        lines.append(_GAP.join(cells).rstrip())
    return "\n".join(lines)
