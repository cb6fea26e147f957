"""The Dockerfile route meets the assembled one: a built image with times, order, owners of nothing and write bits
taken out.

Layers of the base are kept as they are; what lies above becomes one layer, sorted, times zero, write bits of files
dropped; the configuration keeps
only what changes how a container runs. The result has the same config digest and diff ids as the image we assemble
ourselves.
"""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path

from toolkit.build import identity
from toolkit.build.assemble import Assembled, assemble
from toolkit.build.foundation import saved_config, saved_layers
from toolkit.build.ustar import Entry, write_layer
from toolkit.engine.port import Engine
from toolkit.errors import BuildFailed

_WRITE_BITS = 0o222


def normalise(engine: Engine, image: str, base: Sequence[str], folder: Path, *, kind: str, name: str) -> Assembled:
    """The normalised form of an image in the engine whose lowest layers are ``base`` (diff ids). Raises BuildFailed,
    EngineError.
    """
    archive = folder / "saved.tar"
    with archive.open("wb") as stream:
        for block in engine.save(image):
            stream.write(block)
    config = saved_config(archive)
    layers = saved_layers(archive, folder)
    archive.unlink()
    found = config["rootfs"]["diff_ids"]
    if found[: len(base)] != list(base):
        raise BuildFailed(
            f"{image} does not stand on the base",
            f"its lowest layers are {found[: len(base)]}",
            "load load/base.tar first",
        )
    upper = folder / "upper.tar"
    with upper.open("wb") as stream:
        write_layer(stream, merged_entries(layers[len(base) :]))
    runtime = identity.clean_runtime_config(config.get("config") or {})
    return assemble(runtime, [*layers[: len(base)], upper], kind=kind, name=name)


def merged_entries(layers: Sequence[Path]) -> list[Entry]:
    """What some layers hold together, later ones winning. Raises BuildFailed for what no image of ours has (removed
    files, links, devices).
    """
    found: dict[str, Entry] = {}
    for layer in layers:
        with tarfile.open(layer, "r:") as tar:
            for member in tar:
                path = member.name.strip("/")
                if path.rpartition("/")[2].startswith(".wh."):
                    raise BuildFailed(
                        f"{path} in a built layer removes a file of the base", "our Dockerfiles only add", "report this"
                    )
                if member.isdir():
                    found[path] = Entry.folder(path, member.mode, uid=member.uid, gid=member.gid)
                elif member.isreg():
                    stream = tar.extractfile(member)
                    data = stream.read() if stream is not None else b""
                    found[path] = Entry.file(path, data, member.mode & ~_WRITE_BITS, uid=member.uid, gid=member.gid)
                else:
                    raise BuildFailed(
                        f"{path} in a built layer is no plain file", "our Dockerfiles copy files only", "report this"
                    )
    return list(found.values())
