"""``repro fetch``: brings every locked input into the content store."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.common import CatalogueOption, JsonFlag, QuietFlag, StoreOption, command


def fetch(
    sdk: Annotated[
        list[str] | None, typer.Option("--sdk", help="Only what this entry needs; repeat it (default: everything).")
    ] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            "--backend", help="Of the backends only this one; repeat it (default: all that the SDKs can run against)."
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE|DIR|URL",
            help="Look there first: a bundle or archive, another store, files by name; digests decide.",
        ),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no package source; an input that is not here is an error.")
    ] = False,
    store: StoreOption = None,
    catalogue: CatalogueOption = None,
    json_mode: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Bring every locked input into the store. The package clients of this host do it; digests decide."""
    with command(json_mode=json_mode, quiet=quiet) as output:
        from toolkit.catalogue import load_catalogue
        from toolkit.fetch.source import Source
        from toolkit.fetch.stage import fetch_all
        from toolkit.fetch.store import Store
        from toolkit.units import size

        place = Source(source) if source else None
        opened = Store.open(store)
        done = fetch_all(
            opened,
            load_catalogue(catalogue),
            sdks=sdk,
            backends=backend,
            source=place,
            offline=offline,
            report=output.talk,
        )
        output.document(
            {
                "schema": "repro.fetch/1",
                "inputs": done.inputs,
                "brought": done.brought,
                "size_bytes": done.size_bytes,
                "store": str(opened.root),
            }
        )
        output.data(
            f"{done.inputs} inputs ({size(done.size_bytes)}), {done.brought} of them brought now, in {opened.root}"
        )
