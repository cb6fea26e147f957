"""Hostile archives that the mutation test of the verifier asked for: each is refused by one check and by no other."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.support.hostile import (
    BLOCK,
    KEY,
    RUN_FILES,
    Case,
    Honest,
    _compose,
    _more,
    _own_image,
    _plain,
    _raw,
    _relisted,
    _same,
    header,
    member,
    zst,
)
from toolkit.archive import layout, sshsig
from toolkit.canonical import canonical_bytes

Json = dict[str, Any]


def more() -> Iterator[Case]:
    """All of them."""
    yield from _transport()
    yield from _listing()
    yield from _lists()
    yield from _images()
    yield from _policies()


def _flipped(data: bytes, at: int, bits: int = 1) -> bytes:
    spoilt = bytearray(data)
    spoilt[at] ^= bits
    return bytes(spoilt)


def _first_block(frame: bytes) -> int:
    """Where the first block of a zstd frame begins (RFC 8878, 3.1.1)."""
    single = bool(frame[4] & 0x20)
    return 5 + (0 if single else 1) + (1 if single else 0, 2, 4, 8)[frame[4] >> 6]


def _reserved_block(honest: Honest) -> bytes:
    frame = zst(honest.tar())
    at = _first_block(frame)
    return frame[:at] + bytes([frame[at] | 0b110]) + frame[at + 1 :]


def _transport() -> Iterator[Case]:
    yield Case(1, "no-archive-at-all", "malformed", _raw(lambda _h: b"a letter to a friend\n" * 100))
    yield Case(3, "gzip-cut", "tampered", _raw(lambda h: gzip.compress(h.tar())[:-20]))
    yield Case(5, "bit-in-the-frame-header", "tampered", _raw(lambda h: _flipped(zst(h.tar()), 4, 0x08)))
    yield Case(5, "block-of-no-kind", "tampered", _raw(_reserved_block))
    yield Case(6, "bit-in-the-frame-checksum", "tampered", _raw(lambda h: _flipped(zst(h.tar()), -1)))
    yield Case(6, "bit-in-the-gzip-checksum", "tampered", _raw(lambda h: _flipped(gzip.compress(h.tar()), -6)))


def _listing() -> Iterator[Case]:
    yield Case(6, "padding-holds-something", "tampered", _more(header("inputs/x", 1) + b"x" + b"\1" * (BLOCK - 1)))
    yield Case(13, "size-of-letters", "unsafe", _more(header("inputs/x", size=b"0000000zzzz\0")))
    yield Case(28, "folders-equal-after-case-folding", "unsafe", _more(member("inputs/Abc/x") + member("inputs/abc/y")))
    yield Case(39, "another-file-first", "tampered", _plain(lambda h: member("inputs/first", b"x") + h.tar()))


def _both(change: Callable[[Json, Json], object]) -> Callable[[Honest, Path], Path]:
    """Spoil an image's row in the index and in the run's manifest alike."""

    def make(honest: Honest) -> bytes:
        image = honest.index["images"][1]
        manifest = json.loads(honest.files[layout.RUN_MANIFEST])
        row = next(one for one in manifest["images"] if one["reference"] == image["reference"])
        change(image, row)
        return honest.with_manifest(manifest).tar()

    return _plain(make)


def _set(key: str, value: Any) -> Callable[[Json, Json], None]:
    def change(image: Json, row: Json) -> None:
        image[key] = row[key] = value

    return change


def _without(name: str) -> Callable[[Honest, Path], Path]:
    return _relisted(lambda h: h.files.pop(name))


def _manifested(change: Callable[[Json], object]) -> Callable[[Honest, Path], Path]:
    def make(honest: Honest) -> bytes:
        manifest = json.loads(honest.files[layout.RUN_MANIFEST])
        change(manifest)
        return honest.with_manifest(manifest).tar()

    return _plain(make)


def _other_manifest(honest: Honest) -> bytes:
    """The run's manifest with its list of files as it is, and other bytes than the index says."""
    digest = honest.index["run"]["manifest_sha256"]
    honest.with_manifest(honest.files[layout.RUN_MANIFEST] + b" ")
    honest.index["run"]["manifest_sha256"] = digest
    return honest.tar()


def _executable(honest: Honest) -> bytes:
    name = next(iter(sorted(honest.files)))
    parts = [member(layout.INDEX, honest.index_bytes())]
    parts += [
        member(path, data, mode=b"0000755\0") if path == name else member(path, data)
        for path, data in honest.files.items()
    ]
    return b"".join(parts) + bytes(2 * BLOCK)


def _late_signature(honest: Honest) -> bytes:
    data = honest.index_bytes()
    return honest.tar(more=member(layout.SIGNATURE, sshsig.sign(data, KEY, layout.NAMESPACE)))


def _lists() -> Iterator[Case]:
    yield Case(41, "plan-missing", "incomplete", _without("run/plan.json"))
    yield Case(41, "file-of-the-run-missing", "incomplete", _without(RUN_FILES + "Dockerfile"))
    yield Case(42, "file-that-the-run-does-not-list", "tampered", _relisted(lambda h: h.files.update({"run/x": b"x"})))
    yield Case(43, "manifest-of-the-run-rewritten", "tampered", _plain(_other_manifest))
    yield Case(57, "index-is-a-list", "malformed", _plain(lambda h: h.tar(index=b"[]\n")))
    yield Case(58, "plan-of-another-shape", "malformed", _plain(lambda h: h.with_run_file("plan.json", b"{}").tar()))
    yield Case(
        62, "id-of-another-run", "tampered", _manifested(lambda m: m.update(run="20261123-121530-go-openai-0000"))
    )
    yield Case(26, "another-file-may-be-executed", "tampered", _plain(_executable))
    yield Case(69, "signature-comes-late", "tampered", _plain(_late_signature))


def _images() -> Iterator[Case]:
    name = "sealbench/sdk-go-openai:000000000000"
    yield Case(85, "name-that-does-not-follow-from-its-content", "unsafe", _both(_set("reference", name)))
    yield Case(81, "another-way-to-run", "tampered", _both(_set("runtime_config_digest", "sha256:" + "1" * 64)))
    yield Case(
        89, "layers-in-another-order", "tampered",
        _plain(lambda h: _own_image(h, _same, lambda c: c["rootfs"]["diff_ids"].reverse()).tar()),
    )  # fmt: skip
    yield Case(
        83, "configuration-missing", "incomplete",
        _relisted(lambda h: h.files.pop(layout.blob(h.index["images"][1]["config_digest"]))),
    )  # fmt: skip
    yield Case(81, "configuration-is-a-list", "malformed", _plain(_list_for_a_configuration))
    yield Case(83, "oci-manifest-missing", "tampered", _plain(_without_oci_manifest))
    yield Case(83, "list-of-images-missing", "incomplete", _without(layout.IMAGES_LEGACY))
    yield Case(86, "images-although-without", "tampered", _plain(_although_without))


def _list_for_a_configuration(honest: Honest) -> bytes:
    """A configuration that is no object, under the name that follows from it."""
    import hashlib

    from toolkit.build.assemble import reference

    data = b"[]"
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    image = honest.index["images"][1]
    manifest = json.loads(honest.files[layout.RUN_MANIFEST])
    row = next(one for one in manifest["images"] if one["reference"] == image["reference"])
    named = reference(image["kind"], image["id"], digest)
    image |= {"config_digest": digest, "reference": named}
    row |= {"config_digest": digest, "reference": named}
    honest.files[layout.blob(digest)] = data
    return honest.with_manifest(manifest).tar()


def _without_oci_manifest(honest: Honest) -> bytes:
    rows = json.loads(honest.files[layout.IMAGES_INDEX])["manifests"]
    honest.files.pop(layout.blob(rows[1]["digest"]))
    return honest.listed().tar()


def _although_without(honest: Honest) -> bytes:
    honest.index["without"] = ["images"]
    return honest.tar()


def _seccomp(honest: Honest) -> bytes:
    name = RUN_FILES + "seccomp.json"
    profile = json.loads(honest.files[name]) | {"defaultAction": "SCMP_ACT_ALLOW"}
    return honest.with_run_file(name.removeprefix(layout.RUN), canonical_bytes(profile)).tar()


def _policies() -> Iterator[Case]:
    yield Case(118, "profile-that-allows-all", "unsafe", _plain(_seccomp))
    yield Case(41, "script-missing", "incomplete", _without(layout.RERUN))
    yield Case(60, "yaml-anchor", "malformed", _compose(lambda _t: "services: &a {}\nother: *a\n"))
    yield Case(60, "yaml-that-is-none", "malformed", _compose(lambda _t: "services: {x: [\n"))
    yield Case(60, "yaml-deep", "malformed", _compose(lambda _t: "services: " + "[" * 40 + "]" * 40 + "\n"))
    yield Case(60, "yaml-long", "malformed", _compose(lambda t: t + "# " + "x" * 1024**2 + "\n"))


__all__ = ["more"]
