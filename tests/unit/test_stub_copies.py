"""What the harness and the stub share is copied, as each is a module of its own: the copies must not drift apart."""

from __future__ import annotations

from toolkit.resources import images_dir


def test_both_programs_read_the_clock_with_the_same_code() -> None:
    harness = images_dir() / "harness/internal/mono"
    stub = images_dir() / "backends/stub/internal/mono"
    names = sorted(path.name for path in harness.iterdir())
    assert names == sorted(path.name for path in stub.iterdir())
    assert "clock.go" in names
    for name in names:
        assert (harness / name).read_bytes() == (stub / name).read_bytes(), name


def test_our_go_modules_name_no_other_module() -> None:
    for folder in ("harness", "backends/stub"):
        text = (images_dir() / folder / "go.mod").read_text()
        assert "require" not in text
        assert not (images_dir() / folder / "go.sum").exists()
