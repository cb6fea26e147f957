"""Where a program's pages are: one line of ``/proc/PID/numa_maps`` (proc(5)) at a time, counts in pages."""

from __future__ import annotations

import re


def policies(text: str) -> set[str]:
    """The memory policies of all mappings."""
    return {line.split()[1] for line in text.splitlines()}


def own_pages(text: str) -> list[str]:
    """The mappings of which some pages are the program's own."""
    return [line for line in text.splitlines() if " anon=" in line]


def strays(text: str, node: int) -> list[str]:
    """Mappings with more pages on other nodes than are a file's.

    A file's pages lie where its first reader put them, here the engine that loaded the image; only the program's own
    obey its policy.
    """
    return [line for line in own_pages(text) if _elsewhere(line, node) > _of_the_file(line)]


def pages_on(text: str, node: int) -> int:
    """All pages of mappings with own pages that are on this node."""
    return sum(_counts(line).get(f"N{node}", 0) for line in own_pages(text))


def _counts(line: str) -> dict[str, int]:
    return {name: int(count) for name, count in re.findall(r" (\w+)=(\d+)", line)}


def _elsewhere(line: str, node: int) -> int:
    return sum(count for name, count in _counts(line).items() if re.fullmatch(r"N\d+", name) and name != f"N{node}")


def _of_the_file(line: str) -> int:
    found = _counts(line)
    return found.get("mapped", found["anon"]) - found["anon"]
