"""Journal files: what was written is read, and a torn end costs only itself."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToJson
from hypothesis import given
from hypothesis import strategies as st

from tests.support.journals import Builder, cell_plan, launch_journal
from toolkit.collect.crc32c import crc32c
from toolkit.collect.journal import (
    MAGIC,
    JournalTail,
    black_out,
    encode_frame,
    encode_journal,
    journal_from_stdout,
    parse_journal,
    read_journal,
)
from toolkit.errors import LaunchInvalid
from toolkit.proto.agent_pb2 import Lines, Record
from toolkit.redact import BLACKED_OUT, blacked_out

records = st.lists(
    st.builds(
        lambda sequence, at, text: Record(sequence=sequence, monotonic_ns=at, lines=Lines(text=text)),
        st.integers(1, 2**64 - 1),
        st.integers(0, 2**63 - 1),
        st.binary(max_size=200),
    ),
    max_size=6,
)


@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_crc32c_gives_the_values_of_rfc_3720(data: bytes, checksum: int) -> None:
    assert crc32c(data) == checksum


@given(st.binary(max_size=40))
def test_crc32c_is_the_bitwise_definition(data: bytes) -> None:
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    assert crc32c(data) == value ^ 0xFFFFFFFF


@given(records)
def test_what_was_written_is_read(written: list[Record]) -> None:
    journal = parse_journal(encode_journal(written))
    assert list(journal.records) == written
    assert journal.truncated_bytes == 0


@given(records, st.data())
def test_a_file_cut_anywhere_keeps_every_whole_frame(written: list[Record], data: st.DataObject) -> None:
    whole = encode_journal(written)
    cut = data.draw(st.integers(0, len(whole)))
    journal = parse_journal(whole[:cut])
    assert list(journal.records) == written[: len(journal.records)]
    read = len(MAGIC) + sum(len(encode_frame(record)) for record in journal.records)
    assert journal.truncated_bytes == (cut - read if cut >= len(MAGIC) else cut)
    if cut == len(whole):
        assert len(journal.records) == len(written)


@given(records.filter(bool), st.data())
def test_a_flipped_bit_ends_the_reading_at_its_frame(written: list[Record], data: st.DataObject) -> None:
    frames = [encode_frame(record) for record in written]
    hurt = data.draw(st.integers(0, len(frames) - 1))
    place = data.draw(st.integers(0, len(frames[hurt]) - 1))
    frame = bytearray(frames[hurt])
    frame[place] ^= 1 << data.draw(st.integers(0, 7))
    journal = parse_journal(MAGIC + b"".join([*frames[:hurt], bytes(frame), *frames[hurt + 1 :]]))
    assert list(journal.records) == written[:hurt]
    assert journal.truncated_bytes == sum(map(len, frames[hurt:]))


def test_zeros_after_the_last_frame_are_no_records() -> None:
    whole = encode_journal(Builder().hello().records())
    journal = parse_journal(whole + bytes(4096))
    assert len(journal.records) == 1
    assert journal.truncated_bytes == 4096


def test_an_empty_file_is_an_agent_that_never_wrote(tmp_path: Path) -> None:
    (tmp_path / "journal.pb").touch()
    journal = read_journal(tmp_path / "journal.pb")
    assert journal.records == ()
    assert journal.truncated_bytes == 0


@pytest.mark.parametrize("data", [b"REPROJ02", b"x", b"REPROJ0x....", b"\x00" * 64])
def test_another_magic_is_not_a_journal(data: bytes) -> None:
    with pytest.raises(LaunchInvalid, match="not one of ours"):
        parse_journal(data)


def test_a_missing_journal_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(LaunchInvalid) as caught:
        read_journal(tmp_path / "journal.pb")
    assert caught.value.remedy
    assert str(tmp_path) not in str(caught.value)


def test_records_on_stdout_are_a_journal_too() -> None:
    written = launch_journal(cell_plan(duration_seconds=1.0, warmup_seconds=1.0, drain_seconds=1.0)).records()
    lines = ["the program's own words"]
    lines += [f"@repro {MessageToJson(record, indent=None)}" for record in written]
    journal = journal_from_stdout("\n".join([*lines, "@repro {broken"]))
    assert list(journal.records) == written
    assert journal.truncated_bytes == len("@repro {broken")


def grown(path: Path, data: bytes) -> None:
    with path.open("ab") as stream:
        stream.write(data)


def test_a_tail_gives_each_record_once_however_the_file_grows(tmp_path: Path) -> None:
    records = launch_journal(cell_plan(duration_seconds=10.0)).records()
    data, path = encode_journal(records), tmp_path / "journal.pb"
    tail, found = JournalTail(path), []
    assert tail.read() == []  # it is not there yet
    generator = random.Random(3)
    at = 0
    while at < len(data):
        size = generator.randint(1, 9000)
        grown(path, data[at : at + size])
        at += size
        found += tail.read()
    assert found == records
    assert tail.read() == []


def test_a_tail_stops_at_a_frame_that_is_not_whole_and_goes_on_when_it_is(tmp_path: Path) -> None:
    records = launch_journal(cell_plan(duration_seconds=10.0)).records()[:3]
    path = tmp_path / "journal.pb"
    grown(path, encode_journal(records[:1]))
    last = encode_frame(records[1])
    tail = JournalTail(path)
    assert tail.read() == records[:1]
    grown(path, last[:-1])
    assert tail.read() == []
    grown(path, last[-1:] + encode_frame(records[2]))
    assert tail.read() == records[1:]


def test_a_tail_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.pb"
    path.write_bytes(b"not a journal")
    with pytest.raises(LaunchInvalid):
        JournalTail(path).read()


def test_133_a_key_in_a_journal_is_blacked_out_in_place_and_every_record_stays(tmp_path: Path) -> None:
    key = b"sk-" + b"a1" * 20
    records = [
        Record(lines=Lines(text=b"Authorization: Bearer " + key + b" refused\n" + key)),
        Record(lines=Lines(text=b"nothing")),
    ]
    path = tmp_path / "journal.pb"
    path.write_bytes(encode_journal(records) + b"half " + key)
    before = path.stat().st_size
    assert black_out(path) == 3
    data = path.read_bytes()
    assert (key in data, len(data)) == (False, before)
    found = read_journal(path)
    hidden = b"sk-" + b"*" * 40
    assert [one.lines.text for one in found.records] == [
        b"Authorization: Bearer " + hidden + b" refused\n" + hidden, b"nothing",
    ]  # fmt: skip
    assert found.truncated_bytes == len(b"half " + key)
    assert black_out(path) == 0
    assert black_out(tmp_path / "absent.pb") == 0


@pytest.mark.parametrize("key", ["AKIA" + "Z9" * 8, "ghp_" + "a" * 36, "sk-proj-" + "x_-1" * 10, "xoxb-" + "12-ab" * 4])
def test_133_every_form_is_known_and_only_its_letters_go(key: str) -> None:
    text = f"before {key} after".encode()
    plain, count = blacked_out(text)
    assert (count, len(plain)) == (1, len(text))
    assert plain.startswith(b"before ")
    assert plain.endswith(b" after")
    assert key.encode() not in plain
    assert BLACKED_OUT.search(plain)
    assert blacked_out(b"sk-short, task-force-of-many, disk-0") == (b"sk-short, task-force-of-many, disk-0", 0)
