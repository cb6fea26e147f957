"""``repro render``: Dockerfiles, compose project and seccomp profile of the catalogue. Same input, same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli.common import CatalogueOption, JsonFlag, QuietFlag, StoreOption, command
from toolkit.errors import Reported, ReproError
from toolkit.output import error_document

if TYPE_CHECKING:
    from toolkit.catalogue import Catalogue
    from toolkit.host.topology import Placement
    from toolkit.model.plan import CellPlan
    from toolkit.output import Output
    from toolkit.plan import Choice

_DEFAULT_FOLDER = Path("compose")


def render(
    sdk: Annotated[list[str] | None, typer.Option("--sdk", help="Only this SDK; repeat it (default: all).")] = None,
    workload: Annotated[str | None, typer.Option(help="Only this workload (default: all of the SDK's).")] = None,
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")] = _DEFAULT_FOLDER,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 when a file there differs.")] = False,
    cpus: Annotated[str, typer.Option(help="Measured CPUs of this machine (default: 0, of a machine with two).")] = "",
    store: StoreOption = None,
    catalogue: CatalogueOption = None,
    json_mode: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Write the Dockerfiles and compose projects. Same input, same bytes; needs no engine."""
    with command(json_mode=json_mode, quiet=quiet) as output:
        from toolkit.catalogue import load_catalogue

        rows = []
        for cell, choice in cells(load_catalogue(catalogue), sdk, workload, placement(cpus)):
            rows += _one(cell, choice, out, store, check=check, output=output)
        for row in rows:
            output.data(f"{row['state']:8}{row['path']}")
        _finish(rows, check, output)


def placement(cpus: str) -> Placement:
    """Where the containers sit: as asked for on this machine, or by default as on any machine with two CPUs."""
    from toolkit.host.topology import Topology, place, read_topology

    return place(read_topology(), cpus) if cpus else place(Topology((0, 1), {0: (0, 1)}, 0), "0")


def cells(
    catalogue: Catalogue, sdks: list[str] | None, workload: str | None, where: Placement
) -> list[tuple[CellPlan, Choice]]:
    """The default cell of every SDK and workload that was asked for."""
    from toolkit.cli.choose import choose
    from toolkit.plan import Request, make_plan

    found = []
    for name in sdks or list(catalogue.sdks):
        entry = catalogue.sdk(name)
        for one in [workload] if workload else [wanted for wanted, _backends in entry.workloads]:
            choices = choose(catalogue, [entry.id], one)
            found.append((make_plan(Request(workload=one), choices, where).cells[0], choices[0]))
    return found


def _one(
    cell: CellPlan, choice: Choice, out: Path, store: Path | None, *, check: bool, output: Output
) -> list[dict[str, Any]]:
    from toolkit.canonical import digest_bytes
    from toolkit.render.project import cell_folder, named_images, project, state_of, write_project

    folder = cell_folder(out, cell)
    images = _images(choice, store)
    if images is None and check:
        images = named_images(folder)
        output.talk(f"{cell.cell}: not built with this store, so the image names in compose.yaml are taken as they are")
    elif images is None:
        output.talk(
            f"{cell.cell}: no compose.yaml: it names images by content, and 'repro build' has not made them yet"
        )
    files = project(cell, choice, images)
    rows: list[dict[str, Any]] = [
        {"path": str(folder / name), "digest": digest_bytes(data), "state": state_of(folder / name, data)}
        for name, data in files.items()
    ]
    if check and images is None:
        rows.append({"path": str(folder / "compose.yaml"), "digest": None, "state": "missing"})
    if not check:
        write_project(folder, files)
        rows = [row | {"state": "same" if row["state"] == "same" else "written"} for row in rows]
    return rows


def _images(choice: Choice, store: Path | None) -> Any:
    """The names of the images, if this store remembers them. Looks without making a store."""
    from toolkit.build.images import recall_images
    from toolkit.fetch.store import Store, store_root
    from toolkit.render.project import built_images

    root = store_root(store)
    if not root.is_dir():
        return None
    return built_images(recall_images(Store(root), sdk=choice.sdk, backend=choice.backend))


def _finish(rows: list[dict[str, Any]], check: bool, output: Output) -> None:
    document = {"schema": "repro.render/1", "files": rows}
    different = [row["path"] for row in rows if check and row["state"] != "same"]
    if not different:
        output.document(document)
        return
    error = ReproError(
        f"{len(different)} rendered file(s) are not up to date",
        ", ".join(different),
        "run 'repro render' and look at the changes",
    )
    output.document({**document, "error": error_document(error)})
    raise Reported(error)
