"""The engine's stream formats, cut at every place a transport may cut them."""

from __future__ import annotations

import io

import pytest

from toolkit.engine import faults, streams
from toolkit.errors import EngineRefused, EngineTooOld


def frame(text: bytes) -> bytes:
    """One frame of a multiplexed log."""
    return b"\x01\0\0\0" + len(text).to_bytes(4, "big") + text


@pytest.mark.parametrize("size", [1, 3, 8, 9, 1000])
def test_frames_are_put_together_again(size: int) -> None:
    data = frame(b"first\n") + frame(b"") + frame(b"second\n")
    blocks = [data[start : start + size] for start in range(0, len(data), size)]
    assert b"".join(streams.demultiplex(blocks)) == b"first\nsecond\n"


def test_a_frame_cut_short_by_a_dying_engine_is_left_out() -> None:
    assert b"".join(streams.demultiplex([frame(b"whole"), frame(b"half")[:-1]])) == b"whole"


@pytest.mark.parametrize(
    ("limit", "kept"), [(0, b""), (1, b"9"), (4, b"6789"), (10, b"0123456789"), (99, b"0123456789")]
)
def test_the_tail_is_exact(limit: int, kept: bytes) -> None:
    assert streams.tail([b"012", b"345", b"6789"], limit) == kept


def test_files_go_in_blocks() -> None:
    data = bytes(3 << 20)
    assert b"".join(streams.chunks(io.BytesIO(data))) == data


def test_a_failure_inside_a_progress_stream_is_an_error_with_the_lines_before_it() -> None:
    events = [{"stream": "Step 1/2\n"}, {"stream": "cc: fatal\n"}, {"error": "returned a non-zero code: 1"}]
    with pytest.raises(EngineRefused, match="cc: fatal"):
        streams.drain_progress(events, "build x")


@pytest.mark.parametrize(
    ("found", "too_old"), [("1.40", True), ("1.9", True), ("", True), ("x", True), ("1.41", False), ("1.100", False)]
)
def test_versions_are_compared_as_numbers(found: str, too_old: bool) -> None:
    if too_old:
        with pytest.raises(EngineTooOld):
            faults.check_api_version(found)
    else:
        faults.check_api_version(found)
