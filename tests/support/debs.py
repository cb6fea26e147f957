"""Debian packages as small as can be: only their control fields are read."""

from __future__ import annotations

import io
import tarfile


def deb_bytes(name: str, version: str = "1", depends: str = "") -> bytes:
    """A package without files (deb(5): an ar archive of a tar)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        text = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nDepends: {depends}\n".encode()
        info = tarfile.TarInfo("./control")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    content = buffer.getvalue()
    header = f"{'control.tar':<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
    return b"!<arch>\n" + header + content
