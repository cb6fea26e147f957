"""Reads and writes journal files (layout: ``toolkit/proto/agent.proto``).

A journal is read up to the first frame that is short or whose checksum is wrong: a killed agent leaves half a frame,
and everything before it is good. What was left unread is counted, never hidden::

    journal = read_journal(path)
    for record in journal.records: ...
    journal.truncated_bytes
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.json_format import Parse, ParseError
from google.protobuf.message import DecodeError, Message

from toolkit.canonical import write_atomic
from toolkit.collect.crc32c import crc32c
from toolkit.errors import LaunchInvalid
from toolkit.proto.agent_pb2 import Record
from toolkit.redact import SECRETS, blacked_out

MAGIC = b"REPROJ01"
MAX_FRAME_BYTES = 16 * 1024 * 1024
STDOUT_PREFIX = "@repro "
_HEADER = struct.Struct("<II")


@dataclass(frozen=True)
class Journal:
    """The records that could be read, in order, and how many bytes after them could not."""

    records: tuple[Record, ...]
    truncated_bytes: int = 0


def encode_journal(records: Iterable[Record]) -> bytes:
    """A whole journal file, as the agent writes it."""
    return MAGIC + b"".join(encode_frame(record) for record in records)


def encode_frame(record: Record) -> bytes:
    """One frame: length, checksum, payload."""
    payload = record.SerializeToString()
    return _HEADER.pack(len(payload), crc32c(payload)) + payload


def read_journal(path: Path) -> Journal:
    """Read a journal file. An empty one is an agent that never wrote; it has no records.

    Raises LaunchInvalid when the file cannot be read or is not a journal.
    """
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise _unreadable(path, problem) from problem
    return parse_journal(data)


def _check_magic(data: bytes) -> None:
    start = data[: len(MAGIC)]
    if start != MAGIC[: len(start)]:
        raise LaunchInvalid(
            "the journal is not one of ours",
            f"it begins with {start!r}, not with {MAGIC!r}",
            "something else wrote to the journal file; launch again",
        )


def _unreadable(path: Path, problem: OSError) -> LaunchInvalid:
    return LaunchInvalid(
        "the journal of a container cannot be read",
        f"{path.name}: {problem.strerror}",
        "the launch has no evidence; launch again",
    )


def parse_journal(data: bytes) -> Journal:
    """The journal in ``data``. Raises LaunchInvalid when it begins with anything but (a part of) the magic bytes."""
    _check_magic(data)
    if len(data) < len(MAGIC):
        return Journal((), len(data))
    frames = list(_frames(data))
    end = frames[-1][0] if frames else len(MAGIC)
    return Journal(tuple(record for _, record in frames), len(data) - end)


def black_out(path: Path) -> int:
    """Black out the keys in a finished journal, in place, frame by frame; how many there were.

    Only texts are touched, so that every record is as readable as before. Raises LaunchInvalid, OSError.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return 0
    except OSError as problem:
        raise _unreadable(path, problem) from problem
    if not data.startswith(MAGIC) or not SECRETS.search(data):
        return 0
    count, start, parts = 0, len(MAGIC), [data[: len(MAGIC)]]
    for end, record in _frames(data):
        found = _hide(record)
        parts.append(encode_frame(record) if found else data[start:end])
        count, start = count + found, end
    rest, found = blacked_out(data[start:])  # of a frame that a killed agent left half
    write_atomic(path, b"".join((*parts, rest)))
    return count + found


def _hide(message: Message) -> int:
    """Black out the keys in every text of a message; how many there were."""
    count = 0
    for field, value in message.ListFields():
        many = isinstance(value, Sequence) and not isinstance(value, (str, bytes))
        for at, one in enumerate(value if many else [value]):
            if isinstance(one, Message):
                count += _hide(one)
            elif isinstance(one, (str, bytes)):
                plain, found = blacked_out(one if isinstance(one, bytes) else one.encode())
                if found:
                    count += found
                    new = plain if isinstance(one, bytes) else plain.decode()
                    if many:
                        value[at] = new
                    else:
                        setattr(message, field.name, new)
    return count


class JournalTail:
    """A journal that is still being written: each ``read`` gives the records that have become whole since the last.

    A frame that is not whole yet, or whose checksum is wrong, is looked at again next time; nothing after it is read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> list[Record]:
        """New records, in order; none while the file is not there yet. Raises LaunchInvalid when it is no journal."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                data = stream.read()
        except FileNotFoundError:
            return []
        except OSError as problem:
            raise _unreadable(self._path, problem) from problem
        start = 0
        if not self._offset:
            _check_magic(data)
            start = len(MAGIC)
        frames = list(_frames(data, start))
        if frames:
            self._offset += frames[-1][0]
        return [record for _, record in frames]


def _frames(data: bytes, offset: int = len(MAGIC)) -> Iterator[tuple[int, Record]]:
    """Each good frame's end offset and record, until the first that is not good."""
    while offset + _HEADER.size <= len(data):
        length, checksum = _HEADER.unpack_from(data, offset)
        start, end = offset + _HEADER.size, offset + _HEADER.size + length
        # A length of 0 is what a hole in a sparse file reads as; no record is empty.
        if not 0 < length <= MAX_FRAME_BYTES or end > len(data):
            return
        payload = data[start:end]
        if crc32c(payload) != checksum:
            return
        try:
            record = Record.FromString(payload)
        except DecodeError:
            return
        yield end, record
        offset = end


def journal_from_stdout(text: str) -> Journal:
    """The journal of a container that had no writable file (plain compose): one protojson record per ``@repro`` line.

    Lines of the program itself are skipped; characters of a record line that cannot be parsed count as truncated bytes.
    """
    records = []
    lost = 0
    for line in text.splitlines():
        if not line.startswith(STDOUT_PREFIX):
            continue
        try:
            records.append(Parse(line[len(STDOUT_PREFIX) :], Record()))
        except ParseError:
            lost += len(line.encode())
    return Journal(tuple(records), lost)
