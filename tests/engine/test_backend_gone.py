"""A backend that was ready and has ended by the time the SDK is to join its network: told by its own end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.altered import Altered, Bench, bench
from toolkit.engine.docker import DockerEngine
from toolkit.lease import lease

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def null(engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The null SDK against the stub, on CPU 0."""
    with lease("0", engine, wait_seconds=600):
        yield bench(engine, tmp_path_factory.mktemp("gone") / "runs", "net-http")


@dataclass
class Losing(Altered):
    """The real engine, which loses the backend just before it is asked to start the SDK's container."""

    lose: Callable[[DockerEngine, str], None] = lambda _engine, _container: None

    def start(self, container: str) -> None:
        """Lose the backend first, and wait until the engine knows it."""
        if self.roles[container] == "sdk":
            (backend,) = [one for one, role in self.roles.items() if role == "backend"]
            self.lose(self.engine, backend)
            limit = time.monotonic() + 30
            while backend in {one.id for one in self.engine.owned() if one.running} and time.monotonic() < limit:
                time.sleep(0.05)
        self.engine.start(container)


@pytest.mark.parametrize(
    ("lose", "word", "said"),
    [
        (lambda engine, backend: engine.signal(backend, "KILL"), "agent-lost", "137"),
        (lambda engine, backend: engine.signal(backend, "TERM"), "backend-died", "exit code"),
        (lambda engine, backend: engine.remove(backend), "agent-lost", "removed from outside"),
    ],
    ids=["killed", "ended", "removed"],
)
def test_a_backend_that_ends_before_the_sdk_joins_it(
    null: Bench, lose: Callable[[DockerEngine, str], None], word: str, said: str
) -> None:
    known = set(null.runs.glob("*/attempts/*/*"))
    outcome = null.launch(Losing(null.engine, lose=lose))
    assert (outcome.valid, outcome.result["termination"]) == (False, word)
    assert outcome.error is not None
    assert outcome.error.exit_code == 5
    assert said in str(outcome.error)
    (attempt,) = set(null.runs.glob("*/attempts/*/*")) - known
    kept: list[Path] = list(attempt.glob("backend.std*.log"))
    assert len(kept) == (0 if said.startswith("removed") else 2)
