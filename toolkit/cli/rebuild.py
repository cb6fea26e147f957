"""``repro rebuild``: the images of an archive from its own sources, offline, and how near they come."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli.common import JsonFlag, QuietFlag, StoreOption, VerboseFlag, command
from toolkit.cli.rerun import AcceptUnverified, NotBefore, Sha256, Signer

if TYPE_CHECKING:
    from toolkit.archive.rebuild import Rebuilt
    from toolkit.build.compile import Limits
    from toolkit.output import Output
    from toolkit.verify.report import Verification
    from toolkit.verify.run import Question

LimitMinutes = Annotated[
    float, typer.Option("--limit-minutes", min=0.01, help="Stop the builds after so long, all together.")
]
LimitGigabytes = Annotated[
    float, typer.Option("--limit-gigabytes", min=0.001, help="Stop a build that writes more to the disk (1 GB = 10^9).")
]


def rebuild(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The archive.")],
    signer: Signer = None,
    sha256: Sha256 = None,
    not_before: NotBefore = None,
    accept_unverified: AcceptUnverified = False,
    limit_minutes: LimitMinutes = 60.0,
    limit_gigabytes: LimitGigabytes = 8.0,
    store: StoreOption = None,
    json_mode: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Build the images of an archive again from the inputs inside it, with no network, and compare."""
    with command(json_mode=json_mode, quiet=quiet, verbose=verbose) as output:
        from toolkit.build.compile import Limits
        from toolkit.cli.verify import question_of

        question = question_of(file, sha256, signer, not_before=not_before)
        limits = Limits(time.monotonic() + 60 * limit_minutes, int(limit_gigabytes * 1e9))
        document = rebuild_archive(question, store, output, limits, accept_unverified=accept_unverified)
        output.document(document)
        if document["level"] == "differs":
            raise typer.Exit(1)


def rebuild_archive(
    question: Question, store: Path | None, output: Output, limits: Limits, *, accept_unverified: bool
) -> dict[str, Any]:
    """Verify, unpack, build, compare. Raises ArchiveInvalid and what a build raises."""
    from toolkit.archive import layout
    from toolkit.archive.stranger import adopt_inputs, judged, read_lock_of
    from toolkit.cli.strangers import may_use, say_environment, verified_archive
    from toolkit.engine.docker import connect
    from toolkit.fetch.store import Store
    from toolkit.verify.unpack import unpack

    def refuse(found: Verification) -> None:
        may_use(found, accept_unverified=accept_unverified)

    with verified_archive(question, store, refuse) as held:
        output.talk(f"verified: {held.found.archive['run']}, author {held.found.author}")
        set_here = say_environment(output)
        engine = connect()
        engine.facts()
        wanted = (layout.RUN, layout.BLOBS, layout.INPUTS)
        with judged():
            unpack(held.stream, held.scan, held.place, lambda name: name.startswith(wanted))
            lock = read_lock_of(held.place / layout.RUN)
        from toolkit.archive.borrowed import borrowed
        from toolkit.archive.rebuild import rebuild_cell

        inputs, blobs = adopt_inputs(held.place, lock, output.talk), held.place / layout.BLOBS
        rows: dict[str, Rebuilt] = {}
        with borrowed(engine, Store.open(store), output.talk) as lent:
            for cell in lock["cells"].values():
                if not all(f"{kind}-{image['id']}" in rows for kind, image in cell["images"].items()):
                    made = rebuild_cell(lent, inputs, cell, blobs, output.talk, limits=limits)
                    rows |= {f"{one.kind}-{one.id}": one for one in made}
    return {**_report(list(rows.values()), held.found, output), "environment": set_here}


def _report(rows: list[Rebuilt], verified: Verification, output: Output) -> dict[str, Any]:
    from toolkit.report.table import table

    order = ("bitwise", "same content", "differs")
    level = max((row.level for row in rows), key=order.index)
    shown = [[row.kind, row.id, row.level, row.original[7:19], row.rebuilt[7:19], row.where] for row in rows]
    output.data(table([["image", "", "level", "archived", "rebuilt", "first difference"], *shown]))
    output.data(f"\nrebuilt from the archive's own inputs, no network: {level}")
    return {
        "schema": "repro.rebuild/1",
        "run": verified.archive["run"],
        "author": verified.author,
        "level": level,
        "images": [row.to_json() for row in rows],
    }
