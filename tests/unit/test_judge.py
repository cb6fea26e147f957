"""From what one attempt left behind to whether it may be believed: what was seen from outside counts too."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from tests.support.journals import cell_plan
from toolkit.fetch.own_model import hold, read_model
from toolkit.launch.attempt import AttemptEvidence, AttemptInputs
from toolkit.launch.containers import Wiring, sdk_container
from toolkit.launch.folder import RunFolder
from toolkit.launch.judge import AttemptOutcome, judge_attempt
from toolkit.launch.run import model_findings
from toolkit.launch.watch import Watch
from toolkit.owner import current_owner


def judged(folder: Path, change: bool) -> AttemptOutcome:
    """An attempt of an engine in process, whose agent said nothing, with a model of the user's own."""
    path = folder / "model.gguf"
    path.write_bytes(b"GGUF")
    model = read_model(path)
    cell = cell_plan(model_file=model, in_process=True, backend_tier="your-model")
    held = hold(path, model)
    if change:
        path.write_bytes(b"GGUF other")
    files = RunFolder(folder).attempt(cell.cell, 1, 1)
    files.prepare(backend=False)
    specs = {"sdk": sdk_container(cell, "image", {}, Wiring())}
    found = AttemptEvidence(specs, Watch(cast(Any, None), cell, "2"), findings=model_findings(cell, held))
    owner = current_owner()
    inputs = AttemptInputs(cell, 1, 1, "run", "image", None, {}, "2", apparmor=False, owner=owner, resolver="")
    outcome = judge_attempt(inputs, found, files)
    files.close()
    return outcome


def test_a_launch_whose_model_changed_meanwhile_is_not_valid(tmp_path: Path) -> None:
    (tmp_path / "still").mkdir()
    (tmp_path / "changed").mkdir()
    before, after = (
        {one["gate"] for one in judged(tmp_path / name, change=name == "changed").result["invalid"]}
        for name in ("still", "changed")
    )
    assert after - before == {"model"}


def test_a_cell_without_a_model_of_ones_own_has_nothing_to_change() -> None:
    assert model_findings(cell_plan(), None) == ()
