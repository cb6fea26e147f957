"""How much a package of a stranger may unpack to: declared limits, counted while the bytes come, before they are kept.

Packages, wheels and module zips are read on the host, by us; what a build does in its container is bounded there
(``compile.Limits``). What the locks of this project name needs half of each limit at most::

    room = Room(title="a.deb")
    room.file(len(data)); room.member(name, size)

No archive inside an archive is opened beyond the two levels that a package has, and nothing is written by the names
that are read: they become entries of a layer.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from toolkit.errors import BuildFailed, InputUnsafe

FILE_BYTES = 512 * 1024**2
"""Of a package as it lies in the store."""

UNPACKED_BYTES = 1024**3
"""Of all packages of one layer together, unpacked. They are held in memory until the layer is written."""

MEMBERS = 200_000
"""Of all packages of one layer together."""

CONTROL_BYTES = 32 * 1024**2
NAME_BYTES = 1024
DEPTH = 32


@dataclass
class Room:
    """What is left of the limits for the packages of one layer. ``deadline``: by ``time.monotonic``, None for none.

    Raises InputUnsafe, naming package and limit, and BuildFailed after the deadline.
    """

    deadline: float | None = None
    unpacked_bytes: int = UNPACKED_BYTES
    members: int = MEMBERS
    title: str = field(default="", init=False)

    def file(self, title: str, size: int) -> None:
        """A package begins. ``title`` names it in what is said from here on."""
        self.title = title
        self.most(size, FILE_BYTES, "bytes as a file")

    def unpacked(self, size: int) -> None:
        """So many bytes more came out of a compressed stream, or are about to."""
        self.unpacked_bytes -= size
        if self.unpacked_bytes < 0:
            raise self._refused(f"unpacked to more than {UNPACKED_BYTES} bytes, with the packages before it")
        self.in_time()

    def member(self, name: str, size: int = 0) -> None:
        """One more member, of ``size`` bytes as it declares itself. Its name must stay below the folder it is for."""
        self.members -= 1
        if self.members < 0:
            raise self._refused(f"more than {MEMBERS} members, with the packages before it")
        if size < 0 or size > self.unpacked_bytes:
            raise self._refused(f"a member that declares {size} bytes")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts or "\0" in name:
            raise self._refused("a name that leaves its folder")
        if len(parts) > DEPTH or len(name.encode("utf-8", "surrogateescape")) > NAME_BYTES:
            raise self._refused(f"a name of more than {DEPTH} levels or {NAME_BYTES} bytes")
        self.in_time()

    def most(self, found: int, limit: int, what: str) -> None:
        """Raises InputUnsafe where ``found`` is more than ``limit``."""
        if found > limit:
            raise self._refused(f"{found} {what}, where {limit} are the most")

    def in_time(self) -> None:
        """Raises BuildFailed after the deadline."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise BuildFailed(
                f"Unpacking {self.title} was stopped",
                "the time that it was given is over",
                "give more: --limit-minutes",
            )

    def _refused(self, why: str) -> InputUnsafe:
        return InputUnsafe(
            f"{self.title} is not safe to unpack",
            why,
            "nothing of it was kept; no package of this project is like that",
        )
