"""A bundle: the bytes of every input of a lock in one file, by digest (``repro lock --bundle``, ``fetch --from``).

The tar of an archive's ``inputs/`` alone, one zstd frame. Whoever reads it trusts nothing but digests.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from toolkit.archive import layout
from toolkit.archive.inputs import Input, input_members
from toolkit.archive.members import Member
from toolkit.archive.pack import write_archive
from toolkit.errors import ArchiveInvalid, InputMismatch
from toolkit.fetch.store import Store
from toolkit.model.inputs import LockedFile
from toolkit.verify.frames import Transport
from toolkit.verify.headers import BLOCK, read_header
from toolkit.verify.report import Refused
from toolkit.verify.run import opened
from toolkit.verify.scan import Source


def inputs_of_rows(rows: Iterable[LockedFile]) -> list[Input]:
    """Locked files as inputs of a bundle, each once."""
    kinds = {"apt": "package", "pip": "archive", "gomod": "module"}
    return sorted(
        {Input(kinds.get(row.source, "archive"), row.name, row.version, row.filename, row.sha256) for row in rows}
    )


def bundle_members(store: Store, rows: Iterable[LockedFile]) -> list[Member]:
    """What a bundle holds, its index first. Raises InputUnavailable for what the store lacks."""
    return input_members(store, inputs_of_rows(rows))


def write_bundle(store: Store, rows: Iterable[LockedFile], target: Path, *, overwrite: bool = False) -> int:
    """Write the bundle; how many files it holds. Raises InputUnavailable, UsageError."""
    members = bundle_members(store, rows)
    write_archive(target, members, overwrite=overwrite)
    return len(members)


def take_in(store: Store, path: Path, wanted: Iterable[LockedFile]) -> int:
    """Take these inputs out of a bundle or an archive; how many there were. Nothing else of it is read.

    Raises ArchiveInvalid for a file that is neither, or damaged; InputMismatch for bytes that are not what their name
    says, or not as many as the lock does: those are not written anywhere; UsageError.
    """
    needed, taken = {row.sha256: row for row in wanted}, 0
    with opened(path) as stream:
        try:
            for sha256, source, size in _blobs(stream):
                if sha256 in needed and not store.has(sha256):
                    _of_size(needed[sha256], size)
                    _keep(store, source, size, sha256)
                    taken += 1
                else:
                    _skip(source, size)
                source.exactly(-size % BLOCK)
        except Refused as refused:
            raise ArchiveInvalid(
                f"{path.name} is no sound bundle or archive", str(refused), "fetch it again, or use another"
            ) from refused
    return taken


def _blobs(stream: object) -> Iterator[tuple[str, Source, int]]:
    """Every file below ``inputs/sha256/``, with the source positioned at its content."""
    source = Source(Transport(stream, first=(layout.INDEX, layout.INPUTS_INDEX)).pieces())  # type: ignore[arg-type]
    while True:
        block = source.exactly(BLOCK)
        if not any(block):
            return
        header = read_header(block)
        if header.name.startswith(layout.INPUT_BLOBS):
            yield header.name.removeprefix(layout.INPUT_BLOBS), source, header.size
        else:
            _skip(source, header.size)
            source.exactly(-header.size % BLOCK)


def _of_size(row: LockedFile, size: int) -> None:
    """A megabyte of a bundle may claim to be a gigabyte of an input: what is too large is not even begun."""
    if size != row.size_bytes:
        raise InputMismatch(
            f"{row.filename} is not what was locked",
            f"it has {row.size_bytes} bytes, and {size} here",
            "do not use this file; ask for another",
        )


def _keep(store: Store, source: Source, size: int, sha256: str) -> None:
    with store.temporary() as folder:
        with (folder / "bytes").open("wb") as stream:
            left = size
            while left and (piece := source.some(left)):
                stream.write(piece)
                left -= len(piece)
        store.add_file(folder / "bytes", sha256, f"inputs/sha256/{sha256[:12]}")


def _skip(source: Source, size: int) -> None:
    while size and (piece := source.some(size)):
        size -= len(piece)
