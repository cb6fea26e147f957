"""The transport bytes of an archive, unpacked in bounded pieces: zstd, gzip or plain tar, by content.

A zstd frame is walked block by block (RFC 8878, section 3.1.1), so that no piece of output exceeds one block (128 KiB)
and the frame's end is known exactly: bytes after it are somebody else's.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from toolkit.archive import layout
from toolkit.verify.hashing import Digest, Hashing
from toolkit.verify.report import Refused

_PIECE_BYTES = 128 * 1024
_READ_BYTES = 1 << 20
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_GZIP_MAGIC = b"\x1f\x8b"
_RESERVED_BLOCK, _RLE_BLOCK = 3, 1
_OUR_HEADER = b"\x04\x60"
"""What the writer's frames begin with after the magic: a checksum, no content size, a window of 4 MiB (level 10)."""


class Transport:
    """Reads a file once: gives what it holds, and knows the digest and size of its own bytes afterwards.

    ``as_written``: the frame's header is the one that our writer gives it; a file that somebody compressed anew, or
    whose header was changed without changing what it unpacks to, has another.
    ``first``: the names with one of which a plain tar of ours begins. ``hashing``: who digests the transport bytes, if
    not this thread.

    Raises Refused (stage 0): ``malformed`` for what is no archive, ``tampered`` for a file that was cut or added to,
    ``unsafe`` for one that would take more memory or space than an archive of ours can need.
    """

    def __init__(
        self, stream: BinaryIO, first: Sequence[str] = (layout.INDEX,), hashing: Hashing | None = None
    ) -> None:
        self._stream = stream
        self._starts = tuple(name.encode() + b"\0" for name in first)
        self._state = Digest(hashing)
        self._held = memoryview(b"")
        self.size_bytes = 0
        self.content_bytes = 0
        self.compression = "none"
        self.as_written = False

    @property
    def sha256(self) -> str:
        """Of the transport bytes that were read."""
        return self._state.hexdigest()

    def pieces(self) -> Iterator[bytes]:
        """The content, in pieces of at most 128 KiB."""
        start = self._read(len(_ZSTD_MAGIC))
        if not start:
            raise Refused(0, "malformed", "the file", "an archive", "nothing: it is empty")
        if start == _ZSTD_MAGIC:
            self.compression = "zstd"
            made = self._zstd()
        elif start.startswith(_GZIP_MAGIC):
            self.compression = "gzip"
            made = self._gzip(start)
        else:
            made = self._plain(start)
        for piece in made:
            self.content_bytes += len(piece)
            self._bounded()
            yield piece

    def _bounded(self) -> None:
        grown = self.content_bytes > max(layout.RATIO_FREE_BYTES, self.size_bytes * layout.MAX_RATIO)
        if grown or self.content_bytes > layout.MAX_TOTAL_BYTES:
            limit = f"at most {layout.MAX_RATIO} times its size" if grown else f"{layout.MAX_TOTAL_BYTES} bytes"
            raise Refused(0, "unsafe", "what the file unpacks to", limit, f"more, after {self.content_bytes} bytes")

    def _read(self, size: int) -> bytes:
        while len(self._held) < size and (more := self._stream.read(_READ_BYTES)):
            self._state.update(more)
            self._held = memoryview(bytes(self._held) + more if self._held else more)
        data, self._held = bytes(self._held[:size]), self._held[size:]
        self.size_bytes += len(data)
        return data

    def _exactly(self, size: int, what: str) -> bytes:
        data = self._read(size)
        if len(data) < size:
            raise Refused(0, "tampered", what, f"{size} bytes", f"the file ends after {len(data)}")
        return data

    def _nothing_more(self) -> None:
        rest = self._read(1)
        if rest:
            while self._read(_PIECE_BYTES):  # so that the digest is that of the whole file
                pass
            raise Refused(0, "tampered", "bytes after the archive's end", "none", "some")

    def _plain(self, start: bytes) -> Iterator[bytes]:
        first = start + self._read(512 - len(start))
        if not any(first.startswith(start[: len(first)]) for start in self._starts):
            if _ZSTD_MAGIC.startswith(first):
                raise Refused(0, "tampered", "the file", "an archive", "it is cut off within its first bytes")
            raise Refused(0, "malformed", "the file", "zstd, gzip or tar with archive.json first", "something else")
        yield first
        while piece := self._read(_PIECE_BYTES):
            yield piece

    def _gzip(self, start: bytes) -> Iterator[bytes]:
        machine = zlib.decompressobj(wbits=31)
        feed = start
        try:
            while not machine.eof:
                piece = machine.decompress(feed, _PIECE_BYTES)
                if piece:
                    yield piece
                feed = machine.unconsumed_tail or (b"" if piece and machine.eof else self._read(_PIECE_BYTES))
                if not feed and not machine.eof:
                    raise Refused(0, "tampered", "the gzip stream", "complete", "the file ends within it")
        except zlib.error as problem:
            raise Refused(0, "tampered", "the gzip stream", "sound", str(problem)) from problem
        if machine.unused_data:
            raise Refused(0, "tampered", "bytes after the archive's end", "none", "some")
        self._nothing_more()

    def _zstd(self) -> Iterator[bytes]:
        import zstandard

        header, checksum = self._frame_header()
        machine = zstandard.ZstdDecompressor(max_window_size=layout.MAX_WINDOW_BYTES).decompressobj()
        try:
            yield from _some(machine.decompress(header))
            last = False
            while not last:
                block = self._exactly(3, "a zstd block")
                number = int.from_bytes(block, "little")
                last, kind, size = bool(number & 1), (number >> 1) & 3, number >> 3
                if kind == _RESERVED_BLOCK or size > _PIECE_BYTES:
                    raise Refused(0, "tampered", "a zstd block", "of a known kind and size", f"kind {kind}, {size}")
                body = self._exactly(1 if kind == _RLE_BLOCK else size, "a zstd block")
                yield from _some(machine.decompress(block + body))
            if checksum:
                yield from _some(machine.decompress(self._exactly(4, "the zstd checksum")))
        except zstandard.ZstdError as problem:
            raise Refused(0, "tampered", "the zstd frame", "sound", str(problem)) from problem
        self._nothing_more()

    def _frame_header(self) -> tuple[bytes, bool]:
        """The frame's header with its magic, and whether a checksum ends the frame (RFC 8878, 3.1.1.1)."""
        first = self._exactly(1, "the zstd header")
        flags = first[0]
        single, dictionary = bool(flags & 0x20), flags & 3
        if flags & 0x18:
            raise Refused(0, "tampered", "the zstd header", "no reserved or unused bit", "one is set")
        if dictionary:
            raise Refused(0, "malformed", "the zstd frame", "no dictionary", "it needs one")
        sizes = (1 if single else 0, 2, 4, 8)
        rest = self._exactly((0 if single else 1) + sizes[flags >> 6], "the zstd header")
        self.as_written = first + rest == _OUR_HEADER
        window = int.from_bytes(rest, "little") if single else _window(rest[0])
        if window > layout.MAX_WINDOW_BYTES:
            raise Refused(0, "malformed", "the zstd window", f"at most {layout.MAX_WINDOW_BYTES} bytes", str(window))
        return _ZSTD_MAGIC + first + rest, bool(flags & 4)


def _window(descriptor: int) -> int:
    base = 1 << (10 + (descriptor >> 3))
    return base + (base // 8) * (descriptor & 7)


def _some(piece: bytes) -> Iterator[bytes]:
    if piece:
        yield piece
