"""What an image that a launch starts is made of: targets, and where what they make lies in the image.

    for recipe in recipes(sdk, backend):
        recipe.targets, recipe.placements, recipe.inputs_digest(lock)

Below ``/repro``: ``agent``, the program (``workload`` or ``backend``), ``lib/`` (native libraries), ``models/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from toolkit.build import identity, records, targets
from toolkit.build.targets import Target
from toolkit.build.ustar import Entry
from toolkit.canonical import digest
from toolkit.catalogue.parts import native_part, synthetic_models
from toolkit.errors import CatalogueError
from toolkit.lock import Lock, base_key
from toolkit.model.catalogue import BackendEntry, SdkEntry
from toolkit.model.parts import NativePart

AGENT_PATH = "/repro/agent"
_ROOT = "repro"
_EXECUTABLE = 0o555
_READABLE = 0o444


@dataclass(frozen=True)
class Placement:
    """One file of an image: which target's output it is, its path below ``/repro``, its mode."""

    target: str
    output: str
    path: str
    mode: int


@dataclass(frozen=True)
class Recipe:
    """An image that a launch starts (``kind`` sdk or backend); ``program`` is among its placements."""

    kind: str
    id: str
    title: str
    cpu_level: str
    targets: tuple[Target, ...]
    placements: tuple[Placement, ...]
    program: Placement

    def labels(self) -> dict[str, str]:
        return identity.labels(self.kind, self.id, self.cpu_level)

    def runtime(self) -> dict[str, Any]:
        """What the image says of how it runs: PID 1 is the agent."""
        return identity.runtime_config(entrypoint=(AGENT_PATH,), labels=self.labels())

    def inputs_digest(self, lock: Lock) -> str:
        """The digest of everything that goes into the image."""
        parts = {target.key: target.inputs_digest(lock) for target in self.targets}
        rows = [[row.target, row.output, row.path, row.mode] for row in self.placements]
        return digest(
            {
                "assembly": records.ASSEMBLY,
                "kind": self.kind,
                "id": self.id,
                "cpu_level": self.cpu_level,
                "base": base_key(lock.base),
                "targets": parts,
                "placements": rows,
            }
        )

    def entries(self, made: Mapping[str, Mapping[str, Path]]) -> list[Entry]:
        """The upper layer, from target key -> output -> file."""
        files = [Entry.file(f"{_ROOT}/{row.path}", made[row.target][row.output], row.mode) for row in self.placements]
        folders = {_ROOT}
        for entry in files:
            folder = entry.path.rpartition("/")[0]
            while folder != _ROOT:
                folders.add(folder)
                folder = folder.rpartition("/")[0]
        return [*(Entry.folder(path) for path in sorted(folders)), *files]


def recipe_json(recipe: Recipe) -> dict[str, Any]:
    """A recipe as it stands in a run's lock.json; its targets stand beside it, by key."""
    return {
        "id": recipe.id,
        "title": recipe.title,
        "cpu_level": recipe.cpu_level,
        "targets": [target.key for target in recipe.targets],
        "placements": [asdict(one) for one in recipe.placements],
        "program": asdict(recipe.program),
    }


def recipe_from_json(kind: str, row: Mapping[str, Any], built: Mapping[str, Target]) -> Recipe:
    """A recipe of a run's lock.json. Raises CatalogueError."""
    try:
        return Recipe(
            kind=kind,
            id=str(row["id"]),
            title=str(row["title"]),
            cpu_level=str(row["cpu_level"]),
            targets=tuple(built[key] for key in row["targets"]),
            placements=tuple(Placement(**one) for one in row["placements"]),
            program=Placement(**row["program"]),
        )
    except (KeyError, TypeError) as problem:
        raise CatalogueError(
            f"the run's lock does not say what the image of the {kind} is made of",
            f"{type(problem).__name__}: {problem}",
            "it was made by an older version of repro: use that one",
        ) from problem


def recipes(sdk: SdkEntry, backend: BackendEntry | None) -> list[Recipe]:
    """The images a launch starts, the SDK's first; a backend that runs in process has none.

    Raises CatalogueError, InputMismatch.
    """
    found = [sdk_recipe(sdk)]
    if backend is not None and not backend.in_process:
        found.append(backend_recipe(backend))
    return found


def sdk_recipe(entry: SdkEntry) -> Recipe:
    """The image of an SDK. Raises CatalogueError, InputMismatch."""
    program = targets.sdk_target(entry)
    return _recipe("sdk", entry, program, Placement(program.key, program.key, program.key, _EXECUTABLE))


def backend_recipe(entry: BackendEntry) -> Recipe:
    """The image of a backend. Raises CatalogueError, InputMismatch."""
    if entry.build == "native":
        target = _target_of_program(entry)
        place = Placement(target.key, f"programs/{entry.program}", "backend", _EXECUTABLE)
        return _recipe("backend", entry, target, place)
    program = targets.backend_target(entry)
    return _recipe("backend", entry, program, Placement(program.key, program.key, program.key, _EXECUTABLE))


def _recipe(kind: str, entry: SdkEntry | BackendEntry, program: Target, place: Placement) -> Recipe:
    agent = targets.agent_target()
    placements = [Placement(agent.key, agent.key, agent.key, _EXECUTABLE), place]
    built = {agent.key: agent, program.key: program}
    for part in _parts(entry):
        target = targets.native_target(part.id)
        built[target.key] = target
        placements += [
            Placement(target.key, f"lib/{name}", f"lib/{name}", _EXECUTABLE) for name in sorted(part.libraries)
        ]
    files = _model_files(entry)
    if files:
        target = targets.models_target()
        built[target.key] = target
        placements += [Placement(target.key, f"models/{path}", f"models/{path}", _READABLE) for path in files]
    title = f"{'SDK' if kind == 'sdk' else 'backend'} {entry.id}"
    return Recipe(kind, entry.id, title, entry.cpu_level, tuple(built.values()), tuple(placements), place)


def _parts(entry: SdkEntry | BackendEntry) -> list[NativePart]:
    """An entry's native parts; the level it declares must cover theirs."""
    parts = [native_part(part) for part in entry.native]
    for part in parts:
        if part.cpu_level > entry.cpu_level:  # x86-64-v1 ... x86-64-v4 sort as they rank
            raise CatalogueError(
                f"{entry.folder}: cpu_level is {entry.cpu_level}",
                f"its native part {part.id} needs {part.cpu_level}",
                f"say `cpu_level: {part.cpu_level}`",
            )
    return parts


def _target_of_program(entry: BackendEntry) -> Target:
    for part in _parts(entry):
        if entry.program in part.programs:
            return targets.native_target(part.id)
    raise CatalogueError(
        f"{entry.folder}: program is {entry.program!r}",
        f"none of its native parts ({', '.join(entry.native)}) makes that",
        "correct `program` or `native`",
    )


def _model_files(entry: SdkEntry | BackendEntry) -> list[str]:
    """The paths below ``/repro/models`` of every model the entry names for any kind of workload."""
    known = synthetic_models()
    wanted = sorted({name for names in entry.models.values() for name in names})
    for name in wanted:
        if name not in known:
            raise CatalogueError(
                f"{entry.folder}: there is no model {name!r}", f"there are: {', '.join(known)}", "correct `models`"
            )
    return sorted(path for name in wanted for path in known[name].files)
