"""``repro rebuild``: the images of an archive from its own sources, offline, and how near they come."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli.common import JsonFlag, QuietFlag, StoreOption, VerboseFlag, command
from toolkit.cli.rerun import AcceptUnverified, Sha256, Signer

if TYPE_CHECKING:
    from toolkit.archive.rebuild import Rebuilt
    from toolkit.output import Output
    from toolkit.verify.report import Verification
    from toolkit.verify.run import Question


def rebuild(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The archive.")],
    signer: Signer = None,
    sha256: Sha256 = None,
    accept_unverified: AcceptUnverified = False,
    store: StoreOption = None,
    json_mode: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Build the images of an archive again from the inputs inside it, with no network, and compare."""
    with command(json_mode=json_mode, quiet=quiet, verbose=verbose) as output:
        from toolkit.cli.verify import expected_signers, transport_digest
        from toolkit.verify.run import LAST, Question

        question = Question(file, transport_digest(sha256), expected_signers(signer, None), LAST)
        document = rebuild_archive(question, store, output, accept_unverified=accept_unverified)
        output.document(document)
        if document["level"] == "differs":
            raise typer.Exit(1)


def rebuild_archive(
    question: Question, store: Path | None, output: Output, *, accept_unverified: bool
) -> dict[str, Any]:
    """Verify, unpack, build, compare. Raises ArchiveInvalid and what a build raises."""
    from toolkit.archive import layout
    from toolkit.cli.rerunning_archive import may_use
    from toolkit.engine.docker import connect
    from toolkit.fetch.store import Store
    from toolkit.seal import read_json
    from toolkit.verify.run import opened, verify_stream
    from toolkit.verify.unpack import unpack

    with opened(question.path) as stream, ExitStack() as stack:
        found, scan = verify_stream(stream, question)
        may_use(found, accept_unverified=accept_unverified)
        if scan is None:
            raise RuntimeError("a verified archive was read")
        output.talk(f"verified: {found.archive['run']}, author {found.author}")
        engine = connect()
        place = stack.enter_context(Store.open(store).temporary())
        wanted = (layout.RUN, layout.BLOBS, layout.INPUTS)
        unpack(stream, scan, place, lambda name: name.startswith(wanted))
        lock = read_json(place / layout.RUN / "lock.json")
        from toolkit.archive.rebuild import adopt_inputs, rebuild_cell

        inputs = adopt_inputs(place)
        rows: dict[str, Rebuilt] = {}
        for cell in lock["cells"].values():
            if not all(f"{kind}-{image['id']}" in rows for kind, image in cell["images"].items()):
                made = rebuild_cell(engine, inputs, cell, place / layout.BLOBS, output.talk)
                rows |= {f"{one.kind}-{one.id}": one for one in made}
    return _report(list(rows.values()), found, output)


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
