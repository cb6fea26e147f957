"""``repro build``: the images of a launch, without launching."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli import options as of
from toolkit.cli.common import CatalogueOption, JsonFlag, QuietFlag, StoreOption, VerboseFlag, command

if TYPE_CHECKING:
    from toolkit.fetch.store import Store
    from toolkit.model.inputs import BuiltImage


def build(
    sdk: of.Sdk,
    workload: of.Workload = None,
    backend: of.Backend = None,
    base: of.Base = None,
    no_cache: of.NoCache = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no package source; an input that is not here is an error.")
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option("--save", help="Also write the images that a launch starts to one file for docker load."),
    ] = None,
    store: StoreOption = None,
    catalogue: CatalogueOption = None,
    json_mode: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Build the images of a launch. Prints the digests that identify them."""
    with command(json_mode=json_mode, quiet=quiet, verbose=verbose) as output:
        from toolkit.build.images import BuildOptions, ensure_images
        from toolkit.catalogue import load_catalogue
        from toolkit.cli.choose import choose
        from toolkit.engine.docker import connect
        from toolkit.fetch.store import Store

        found = load_catalogue(catalogue)
        choices = choose(found, sdk, workload, backend)
        engine, opened = connect(), Store.open(store)
        options = BuildOptions(no_cache=no_cache, base_image=base, offline=offline)
        images: dict[str, dict[str, Any]] = {}
        started: dict[str, BuiltImage] = {}
        states = set()
        for one in choices:
            built = ensure_images(
                engine, found, sdk=one.sdk, backend=one.backend, store=opened, options=options, report=output.talk
            )
            states.add(built.base_state)
            images |= {image.reference: image_row(image) for image in (built.base, built.backend, built.sdk)}
            started |= {image.reference: image for image in (built.backend, built.sdk)}
        if save is not None:
            _save(opened, started.values(), save)
            output.talk(f"saved {len(started)} images; next: docker load -i {save}")
        state = "relocked" if "relocked" in states else "locked"
        output.document({"schema": "repro.build/1", "base": state, "images": list(images.values())})
        for row in images.values():
            output.data(f"{row['reference']}\n  config {row['config_digest']}\n  content {row['content_digest']}")


def _save(store: Store, images: Iterable[BuiltImage], path: Path) -> None:
    from toolkit.build.export import save_images

    save_images(store, list(images), path)


def image_row(image: BuiltImage) -> dict[str, Any]:
    """One image as scripts see it: the identity that we computed, in the manifest's words."""
    from dataclasses import asdict

    return {
        "kind": image.kind,
        "id": image.id,
        "reference": image.reference,
        **asdict(image.identity),
        "binary_digest": image.binary_digest,
        "inputs_digest": image.inputs_digest,
        "size_bytes": image.size_bytes,
    }
