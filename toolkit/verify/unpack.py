"""Write some members of a verified archive into a folder of our own, each held against the digest that was verified.

Reads the same descriptor again: a file that was replaced or changed in between is noticed, for every byte is hashed
anew. Writes relative to directory descriptors, follows no link, and never over anything that exists.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from toolkit.archive import layout
from toolkit.verify.frames import Transport
from toolkit.verify.headers import BLOCK, read_header
from toolkit.verify.names import shown
from toolkit.verify.report import Refused
from toolkit.verify.scan import Scan, Source

_STAGE = 4


def unpack(stream: BinaryIO, scan: Scan, folder: Path, wanted: Callable[[str], bool]) -> int:
    """Write the members for which ``wanted`` says so below ``folder`` (existing, empty, ours). Returns how many.

    Raises Refused (tampered) when the archive is no longer what was verified, OSError.
    """
    stream.seek(0)
    source, count = Source(Transport(stream).pieces()), 0
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in scan.order:
            header = read_header(source.exactly(BLOCK))
            if header.name != name or header.size != scan.members[name].size:
                raise Refused(_STAGE, "tampered", "the archive", "what was verified", "it changed meanwhile")
            target = _create(root, name) if wanted(name) else None
            count += target is not None
            _copy(source, header.size, name, scan, target)
        return count
    finally:
        os.close(root)


def _copy(source: Source, size: int, name: str, scan: Scan, target: int | None) -> None:
    state, left = hashlib.sha256(), size
    try:
        while left:
            piece = source.some(left)
            if not piece:
                break
            left -= len(piece)
            state.update(piece)
            if target is not None:
                _write(target, piece)
        source.exactly(-size % BLOCK)
    finally:
        if target is not None:
            os.close(target)
    if left or state.hexdigest() != scan.members[name].sha256:
        raise Refused(_STAGE, "tampered", shown(name), "the bytes that were verified", "others: it changed meanwhile")


def _write(target: int, piece: memoryview) -> None:
    while piece:
        piece = piece[os.write(target, piece) :]


def _create(root: int, name: str) -> int:
    """A new file below ``root``, opened component by component."""
    *folders, last = name.split("/")
    at = os.dup(root)
    try:
        for part in folders:
            with suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=at)
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = below
        mode = layout.PROGRAM_MODE if name == layout.RERUN else layout.FILE_MODE
        return os.open(last, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode, dir_fd=at)
    finally:
        os.close(at)
