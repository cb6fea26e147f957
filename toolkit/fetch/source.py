"""Inputs from somewhere else than a package source: a bundle or archive, a folder (another store, a mirror on a stick)
or a URL.

Only digests decide what is taken. The only module that imports httpx, and only for a URL.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from toolkit.canonical import sha256_file
from toolkit.errors import InputUnavailable, UsageError
from toolkit.fetch.store import Store
from toolkit.model.inputs import LockedFile

_TIMEOUT_SECONDS = 60.0


class Source:
    """A place that may hold inputs, by their sha256 (``blobs/ab/abcd...``, ``abcd...``) or by their file name."""

    def __init__(self, place: str) -> None:
        """Raises UsageError when ``place`` is no folder, file or http(s) URL."""
        self._url = place.rstrip("/") if place.startswith(("https://", "http://")) else ""
        self._folder = Path(place)
        if not self._url and not self._folder.is_dir() and not self._folder.is_file():
            raise UsageError(f"Cannot fetch from {place}", "it is no folder, file or http(s) URL", "check the path")

    def bring_all(self, store: Store, rows: Sequence[LockedFile]) -> None:
        """Take in whatever of these the place has. Raises InputMismatch, InputUnavailable, ArchiveInvalid."""
        if not self._url and self._folder.is_file():
            from toolkit.archive.bundle import take_in

            take_in(store, self._folder, rows)
            return
        for row in rows:
            self.bring(store, row)

    def bring(self, store: Store, row: LockedFile) -> bool:
        """Take an input into the store if the place has it. Raises InputMismatch when its file has other bytes."""
        return self._from_url(store, row) if self._url else self._from_folder(store, row)

    def _names(self, row: LockedFile) -> list[str]:
        return [f"blobs/{row.sha256[:2]}/{row.sha256}", row.sha256, row.filename, row.filename.rpartition("/")[2]]

    def _from_folder(self, store: Store, row: LockedFile) -> bool:
        paths = [self._folder / name for name in self._names(row) if (self._folder / name).is_file()]
        for path in paths:
            if sha256_file(path) == row.sha256:
                store.add_file(path, row.sha256, row.filename)
                return True
        # v1.0.0.zip is a name that many modules share: only an exact path is a claim to be this file.
        if any(path == self._folder / row.filename for path in paths):
            store.add_file(self._folder / row.filename, row.sha256, row.filename)
        return False

    def _from_url(self, store: Store, row: LockedFile) -> bool:
        import httpx

        try:
            with httpx.Client(follow_redirects=True, timeout=_TIMEOUT_SECONDS) as client:
                for name in self._names(row)[:3]:
                    with store.temporary() as folder, client.stream("GET", f"{self._url}/{name}") as answer:
                        if answer.status_code != httpx.codes.OK:
                            continue
                        with (folder / "body").open("wb") as stream:
                            for block in answer.iter_bytes():
                                stream.write(block)
                                if stream.tell() > row.size_bytes:
                                    break
                        store.add_file(folder / "body", row.sha256, row.filename)
                        return True
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise InputUnavailable(
                f"{row.filename} could not be fetched from the given URL", str(error), "check the URL and the network"
            ) from error
        return False
