"""The published shapes, and that what we write has them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.support.runs import sealed_run
from toolkit.catalogue import load_catalogue
from toolkit.cli.launching import launch_document
from toolkit.cli.rerunning import rerun_document
from toolkit.diff import Difference
from toolkit.engine.fake import FakeEngine
from toolkit.errors import ArchiveInvalid, ReproError
from toolkit.host.checks.machine import NATIVE_LEVEL
from toolkit.host.facts import host_facts
from toolkit.host.topology import Topology
from toolkit.model.evidence import TERMINATIONS
from toolkit.model.metrics import METRICS
from toolkit.output import error_document
from toolkit.readback.decide import Observation
from toolkit.report.document import show_document
from toolkit.schemas import key_table, problems, schema, schema_names, validate

NAMES = schema_names()
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "manifest.md"


def walk(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


def test_all_documents_have_one() -> None:
    wanted = {
        "manifest",
        "plan",
        "readback",
        "setup",
        "launch",
        "rerun",
        "list",
        "doctor",
        "error",
        "show",
        "result",
        "ledger",
    }
    assert wanted <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_valid_and_has_a_urn(name: str) -> None:
    Draft202012Validator.check_schema(schema(name))
    assert schema(name)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema(name)["$id"].startswith("urn:sealbench:")
    assert schema(name)["description"]


@pytest.mark.parametrize("name", NAMES)
def test_every_reference_leads_somewhere(name: str) -> None:
    found = schema(name)
    for node in walk(found):
        target = node.get("$ref", "#/$defs/")
        assert target == "#/$defs/" or target.removeprefix("#/$defs/") in found["$defs"]


SIGNED = {"archive"}
"""What a signature covers says nothing that its reader does not know: an unknown key there is refused."""


@pytest.mark.parametrize("name", sorted(set(NAMES) - SIGNED))
def test_more_keys_may_follow(name: str) -> None:
    assert not [node for node in walk(schema(name)) if node.get("additionalProperties") is False]


@pytest.mark.parametrize("name", NAMES)
def test_what_has_a_unit_says_so_in_its_name_or_text(name: str) -> None:
    for node in walk(schema(name)):
        for key, value in node.get("properties", {}).items():
            if isinstance(value, dict) and value.get("type") == "number" and not value.get("description"):
                assert re.search(r"_(seconds|bytes|hz|ns|share)$", key), f"{name}: {key}"


def test_the_closed_vocabularies_are_the_programs_own() -> None:
    entry = schema("manifest")["$defs"]["launch_entry"]["properties"]
    assert tuple(entry["termination"]["enum"]) == TERMINATIONS


def test_metric_ids_have_the_published_form() -> None:
    pattern = schema("launch")["properties"]["cells"]["items"]["properties"]["metrics"]["propertyNames"]["pattern"]
    assert all(re.search(pattern, metric) for metric in METRICS)


@pytest.mark.parametrize("launches", [1, 2, 5])
def test_a_sealed_run_has_the_published_shapes(tmp_path: Path, launches: int) -> None:
    folder = sealed_run(tmp_path, launches=launches)
    for file in folder.path.rglob("*.json"):
        name = file.stem
        if name in NAMES:
            assert problems(json.loads(file.read_text()), name) == [], file.name


def test_a_rerun_has_the_published_shape(tmp_path: Path) -> None:
    before, after = (show_document(sealed_run(tmp_path / name)) for name in ("a", "b"))
    difference = Difference("host.kernel", "6.1.0", "6.2.0", "explanatory")
    assert problems(rerun_document(before, after, [difference]), "rerun") == []


def test_a_launch_has_the_published_shape(tmp_path: Path) -> None:
    folder = sealed_run(tmp_path)
    manifest = json.loads((folder.path / "manifest.json").read_text())
    document = launch_document(folder.path, manifest)
    assert problems(document, "launch") == []
    failed = {**document, "error": error_document(ReproError("x"))}
    assert problems(failed, "launch") == []


@pytest.mark.parametrize("state", ["complete", "interrupted", "recovered"])
def test_so_has_one_that_went_wrong(tmp_path: Path, state: str) -> None:
    folder = sealed_run(tmp_path, state=state, lies=[Observation("pids.limit", "end", "host", "max")])
    manifest = json.loads((folder.path / "manifest.json").read_text())
    assert problems(manifest, "manifest") == []
    rows = manifest["constraints"]["go-openai/chat-stream-128/default"]["sdk"]
    assert next(row for row in rows if row["state"] == "broken")["effective"] == "max"


def test_a_manifest_lists_requested_effective_and_witness_of_every_row(tmp_path: Path) -> None:
    manifest = json.loads((sealed_run(tmp_path).path / "manifest.json").read_text())
    for container in ("sdk", "backend"):
        rows = {row["id"]: row for row in manifest["constraints"]["go-openai/chat-stream-128/default"][container]}
        assert len(rows) > 30
        assert rows["pids.limit"]["requested"] == rows["pids.limit"]["effective"] == "256"
        assert rows["pids.limit"]["witness"] == ["agent", "engine", "host"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), "repro.manifest/2"),
        (("run",), "../../etc"),
        (("valid",), "yes"),
        (("grade", "letter"), "E"),
        (("definition", "plan"), "md5:0"),
        (("images",), {}),
        (("order",), [{"cell": "x"}]),
        (("host",), {}),
        (("chain", "parent"), "nobody"),
    ],
)
def test_a_manifest_that_deviates_is_refused_with_the_place(tmp_path: Path, path: tuple[str, ...], value: Any) -> None:
    manifest = json.loads((sealed_run(tmp_path).path / "manifest.json").read_text())
    node = manifest
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    with pytest.raises(ArchiveInvalid) as caught:
        validate(manifest, "manifest")
    assert path[0] in caught.value.cause
    assert caught.value.exit_code == 6


@pytest.mark.parametrize("document", [None, [], "x", 1, {}])
def test_what_is_no_document_at_all_is_refused(document: Any) -> None:
    for name in NAMES:
        assert problems(document, name)


def test_there_is_no_schema_of_an_unknown_name() -> None:
    with pytest.raises(KeyError):
        schema("nothing")


def subclasses(kind: type[ReproError]) -> Iterator[type[ReproError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from subclasses(below)


@pytest.mark.parametrize("kind", sorted(set(subclasses(ReproError)), key=lambda one: one.__name__))
def test_every_error_of_ours_has_the_published_shape(kind: type[ReproError]) -> None:
    assert problems(error_document(kind("it failed", "so", "do this")), "error") == []


def test_the_manifests_documentation_holds_every_key_as_the_schema_has_it() -> None:
    assert key_table("manifest") in DOCUMENT.read_text()


@pytest.mark.parametrize("name", NAMES)
def test_every_schema_can_be_documented(name: str) -> None:
    assert f"| `{next(iter(schema(name)['properties']))}` |" in key_table(name)


def test_every_fact_of_a_host_is_a_published_key() -> None:
    facts = host_facts(Topology((0,), {0: (0,)}, 1 << 30), FakeEngine().engine_facts)
    assert set(facts) <= set(schema("manifest")["$defs"]["host"]["properties"])


def test_the_doctor_names_the_highest_level_that_an_entry_needs() -> None:
    entries = load_catalogue()
    levels = {one.cpu_level for one in entries.sdks.values()} | {one.cpu_level for one in entries.backends.values()}
    assert max(levels) == NATIVE_LEVEL


def test_the_plan_of_every_cell_of_the_catalogue_has_the_published_shape() -> None:
    """Also of engines in the SDK's process, which have no backend: an archive of such a run must verify."""
    from toolkit.catalogue import load_catalogue
    from toolkit.cli.render import cells
    from toolkit.host.topology import place
    from toolkit.model.plan import Plan, Turn

    catalogue, placement = load_catalogue(), place(Topology((0, 1), {0: (0, 1)}, 8 << 30), "0")
    for sdk in catalogue.sdks.values():
        for workload, _backends in sdk.workloads:
            for cell, _choice in cells(catalogue, [sdk.id], workload, placement):
                plan = json.loads(json.dumps(Plan((cell,), (Turn(cell.cell, 1),), 1).to_json()))
                assert problems(plan, "plan") == [], cell.cell
