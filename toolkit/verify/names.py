"""Which member names are safe on every system that may open an archive. Refuses; never repairs."""

from __future__ import annotations

import re
import unicodedata

from toolkit.archive import layout
from toolkit.verify.report import Refused

_STAGE = 1
_RESERVED = re.compile(r"^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?$", re.IGNORECASE)
_PLAIN = re.compile(r"[A-Za-z0-9._=,+@/-]+\Z")
_HIDDEN_CATEGORIES = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Controls (newline, ESC), format characters (bidi overrides, zero width), surrogates, private and unassigned ones."""


def safe_name(raw: bytes) -> str:
    """The name of a member. Raises Refused (unsafe) for one that could mean something else somewhere."""
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise _unsafe(repr(raw), "not UTF-8") from None
    reason = _why_not(name)
    if reason:
        raise _unsafe(shown(name), reason)
    return name


def _unsafe(name: str, reason: str) -> Refused:
    return Refused(_STAGE, "unsafe", f"the name {name}", "a plain relative path", reason)


def _why_not(name: str) -> str:
    if not name or name.startswith("/"):
        return "empty or absolute"
    if not _PLAIN.match(name) and (reason := _odd_letters(name)):
        return reason
    parts = name.split("/")
    if len(parts) > layout.MAX_DEPTH:
        return f"more than {layout.MAX_DEPTH} folders deep"
    return next((reason for part in parts if (reason := _why_not_part(part))), "")


def _odd_letters(name: str) -> str:
    """What is wrong with a name that has other letters than almost every name."""
    if any(unicodedata.category(letter) in _HIDDEN_CATEGORIES for letter in name):
        return "it holds a control or invisible character"
    if unicodedata.normalize("NFC", name) != name:
        return "not in Unicode normal form C"
    if "\\" in name or ":" in name:
        return "it holds a backslash or a colon"
    return ""


def _why_not_part(part: str) -> str:
    if part in ("", ".", ".."):
        return "it has an empty part, '.' or '..'"
    if part != part.strip(" ") or part.endswith("."):
        return "a part begins or ends with a blank, or ends with a dot"
    if _RESERVED.match(part):
        return "a name that some systems reserve for devices"
    if len(part.encode()) > layout.MAX_COMPONENT_BYTES:
        return f"a part is longer than {layout.MAX_COMPONENT_BYTES} bytes"
    return ""


def shown(text: str, limit: int = 120) -> str:
    """A stranger's text as it may meet a terminal: printable ASCII, everything else escaped, cut."""
    plain = text.encode("unicode_escape", "surrogatepass").decode("ascii")
    return plain if len(plain) <= limit else plain[:limit] + "..."


class Names:
    """The names seen so far. ``add`` raises Refused for one that collides with another on some system."""

    def __init__(self) -> None:
        self._exact: set[str] = set()
        self._folded: dict[str, str] = {}
        self._folders: set[str] = set()

    def __len__(self) -> int:
        return len(self._exact)

    def add(self, name: str) -> None:
        """Take a safe name in."""
        if name in self._exact:
            raise Refused(_STAGE, "tampered", f"the name {shown(name)}", "once", "twice")
        if name in self._folders:
            raise Refused(_STAGE, "tampered", f"the name {shown(name)}", "a file or a folder", "both")
        folded = name.casefold()
        if folded in self._folded:
            raise Refused(
                _STAGE, "unsafe", f"the name {shown(name)}", "unlike every other", f"like {shown(self._folded[folded])}"
            )
        self._exact.add(name)
        self._folded[folded] = name
        parts = name.split("/")
        for end in range(1, len(parts)):
            self._folder("/".join(parts[:end]), name)

    def _folder(self, folder: str, name: str) -> None:
        if folder in self._exact:
            raise Refused(_STAGE, "tampered", f"the name {shown(folder)}", "a file or a folder", "both")
        if folder in self._folders:
            return
        folded = folder.casefold() + "/"
        if folded in self._folded or folder.casefold() in self._folded:
            other = self._folded.get(folded) or self._folded[folder.casefold()]
            raise Refused(_STAGE, "unsafe", f"the name {shown(name)}", "unlike every other", f"like {shown(other)}")
        self._folders.add(folder)
        self._folded[folded] = folder
