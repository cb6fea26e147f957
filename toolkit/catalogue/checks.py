"""What one key of an entry cannot say alone: values that would collide with ours, or promise what cannot be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from toolkit.catalogue import entries
from toolkit.catalogue.files import bad

MARKS = ("model", "projector", "port", "threads")
"""What may stand in braces in a backend's command and environment; the plan fills it in."""

_MARK = re.compile(r"(?<!\{)\{([a-z_]+)\}(?!\})")
_OURS = ("PATH", "GOMAXPROCS")
_OUR_PREFIX = "REPRO_"
_UNIT_BYTES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_SMALLEST_BYTES = 6 * 1024 * 1024  # Docker's own minimum for a container
_PAGE_BYTES = 4096
_MOST_VECTORS = 1_000_000  # the harness's own limit


def memory_bytes(file: Path, text: str) -> int:
    """A limit in bytes. Raises CatalogueError for one that no container could have."""
    size = int(text.rstrip("kmg")) * _UNIT_BYTES[text.lstrip("0123456789")]
    if size < _SMALLEST_BYTES or size % _PAGE_BYTES or size >= 2**63:
        raise bad(file, "memory", f"{text} is not a multiple of {_PAGE_BYTES} bytes and at least {_SMALLEST_BYTES}")
    return size


def check_environment(file: Path, environment: Mapping[str, str]) -> None:
    """Raises CatalogueError for a variable that the launch itself sets: plan and entry would contradict each other."""
    for name in environment:
        if name in _OURS or name.startswith(_OUR_PREFIX):
            raise bad(file, f"environment.{name}", "the launch sets this variable itself")


def check_backend(file: Path, data: entries.Backend) -> None:
    """Raises CatalogueError for a backend that could not be started, reached or filled in."""
    check_environment(file, data.environment)
    if data.build == "none" and (data.port or data.ready):
        raise bad(file, "port", "a backend without a container (`build: none`) has neither `port` nor `ready`")
    if data.build != "none" and not (data.port and data.ready):
        raise bad(file, "port", "a backend with a container needs `port` and `ready`")
    if data.tls_port and data.tls_port == data.port:
        raise bad(file, "tls_port", f"{data.tls_port} is `port` already")
    if data.build == "native" and not (data.native and data.program):
        raise bad(file, "program", "`build: native` needs `native` and `program`")
    _check_marks(file, "command", data.command)
    for kind, words in data.commands.items():
        _check_marks(file, f"commands.{kind}", words)
    _check_marks(file, "environment", data.environment.values())


def _check_marks(file: Path, key: str, words: Iterable[str]) -> None:
    for word in words:
        for name in _MARK.findall(word):
            if name not in MARKS:
                known = ", ".join(f"{{{one}}}" for one in MARKS)
                raise bad(file, key, f"nothing fills in {{{name}}}; there are {known}")


def check_workload(file: Path, data: entries.Workload) -> None:
    """Raises CatalogueError for sizes that the kind needs, and for experiments among what is measured."""
    for kind, keys in _NEEDED.items():
        for key in keys if data.kind == kind else ():
            if getattr(data, key) < 1:
                raise bad(file, key, f"a workload of kind {kind} needs it, above 0")
    if data.top > data.vectors or data.vectors > _MOST_VECTORS:
        raise bad(file, "top", f"{data.top} best of {data.vectors} vectors; at most all, of at most {_MOST_VECTORS}")
    if ("probe" in data.drives) != (data.kind == "probe") or len(set(data.drives)) != len(data.drives):
        raise bad(file, "drives", "each once, and `probe` with kind probe alone")


_NEEDED = {
    "chat-stream": ("tokens",),
    "chat-image": ("tokens",),
    "embed": ("tokens", "dimensions"),
    "similarity": ("dimensions", "vectors", "top"),
}


def check_sdk(file: Path, data: entries.Sdk) -> None:
    """Raises CatalogueError for a workload listed twice, of which one list would never be read."""
    check_environment(file, data.environment)
    names = [row.id for row in data.workloads]
    for name in names:
        if names.count(name) > 1:
            raise bad(file, "workloads", f"{name!r} is listed twice")
