"""Stage 2: who signed the bytes of ``archive.json``. Integrity is not authorship: a key that only the archive names
proves nothing about who holds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from toolkit.archive import layout, sshsig
from toolkit.archive.keys import Signer
from toolkit.verify.names import shown
from toolkit.verify.report import Author, Refused, Stage
from toolkit.verify.scan import Scan


@dataclass(frozen=True)
class Expected:
    """Whom the reviewer believes: the lines of ``--signer FILE``, and, where given, the name to look for in it."""

    signers: Sequence[Signer]
    identity: str | None = None


def check_signature(
    stage: Stage, scan: Scan, expected: Expected | None, now: datetime | None = None
) -> tuple[Author, str | None]:
    """The author's state, and the fingerprint of the key that signed. Raises Refused."""
    data = scan.documents.get(layout.SIGNATURE)
    if data is None:
        if expected is not None:
            raise Refused(
                2, "unsafe", "the signature", "one by a signer that you named", "none: it was removed, or never made"
            )
        stage.held("the signature", "none wanted, none there")
        return "unsigned", None
    if scan.order[1:2] != [layout.SIGNATURE]:
        raise Refused(2, "tampered", "the signature's place", "the second member", "another")
    found = _parsed(data)
    good = found.namespace == layout.NAMESPACE and sshsig.holds(found, scan.documents[layout.INDEX])
    stage.require(
        good,
        f"the signature over the bytes of {layout.INDEX}",
        f"made for {layout.NAMESPACE} by the key that it names",
        found.fingerprint if good else f"it does not hold (namespace {shown(found.namespace)})",
    )
    if expected is None:
        return "unverified", found.fingerprint
    _believed(stage, found, expected, now or datetime.now(UTC))
    return "verified", found.fingerprint


def _parsed(data: bytes) -> sshsig.Signature:
    try:
        return sshsig.parse(data)
    except sshsig.SignatureWeak as problem:
        raise Refused(
            2, "unsafe", "the signature's algorithm", "ssh-ed25519, sha512 or sha256", shown(str(problem))
        ) from problem
    except sshsig.SignatureMalformed as problem:
        raise Refused(2, "malformed", layout.SIGNATURE, "an SSH signature (SSHSIG)", shown(str(problem))) from problem


def _believed(stage: Stage, found: sshsig.Signature, expected: Expected, now: datetime) -> None:
    """The key must be in the reviewer's list, for this purpose, now, and under the name that was asked for."""
    if not expected.signers:
        raise Refused(2, "unsafe", "your list of signers", "an Ed25519 key", "none")
    mine = [one for one in expected.signers if one.key == found.key]
    if not mine:
        raise Refused(2, "tampered", "who signed", "a signer that you named", f"the key {found.fingerprint}")
    named = [one for one in mine if expected.identity in (None, *one.principals)]
    if not named:
        raise Refused(2, "unsafe", "the signer's name", str(expected.identity), ", ".join(mine[0].principals))
    if not any(one.speaks_for(layout.NAMESPACE, now) for one in named):
        raise Refused(
            2,
            "unsafe",
            "the signer's key",
            f"valid now for {layout.NAMESPACE}",
            "expired, not yet valid, or for another purpose",
        )
    stage.held("who signed", "a signer that you named", found.fingerprint)
