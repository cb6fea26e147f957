"""The capability matrix of a small probe document: every cell leads to its evidence, and quotes stay quotes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from toolkit.model.catalogue import SdkEntry, SettingMoved
from toolkit.report.matrix import cell_text, markdown, matrix_text

CHAT = (("chat-stream-128", ("stub",)),)
ENTRIES = [
    SdkEntry(
        "alpha", "example.org/alpha", "v1.0.0", "MIT", Path(), CHAT, aliases=("go-alpha",),
        alias_notes={"go-alpha": "no project of that name"}, built_on=("example.org/base",),
        settings_moved=(SettingMoved("retries", "0", "each call is one request"),),
    ),
    SdkEntry("net-http", "std", "v1.26.6", "BSD-3-Clause", Path(), CHAT, null=True),
]  # fmt: skip


def probe(name: str, outcome: str = "yes", text: str = "seen", value: float | None = None, unit: str = "") -> Any:
    return {"id": name, "outcome": outcome, "text": text, "value": value, "unit": unit, "data": {}}


def document(**probes: list[Any]) -> dict[str, Any]:
    rows = [{"id": name, "version": "v1.0.0", "backend": "stub", "probes": found} for name, found in probes.items()]
    return {"schema": "repro.probe/1", "sdks": rows}


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (None, "not run"),
        (probe("x"), "yes"),
        (probe("x", "no"), "no"),
        (probe("x", value=12.3456, unit="ms"), "12.35 ms"),
        (probe("x", value=0.0), "0"),
        (probe("x", "partial", value=3, unit="requests"), "partly: 3 requests"),
        (probe("x", "error", value=3), "ERROR"),
        (probe("x", "not-applicable", value=0), "-"),
    ],
)
def test_a_cell_is_a_number_or_a_word(one: Any, text: str) -> None:
    assert cell_text(one) == text


def test_one_sdk_is_shown_with_its_evidence_in_the_matrixs_order() -> None:
    lines = matrix_text(document(alpha=[probe("embeds", text="768 numbers"), probe("streams", "no")])).splitlines()
    assert [line.split()[0] for line in lines] == ["alpha", "streams", "embeds"]
    assert lines[2].endswith("768 numbers")


def test_what_a_server_said_moves_no_cursor_and_breaks_no_line() -> None:
    text = matrix_text(document(alpha=[probe("streams", text="a\x1b[2Jb\r\nc 中文")]))
    assert text.splitlines()[1].endswith("a?[2Jb c 中文")
    assert len(text.splitlines()) == 2


def test_several_sdks_have_a_column_each() -> None:
    text = matrix_text(document(alpha=[probe("streams")], beta=[probe("embeds", "no")]))
    assert [line.split() for line in text.splitlines()] == [
        ["experiment", "alpha", "beta"],
        ["streams", "yes", "not", "run"],
        ["embeds", "not", "run", "no"],
    ]


def test_every_cell_of_the_page_leads_to_evidence_that_is_there() -> None:
    page = markdown(document(beta=[probe("embeds", "no")], alpha=[probe("streams")]), ENTRIES)
    assert "| streams | [yes](#alpha-streams) | not run |" in page
    assert "| embeds | not run | [no](#beta-embeds) |" in page
    for anchor in ("alpha-streams", "beta-embeds"):
        assert page.count(f'<a id="{anchor}"></a>') == page.count(f"(#{anchor})") == 1


def test_the_page_shows_lineage_aliases_and_what_was_moved() -> None:
    page = markdown(document(), ENTRIES)
    assert "| alpha (alias go-alpha) | `example.org/alpha` | v1.0.0 | MIT | openai | example.org/base |" in page
    assert "| net-http (null SDK) |" in page
    assert "- `go-alpha`: no project of that name" in page
    assert "| alpha | retries | 0 | each call is one request |" in page
    assert "At their own defaults throughout: net-http." in page


def test_no_markup_of_a_quote_works() -> None:
    quote = r"[x](http://e) | `a` *b* _c_ ~d~ <img> &lt; \| 中文"
    page = markdown(document(alpha=[probe("streams", text=quote)]), ENTRIES)
    (line,) = [line for line in page.splitlines() if line.startswith('- <a id="alpha-streams"')]
    evidence = line.partition("**yes**. ")[2]
    assert evidence == r"\[x\](http://e) \| \`a\` \*b\* \_c\_ \~d\~ &lt;img> &amp;lt; \\\| 中文"
