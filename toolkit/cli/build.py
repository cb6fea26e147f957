"""``repro build``: the images of a launch, without launching."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli import options as of
from toolkit.cli.common import CatalogueOption, JsonFlag, QuietFlag, StoreOption, VerboseFlag, command
from toolkit.errors import UsageError

if TYPE_CHECKING:
    from toolkit.build.images import BuildOptions, BuiltSet
    from toolkit.catalogue import Catalogue
    from toolkit.fetch.store import Store
    from toolkit.model.inputs import BuiltImage
    from toolkit.output import Output
    from toolkit.plan import Choice


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
    context: Annotated[
        Path | None, typer.Option("--context", help="Also write what 'docker build' needs to this new folder.")
    ] = None,
    store: StoreOption = None,
    catalogue: CatalogueOption = None,
    json_mode: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Build the images of a launch. Prints the digests that identify them."""
    with command(json_mode=json_mode, quiet=quiet, verbose=verbose) as output:
        from toolkit.build.images import BuildOptions
        from toolkit.catalogue import load_catalogue
        from toolkit.cli.choose import choose
        from toolkit.fetch.store import Store

        found = load_catalogue(catalogue)
        choices = choose(found, sdk, workload, backend)
        _one_context(choices, context)
        opened = Store.open(store)
        options = BuildOptions(no_cache=no_cache, base_image=base, offline=offline)
        made = _build_all(choices, found, opened, options, output)
        started = {image.reference: image for built in made for image in (built.backend, built.sdk) if image}
        if save is not None:
            _save(opened, started.values(), save)
            output.talk(f"saved {len(started)} images; next: docker load -i {save}")
        if context is not None:
            _write_context(opened, choices[0], made[0], context)
            output.talk(f"wrote {context}; next: its Dockerfile's first lines say how to build")
        _report(made, output)


def _one_context(choices: list[Choice], context: Path | None) -> None:
    if context is not None and len(choices) > 1:
        raise UsageError("--context takes one SDK", "a build context holds one SDK's sources", "name one --sdk")


def _build_all(
    choices: list[Choice], catalogue: Catalogue, store: Store, options: BuildOptions, output: Output
) -> list[BuiltSet]:
    from toolkit.build.images import ensure_images
    from toolkit.engine.docker import connect

    engine = connect()
    return [
        ensure_images(
            engine, catalogue, sdk=one.sdk, backend=one.backend, store=store, options=options, report=output.talk
        )
        for one in choices
    ]


def _report(made: list[BuiltSet], output: Output) -> None:
    images = {image.reference: image_row(image) for one in made for image in (one.base, one.backend, one.sdk) if image}
    state = "relocked" if any(one.base_state == "relocked" for one in made) else "locked"
    output.document({"schema": "repro.build/1", "base": state, "images": list(images.values())})
    for row in images.values():
        output.data(f"{row['reference']}\n  config {row['config_digest']}\n  content {row['content_digest']}")


def _write_context(store: Store, choice: Choice, built: BuiltSet, context: Path) -> None:
    from toolkit.build.context import write_context

    write_context(context, store, built.lock, sdk=choice.sdk, backend=choice.backend)


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
