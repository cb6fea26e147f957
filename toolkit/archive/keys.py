"""Keys as people have them: an OpenSSH or PEM private key to sign with, a list of allowed signers to believe.

The list is OpenSSH's ``allowed_signers`` (ssh-keygen(1), ALLOWED SIGNERS) or one or more ``.pub`` lines.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_TYPE = "ssh-ed25519"
_TIME = re.compile(r"^(\d{8})(\d{4}(?:\d{2})?)?(Z?)$")


@dataclass(frozen=True)
class Signer:
    """One line of a list: who, with which raw public key, for what, from when until when (UTC)."""

    principals: tuple[str, ...]
    key: bytes
    namespaces: tuple[str, ...] = ()
    valid_after: datetime | None = None
    valid_before: datetime | None = None

    def speaks_for(self, namespace: str, at: datetime) -> bool:
        """Whether the key counts for this purpose at this time."""
        if self.namespaces and not any(fnmatch.fnmatchcase(namespace, one) for one in self.namespaces):
            return False
        return (self.valid_after is None or at >= self.valid_after) and (
            self.valid_before is None or at < self.valid_before
        )


def read_private_key(path: Path, ask: Callable[[], bytes] | None = None) -> Ed25519PrivateKey:
    """An Ed25519 private key, in OpenSSH's own form or PEM. ``ask`` gives the passphrase of one that has one.

    Raises UsageError.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        data = path.read_bytes()
        key = _load(data, None)
        if key is None:
            key = _load(data, ask() if ask is not None else b"")
    except (OSError, ValueError, TypeError) as problem:
        raise UsageError(
            f"--key {path} cannot be read",
            str(problem).split("\n")[0],
            "give the private key file (ssh-keygen -t ed25519)",
        ) from problem
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(
            f"--key {path} is no Ed25519 key", "other kinds are not used", "make one: ssh-keygen -t ed25519"
        )
    return key


def _load(data: bytes, passphrase: bytes | None) -> object | None:
    """The key; None when it wants a passphrase and none was given."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    load = load_ssh_private_key if b"BEGIN OPENSSH PRIVATE KEY" in data else load_pem_private_key
    try:
        return load(data, passphrase)
    except TypeError:
        if passphrase is None:
            return None
        raise


def read_signers(path: Path) -> list[Signer]:
    """The Ed25519 keys of a list; other kinds and certificate authorities are passed over.

    Raises UsageError for a file that cannot be read, or a line that is neither.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise UsageError(
            f"--signer {path} cannot be read", str(problem), "give a .pub or allowed_signers file"
        ) from problem
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            signer = _signer(line)
        except (ValueError, binascii.Error) as problem:
            raise UsageError(
                f"--signer {path}: line {number} cannot be read", str(problem), "see ALLOWED SIGNERS in man ssh-keygen"
            ) from problem
        if signer is not None:
            found.append(signer)
    return found


def _signer(line: str) -> Signer | None:
    words = shlex.split(line, posix=False)
    places = [at for at, word in enumerate(words) if word.startswith(("ssh-", "ecdsa-", "sk-"))]
    if not places or len(words) <= places[0] + 1:
        raise ValueError("no key type and key")
    at = places[0]
    if words[at] != _TYPE:
        return None
    principals = tuple(words[0].strip('"').split(",")) if at > 0 else ("*",)
    options = _options(words[1:at])
    if "cert-authority" in options:
        return None
    return Signer(
        principals,
        _public(words[at + 1]),
        tuple(one for one in options.get("namespaces", "").split(",") if one),
        _moment(options.get("valid-after")),
        _moment(options.get("valid-before")),
    )


def _options(words: list[str]) -> dict[str, str]:
    found = {}
    for word in re.findall(r'[a-z-]+(?:="[^"]*")?', " ".join(words)):
        name, _sign, value = word.partition("=")
        found[name] = value.strip('"')
    return found


def _public(text: str) -> bytes:
    blob = base64.b64decode(text, validate=True)
    start = len(_TYPE).to_bytes(4, "big") + _TYPE.encode() + (32).to_bytes(4, "big")
    if not blob.startswith(start) or len(blob) != len(start) + 32:
        raise ValueError("not an Ed25519 public key")
    return blob[len(start) :]


def _moment(text: str | None) -> datetime | None:
    """``YYYYMMDD[HHMM[SS]][Z]``; without Z in this machine's time zone, as ssh-keygen reads it."""
    if text is None:
        return None
    match = _TIME.match(text)
    if match is None:
        raise ValueError(f"'{text}' is not a time")
    day, clock, zone = match.groups()
    moment = datetime.strptime(day + (clock or "0000").ljust(6, "0"), "%Y%m%d%H%M%S")  # noqa: DTZ007 -- zone below
    return moment.replace(tzinfo=UTC) if zone else moment.astimezone().astimezone(UTC)
