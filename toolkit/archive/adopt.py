"""From a verified archive to what a launch needs: the run folder, the images, nothing of this machine's memory.

The images of a stranger go into a store of their own, which lives as long as the command: a record of theirs must never
be what a later ``repro launch`` takes for the images of its own inputs. The engine gets them under names that only
follow from their content.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from toolkit.archive import layout
from toolkit.archive.images import run_images
from toolkit.build import records
from toolkit.engine.port import Engine
from toolkit.errors import ArchiveInvalid, HostUnfit
from toolkit.fetch.store import Store
from toolkit.host.facts import host_facts
from toolkit.host.topology import Placement, Topology
from toolkit.launch.folder import RunFolder
from toolkit.launch.prepare import held_model
from toolkit.launch.run import CellImages, Prepared
from toolkit.model.inputs import BuiltImage
from toolkit.model.names import on_disk
from toolkit.model.plan import Plan
from toolkit.render.seccomp import seccomp_profile
from toolkit.seal import manifest_digest, read_json
from toolkit.verify.names import shown
from toolkit.verify.report import Refused
from toolkit.verify.scan import Scan
from toolkit.verify.stages.host import PLATFORM
from toolkit.verify.strict import strict_json
from toolkit.verify.unpack import unpack


def unpack_run(stream: BinaryIO, scan: Scan, folder: Path, run: str, *, images: bool = True) -> RunFolder:
    """The archive's run folder, and its image blobs unless ``images`` is False, below ``folder``.

    Raises Refused, OSError.
    """
    wanted = (layout.RUN, layout.BLOBS) if images else (layout.RUN,)
    unpack(stream, scan, folder, lambda name: name.startswith(wanted))
    (folder / layout.RUN).rename(folder / run)
    return RunFolder(folder / run)


def adopt_images(folder: Path, lock: Mapping[str, Any]) -> Store:
    """A private store below ``folder`` that holds the archive's images. ``lock`` has been checked
    (``stranger.read_lock_of``). Raises ArchiveInvalid, HostUnfit for images of another platform, Refused.
    """
    store = Store.open(folder / "store")
    blobs = folder / layout.BLOBS
    for image in run_images(lock):
        layers = [diff.removeprefix("sha256:") for diff in image.identity.diff_ids]
        own = image.identity.config_digest.removeprefix("sha256:")
        if not all((blobs / one).is_file() for one in (own, *layers)):
            raise Refused(5, "incomplete", shown(image.reference), "in the archive, as its lock names it", "missing")
        config = strict_json((blobs / own).read_bytes(), "a config", 5)
        platform = f"{config.get('os')}/{config.get('architecture')}"
        if platform != PLATFORM:
            raise HostUnfit(
                f"{shown(image.reference)} is not for this machine",
                f"its configuration says {shown(platform)}, and only {PLATFORM} runs",
                "ask for an archive of a run on such a machine",
            )
        for layer in layers:
            if not store.has(layer):
                store.add_file(blobs / layer, layer, f"a layer of {image.reference}")
        row = {"image": records.image_json(image), "runtime": config.get("config", {}), "layers": layers}
        store.put_record(records.IMAGES, image.inputs_digest, row)
        if records.recall(store, image.inputs_digest) is None:
            raise ArchiveInvalid(
                f"{image.reference} cannot be put together again",
                "its configuration is not of the kind that this tool writes",
                "run rerun.sh of the archive after reading it",
            )
    return store


def _loaded(engine: Engine, store: Store, lock: Mapping[str, Any]) -> dict[str, BuiltImage]:
    """SDK and backend image of a cell, in the engine, compared by content. Raises EngineError, InputMismatch."""
    found = {}
    for kind, row in lock["images"].items():
        if kind == "base":
            continue
        image = records.image_from_json(row)
        known = records.recall(store, image.inputs_digest)
        if known is None:
            raise ArchiveInvalid(
                f"{image.reference} is not in the archive", "it was made without images", "ask for a whole one"
            )
        records.load_verified(engine, store, known[1])
        found[kind] = image
    return found


def agent_rows(original: RunFolder) -> frozenset[str] | None:
    """The rows that the agents of a run's images read: an agent refuses to be asked for one that it does not know.

    None where no read-back says.
    """
    found: set[str] = set()
    for path in original.path.glob("attempts/*/*/readback.json"):
        for part in read_json(path)["containers"].values():
            found |= {row["id"] for row in part["rows"] if "agent" in row["witnesses"]}
    return frozenset(found) or None


def placed(plan: Plan, placement: Placement) -> Plan:
    """The plan on other CPUs. What the program is told (GOMAXPROCS, threads) stays as its author planned it."""
    cells = tuple(
        replace(
            cell,
            cpus=placement.cpus,
            mems=placement.mems,
            agent_cpus=placement.agent_cpus,
            backend_cpus=placement.backend_cpus if not cell.in_process else cell.backend_cpus,
            housekeeping_cpus=placement.housekeeping_cpus,
            shared_cpus=placement.shared,
        )
        for cell in plan.cells
    )
    return replace(plan, cells=cells)


def prepared_again(
    original: RunFolder, plan: Plan, engine: Engine, store: Store, topology: Topology, *, model: Path | None = None
) -> Prepared:
    """What a re-run of an unpacked run is made from: its own images and rendered bytes. Needs no catalogue.

    ``model``: the file of its author's own that the run used, where it lies here.

    Raises EngineError, InputMismatch, ArchiveInvalid.
    """
    lock, facts = read_json(original.path / "lock.json"), engine.facts()
    images = {}
    for cell in plan.cells:
        found = _loaded(engine, store, lock["cells"][cell.cell])
        rendered = original.path / "rendered" / on_disk(cell.cell)
        files = {path.name: path.read_bytes() for path in sorted(rendered.iterdir()) if path.is_file()}
        images[cell.cell] = CellImages(found["sdk"], found.get("backend"), files)
    return Prepared(
        plan=plan,
        lock=lock,
        base_state=str(read_json(original.path / "setup.json")["base"]),
        images=images,
        seccomp=seccomp_profile(),
        host=host_facts(topology, facts),
        facts=facts,
        chain={"parent": manifest_digest(original)},
        model=held_model(plan, model),
        agent_rows=agent_rows(original),
    )
