"""Debian packages as small as can be."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping


def deb_bytes(name: str, version: str = "1", depends: str = "") -> bytes:
    """A package without files (deb(5): an ar archive of a tar)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        text = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nDepends: {depends}\n".encode()
        info = tarfile.TarInfo("./control")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    return ar({"control.tar": buffer.getvalue()})


def ar(parts: Mapping[str, bytes]) -> bytes:
    """The archive that a .deb is, with these members (deb(5), ar(5))."""
    data = b"!<arch>\n"
    for name, content in parts.items():
        data += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode() + content
        data += b"\n" * (len(content) % 2)
    return data
