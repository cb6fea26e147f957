"""From what one attempt left behind to whether it may be believed: what was seen from outside counts too."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from tests.support.journals import cell_plan
from toolkit.fetch.own_model import hold, read_model
from toolkit.launch.attempt import AttemptEvidence, AttemptInputs
from toolkit.launch.containers import Wiring, sdk_container
from toolkit.launch.folder import RunFolder
from toolkit.launch.judge import AttemptOutcome, agent_observations, broken_findings, judge_attempt
from toolkit.launch.run import model_findings
from toolkit.launch.watch import Watch
from toolkit.model.evidence import Evidence, ReadbackRead, RowRead
from toolkit.owner import current_owner
from toolkit.readback.decide import Observation, decide


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


IDS = "cgroup=1,ipc={ipc},mnt=3{n},net=4,pid=5{n},user=6,uts=7{n}"
OWN = {"cgroup": "1", "ipc": "20", "mnt": "30", "net": "40", "pid": "50", "user": "6", "uts": "70"}


def told(n: int, ipc: str, namespaces: str = "private") -> Evidence:
    rows = (
        RowRead("namespaces", "private", namespaces, False, ""),
        RowRead("namespaces.ids", "", IDS.format(ipc=ipc, n=n), False, ""),
        RowRead("devices", "none", "", False, "no permission"),
        RowRead("memory.swappiness", "0", "", True, ""),
    )
    return Evidence(readbacks=(ReadbackRead("start", 1, rows),))


def namespaces(own: Evidence, other: Evidence) -> str | None:
    watch = Watch(cast(Any, None), cell_plan(), "1", own_namespaces=OWN)
    seen = agent_observations({"sdk": own, "backend": other}, "sdk", watch)
    assert {one.row for one in seen} == {"namespaces", "namespaces.ids", "memory.swappiness"}  # one had an error
    assert {one.row for one in seen if one.found is None} == {"memory.swappiness"}
    return next(one.found for one in seen if one.row == "namespaces")


def test_what_the_agents_report_is_compared_with_the_hosts_own_and_with_each_other() -> None:
    assert namespaces(told(1, "21"), told(2, "22")) == "private"
    assert namespaces(told(1, "20"), told(2, "22")) == "ipc=host"
    assert namespaces(told(1, "21"), told(2, "21")) == "ipc=other container"
    assert namespaces(told(1, "21", "uts=host"), told(2, "22")) == "uts=host"


def findings(*seen: tuple[str, str, str]) -> list[dict[str, Any]]:
    looks = [Observation("pids.limit", when, witness, value) for when, witness, value in seen]
    return [one.to_json() for one in broken_findings({"sdk": decide({"pids.limit": "256"}, looks)})]


def test_a_limit_that_changed_is_named_with_what_when_from_to_and_by_whom() -> None:
    start = [("start", one, "256") for one in ("engine", "host", "agent")]
    later = [("end", "host", "90"), ("window:1", "host", "100"), ("window:1", "agent", "100")]
    (finding,) = findings(("created", "engine", "256"), *start, *later)
    assert finding == {
        "gate": "constraint",
        "cause": "sdk pids.limit did not hold: agent and host saw it change from '256' to '100' at window:1",
        "found": "100",
        "limit": "256",
        "drift": {
            "what": "sdk pids.limit",
            "when": "window:1",
            "from": "256",
            "to": "100",
            "witnesses": ["agent", "host"],
        },
    }


def test_a_limit_that_never_was_as_asked_has_not_changed() -> None:
    (finding,) = findings(("created", "engine", "256"), ("start", "agent", "max"))
    assert finding["cause"] == "sdk pids.limit did not hold: agent saw it as 'max' at start"
    assert finding["drift"]["from"] is None
