"""Reading the kernel's files as cheaply as they can be: the host's look at a launch is some two hundred of them.

``Path.read_text`` asks for the file's size, makes a buffer, a decoder and a text layer for each; of a file of ``/proc``
that is more than the kernel's own work. ``bench/ledger.py`` counts what a look costs.
"""

from __future__ import annotations

import os

_BLOCK_BYTES = 65_536
_CERTAINLY_ALL = 2048


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """All of a file, to its end. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        blocks = []
        while block := os.read(descriptor, _BLOCK_BYTES):
            blocks.append(block)
    finally:
        os.close(descriptor)
    return b"".join(blocks)


def read_text(path: str | os.PathLike[str]) -> str:
    """The same as UTF-8 text. Raises OSError, UnicodeDecodeError."""
    return read_bytes(path).decode()


def read_small(path: str | os.PathLike[str]) -> str:
    """A file of short lines (``status``, ``stat``, ``children``, a control group's): one read instead of two.

    The kernel fills a page before it stops, so what is far shorter than one is all there is, as long as no line is long
    (``mountinfo`` has such). Raises OSError, UnicodeDecodeError.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(descriptor, _BLOCK_BYTES)
        if len(text) >= _CERTAINLY_ALL:
            while block := os.read(descriptor, _BLOCK_BYTES):
                text += block
    finally:
        os.close(descriptor)
    return text.decode()
