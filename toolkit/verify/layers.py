"""A look into a layer while its bytes pass by: is it one whole tar, and does it hold anything a reviewer should know?

Layers may come from a base image of somebody else's, so any tar dialect is read; nothing is unpacked.
"""

from __future__ import annotations

import re

from toolkit.redact import SECRETS
from toolkit.verify.headers import BLOCK, checksum_holds
from toolkit.verify.names import shown

_EXTENSIONS = b"xgLK"
_DEVICES = b"34"
_SPARSE = b"S"
_NO_CONTENT = b"123456"  # links, devices, folders, pipes: engines read the next header at once, others skip the size
MAX_FILES = 1_000_000
"""Of one layer. An engine makes each of them on its disk, empty ones too; a base image has ten thousand."""

_SMALL_BYTES = 64 * 1024  # only small files are searched for keys: programs hold such letters by chance
_MOST_NOTES = 20


class LayerWalk:
    """Feed it a layer's bytes in order, then ask ``end()``. Never raises on what it is fed."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._skip = 0
        self._body: bytearray | None = None
        self._name = ""
        self._long_name = b""
        self._extension = b""
        self._zeros = 0
        self._files = 0
        self._declared = -1
        self.problem = ""
        self.unsafe = ""
        self.notes: list[str] = []

    def feed(self, data: bytes | memoryview) -> None:
        """The next bytes."""
        view = memoryview(data)
        while view and not self._stopped():
            view = self._skipped(view) if self._skip else self._block(view)

    def _stopped(self) -> bool:
        return bool(self.problem or self.unsafe)

    def end(self) -> str:
        """What is wrong with the layer as a whole; empty when it is one complete tar."""
        if not self.problem and (self._skip or self._held or self._zeros < 2):
            self.problem = "it ends within"
        return self.problem

    def _skipped(self, view: memoryview) -> memoryview:
        count = min(self._skip, len(view))
        if self._body is not None:
            self._body += view[:count]
        self._skip -= count
        if not self._skip and self._body is not None:
            body, self._body = bytes(self._body), None
            self._small(body)
        return view[count:]

    def _block(self, view: memoryview) -> memoryview:
        count = min(BLOCK - len(self._held), len(view))
        self._held += view[:count]
        if len(self._held) == BLOCK:
            block = bytes(self._held)
            self._held.clear()
            self._header(block)
        return view[count:]

    def _header(self, block: bytes) -> None:
        if not any(block):
            self._zeros += 1
            return
        if self._zeros >= 2 or not checksum_holds(block):
            self.problem = "bytes after its end" if self._zeros >= 2 else "a header without its checksum"
            return
        self._zeros = 0
        size, kind = _size(block[124:136]), block[156:157]
        if size < 0:
            self.unsafe = "a negative size"
            return
        self._skip = size + (-size % BLOCK)
        if kind in _EXTENSIONS and kind:
            self._extension = kind
            self._body = bytearray() if size <= _SMALL_BYTES else None
            self._size = size
            if self._body is None:
                self.unsafe = f"an extension header of {size} bytes"
            return
        self._member(block, kind, size)

    def _member(self, block: bytes, kind: bytes, size: int) -> None:
        """One file, folder or link. An engine writes what a member unpacks to, not what it takes here: a header of ten
        bytes may claim a terabyte of zeros, and an extension another size than the header's.
        """
        self._files += 1
        if self._files > MAX_FILES:
            self.unsafe = f"more than {MAX_FILES} files"
        if kind == _SPARSE:
            self.unsafe = "a sparse file"
        if self._declared not in (-1, size):
            self.unsafe = f"a file of {size} bytes that says it has {self._declared}"
        self._declared = -1
        if size and kind and kind in _NO_CONTENT:
            self.unsafe = f"a link or folder with {size} bytes of content"
        prefix, name = block[345:500].split(b"\0")[0], block[:100].split(b"\0")[0]
        raw = self._long_name or (prefix + b"/" + name if prefix and block[257:263] == b"ustar\0" else name)
        self._long_name = b""
        self._name = shown(raw.decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode())
        if raw.startswith(b"/") or b".." in raw.split(b"/"):
            self.unsafe = f"the name {self._name} leaves the image"
        mode = int(block[100:107].strip(b"\0 ") or b"0", 8)
        if kind in _DEVICES and kind:
            self._note(f"{self._name} is a device")
        elif mode & 0o6000 and kind in (b"0", b"\0"):
            self._note(f"{self._name} is setuid or setgid")
        if kind in (b"0", b"\0") and 0 < size <= _SMALL_BYTES:
            self._body, self._extension, self._size = bytearray(), b"", size

    def _small(self, body: bytes) -> None:
        """An extension's records, or the content of a small file."""
        body = body[: self._size]
        if self._extension == b"L":
            self._long_name = body.rstrip(b"\0")
        elif self._extension in (b"x", b"g"):
            if b"SCHILY.xattr.security.capability" in body:
                self._note("a file has capabilities of its own")
            if b" GNU.sparse." in body:
                self.unsafe = "a sparse file"
            if found := re.search(rb"\d+ path=([^\n]*)\n", body):
                self._long_name = found[1]
            if found := re.search(rb"\d+ size=(\d{1,20})\n", body):
                self._declared = int(found[1])
        elif not self._extension and SECRETS.search(body):
            self._note(f"{self._name} holds something like a key")
        self._extension = b""

    def _note(self, text: str) -> None:
        if len(self.notes) < _MOST_NOTES:
            self.notes.append(text)


def _size(field: bytes) -> int:
    """Octal, or GNU's base-256; -1 for what is neither or below zero."""
    if field[0] & 0x80:
        return -1 if field[0] & 0x40 else int.from_bytes(bytes([field[0] & 0x3F]) + field[1:], "big")
    try:
        return int(field.strip(b"\0 ") or b"0", 8)
    except ValueError:
        return -1
