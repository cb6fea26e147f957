"""The golden files below ``compose/`` are what is rendered today, and nothing of a machine or a run is in them.

After a deliberate change: ``python scripts/update_compose.py``. That they name the images that today's sources build is
checked on an engine (tests/engine/test_compose.py).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.support.canaries import own_names
from toolkit.catalogue import load_catalogue
from toolkit.cli.render import cells, placement
from toolkit.launch.containers import Wiring
from toolkit.model.plan import CellPlan
from toolkit.plan import Choice
from toolkit.render.project import cell_folder, named_images, project

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "compose"
FILES = {"Dockerfile", "Dockerfile.backend", "compose.yaml", "seccomp.json"}
CELLS = cells(load_catalogue(), None, None, placement(""))
SHORTEST_CANARY = 5
each_cell = pytest.mark.parametrize(("cell", "choice"), CELLS, ids=[cell.cell for cell, _choice in CELLS])


@each_cell
def test_what_is_rendered_today_is_what_is_checked_in(cell: CellPlan, choice: Choice) -> None:
    folder = cell_folder(GOLDEN, cell)
    names = named_images(folder)
    assert names is not None, "run scripts/update_compose.py"
    assert {path.name for path in folder.iterdir()} == FILES - ({"Dockerfile.backend"} if cell.in_process else set())
    for name, data in project(cell, choice, names).items():
        assert (folder / name).read_bytes() == data, f"{folder.name}/{name}: run scripts/update_compose.py"


def test_every_entry_has_a_project_and_nothing_else_is_there() -> None:
    folders = {cell_folder(GOLDEN, cell).name for cell, _choice in CELLS}
    assert {path.name for path in GOLDEN.iterdir()} == folders | {"README.md"}


def test_the_golden_machine_has_two_cpus_wherever_this_runs() -> None:
    for cell, _choice in CELLS:
        where = (cell.cpus, cell.mems, cell.agent_cpus, cell.backend_cpus, cell.shared_cpus)
        assert where == ("0", "0", "1", "1", False)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*/*")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_path_run_or_host_is_in_a_golden_file(path: Path) -> None:
    text = path.read_text()
    canaries = [str(ROOT), str(Path.home()), *own_names().values()]
    assert not [canary for canary in canaries if len(canary) >= SHORTEST_CANARY and canary in text]
    assert not re.search(r"\d{8}-\d{6}-", text), "a run id"
    assert "org.sealbench.run" not in text
    assert "com.docker.compose" not in text


@each_cell
def test_what_a_compose_file_mounts_every_linux_host_has(cell: CellPlan, choice: Choice) -> None:
    folder = cell_folder(GOLDEN, cell)
    services = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    assert list(services) == (["sdk"] if cell.in_process else ["backend", "sdk"])
    for service in services.values():
        assert [(mount["source"], mount["target"]) for mount in service["volumes"]] == [
            (Wiring().resolver_source, "/etc/resolv.conf")
        ]
        assert service["pull_policy"] == "never"
