"""Each native part and each backend, built twice without a cache: the same bytes, on the same machine and in the same
hour.

Two builds on one machine prove little about another one; what could differ there is listed in ADR 0009.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.build import targets
from toolkit.build.images import Build, BuildOptions
from toolkit.build.targets import Target
from toolkit.catalogue import load_catalogue
from toolkit.catalogue.parts import native_parts
from toolkit.engine.docker import DockerEngine
from toolkit.fetch.store import Store

pytestmark = pytest.mark.timeout(7200)


BACKENDS = sorted(entry.id for entry in load_catalogue().backends.values() if entry.build == "go")


@pytest.mark.parametrize("part", sorted(native_parts()))
def test_a_native_part_is_the_same_twice(engine: DockerEngine, part: str) -> None:
    _same_twice(engine, targets.native_target(part))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_backend_is_the_same_twice(engine: DockerEngine, backend: str) -> None:
    _same_twice(engine, targets.backend_target(load_catalogue().backend(backend)))


def _same_twice(engine: DockerEngine, target: Target) -> None:
    digests: list[dict[str, str]] = []
    for _ in range(2):
        build = Build(engine, Store.open(), BuildOptions(no_cache=True, allow_relock=False), lambda _: None)
        made: dict[str, Path] = build.outputs(target)
        digests.append({output: blob.name for output, blob in made.items()})
    different = [output for output in digests[0] if digests[0][output] != digests[1][output]]
    assert different == [], f"these files differ: {different}"
