"""Keys that a program printed: found by their form, and blacked out before anything of a run is sealed.

Every letter behind the prefix becomes ``*``, so that no length changes. Only forms are searched that are hardly
anything else; a key without such a form cannot be told from other text, and none of the host's reaches a container.
"""

from __future__ import annotations

import re

SECRETS = re.compile(
    rb"(AKIA)[0-9A-Z]{16}|(gh[pousr]_)[A-Za-z0-9]{36,}|(sk-)[A-Za-z0-9_-]{32,}|(xox[abp]-)[0-9A-Za-z-]{10,}"
)
BLACKED_OUT = re.compile(rb"(AKIA|gh[pousr]_|sk-|xox[abp]-)\*{10,}")


def blacked_out(data: bytes) -> tuple[bytes, int]:
    """The bytes with every key in them blacked out, as long as before, and how many there were."""
    return SECRETS.subn(_stars, data)


def _stars(found: re.Match[bytes]) -> bytes:
    prefix: bytes = found[found.lastindex or 0]
    return prefix + b"*" * (len(found[0]) - len(prefix))
