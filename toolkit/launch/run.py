"""A whole run: folder, set-up files, every turn of the order, seal. The one place where the steps stand in a row."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from toolkit import __version__
from toolkit.analyse.gates import TIMING_GATES
from toolkit.canonical import digest, digest_bytes, write_atomic
from toolkit.collect.journal import black_out
from toolkit.engine.port import EngineFacts
from toolkit.errors import (
    ArchiveInvalid,
    EngineError,
    Inconclusive,
    Interrupted,
    LaunchInvalid,
    ReproError,
    RunFolderLost,
)
from toolkit.fetch.own_model import HeldModel, still
from toolkit.launch.attempt import AttemptInputs, AttemptRunner, Hands
from toolkit.launch.containers import Wiring, backend_container, sdk_container
from toolkit.launch.folder import AttemptFolder, RunFolder, create_run, lost, take_reserve, write_json
from toolkit.launch.interrupts import Interrupts
from toolkit.launch.judge import AttemptOutcome, judge_attempt
from toolkit.model.cpulist import parse_cpulist
from toolkit.model.evidence import Finding, Termination
from toolkit.model.inputs import BuiltImage
from toolkit.model.names import on_disk
from toolkit.model.plan import CellPlan, Plan, Turn
from toolkit.owner import current_owner
from toolkit.seal import reason, seal

ATTEMPTS = 3
# Only these may be tried again (design, glossary "attempt"): the host was slow, nothing that was asked for broke.
# Not drops: the same schedule on the same CPUs overruns again.
_TRIED_AGAIN = TIMING_GATES - {"drops"}
MODEL_CHANGED = Finding("model", "the model file was changed or replaced meanwhile: nobody knows what was measured")


@dataclass(frozen=True)
class CellImages:
    """The images of a cell (no backend's where the engine runs in the SDK's process) and the files that describe it."""

    sdk: BuiltImage
    backend: BuiltImage | None
    rendered: Mapping[str, bytes]

    @property
    def all(self) -> tuple[BuiltImage, ...]:
        """Those there are."""
        return (self.sdk,) if self.backend is None else (self.sdk, self.backend)


@dataclass(frozen=True)
class Prepared:
    """Everything a run is made from; nothing in it is decided later."""

    plan: Plan
    lock: dict[str, Any]
    base_state: str
    images: Mapping[str, CellImages]
    seccomp: Mapping[str, object]
    host: dict[str, Any]
    facts: EngineFacts
    chain: dict[str, Any] = field(default_factory=lambda: {"parent": None})
    model: HeldModel | None = None  # the user's own, where it lies on this machine: never written down
    agent_rows: frozenset[str] | None = None  # what an earlier version's agent, in the images of a re-run, can check
    budget_seconds: float | None = None  # for all launches together: one that would end later is not begun
    telemetry: tuple[str, ...] = ()  # channels that are on: a condition of the observation, not of the definition


@dataclass
class RunReport:
    """What came of it. ``error`` is the first failing launch's, or the one that ended the run."""

    folder: RunFolder
    manifest: dict[str, Any]
    outcomes: list[AttemptOutcome]
    error: ReproError | None


def execute(prepared: Prepared, hands: Hands, runs: Path) -> RunReport:
    """Run the plan and seal it. Errors of single launches are in the report; only what prevents a record is raised."""
    label = prepared.plan.cells[0].sdk if len(prepared.plan.cells) == 1 else "many"
    outcomes: list[AttemptOutcome] = []
    error: ReproError | None = None
    with housekeeping(prepared.plan.cells[0]), hands.interrupts.shield():
        folder = _begin(runs, label, prepared)
        budget = _Budget(prepared.budget_seconds)
        try:
            for turn in prepared.plan.order:
                _stop_if_asked(hands.interrupts)
                budget.stop_unless_it_fits(prepared.plan, turn, outcomes)
                outcomes += _turn(prepared, turn, folder, hands, budget)
                _stop_if_hopeless(outcomes[-1])
        except ReproError as problem:
            error = problem
        except KeyboardInterrupt:
            error = Interrupted("interrupted", "stopped at once; what was measured so far is kept", "launch again")
        with hands.interrupts.hold():
            manifest = _sealed(folder, error)
    return RunReport(folder, manifest, outcomes, error or first_error(outcomes))


class _Budget:
    """The time that all launches may take together, from now on; None for as much as they need."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def fits(self, cell: CellPlan) -> bool:
        """Whether what is planned of one more launch ends in time."""
        return self._end is None or time.monotonic() + cell.planned_seconds <= self._end

    def stop_unless_it_fits(self, plan: Plan, turn: Turn, outcomes: list[AttemptOutcome]) -> None:
        """Raises Inconclusive before a launch that would end too late; what was measured is kept."""
        if not self.fits(plan.cell(turn.cell)):
            ran = len({(one.cell, one.launch) for one in outcomes})
            raise Inconclusive(
                "the time that was given is over",
                f"{ran} of {len(plan.order)} launches ran: some were tried again, or took longer than planned",
                "what was measured is kept; give more with --try MINUTES",
            )


def _begin(runs: Path, label: str, prepared: Prepared) -> RunFolder:
    """A run folder that can be sealed whatever happens next; nothing is left of one that cannot be begun."""
    folder = create_run(runs, label, current_owner())
    try:
        _write_setup(folder, prepared)
        take_reserve(folder)
    except ReproError:
        shutil.rmtree(folder.path, ignore_errors=True)
        raise
    return folder


def _sealed(folder: RunFolder, error: ReproError | None) -> dict[str, Any]:
    """Seal, with the word for an attempt that was cut off. Raises RunFolderLost, also for a folder half deleted."""
    state = "complete" if error is None else "interrupted"
    try:
        return seal(folder, state, _stopped(error))
    except (ArchiveInvalid, RunFolderLost) as problem:
        if isinstance(error, RunFolderLost):
            raise error from problem
        if isinstance(problem, RunFolderLost):
            raise
        raise RunFolderLost(
            "the run folder was changed while the run was under way", problem.cause, problem.remedy
        ) from problem


def _stopped(error: ReproError | None) -> Termination:
    words: tuple[tuple[type[ReproError], Termination], ...] = (
        (Interrupted, "interrupted"),
        (RunFolderLost, "disk-full"),
        (EngineError, "engine-lost"),
    )
    return next((word for kind, word in words if isinstance(error, kind)), "container-failed")


def _stop_if_asked(interrupts: Interrupts) -> None:
    if interrupts.pending:
        raise Interrupted("interrupted", "launches that were still to come did not run", "launch again")


def _stop_if_hopeless(outcome: AttemptOutcome) -> None:
    """An engine that is gone, a full disk or Ctrl-C ends the run; a failed container is its own launch's affair."""
    if outcome.error is not None and outcome.error.exit_code in (1, 4, 130):
        raise outcome.error


def _turn(
    prepared: Prepared,
    turn: Turn,
    folder: RunFolder,
    hands: Hands,
    budget: _Budget,
) -> list[AttemptOutcome]:
    cell = prepared.plan.cell(turn.cell)
    outcomes: list[AttemptOutcome] = []
    for attempt in range(1, ATTEMPTS + 1):
        name = f"{cell.cell} launch {turn.launch}/{cell.launches}" + (f" attempt {attempt}" if attempt > 1 else "")
        named = replace(hands, progress=partial(_prefixed, hands.progress, name))
        outcome = _attempt(prepared, turn, attempt, folder, named)
        outcomes.append(outcome)
        if not _try_again(outcome) or hands.interrupts.pending or not budget.fits(cell):
            break
    return outcomes


def _prefixed(progress: Callable[[str], None], name: str, text: str) -> None:
    progress(f"{name}: {text}")


def _try_again(outcome: AttemptOutcome) -> bool:
    gates = {one["gate"] for one in outcome.result["invalid"]}
    return not outcome.valid and outcome.error is None and bool(gates) and gates <= _TRIED_AGAIN


def _attempt(
    prepared: Prepared,
    turn: Turn,
    attempt: int,
    folder: RunFolder,
    hands: Hands,
) -> AttemptOutcome:
    cell, images = prepared.plan.cell(turn.cell), prepared.images[turn.cell]
    files = folder.attempt(cell.cell, turn.launch, attempt)
    inputs = AttemptInputs(
        cell=cell,
        launch=turn.launch,
        attempt=attempt,
        run_id=folder.id,
        sdk_image=images.sdk.reference,
        backend_image=images.backend.reference if images.backend else None,
        seccomp=prepared.seccomp,
        cgroup_version=prepared.facts.cgroup_version,
        apparmor=prepared.facts.apparmor,
        owner=current_owner(),
        resolver="/dev/null",
        model_source=str(prepared.model.path) if prepared.model is not None else "",
        agent_rows=prepared.agent_rows,
    )
    hands.onlooker.begins(folder.id, cell, turn.launch, attempt)
    found = AttemptRunner(hands, inputs, files).run()
    hands.onlooker.step("removed")
    _black_out(files, hands.progress)
    found.findings = model_findings(cell, prepared.model)
    hands.progress("judging")
    outcome = judge_attempt(inputs, found, files)
    files.write("readback.json", outcome.readback)
    files.write("ledger.json", outcome.ledger)
    said = files.path / "stdout.log"
    if cell.drive == "bench" and said.exists():  # there is none when the SDK never started
        files.write_bytes("bench.txt", bench_text(said.read_bytes()))
    files.write("result.json", outcome.result)
    hands.onlooker.ends(outcome.result, outcome.readback, files)
    return outcome


def _black_out(files: AttemptFolder, progress: Callable[[str], None]) -> None:
    """No key that a program printed is sealed, nor is one in what it told its agent. Raises LaunchInvalid,
    RunFolderLost.
    """
    for journal in (files.sdk_journal, files.backend_journal):
        try:
            keys = black_out(journal)
        except OSError as problem:
            raise lost(files.path, problem) from problem
        if keys:
            progress(f"{journal.name}: {keys} text(s) of the form of a key blacked out")


def model_findings(cell: CellPlan, held: HeldModel | None) -> tuple[Finding, ...]:
    """What is wrong with the model of the user's own that a launch has just used."""
    changed = cell.model_file is not None and held is not None and not still(held)
    return (MODEL_CHANGED,) if changed else ()


def bench_text(stdout: bytes) -> bytes:
    """What ``benchstat`` reads (golang.org/design/14313-benchmark-format): the program's own lines, ours taken out."""
    return b"".join(line for line in stdout.splitlines(keepends=True) if not line.startswith(b"@repro "))


def first_error(outcomes: list[AttemptOutcome]) -> ReproError | None:
    """The error of the first launch whose last attempt is not valid; None when all are."""
    last = {(outcome.cell, outcome.launch): outcome for outcome in outcomes}
    for outcome in last.values():
        if outcome.error is not None:
            return outcome.error
        if not outcome.valid:
            reasons = "; ".join(reason(one) for one in outcome.result["invalid"])
            return LaunchInvalid(
                f"launch {outcome.launch} of {outcome.cell} is invalid",
                reasons,
                "the number is not shown because its conditions did not hold; 'repro show' lists them",
            )
    return None


def _write_setup(folder: RunFolder, prepared: Prepared) -> None:
    """What is known before anything starts, so that a killed run can still be sealed."""
    write_json(folder.path / "lock.json", prepared.lock)
    for cell, images in prepared.images.items():
        target = folder.path / "rendered" / on_disk(cell)
        try:
            target.mkdir(parents=True)
            for name, data in images.rendered.items():
                write_atomic(target / name, data)
        except OSError as problem:
            raise lost(folder.path, problem) from problem
    write_json(
        folder.path / "setup.json",
        {
            "schema": "repro.setup/1",
            "tool_version": __version__,
            "definition": definition(prepared),
            "images": image_documents(prepared),
            "base": prepared.base_state,
            "host": prepared.host,
            "chain": prepared.chain,
            "telemetry": list(prepared.telemetry),
        },
    )
    # Last: a folder with a plan is a run, and one that is cut off before it is nothing.
    write_json(folder.path / "plan.json", prepared.plan.to_json())


def definition(prepared: Prepared) -> dict[str, Any]:
    """What must be equal for a re-run to be exact: rendered bytes, commands, environment, seccomp (seeds: the plan)."""
    rendered = {
        cell: {name: digest_bytes(data) for name, data in sorted(images.rendered.items())}
        for cell, images in prepared.images.items()
    }
    return {
        "rendered": rendered,
        "seccomp": digest(dict(prepared.seccomp)),
        "containers": {cell.cell: container_document(prepared, cell) for cell in prepared.plan.cells},
    }


def container_document(prepared: Prepared, cell: CellPlan) -> dict[str, Any]:
    """Command and environment of the containers, without anything of this machine."""
    images = prepared.images[cell.cell]
    specs = {"sdk": sdk_container(cell, images.sdk.identity.config_digest, prepared.seccomp, Wiring())}
    if images.backend is not None:
        digest_of = images.backend.identity.config_digest
        specs["backend"] = backend_container(cell, digest_of, prepared.seccomp, Wiring())
    return {
        role: {
            "image": spec.image,
            "command": list(spec.command),
            "environment": {key: value for key, value in sorted(spec.environment.items()) if key != "REPRO_AGENT"},
        }
        for role, spec in specs.items()
    }


def image_documents(prepared: Prepared) -> list[dict[str, Any]]:
    """Every image once, by content."""
    unique = {image.identity.config_digest: image for images in prepared.images.values() for image in images.all}
    return [
        {
            "kind": image.kind,
            "id": image.id,
            "reference": image.reference,
            **asdict(image.identity),
            "binary_digest": image.binary_digest,
            "inputs_digest": image.inputs_digest,
            "size_bytes": image.size_bytes,
        }
        for image in unique.values()
    ]


@contextmanager
def housekeeping(cell: CellPlan) -> Iterator[None]:
    """Keep this program off the measured CPUs while it watches (sched_setaffinity(2); later threads inherit it)."""
    former = os.sched_getaffinity(0)
    os.sched_setaffinity(0, parse_cpulist(cell.housekeeping_cpus))
    try:
        yield
    finally:
        os.sched_setaffinity(0, former)
