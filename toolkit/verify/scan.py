"""One pass over an archive: every member named, hashed, and looked at, nothing written anywhere.

What the pass sees is kept as facts; which of them fails first is for the stages to say, in their order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from toolkit.archive import layout
from toolkit.verify.frames import Transport
from toolkit.verify.hashing import Hashing
from toolkit.verify.headers import BLOCK, Header, read_header
from toolkit.verify.layers import LayerWalk
from toolkit.verify.names import Names, shown
from toolkit.verify.report import Refused

_STAGE = 1
_KEPT = (
    layout.SBOM,
    layout.PROVENANCE,
    layout.RERUN,
    layout.RERUN_PLAN,
    layout.RERUN_SETUP,
    layout.IMAGES_INDEX,
    layout.IMAGES_LAYOUT,
    layout.IMAGES_LEGACY,
)
_KEPT_BELOW = (layout.RUN, layout.INPUTS_INDEX)
_NOT_KEPT = (".pb", ".log", "bench.txt", "result.json", "readback.json", "ledger.json")
_BLOB_KEPT_BYTES = 1024**2


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the archive as it was read."""

    name: str
    size: int
    mode: int
    sha256: str


@dataclass
class Scan:
    """Everything a pass found out. ``documents`` holds the bytes of small files that later stages parse."""

    members: dict[str, Member] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    documents: dict[str, bytes] = field(default_factory=dict)
    layers: dict[str, LayerWalk] = field(default_factory=dict)
    transport: Transport | None = None
    total_bytes: int = 0


class Source:
    """Exact reads over pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def some(self, most: int) -> memoryview:
        """The next bytes, at most so many; empty at the end."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return memoryview(b"")
            self._rest = memoryview(piece)
        found, self._rest = self._rest[:most], self._rest[most:]
        return found

    def exactly(self, size: int) -> bytes:
        """So many bytes, fewer only at the end."""
        held = bytearray()
        while len(held) < size and (found := self.some(size - len(held))):
            held += found
        return bytes(held)


def scan(stream: BinaryIO) -> Scan:
    """Read an archive through. Raises Refused of stage 0 or 1."""
    with Hashing() as hashing:
        return _scan(stream, hashing)


def _scan(stream: BinaryIO, hashing: Hashing) -> Scan:
    found = Scan(transport=Transport(stream, hashing=hashing))
    assert found.transport is not None  # noqa: S101 -- for the type checker
    source, names = Source(found.transport.pieces()), Names()
    layers: frozenset[str] = frozenset()
    while True:
        block = source.exactly(BLOCK)
        if len(block) < BLOCK:
            raise Refused(_STAGE, "tampered", "the tar's end", "two empty blocks", "the file ends before")
        if not any(block):
            _ended(source)
            return found
        header = read_header(block)
        names.add(header.name)
        _within_limits(header, names, found)
        _member(header, source, found, layers, hashing)
        if header.name == layout.INDEX:
            layers = frozenset(layout.blob(one) for one in layer_digests(found.documents[layout.INDEX]))


def _within_limits(header: Header, names: Names, found: Scan) -> None:
    if len(names) == 1 and header.name != layout.INDEX:
        raise Refused(_STAGE, "tampered", "the first member", layout.INDEX, shown(header.name))
    found.total_bytes += header.size
    limits = (
        (len(names), layout.MAX_MEMBERS, "members"),
        (found.total_bytes, layout.MAX_TOTAL_BYTES, "bytes of content"),
        (header.size if header.name == layout.INDEX else 0, layout.MAX_INDEX_BYTES, f"bytes of {layout.INDEX}"),
        (header.size if header.name == layout.SIGNATURE else 0, layout.MAX_SIGNATURE_BYTES, "bytes of the signature"),
    )
    for count, limit, what in limits:
        if count > limit:
            raise Refused(_STAGE, "unsafe", what, f"at most {limit}", str(count))


def _member(header: Header, source: Source, found: Scan, layers: frozenset[str], hashing: Hashing) -> None:
    """Hash one member's content; keep it where it is small and wanted, walk it where it is a layer."""
    state = hashing.digest()
    kept = bytearray() if _wanted(header) else None
    walk = LayerWalk() if header.name in layers else None
    left = header.size
    while left:
        piece = source.some(left)
        if not piece:
            raise Refused(_STAGE, "tampered", f"the content of {shown(header.name)}", f"{header.size} bytes", "cut off")
        left -= len(piece)
        state.update(piece)
        if kept is not None:
            kept += piece
        if walk is not None:
            walk.feed(piece)
    padding = -header.size % BLOCK
    rest = source.exactly(padding)
    if len(rest) != padding or any(rest):
        raise Refused(_STAGE, "tampered", f"the padding after {shown(header.name)}", "zeros", "something else")
    found.members[header.name] = Member(header.name, header.size, header.mode, state.hexdigest())
    found.order.append(header.name)
    if kept is not None:
        found.documents[header.name] = bytes(kept)
    if walk is not None:
        found.layers[header.name] = walk


def _wanted(header: Header) -> bool:
    name = header.name
    if name in (layout.INDEX, layout.SIGNATURE):
        return True
    if header.size > layout.MAX_DOCUMENT_BYTES:
        return False
    if name.startswith(layout.BLOBS):
        return header.size <= _BLOB_KEPT_BYTES
    return name in _KEPT or (name.startswith(_KEPT_BELOW) and not name.endswith(_NOT_KEPT))


def _ended(source: Source) -> None:
    second = source.exactly(BLOCK)
    if len(second) < BLOCK or any(second):
        raise Refused(_STAGE, "tampered", "the tar's end", "two empty blocks", "one")
    if source.some(1):
        raise Refused(_STAGE, "tampered", "bytes after the tar's end", "none", "some")


def layer_digests(index: bytes) -> set[str]:
    """The diff ids that an index claims, read leniently: stage 3 judges the document."""
    import json

    try:
        document: Mapping[str, Any] = json.loads(index)
        return {str(diff) for image in document["images"] for diff in image["diff_ids"]}
    except (ValueError, KeyError, TypeError, RecursionError):
        return set()
