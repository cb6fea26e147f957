"""Signatures in OpenSSH's SSHSIG form, Ed25519 only: what ``ssh-keygen -Y sign`` makes and ``-Y verify`` checks.

Format: PROTOCOL.sshsig of OpenSSH. The signed bytes are magic, namespace, an empty reserved field, the hash's name and
the message's hash, each as an SSH string; so one for another purpose or under another hash is none here.
It holds no comment, user or host name.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_MAGIC = b"SSHSIG"
_VERSION = (1).to_bytes(4, "big")
_ED25519 = b"ssh-ed25519"
_HASHES = {b"sha512": hashlib.sha512, b"sha256": hashlib.sha256}
_BEGIN, _END = b"-----BEGIN SSH SIGNATURE-----", b"-----END SSH SIGNATURE-----"
_LINE = 70
KEY_BYTES, SIGNATURE_BYTES = 32, 64


class SignatureMalformed(ValueError):
    """The bytes are no SSHSIG."""


class SignatureWeak(ValueError):
    """A key type or hash that proves too little."""


@dataclass(frozen=True)
class Signature:
    """One signature, parsed. ``key`` and ``value`` are raw Ed25519 bytes (32 and 64)."""

    key: bytes
    namespace: str
    hash_name: bytes
    value: bytes

    @property
    def fingerprint(self) -> str:
        """As ``ssh-keygen -l`` prints it."""
        return fingerprint(self.key)


def fingerprint(key: bytes) -> str:
    """``SHA256:<base64>`` of a raw Ed25519 public key, as OpenSSH shows it."""
    digest = hashlib.sha256(_string(_ED25519) + _string(key)).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def sign(message: bytes, key: Ed25519PrivateKey, namespace: str) -> bytes:
    """The armoured signature. Same message, key and namespace: same bytes."""
    public = key.public_key().public_bytes_raw()
    value = key.sign(_signed(namespace, b"sha512", message))
    blob = b"".join(
        (
            _MAGIC,
            _VERSION,
            _string(_string(_ED25519) + _string(public)),
            _string(namespace.encode()),
            _string(b""),
            _string(b"sha512"),
            _string(_string(_ED25519) + _string(value)),
        )
    )
    text = base64.b64encode(blob)
    lines = [text[at : at + _LINE] for at in range(0, len(text), _LINE)]
    return b"\n".join((_BEGIN, *lines, _END, b""))


def parse(armoured: bytes) -> Signature:
    """Raises SignatureMalformed, SignatureWeak. Says nothing of whether it is good."""
    lines = armoured.replace(b"\r\n", b"\n").split(b"\n")
    if lines[-1:] != [b""] or len(lines) < 4 or lines[0] != _BEGIN or lines[-2] != _END:
        raise SignatureMalformed("not an armoured SSH signature and nothing else")
    try:
        blob = base64.b64decode(b"".join(lines[1:-2]), validate=True)
    except binascii.Error as problem:
        raise SignatureMalformed(f"not base64: {problem}") from problem
    if not blob.startswith(_MAGIC + _VERSION):
        raise SignatureMalformed("no SSHSIG of version 1")
    key, namespace, reserved, hash_name, value = _strings(blob[len(_MAGIC) + 4 :], 5)
    del reserved
    (key_type, public), (value_type, raw) = _strings(key, 2), _strings(value, 2)
    if key_type != _ED25519 or value_type != _ED25519 or hash_name not in _HASHES:
        raise SignatureWeak(
            f"{_plain(key_type)} with {_plain(hash_name)}; only ssh-ed25519 with sha512 or sha256 counts"
        )
    if len(public) != KEY_BYTES or len(raw) != SIGNATURE_BYTES:
        raise SignatureMalformed("an Ed25519 key or signature of another length")
    return Signature(public, _plain(namespace), hash_name, raw)


def holds(signature: Signature, message: bytes) -> bool:
    """Whether the key that it names made it over these bytes (RFC 8032)."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        public = Ed25519PublicKey.from_public_bytes(signature.key)
        public.verify(signature.value, _signed(signature.namespace, signature.hash_name, message))
    except (InvalidSignature, ValueError):
        return False
    return True


def _signed(namespace: str, hash_name: bytes, message: bytes) -> bytes:
    hashed = _HASHES[hash_name](message).digest()
    return _MAGIC + _string(namespace.encode()) + _string(b"") + _string(hash_name) + _string(hashed)


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _strings(data: bytes, count: int) -> list[bytes]:
    """Exactly so many SSH strings (RFC 4251, section 5)."""
    found = []
    for _ in range(count):
        size = int.from_bytes(data[:4], "big")
        if len(data) < 4 + size:
            raise SignatureMalformed("it is cut off")
        found.append(data[4 : 4 + size])
        data = data[4 + size :]
    if data:
        raise SignatureMalformed("bytes after its end")
    return found


def _plain(data: bytes) -> str:
    return data.decode("ascii", "backslashreplace")
