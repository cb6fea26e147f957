"""Digests beside the reading are those of the bytes, whatever the pieces; a thread that fails holds nobody up."""

import hashlib
import threading

import pytest

from toolkit.verify.hashing import Digest, Hashing


@pytest.mark.parametrize("sizes", [[], [1], [0, 3, 0], [128 * 1024] * 40, [2 * 1024**2, 1, 700_000], [7] * 5000])
def test_a_digest_in_a_thread_is_the_digest(sizes: list[int]) -> None:
    pieces = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
    with Hashing() as hashing:
        two = hashing.digest(), hashing.digest()
        for piece in pieces:
            two[0].update(piece)
            two[1].update(memoryview(piece)[1:])
        assert two[0].hexdigest() == hashlib.sha256(b"".join(pieces)).hexdigest()
    assert two[1].hexdigest() == hashlib.sha256(b"".join(piece[1:] for piece in pieces)).hexdigest()


def test_without_a_thread_it_is_the_same() -> None:
    digest = Digest()
    digest.update(b"a" * 1_000_000)
    assert digest.hexdigest() == hashlib.sha256(b"a" * 1_000_000).hexdigest()


def test_a_digest_can_be_read_and_fed_on() -> None:
    with Hashing() as hashing:
        digest = hashing.digest()
        for _ in range(3):
            digest.update(b"x" * 600_000)
            digest.hexdigest()
        assert digest.hexdigest() == hashlib.sha256(b"x" * 1_800_000).hexdigest()


def test_the_thread_ends_with_its_reader_also_when_that_fails() -> None:
    def read() -> None:
        with Hashing() as hashing:
            hashing.digest().update(b"x" * 5_000_000)
            raise ZeroDivisionError

    before = set(threading.enumerate())
    with pytest.raises(ZeroDivisionError):
        read()
    assert set(threading.enumerate()) <= before  # those of earlier tests may end meanwhile


def test_what_the_thread_meets_reaches_the_reader_and_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_digest: Digest, _pieces: object) -> None:
        raise MemoryError("none left")

    with Hashing() as hashing:
        digest = hashing.digest()
        monkeypatch.setattr(Digest, "digest", fail)
        for _ in range(64):
            digest.update(b"x" * 600_000)
        with pytest.raises(MemoryError, match="none left"):
            digest.hexdigest()
