"""Every SDK's program, built again without anything that was kept: the same bytes.

An image is assembled from such outputs by one deterministic writer, so equal programs are equal images;
``test_sealed_build.py`` and ``test_native_build.py`` compare whole images, and the Dockerfile route. Backends and
native parts take minutes each: ``tests/long/test_native_parts.py``.
"""

from __future__ import annotations

import pytest

from tests.support.sdks import CATALOGUE, EVERYTHING
from toolkit.build import targets
from toolkit.build.images import Build, BuildOptions
from toolkit.engine.docker import DockerEngine
from toolkit.fetch.store import Store

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not EVERYTHING, reason="minutes: REPRO_TEST_SDKS=all runs it"),
]


@pytest.fixture(scope="module")
def again(engine: DockerEngine) -> Build:
    """One build pass that keeps nothing but the standard library, which it compiles itself."""
    return Build(engine, Store.open(), BuildOptions(no_cache=True), lambda _: None)


@pytest.mark.parametrize("sdk", sorted(CATALOGUE.sdks))
def test_a_program_is_the_same_twice(engine: DockerEngine, again: Build, sdk: str) -> None:
    target = targets.sdk_target(CATALOGUE.sdk(sdk))
    first = Build(engine, Store.open(), BuildOptions(), lambda _: None).outputs(target)
    second = again.outputs(target)
    assert {name: blob.name for name, blob in first.items()} == {name: blob.name for name, blob in second.items()}
