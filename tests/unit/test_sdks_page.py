"""docs/sdks.md is what the kept data of a probe run gives, and names every SDK of the catalogue."""

from __future__ import annotations

import json
import re
from pathlib import Path

from scripts.update_sdks_page import DATA, PAGE, page
from toolkit.catalogue import load_catalogue
from toolkit.model.probes import EXPERIMENTS
from toolkit.schemas import problems


def test_the_page_is_what_the_data_gives() -> None:
    assert PAGE.read_bytes() == page(), "run scripts/update_sdks_page.py"


def test_every_sdk_and_every_experiment_is_there_at_todays_version() -> None:
    document = json.loads(DATA.read_text())
    assert problems({**document, "path": "runs/x"}, "probe") == []
    versions = {one["id"]: one["version"] for one in document["sdks"]}
    assert versions == {entry.id: entry.version for entry in load_catalogue().sdks.values()}
    for one in document["sdks"]:
        assert one["valid"], one["id"]
        assert {probe["id"] for probe in one["probes"]} == {experiment.id for experiment in EXPERIMENTS}, one["id"]


def test_every_cell_leads_to_its_evidence() -> None:
    text = PAGE.read_text()
    links = re.findall(r"\]\(#([a-z0-9.-]+)\)", text)
    assert len(links) == len(set(links)) > len(EXPERIMENTS)
    assert set(links) <= set(re.findall(r'<a id="([a-z0-9.-]+)">', text))


def test_the_data_names_no_machine() -> None:
    for path in (DATA, PAGE):
        assert not re.search(r"/root|/home/|/work/|/tmp/[a-z]", path.read_text()), path
    assert str(Path.home()) not in DATA.read_text()
