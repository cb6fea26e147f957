"""The Engine API's stream formats: uploads in chunks, multiplexed logs, and progress as JSON."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from toolkit.engine import faults

_CHUNK_BYTES = 1 << 20
_FRAME_HEADER_BYTES = 8
_LINES_KEPT = 12


def tail(blocks: Iterable[bytes], limit_bytes: int) -> bytes:
    """The last ``limit_bytes`` of a stream, holding little more than that in memory."""
    kept: deque[bytes] = deque()
    size = 0
    for block in blocks:
        kept.append(block)
        size += len(block)
        while size - len(kept[0]) >= limit_bytes and len(kept) > 1:
            size -= len(kept.popleft())
    return b"".join(kept)[-limit_bytes:] if limit_bytes else b""


def chunks(stream: BinaryIO) -> Iterator[bytes]:
    """A file or pipe in blocks of 1 MiB."""
    while block := stream.read(_CHUNK_BYTES):
        yield block


def demultiplex(stream: Iterable[bytes]) -> Iterator[bytes]:
    """The payloads of a log stream: frames of an 8-byte header (stream number, three zeros, length) and data."""
    # The transport cuts blocks anywhere.
    buffer = bytearray()
    for block in stream:
        buffer += block
        while len(buffer) >= _FRAME_HEADER_BYTES:
            end = _FRAME_HEADER_BYTES + int.from_bytes(buffer[4:_FRAME_HEADER_BYTES], "big")
            if len(buffer) < end:
                break
            yield bytes(buffer[_FRAME_HEADER_BYTES:end])
            del buffer[:end]


def drain_progress(events: Iterable[Any], what: str) -> None:
    """Read a progress stream to its end; raises EngineRefused for the failure reported inside of it (status 200)."""
    lines: deque[str] = deque(maxlen=_LINES_KEPT)
    for event in events:
        if isinstance(event, (str, bytes)):
            event = json.loads(event)
        if event.get("stream"):
            lines.append(str(event["stream"]).strip())
        if "error" in event:
            raise faults.refused(what, 200, " | ".join([*filter(None, lines), str(event["error"])]))
