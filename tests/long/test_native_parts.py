"""Each native part and each backend, built twice without a cache: the same bytes, on the same machine and in the same
hour.

Two builds on one machine prove little about another one; what could differ there is listed in ADR 0009.
"""

from __future__ import annotations

import re
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


# VFMADD231PS with a VEX prefix: by chance it stands in any program a few times, in ggml's kernels hundreds of times.
FUSED = re.compile(rb"\xc4[\x42\x62\xc2\xe2][\x00-\x7f]\xb8")
ENOUGH = 100


@pytest.mark.parametrize(
    ("part", "output"), [("llama", "lib/libggml-cpu.so"), ("llama-server", "programs/llama-server")]
)
def test_a_part_computes_with_the_instructions_of_its_level(engine: DockerEngine, part: str, output: str) -> None:
    # CMake may take the processor for an unknown one and say nothing: an answer then takes 18 times as long.
    build = Build(engine, Store.open(), BuildOptions(), lambda _: None)
    assert len(FUSED.findall(build.outputs(targets.native_target(part))[output].read_bytes())) > ENOUGH


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
