"""The part of a verified archive that verification leaves to its user: the run's lock, which says what to build.

Verification says that every byte is the one that was listed. It does not say that the author means well: a path of a
stranger's lock could leave the folder that it is written into, and a file could be gone by the time it is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolkit.archive import layout
from toolkit.archive.inputs import inputs_of
from toolkit.errors import ArchiveInvalid
from toolkit.fetch.store import Store
from toolkit.verify.names import safe_name, shown
from toolkit.verify.report import Refused
from toolkit.verify.strict import strict_json

LOCK = "lock.json"
_STAGE = 8
_DIGEST = re.compile(r"(sha256:)?[0-9a-f]{64}\Z")
_KEY = re.compile(r"[A-Za-z0-9._-]{1,100}\Z")


@contextmanager
def judged() -> Iterator[None]:
    """What is refused after verification, as an error that a command can show. Raises ArchiveInvalid."""
    try:
        yield
    except Refused as refused:
        check = refused.check
        raise ArchiveInvalid(
            f"the archive is {refused.verdict}",
            f"{check.what}: expected {check.expected}, found {check.found}",
            "nothing of it was run; get the file again, and let nobody write to it meanwhile",
        ) from refused


def read_lock_of(run: Path) -> Mapping[str, Any]:
    """``lock.json`` of an unpacked run, every path and digest in it checked. Raises Refused."""
    lock = strict_json((run / LOCK).read_bytes(), LOCK, _STAGE)
    try:
        for cell in lock["cells"].values():
            _images(cell["images"])
            for key, target in cell.get("targets", {}).items():
                _target(key, target)
            for recipe in cell.get("recipes", {}).values():
                _recipe(recipe)
        for one in inputs_of(lock):
            _name(one.filename, "an input")
            _digest(one.sha256, one.filename)
    except (KeyError, TypeError, AttributeError, ValueError) as problem:
        text = shown(f"{type(problem).__name__}: {problem}")
        raise Refused(_STAGE, "malformed", LOCK, "what a launch writes", text) from problem
    found: Mapping[str, Any] = lock
    return found


def _images(images: Mapping[str, Any]) -> None:
    for image in images.values():
        identity = image["identity"]
        for value in (identity["config_digest"], *identity["diff_ids"]):
            _digest(value, "an image")


def _target(key: str, target: Mapping[str, Any]) -> None:
    _key(key)
    for path, digest in target["sources"].items():
        _name(path, "a source")
        _digest(digest, path)
    for row in (*target["modules"]["files"], *target.get("archives", ())):
        _name(row["filename"], "an input")
    for path in (*target.get("outputs", {}), *_given(target, "folder"), *_given(target, "workdir")):
        _name(path, "a place of a build")
    for name, value in target["environment"].items():
        if any(letter in f"{name}{value}" for letter in "\n\r\0"):
            raise Refused(_STAGE, "malformed", f"the environment of {shown(key)}", "values of one line", shown(value))


def _given(target: Mapping[str, Any], key: str) -> tuple[str, ...]:
    return (target[key],) if key in target else ()


def _recipe(recipe: Mapping[str, Any]) -> None:
    for place in (*recipe["placements"], recipe["program"]):
        _name(place["path"], "a place in an image")
        _name(place["output"], "what a build makes")
        _key(place["target"])


def _key(text: str) -> None:
    if not _KEY.match(text) or text in (".", ".."):
        raise Refused(_STAGE, "unsafe", "the name of a build", "letters and digits", shown(str(text)))


def _name(text: str, what: str) -> None:
    try:
        safe_name(text.encode("utf-8", "surrogatepass"))
    except Refused as refused:
        raise Refused(
            _STAGE, "unsafe", f"{what}: {refused.check.what}", "within its folder", refused.check.found
        ) from None


def _digest(value: object, what: str) -> None:
    if not isinstance(value, str) or not _DIGEST.match(value):
        raise Refused(_STAGE, "malformed", f"the digest of {shown(what)}", "a sha256", shown(str(value)))


def adopt_inputs(folder: Path, lock: Mapping[str, Any], report: Callable[[str], None] = lambda _: None) -> Store:
    """A private store below ``folder`` that holds the archive's inputs and remembers nothing, so that no record of
    anybody's is taken for a build. Raises ArchiveInvalid unless every input that ``lock`` names is there.
    """
    if not (folder / layout.INPUTS_INDEX).exists():
        raise ArchiveInvalid("the archive is without inputs", "there is nothing to rebuild from", "ask for a whole one")
    store = Store.open(folder / "store")
    wanted = inputs_of(lock)
    for one in wanted:
        place = folder / (layout.INPUT_BLOBS + one.sha256)
        if place.is_file() and not store.has(one.sha256):
            store.add_file(place, one.sha256, one.filename)
    lacking = [one for one in wanted if not store.has(one.sha256) and one.kind != "toolchain"]
    chains = [one for one in wanted if one.kind == "toolchain"]
    if not any(store.has(one.sha256) for one in chains):
        lacking += chains[:1]
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise ArchiveInvalid(
            f"the archive is incomplete: it lacks {shown(lacking[0].filename)}{more}",
            f"its lock names it ({lacking[0].kind}, sha256 {lacking[0].sha256}), and nothing is fetched for a rebuild",
            "ask its author for a whole one",
        )
    report(f"rebuild: {len(wanted)} inputs, all in the archive")
    return store
