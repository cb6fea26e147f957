"""A layer is looked at while its bytes pass by: limits that take too many bytes for a file of the hostile kind."""

from __future__ import annotations

import pytest

from tests.support.hostile import member
from toolkit.verify import layers
from toolkit.verify.layers import LayerWalk


def walked(data: bytes, pieces: int = 700) -> LayerWalk:
    walk = LayerWalk()
    for at in range(0, len(data), pieces):
        walk.feed(data[at : at + pieces])
    return walk


def test_097_more_files_than_any_image_has_are_unsafe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "MAX_FILES", 5)
    assert walked(b"".join(member(str(number)) for number in range(5)) + bytes(1024)).unsafe == ""
    assert "more than 5" in walked(b"".join(member(str(number)) for number in range(6)) + bytes(1024)).unsafe


@pytest.mark.parametrize("pieces", [1, 511, 512, 4096])
def test_a_size_that_an_extension_only_repeats_is_the_same_size(pieces: int) -> None:
    good = member("x", b"10 size=1\n", type=b"x") + member("x", b"y") + bytes(1024)
    walk = walked(good, pieces)
    assert (walk.unsafe, walk.end()) == ("", "")
    bad = member("x", b"10 size=2\n", type=b"x") + member("x", b"y") + bytes(1024)
    assert "says it has 2" in walked(bad, pieces).unsafe
