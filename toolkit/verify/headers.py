"""Tar headers as an allow-list: a regular file, written exactly as our writer writes it. Everything else is refused.

What could do harm in another reader's hands is ``unsafe`` (links, devices, PAX and GNU extensions, sizes and times that
are no octal numbers); what is merely not our encoding was not written by us, hence ``tampered``.
"""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.archive import layout
from toolkit.build import ustar
from toolkit.verify.names import safe_name
from toolkit.verify.report import Refused

_STAGE = 1
BLOCK = ustar.BLOCK_BYTES
_UNSAFE_TYPES = {
    b"1": "a hard link", b"2": "a symbolic link", b"3": "a character device", b"4": "a block device",
    b"6": "a pipe", b"7": "a contiguous file", b"x": "a PAX record", b"X": "a PAX record", b"g": "a global PAX record",
    b"L": "a GNU long name", b"K": "a GNU long link", b"S": "a sparse file", b"D": "a GNU folder dump",
    b"V": "a GNU volume header", b"M": "a GNU continuation", b"N": "an old GNU name table", b"A": "a Solaris ACL",
}  # fmt: skip
_UNSAFE_BITS = 0o7002
"""setuid, setgid, sticky, writable for all."""


@dataclass(frozen=True, slots=True)
class Header:
    """One member as its header tells it."""

    name: str
    size: int
    mode: int


def checksum_holds(block: bytes) -> bool:
    """Whether the sum of a header block is the one it states (POSIX.1-1988, ustar)."""
    try:
        stated = int(block[148:156].rstrip(b"\0 ") or b"x", 8)
    except ValueError:
        return False
    return stated == sum(block) - sum(block[148:156]) + 8 * 0x20


def read_header(block: bytes) -> Header:
    """Raises Refused unless the block is the canonical header of a plain file."""
    if not checksum_holds(block):
        raise Refused(_STAGE, "tampered", "a tar header", "its own checksum", "another")
    kind = block[156:157]
    if kind in _UNSAFE_TYPES:
        raise Refused(_STAGE, "unsafe", "a member's type", "a plain file", _UNSAFE_TYPES[kind])
    size, mtime, mode = _octal(block[124:136], "size"), _octal(block[136:148], "time"), _octal(block[100:108], "mode")
    if mode & _UNSAFE_BITS or mode > 0o7777:
        raise Refused(_STAGE, "unsafe", "a member's mode", "no setuid, setgid, sticky, world-writable bit", f"{mode:o}")
    prefix, name = _text(block[345:500]), _text(block[0:100])
    path = safe_name(prefix + b"/" + name if prefix else name)
    if block != _canonical(path, size, mode):
        found = "a time" if mtime else "another encoding, owner, type or mode"
        raise Refused(_STAGE, "tampered", "a tar header", "as our writer writes it", found)
    return Header(path, size, mode)


def _canonical(path: str, size: int, mode: int) -> bytes | None:
    if mode not in (layout.FILE_MODE, layout.PROGRAM_MODE):
        return None
    try:
        return ustar.header_block(ustar.Entry.file(path, b"", mode), size)
    except ustar.UstarError:
        return None


def _octal(field: bytes, what: str) -> int:
    if field[0] & 0x80:
        raise Refused(_STAGE, "unsafe", f"a member's {what}", "an octal number", "a binary one, negative or huge")
    try:
        return int(field.strip(b"\0 ") or b"0", 8)
    except ValueError:
        raise Refused(_STAGE, "unsafe", f"a member's {what}", "an octal number", repr(field)) from None


def _text(field: bytes) -> bytes:
    return field.split(b"\0", 1)[0]
