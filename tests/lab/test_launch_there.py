"""A launch on a machine of another kind: systemd, cgroup v2, two memory nodes, slow; nothing is compiled there."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.faults_tool import sealed_manifest
from tests.support.lab import PLACE, Machine
from toolkit.build.images import recall_images
from toolkit.catalogue import load_catalogue
from toolkit.fetch.store import Store
from toolkit.readback.rows import ENGINE_BLIND, ENGINE_ONLY, lacking

pytestmark = pytest.mark.timeout(3600)
HOST = "canary-lab-5be1"
Json = dict[str, Any]


@dataclass(frozen=True)
class There:
    """A launch that ended there, its folder copied here."""

    document: Json
    words: str
    run: Path
    manifest: Json


@pytest.fixture(scope="module")
def there(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> There:
    """``make launch`` with the timing gates recorded."""
    machine.ssh(f"hostname {HOST}")
    arguments = 'DURATION=12 ARGS="--timing-gates record --json"'
    ended = machine.ssh(f"cd {PLACE}/sealbench && REPRO_STORE={PLACE}/store make launch {arguments}")
    document = json.loads(ended.stdout)
    copy = tmp_path_factory.mktemp("there") / document["run"]
    copy.mkdir()
    machine.pull(f"{PLACE}/sealbench/{document['path']}", copy)
    return There(document, ended.stderr, copy, sealed_manifest(copy))


def rows(there: There, role: str) -> dict[str, Json]:
    """The constraint rows of one container."""
    (cell,) = there.manifest["constraints"].values()
    return {row["id"]: row for row in cell[role]}


def test_it_is_valid_and_nothing_was_fetched_or_compiled(there: There) -> None:
    assert there.document["valid"] is True
    assert not re.search(r"compiling|^fetch:|relocked", there.words, re.MULTILINE | re.IGNORECASE)
    (launch,) = there.document["cells"][0]["launches"]
    assert launch["windows"] == 1


def test_it_says_what_it_cannot(there: There) -> None:
    assert there.document["grade"] == "D"
    assert "timing gates recorded, not judged" in there.manifest["grade"]["reasons"]
    (launch,) = there.document["cells"][0]["launches"]
    (result,) = [json.loads(path.read_text()) for path in there.run.glob("attempts/*/*/result.json")]
    assert launch["recorded"] == [finding["gate"] for finding in result["recorded"]]


@pytest.mark.parametrize("role", ["sdk", "backend"])
def test_every_limit_is_witnessed_on_cgroup_2(there: There, role: str) -> None:
    assert there.manifest["host"]["cgroup_version"] == "2"
    found = rows(there, role)
    assert {name for name, row in found.items() if row["state"] == "absent"} == lacking("2")
    for row in (row for name, row in found.items() if name not in lacking("2")):
        assert (row["state"], row["effective"]) == ("held", row["requested"]), row
        if row["id"] not in ENGINE_ONLY:
            assert "agent" in row["witness"], row
            assert "engine" in row["witness"] or row["id"] in ENGINE_BLIND, row
    for name in ("container.cpuset", "container.mems", "memory.limit_bytes", "memory.swap_bytes", "cpu.quota"):
        assert found[name]["witness"] == ["agent", "engine", "host"]


def test_the_images_are_those_of_this_machine(there: There) -> None:
    catalogue = load_catalogue()
    here = recall_images(Store.open(), sdk=catalogue.sdk("go-openai"), backend=catalogue.backend("stub"))
    assert here is not None
    told = {image["kind"]: image["config_digest"] for image in there.manifest["images"]}
    assert told == {image.kind: image.identity.config_digest for image in here}


def test_no_byte_names_that_machine(machine: Machine, there: There) -> None:
    canaries = {HOST, *machine.ssh("cat /etc/machine-id /proc/sys/kernel/random/boot_id").stdout.split()}
    canaries |= {machine.ssh("docker info --format '{{.ID}}'").stdout.strip(), PLACE}
    for path in (path for path in there.run.rglob("*") if path.is_file()):
        data = path.read_bytes()
        assert [one for one in canaries if one.encode() in data] == [], path


def test_nothing_is_left_there(machine: Machine, there: There) -> None:
    assert there.document["run"]
    assert machine.ssh("docker ps -aq").stdout == ""
    assert machine.ssh("ls -d /tmp/sb-* /run/sb-* 2>/dev/null || true").stdout == ""
