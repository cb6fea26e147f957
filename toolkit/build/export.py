"""One docker archive of the images that a launch starts, for people without the tool::

    save_images(store, [built.backend, built.sdk], Path("images.tar"))  # then: docker load -i images.tar

Written from the store's own layers, not by the engine: same images, same bytes, on every machine.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from toolkit.build import records
from toolkit.build.assemble import Assembled, write_archive_of
from toolkit.errors import UsageError
from toolkit.fetch.store import Store
from toolkit.model.inputs import BuiltImage

_MODE = 0o644


def save_images(store: Store, images: Sequence[BuiltImage], path: Path) -> None:
    """Write the archive; a file already there is replaced once the new one is whole.

    Raises InputUnavailable for an image that the store does not remember, InputMismatch for a changed layer, UsageError
    when the file cannot be written.
    """
    found = [_whole(store, image) for image in sorted(images, key=lambda image: image.reference)]
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                write_archive_of(stream, found)
                os.fchmod(stream.fileno(), _MODE)
                os.fsync(stream.fileno())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as problem:
        raise UsageError(
            f"{path} cannot be written", problem.strerror or str(problem), "name another file with --save FILE"
        ) from problem


def _whole(store: Store, image: BuiltImage) -> Assembled:
    """An image of the store, every byte of it checked."""
    found = records.required(store, image, "run `repro build` again")
    for layer in found.layers:
        store.blob(layer.name, f"a layer of {image.reference}")
    return found
