"""The fake engine behaves as the port says, so that tests of whole commands can trust it."""

from __future__ import annotations

import inspect

import pytest

from toolkit.engine.docker import DockerEngine
from toolkit.engine.fake import FakeContainer, FakeEngine
from toolkit.engine.faults import NamespaceGone
from toolkit.engine.port import LABEL_RUN, Engine
from toolkit.errors import EngineLost, EngineRefused, EngineTooOld
from toolkit.model.container import ContainerSpec

SPEC = ContainerSpec(image="image", command=("x",), labels={LABEL_RUN: "run"})


@pytest.fixture
def fake() -> FakeEngine:
    return FakeEngine(images=["image"])


@pytest.mark.parametrize("kind", [FakeEngine, DockerEngine])
def test_both_engines_have_the_port_s_methods_and_parameters(kind: type) -> None:
    for name, method in inspect.getmembers(Engine, inspect.isfunction):
        if not name.startswith("_"):
            assert (
                inspect.signature(getattr(kind, name)).parameters.keys() == inspect.signature(method).parameters.keys()
            )


def test_a_container_lives_and_is_recorded(fake: FakeEngine) -> None:
    fake.on_start = lambda container: container.finish(3, stdout=b"out", stderr=b"err")
    container, warnings = fake.create(SPEC)
    assert warnings == ()
    assert fake.wait(container, 0) is None
    fake.start(container)
    assert fake.wait(container, 1) == 3
    assert fake.logs(container, stderr=True, limit_bytes=2) == b"rr"
    assert [row.running for row in fake.owned()] == [False]
    fake.remove(container)
    fake.remove(container)
    assert fake.owned() == []
    assert fake.asked("create")[0].arguments == (SPEC,)


def test_its_view_is_what_was_asked_for(fake: FakeEngine) -> None:
    container, _ = fake.create(SPEC)
    assert fake.inspect(container)["HostConfig"]["CapDrop"] == ["ALL"]
    fake.alter_inspect = lambda view: {**view, "HostConfig": {**view["HostConfig"], "CapDrop": []}}
    assert fake.inspect(container)["HostConfig"]["CapDrop"] == []


def test_signals_end_containers_as_the_kernel_does(fake: FakeEngine) -> None:
    container, _ = fake.create(SPEC)
    fake.start(container)
    fake.containers[container].obeys_term = False
    fake.signal(container, "TERM")
    assert fake.state(container).running
    fake.signal(container, "KILL")
    fake.signal(container, "KILL")
    assert fake.state(container).exit_code == 137
    fake.signal("gone", "KILL")


def test_it_fails_when_told_and_only_as_often(fake: FakeEngine) -> None:
    fake.fail("create", EngineRefused("no such CPU"))
    with pytest.raises(EngineRefused, match="no such CPU"):
        fake.create(SPEC)
    fake.create(SPEC)
    with pytest.raises(EngineRefused, match="No such image"):
        fake.create(ContainerSpec(image="other", command=()))


def test_it_dies_and_answers_old_versions(fake: FakeEngine) -> None:
    with pytest.raises(EngineTooOld):
        FakeEngine(api_version="1.40").facts()
    fake.die()
    with pytest.raises(EngineLost):
        fake.facts()


def test_a_dead_backend_s_network_cannot_be_joined(fake: FakeEngine) -> None:
    backend, _ = fake.create(SPEC)
    fake.on_start = lambda container: None
    joined, _ = fake.create(ContainerSpec(image="image", command=(), network=f"container:{backend}"))
    with pytest.raises(NamespaceGone):
        fake.start(joined)
    fake.start(backend)
    fake.start(joined)
    found: FakeContainer = fake.containers[joined]
    assert found.running
