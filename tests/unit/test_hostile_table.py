"""Every hostile case of the second half has a test that is there: docs/archives.md names one for each number."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIRST, LAST = 99, 147


def rows() -> dict[int, str]:
    """Number of the case to its test."""
    text = (ROOT / "docs" / "archives.md").read_text()
    found = re.findall(r"^\| (\d+) \|.*\| `(tests/[^`]+)` \|$", text, re.MULTILINE)
    return {int(number): test for number, test in found}


def test_every_number_has_its_row_and_every_row_its_test() -> None:
    table = rows()
    assert sorted(table) == list(range(FIRST, LAST + 1))
    for number, test in table.items():
        file, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text(), (number, test)


def test_a_test_that_bears_a_number_bears_the_one_of_its_row() -> None:
    for number, test in rows().items():
        name = test.partition("::")[2]
        if re.match(r"test_\d{3}_", name):
            assert f"{number:03d}" in name.split("_"), (number, name)
