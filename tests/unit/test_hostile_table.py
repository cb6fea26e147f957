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


def test_every_one_of_them_bears_its_number() -> None:
    for number, test in rows().items():
        name = test.partition("::")[2]
        assert f"{number:03d}" in name.split("_"), (number, name)


def test_a_number_that_a_test_bears_is_one_of_the_second_half() -> None:
    """Also where a case has more tests than the one that its row names: they are found by their number."""
    borne: dict[int, list[str]] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        for name in re.findall(r"^def (test_\d{3}_\w+)\(", path.read_text(), re.MULTILINE):
            for part in name.split("_")[1:]:
                if not re.fullmatch(r"\d{3}", part):
                    break
                borne.setdefault(int(part), []).append(name)
    assert set(range(FIRST, LAST + 1)) <= set(borne)
    assert all(0 < number <= LAST for number in borne)
