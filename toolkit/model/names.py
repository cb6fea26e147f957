"""Names that travel through flags, files and JSON: cells, arms, runs (design, glossary)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

SEGMENT_LIMIT = 64
CHECKOUT_LABEL = "dir-"
"""How the label of a checkout begins (``--sdk-at DIR``); the digest of its files follows."""
_KEPT = 51
_HEX = 12
_ALLOWED = re.compile(r"[a-z0-9._=,+-]+")


def segment(text: str) -> str:
    """One segment of a cell id; a long one keeps 51 characters, ``+`` and 12 hex digits of its SHA-256.

    Raises ValueError when a character is outside ``[a-z0-9._=,+-]``.
    """
    if not _ALLOWED.fullmatch(text):
        raise ValueError(f"'{text}' may only hold a-z, 0-9 and . _ = , + -")
    if len(text) <= SEGMENT_LIMIT:
        return text
    return f"{text[:_KEPT]}+{hashlib.sha256(text.encode()).hexdigest()[:_HEX]}"


def arm_name(settings: Mapping[str, str]) -> str:
    """Sorted ``key=value`` pairs of what differs from the defaults, or ``default``."""
    pairs = ",".join(f"{key}={settings[key]}" for key in sorted(settings))
    return segment(pairs) if pairs else "default"


def cell_id(sdk: str, workload: str, arm: str) -> str:
    """``sdk/workload/arm``."""
    return "/".join(segment(part) for part in (sdk, workload, arm))


def on_disk(cell: str) -> str:
    """A cell id as a folder name."""
    return cell.replace("/", "--")
