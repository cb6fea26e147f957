"""Plain compose starts the golden files, agents prove every limit, the engine sees the containers of a launch.

Compose is Docker's own where there is one, else the plugin of scripts/build_compose.sh. Only in ``make test-all``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.sdks import CATALOGUE, CHOSEN, EVERYTHING
from toolkit.build.images import BuildOptions, BuiltSet, ensure_images
from toolkit.catalogue import load_catalogue
from toolkit.cli.render import cells, placement
from toolkit.collect.journal import Journal, journal_from_stdout
from toolkit.engine.port import LABEL_CPUS, LABEL_ROLE, LABEL_RUN
from toolkit.fetch.store import Store
from toolkit.launch.containers import COMPOSE_GAPS, Wiring, backend_container, sdk_container
from toolkit.lease import lease
from toolkit.lock import read_lock
from toolkit.model.plan import CellPlan
from toolkit.plan import Choice
from toolkit.render.project import built_images, cell_folder, named_images
from toolkit.render.seccomp import seccomp_profile

if TYPE_CHECKING:
    from toolkit.engine.docker import DockerEngine

pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "compose"
WHOLE = ("go-openai/chat-stream-128/default", "yzma/chat-stream-128/default")
"""The cells that run to their end: one with a backend, one without."""
CELLS = cells(CATALOGUE, list(CHOSEN), None, placement(""))
each_cell = pytest.mark.parametrize(("cell", "choice"), CELLS, ids=[cell.cell for cell, _choice in CELLS])
NOTHING: tuple[Any, ...] = (None, [], {}, "")
V1_ONLY = "HostConfig.MemorySwappiness"


@dataclass(frozen=True)
class Compose:
    """A compose command and one project's folder."""

    config: str | None
    folder: Path
    name: str

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it; never raises."""
        command = ["docker", "compose", "--project-name", self.name, "--ansi", "never", *arguments]
        environment = {**os.environ, **({"DOCKER_CONFIG": self.config} if self.config else {})}
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=600
        )


@dataclass(frozen=True)
class Finished:
    """What one ``docker compose up`` left: its end, the engine's views while it ran, the journals."""

    up: subprocess.CompletedProcess[str]
    views: Mapping[str, dict[str, Any]]
    journals: Mapping[str, Journal]


def built(engine: DockerEngine, choice: Choice) -> BuiltSet:
    return ensure_images(
        engine, load_catalogue(), sdk=choice.sdk, backend=choice.backend, store=Store.open(), options=BuildOptions()
    )


@pytest.fixture(scope="module")
def plugin() -> str | None:
    """The DOCKER_CONFIG folder of the plugin, None for Docker's own compose."""
    if not EVERYTHING:
        pytest.skip("takes minutes: `make test-all` starts compose")
    found = subprocess.run(["docker", "compose", "version"], capture_output=True, text=True, check=False)
    if found.returncode == 0:
        return None
    script = ["sh", str(ROOT / "scripts" / "build_compose.sh")]
    done = subprocess.run(
        script, env={**os.environ, "PYTHON": sys.executable}, capture_output=True, text=True, check=False, timeout=800
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module", params=CELLS, ids=[cell.cell for cell, _choice in CELLS])
def finished(
    request: pytest.FixtureRequest, plugin: str | None, engine: DockerEngine
) -> Iterator[tuple[CellPlan, Choice, Finished]]:
    """One ``up`` of a golden project, from the checked-in folder itself: to its end, or until it warms up."""
    cell, choice = request.param
    built(engine, choice)
    if (os.cpu_count() or 1) < 2:
        pytest.skip("the golden files want two CPUs")
    name = f"sealbench-test-{os.getpid()}"
    compose = Compose(plugin, cell_folder(GOLDEN, cell), name)
    with lease("0", engine, wait_seconds=600):
        try:
            yield cell, choice, run(compose, engine, cell)
        finally:
            compose("down", "--timeout", "1")


def roles_of(cell: CellPlan) -> tuple[str, ...]:
    return ("sdk",) if cell.in_process else ("backend", "sdk")


def journals_of(engine: DockerEngine, views: Mapping[str, dict[str, Any]]) -> dict[str, Journal]:
    """What the agents have written to standard output so far. A line that is just being written is left out."""
    logs = {role: engine.logs(view["Id"], stderr=False, limit_bytes=1 << 26).decode() for role, view in views.items()}
    return {role: journal_from_stdout(log[: log.rfind("\n") + 1]) for role, log in logs.items()}


def warms_up(journals: Mapping[str, Journal]) -> bool:
    records = journals["sdk"].records if "sdk" in journals else ()
    return any(record.WhichOneof("kind") == "phase" for record in records)


def run(compose: Compose, engine: DockerEngine, cell: CellPlan) -> Finished:
    views: dict[str, dict[str, Any]] = {}
    roles, whole = roles_of(cell), cell.cell in WHOLE
    command = ["docker", "compose", "--project-name", compose.name, "--ansi", "never", "up"]
    command += ["--abort-on-container-exit", "--exit-code-from", "sdk"]
    environment = {**os.environ, **({"DOCKER_CONFIG": compose.config} if compose.config else {})}
    # Not a pipe: nobody would read it while we ask the engine.
    with (
        (compose.folder / os.devnull).open("w") as nowhere,
        subprocess.Popen(
            command, cwd=compose.folder, env=environment, stdout=nowhere, stderr=subprocess.PIPE, text=True
        ) as up,
    ):
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and up.poll() is None:
            time.sleep(0.5)
            for role in [role for role in roles if role not in views]:
                identifier = compose("ps", "--quiet", role).stdout.strip()
                if identifier:
                    views[role] = engine.inspect(identifier)
            if len(views) == len(roles) and (whole or warms_up(journals_of(engine, views))):
                break
        if not whole:
            stopped = journals_of(engine, views)
            compose("kill")
        _out, errors = up.communicate(timeout=300)
    journals = journals_of(engine, views) if whole else stopped
    return Finished(subprocess.CompletedProcess(command, up.returncode, "", errors), views, journals)


@each_cell
def test_golden_files_name_the_images_that_todays_sources_build(
    cell: CellPlan, choice: Choice, engine: DockerEngine
) -> None:
    images = built(engine, choice)
    # Compilers that were locked anew leave the images as they were; another base does not.
    if images.base.identity.diff_ids[0] != f"sha256:{read_lock().base.layer_sha256}":
        pytest.skip("no package source of this host has the locked base any more: another one stands in for it")
    names = named_images(cell_folder(GOLDEN, cell))
    assert names == built_images((images.sdk, images.backend)), "run scripts/update_compose.py"


def test_plain_compose_starts_every_program(finished: tuple[CellPlan, Choice, Finished]) -> None:
    cell, _choice, found = finished
    assert set(found.views) == set(roles_of(cell)), found.up.stderr[-2000:]
    assert warms_up(found.journals), found.up.stderr[-2000:]
    for role, journal in found.journals.items():
        assert journal.records[0].hello.role == role


def test_plain_compose_runs_the_workload_to_its_end(finished: tuple[CellPlan, Choice, Finished]) -> None:
    cell, _choice, found = finished
    if cell.cell not in WHOLE:
        pytest.skip("only one with a backend and one without run to their end")
    assert found.up.returncode == 0, found.up.stderr[-2000:]
    for role, journal in found.journals.items():
        assert journal.truncated_bytes == 0, role
        assert [record.sequence for record in journal.records] == list(range(1, len(journal.records) + 1))
        assert journal.records[0].hello.role == role
        assert journal.records[-1].WhichOneof("kind") == "child_exit"
        assert journal.records[-1].child_exit.exit_code == 0
    phases = [record.phase.name for record in found.journals["sdk"].records if record.WhichOneof("kind") == "phase"]
    assert phases == ["warmup", "measure", "drain", "done"]
    windows = [record for record in found.journals["sdk"].records if record.WhichOneof("kind") == "window_end"]
    assert len(windows) == int(cell.duration_seconds // cell.window_seconds)


def test_the_agent_proves_the_limits_by_itself(finished: tuple[CellPlan, Choice, Finished]) -> None:
    for role, journal in finished[2].journals.items():
        readbacks = [record.readback for record in journal.records if record.WhichOneof("kind") == "readback"]
        wanted = {"start", "end"} if finished[0].cell in WHOLE else {"start"}
        assert wanted <= {readback.when for readback in readbacks}, role
        expected = {row.id for readback in readbacks for row in readback.rows if row.expected}
        assert {"container.cpuset", "workload.affinity", "memory.policy", "capabilities", "seccomp.mode"} <= expected
        assert not expected & set(COMPOSE_GAPS)
        for readback in readbacks:
            for row in readback.rows:
                assert row.absent or not row.expected or row.found == row.expected, (role, readback.when, row)


def test_the_engine_sees_the_same_containers_as_of_a_launch(
    finished: tuple[CellPlan, Choice, Finished], engine: DockerEngine, tmp_path: Path
) -> None:
    cell, choice, found = finished
    facts, published = engine.facts(), published_differences()
    images = built(engine, choice)
    api = launch_views(engine, cell, images, tmp_path)
    different: set[str] = set()
    for role in roles_of(cell):
        theirs = comparable(found.views[role], found.views.get("backend", {}).get("Id", "none"))
        ours = comparable(api[role], api.get("backend", {}).get("Id", "none"))
        different |= {field for field in ours.keys() | theirs.keys() if ours.get(field) != theirs.get(field)}
    if facts.cgroup_version == "2":
        published -= {V1_ONLY}
    assert different == published, "docs/compose.md lists what differs"


def launch_views(engine: DockerEngine, cell: CellPlan, images: BuiltSet, folder: Path) -> dict[str, dict[str, Any]]:
    """The engine's views of the containers that a launch creates (never started here)."""
    profile = seccomp_profile()
    resolver, journal = folder / "resolv.conf", folder / "journal.pb"
    for path in (resolver, journal):
        path.touch()
    wiring = Wiring(str(journal), str(folder), str(resolver))
    labels = {LABEL_RUN: "test", LABEL_CPUS: cell.cpus}
    specs = {}
    if images.backend is not None:
        specs["backend"] = backend_container(cell, images.backend.reference, profile, wiring)
    specs["sdk"] = sdk_container(cell, images.sdk.reference, profile, wiring)
    network, made = "none", []
    views = {}
    try:
        for role, spec in specs.items():
            spec = replace(spec, network=network, labels={**labels, LABEL_ROLE: role})
            identifier, _warnings = engine.create(spec)
            made.append(identifier)
            network = f"container:{identifier}"
            views[role] = engine.inspect(identifier)
    finally:
        for identifier in made:
            engine.remove(identifier)
    return views


def comparable(view: Mapping[str, Any], backend: str) -> dict[str, Any]:
    """Every field that says how a container is confined, flat; all forms of nothing are the same."""
    config, host = dict(view["Config"]), dict(view["HostConfig"])
    environment = dict(entry.split("=", 1) for entry in config.pop("Env"))
    fields = {f"Config.Env.{name}": value for name, value in environment.items()}
    host["SecurityOpt"] = sorted(security_option(option) for option in host["SecurityOpt"])
    host["NetworkMode"] = str(host["NetworkMode"]).replace(backend, "backend")
    host["Ulimits"] = sorted(host["Ulimits"], key=lambda limit: str(limit["Name"]))
    fields |= {f"Config.{name}": value for name, value in config.items()}
    fields |= {f"HostConfig.{name}": value for name, value in host.items()}
    fields["Mounts"] = sorted((mount["Destination"], mount["RW"]) for mount in view["Mounts"])
    return {name: value for name, value in fields.items() if value not in NOTHING}


def security_option(option: str) -> str:
    """The profile as parsed JSON: compose compacts the text."""
    name, value = re.split("[=:]", f"{option}=", maxsplit=1)
    return f"seccomp={json.dumps(json.loads(value[:-1]), sort_keys=True)}" if name == "seccomp" else option


def published_differences() -> set[str]:
    """The fields in the table of docs/compose.md that are compared as they are."""
    text = (ROOT / "docs" / "compose.md").read_text()
    rows = re.findall(r"^\| `([A-Za-z._]+)`( \([^|]*\))? \|", text, re.MULTILINE)
    return {field for field, note in rows if not note}
