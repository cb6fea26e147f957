"""The images that a rebuild gives the engine, taken back when it is over: a stranger's, and of no use to anybody after.

    with borrowed(engine, store, report) as mine:
        rebuild_cell(mine, ...)

Whatever was there before stays, and so does all of it while somebody else builds with this store or measures: names
follow from content, so another command may have found an image there that it would else have loaded itself.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from toolkit.engine.port import Engine
from toolkit.errors import EngineError
from toolkit.fetch.store import IN_USE, Store


class _Lender:
    """An engine that notes the names it did not have before they were loaded."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.names: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def load(self, archive: BinaryIO | Path) -> None:
        """As the engine's."""
        names = _names(archive) if isinstance(archive, Path) else []
        self.names += [name for name in names if name not in self.names and self._engine.image(name) is None]
        self._engine.load(archive)


def _names(archive: Path) -> list[str]:
    """The names in a docker archive that we wrote ourselves."""
    with tarfile.open(archive, "r:") as tar:
        stream = tar.extractfile("manifest.json")
        rows = json.loads(stream.read()) if stream is not None else []
    return [str(name) for row in rows for name in row["RepoTags"] or ()]


@contextmanager
def borrowed(engine: Engine, store: Store, report: Callable[[str], None]) -> Iterator[Engine]:
    """The engine, for as long as the block takes; what was loaded into it meanwhile goes again. ``store``: where other
    commands of this user build. Raises what the block raises; an engine that is lost by then keeps what it has.
    """
    lender = _Lender(engine)
    try:
        with store.lock(IN_USE, shared=True):
            yield cast(Engine, lender)
    finally:
        with suppress(EngineError), store.alone(IN_USE) as alone:
            left = [name for name in reversed(lender.names) if engine.image(name) is not None]
            if alone and not engine.owned():
                for name in left:
                    with suppress(EngineError):  # somebody found a use for it
                        engine.remove_image(name)
            elif left:
                report(
                    f"rebuild: {len(left)} images stay in the engine, for somebody else builds or measures: "
                    "'repro clean --images' removes them"
                )
