"""Every parser that meets a stranger's bytes, as one function of bytes: it reads them or refuses with a typed error.

``seeds`` are good inputs and what is kept in ``tests/fixtures/fuzz/PARSER``: each input that once broke a parser stays
there, and ``tests/unit/test_fuzz_corpus.py`` reads all of them in every run of the tests.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.support.archives import ROOT
from tests.support.hostile import RUN_FILES, Honest, header, member, zst
from tests.unit.test_deb import make_deb, special
from toolkit.archive import layout, sshsig
from toolkit.archive.bundle import take_in
from toolkit.archive.keys import read_signers
from toolkit.archive.stranger import read_lock_of
from toolkit.build import deb, toolchain
from toolkit.build.bounds import Room
from toolkit.collect.journal import encode_journal, parse_journal
from toolkit.errors import ReproError
from toolkit.fetch.store import Store
from toolkit.model.inputs import LockedFile
from toolkit.proto.agent_pb2 import Lines, Record
from toolkit.verify.layers import LayerWalk
from toolkit.verify.report import EXIT_CODES, Refused
from toolkit.verify.run import Question, verify
from toolkit.verify.strict import strict_json
from toolkit.verify.yamlread import strict_yaml

KEPT = ROOT / "tests" / "fixtures" / "fuzz"
ALLOWED = (ReproError, Refused, sshsig.SignatureMalformed, sshsig.SignatureWeak)
Parser = Callable[[bytes, Path], object]


class Fuzzed:
    """The parsers, over one honest archive. ``place`` is an empty folder for files."""

    def __init__(self, honest: Honest, place: Path) -> None:
        self._honest, self._place = honest, place
        self.parsers: dict[str, Callable[[bytes], object]] = {
            "json": lambda data: strict_json(data, "it", 3),
            "yaml": lambda data: strict_yaml(data, "it", 6),
            "signature": lambda data: sshsig.holds(sshsig.parse(data), b"message"),
            "signers": lambda data: read_signers(self._file("signers", data)),
            "layer": self._layer,
            "transport": lambda data: self._verdict(self._file("a.tar.zst", data)),
            "tar": lambda data: self._verdict(self._file("a.tar.zst", zst(data))),
            "index": lambda data: self._verdict(self._file("a.tar.zst", zst(self._honest.tar(index=data)))),
            "compose": lambda data: self._relisted(RUN_FILES + "compose.yaml", data),
            "seccomp": lambda data: self._relisted(RUN_FILES + "seccomp.json", data),
            "plan": lambda data: self._relisted("run/plan.json", data),
            "lock": self._lock,
            "bundle": self._bundle,
            "deb": lambda data: deb.entries(self._file("a.deb", data), Room(unpacked_bytes=1 << 24, members=1000)),
            "control": lambda data: deb.control(self._file("a.deb", data)),
            "zip": lambda data: toolchain.toolchain_entries(self._file("a.whl", data), Room(unpacked_bytes=1 << 24)),
            "journal": parse_journal,
        }

    def feed(self, name: str, data: bytes) -> None:
        """Raises whatever a parser should not have raised."""
        with suppress(*ALLOWED):
            self.parsers[name](data)

    def seeds(self, name: str) -> list[bytes]:
        """Good inputs, and what is kept."""
        honest = self._honest
        signed = sshsig.sign(b"message", _key(), layout.NAMESPACE)
        found: dict[str, bytes] = {
            "json": honest.index_bytes(),
            "yaml": honest.files[RUN_FILES + "compose.yaml"],
            "signature": signed,
            "signers": b'a@b namespaces="archive@sealbench.org",valid-before="20300101" ssh-ed25519 '
            + _public()
            + b" x\n",
            "layer": member("a", b"x" * 700)
            + header("b", 0, type=b"5")
            + member("c", b"30 path=x\n", type=b"x")
            + bytes(1024),
            "transport": zst(honest.tar()),
            "tar": honest.tar(),
            "index": honest.index_bytes(),
            "compose": honest.files[RUN_FILES + "compose.yaml"],
            "seccomp": honest.files[RUN_FILES + "seccomp.json"],
            "plan": honest.files["run/plan.json"],
            "lock": honest.files["run/lock.json"],
            "bundle": zst(
                member(layout.INPUTS_INDEX, b"{}") + member(layout.INPUT_BLOBS + "ab" * 32, b"x") + bytes(1024)
            ),
            "deb": self._package(),
            "control": self._package(),
            "zip": _wheel(),
            "journal": encode_journal([Record(lines=Lines(text=b"x")), Record(lines=Lines(text=b"y" * 300))]),
        }
        return [found[name], *(path.read_bytes() for path in kept(name))]

    def _file(self, name: str, data: bytes) -> Path:
        path = self._place / name
        path.write_bytes(data)
        return path

    def _verdict(self, path: Path) -> None:
        assert verify(Question(path)).verdict in EXIT_CODES

    def _relisted(self, name: str, data: bytes) -> None:
        changed = self._honest.copy().with_run_file(name.removeprefix(layout.RUN), data)
        self._verdict(self._file("a.tar.zst", zst(changed.tar())))

    def _layer(self, data: bytes) -> None:
        walk = LayerWalk()
        for at in range(0, len(data), 777):
            walk.feed(data[at : at + 777])
        walk.end()

    def _lock(self, data: bytes) -> None:
        run = self._place / "run"
        run.mkdir(exist_ok=True)
        (run / "lock.json").write_bytes(data)
        read_lock_of(run)

    def _bundle(self, data: bytes) -> None:
        row = LockedFile("x", "apt", "1", "x.deb", "ab" * 32, 1)
        take_in(Store.open(self._place / "store"), self._file("bundle.tar.zst", data), [row])

    def _package(self) -> bytes:
        files: dict[str, bytes | tarfile.TarInfo] = {
            "./usr/a": b"a", "./usr/b": special("./usr/b", tarfile.SYMTYPE, "a"),
            "./usr/c": special("./usr/c", tarfile.LNKTYPE, "./usr/a"),
        }  # fmt: skip
        return make_deb(self._place / "seed.deb", files, suffix="").read_bytes()


def kept(name: str) -> list[Path]:
    """What once broke this parser."""
    return sorted((KEPT / name).glob("*"))


def keep(name: str, data: bytes) -> Path:
    """Keep an input for ever; its name is its digest."""
    (KEPT / name).mkdir(parents=True, exist_ok=True)
    path = KEPT / name / hashlib.sha256(data).hexdigest()[:16]
    path.write_bytes(data)
    return path


_PIECES = (
    b"", b"\0", b"\xff", b"\x7f", b"\x80", b"\n", b'"', b"{", b"[", b"]", b"-1", b"1e999", b"NaN", b"null", b"true",
    b"../", b"/", b"&a", b"*a", b"!!python/object:x", b"9" * 400, b"[" * 300, b"\xed\xa0\x80",
    b"\xef\xbb\xbf", b"7777777",
    b"\x80" + b"\xff" * 11, b"\xff" * 12, b"PK\x05\x06", b"\x28\xb5\x2f\xfd", b"\x1f\x8b",
)  # fmt: skip


def mutated(seed: bytes, other: bytes, luck: random.Random) -> bytes:
    """One to four changes: a bit, a piece in place of another, a part twice, a part gone, a part of another input."""
    data = bytearray(seed)
    for _ in range(luck.randint(1, 4)):
        at, length = luck.randint(0, len(data)), luck.choice((0, 1, 2, 4, 8, 12, 64, 512))
        what = luck.randrange(5)
        if what == 0 and data:
            data[min(at, len(data) - 1)] ^= 1 << luck.randrange(8)
        elif what == 1:
            data[at : at + length] = luck.choice(_PIECES)
        elif what == 2:
            data[at:at] = data[at : at + length]
        elif what == 3:
            del data[at : at + length]
        else:
            start = luck.randint(0, len(other))
            data[at : at + length] = other[start : start + length]
    return bytes(data)


def _key():  # type: ignore[no-untyped-def]
    from tests.support.hostile import KEY

    return KEY


def _public() -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    line: bytes = _key().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return line.split()[1]


def _wheel() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("go/VERSION", b"go1.26")
        archive.writestr("go/src/a.go", b"package a\n" * 50)
    return stream.getvalue()


def described(data: bytes) -> str:
    """Bytes for a message."""
    return json.dumps(data[:200].decode("latin-1"))
