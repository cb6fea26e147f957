"""The collector with real gRPC clients on its real socket: roles, events, directives, strangers, no left-overs."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc
import pytest

from tests.support.journals import SECOND, START, Builder
from toolkit.collect.server import Collector
from toolkit.collect.socket_folder import PATH_LIMIT_BYTES, SocketFolder, sweep_abandoned
from toolkit.errors import HostUnfit
from toolkit.proto.agent_pb2 import Chunk, Directive, Record
from toolkit.proto.agent_pb2_grpc import CollectorStub

WAIT_SECONDS = 120.0


class Agent:
    """A client that speaks as an agent does."""

    def __init__(self, socket: Path) -> None:
        self._chunks: SimpleQueue[Chunk | None] = SimpleQueue()
        self._channel = grpc.insecure_channel(f"unix:{socket}")
        self.call: Any = CollectorStub(self._channel).Attach(iter(self._chunks.get, None))

    def say(self, *records: Record) -> None:
        """Send one chunk."""
        self._chunks.put(Chunk(records=records))

    def end(self) -> list[Directive]:
        """Close our side; all directives until the host ends its own."""
        self._chunks.put(None)
        return list(self.call)

    def leave(self) -> None:
        """Go away as a killed process does."""
        self.call.cancel()
        self._channel.close()

    def close(self) -> None:
        """Close the channel."""
        self._chunks.put(None)
        self._channel.close()


@contextmanager
def agents(collector: Collector, *roles: str) -> Iterator[list[Agent]]:
    """Agents that have said hello."""
    made = []
    for role in roles:
        agent = Agent(collector.socket)
        agent.say(*Builder().hello(role=role).records())
        made.append(agent)
    try:
        yield made
    finally:
        for agent in made:
            agent.close()


@pytest.fixture
def base() -> Iterator[Path]:
    """A short folder for sockets; pytest's own are too deep for one."""
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def collector(base: Path) -> Iterator[Collector]:
    """An open collector."""
    with Collector(folder=SocketFolder([base])) as opened:
        yield opened
    assert list(base.iterdir()) == []


def mode(path: Path) -> int:
    """Permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def test_modes_let_a_container_in_and_nobody_else(base: Path) -> None:
    before = os.umask(0o077)
    try:
        with Collector(folder=SocketFolder([base])) as collector:
            assert mode(collector.folder.parent) == 0o700
            assert mode(collector.folder) == 0o711
            assert mode(collector.socket) == 0o666
            assert stat.S_ISSOCK(collector.socket.stat().st_mode)
            assert collector.socket.name == "collector.sock"
            assert len(str(collector.socket)) < PATH_LIMIT_BYTES
    finally:
        os.umask(before)
    assert list(base.iterdir()) == []


def test_events_of_two_containers_are_told_apart(collector: Collector) -> None:
    with agents(collector, "sdk", "backend") as (sdk, backend):
        backend.say(*Builder().ready(START).records())
        sdk.say(*Builder().phase("warmup", START).phase("measure", START + SECOND).window_end(START, 0).records())
        sdk.say(*Builder().exit(START + 2 * SECOND, 3).records())
        assert collector.wait(lambda s: s["sdk"].exit_code == 3 and s["backend"].ready, WAIT_SECONDS)
        state = collector.state("sdk")
        assert state.phases == ("warmup", "measure")
        assert (state.t0_ns, state.windows, state.ready, state.closed) == (START + SECOND, 1, False, False)
        assert collector.state("backend").phases == ()


def test_a_refusal_is_told(collector: Collector) -> None:
    with agents(collector, "sdk") as (sdk,):
        sdk.say(*Builder().refused(START, "cpu.quota").records())
        assert collector.wait(lambda states: states["sdk"].refused == "cpu.quota", WAIT_SECONDS)


def test_an_agent_waits_for_its_release(collector: Collector) -> None:
    with agents(collector, "sdk") as (sdk,):
        done: list[str] = []

        def release() -> None:
            done.append("released")
            collector.release("sdk")

        threading.Timer(0.3, release).start()
        assert [directive.release for directive in sdk.end()] == [True]
        assert done == ["released"], "it did not wait"
        state = collector.state("sdk")
        assert state.closed
        assert not state.broken


def test_a_release_before_the_end_or_before_hello_is_not_lost(collector: Collector) -> None:
    collector.release("backend")
    collector.release("backend")
    with agents(collector, "backend") as (backend,):
        assert [directive.release for directive in backend.end()] == [True]


def test_records_after_the_release_still_arrive(collector: Collector) -> None:
    with agents(collector, "sdk") as (sdk,):
        collector.release("sdk")
        assert next(sdk.call).release
        sdk.say(*Builder().exit(START, 0).records())
        assert list(sdk.end()) == []
        assert collector.state("sdk").exit_code == 0


def test_the_backend_is_told_the_phases_of_the_sdk(collector: Collector) -> None:
    with agents(collector, "sdk", "backend") as (sdk, backend):
        sdk.say(*Builder().phase("measure", START).records())
        assert next(backend.call).measure_ns == START
        sdk.say(*Builder().phase("drain", START + SECOND).records())
        assert next(backend.call).drain_ns == START + SECOND
        collector.release("sdk")
        assert [directive.release for directive in sdk.end()] == [True]


def test_a_backend_that_attaches_late_is_told_too(collector: Collector) -> None:
    with agents(collector, "sdk") as (sdk,):
        sdk.say(*Builder().phase("measure", START).records())
        assert collector.wait(lambda states: states["sdk"].t0_ns is not None, WAIT_SECONDS)
        with agents(collector, "backend") as (backend,):
            assert next(backend.call).measure_ns == START


@pytest.mark.parametrize("role", ["sdk", "stranger", ""])
def test_a_second_or_unknown_stream_is_turned_away(collector: Collector, role: str) -> None:
    with agents(collector, "sdk") as (sdk,):
        assert collector.wait(lambda states: states["sdk"].hello, WAIT_SECONDS)
        with agents(collector, role) as (forger,):
            forger.say(*Builder().exit(START, 1).records())
            with pytest.raises(grpc.RpcError) as caught:
                list(forger.call)
            assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION  # type: ignore[attr-defined]
        assert collector.state("sdk").exit_code is None
        sdk.say(*Builder().exit(START, 0).records())
        assert collector.wait(lambda states: states["sdk"].exit_code == 0, WAIT_SECONDS)


def test_a_stream_that_does_not_begin_with_hello_is_turned_away(collector: Collector) -> None:
    agent = Agent(collector.socket)
    agent.say(*Builder().sample(START).records())
    with pytest.raises(grpc.RpcError):
        list(agent.call)
    agent.close()


def test_an_agent_that_vanishes_is_a_broken_stream(collector: Collector) -> None:
    with agents(collector, "sdk") as (sdk,):
        assert collector.wait(lambda states: states["sdk"].hello, WAIT_SECONDS)
        sdk.leave()
        assert collector.wait(lambda states: states["sdk"].broken, WAIT_SECONDS)
        assert collector.state("sdk").closed


def test_every_record_is_shown_and_a_failing_display_costs_nothing(
    base: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shown: list[tuple[str, str | None]] = []

    def show(role: str, record: Record) -> None:
        shown.append((role, record.WhichOneof("kind")))
        if len(shown) == 2:
            raise OSError("the terminal is gone")

    with (
        Collector(show, folder=SocketFolder([base])) as collector,
        agents(collector, "sdk") as (sdk,),
    ):
        sdk.say(*Builder().sample(START).exit(START + 1, 0).records())
        assert collector.wait(lambda states: states["sdk"].exit_code == 0, WAIT_SECONDS)
    assert shown == [("sdk", "hello"), ("sdk", "sample")]
    assert "showing progress failed" in caplog.text


def test_waiting_has_an_end(collector: Collector) -> None:
    assert not collector.wait(lambda states: states["sdk"].ready, 0.2)


def test_leaving_does_not_wait_for_an_agent_that_hangs(base: Path) -> None:
    with Collector(folder=SocketFolder([base])) as collector:
        agent = Agent(collector.socket)
        agent.say(*Builder().hello().records())
        assert collector.wait(lambda states: states["sdk"].hello, WAIT_SECONDS)
    # Here, although the agent still has its stream open; it would never end by itself.
    assert list(base.iterdir()) == []
    agent.close()


def test_an_error_inside_removes_everything(base: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Collector(folder=SocketFolder([base])):
        raise KeyboardInterrupt
    assert list(base.iterdir()) == []


def test_a_long_base_is_refused_early_and_the_next_taken(base: Path) -> None:
    deep = base / ("x" * 60)
    deep.mkdir()
    with pytest.raises(HostUnfit, match="no place") as caught, SocketFolder([deep]):
        pass
    assert "limit 59" in caught.value.cause
    assert "TMPDIR" in caught.value.remedy
    assert list(deep.iterdir()) == []
    with SocketFolder([deep, Path("/proc/nowhere"), base]) as folder:
        assert folder.mounted.parent.parent == base


def test_folders_of_dead_owners_are_swept_and_living_ones_are_not(base: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from toolkit.collect.socket_folder import SocketFolder\n"
        "SocketFolder([Path(sys.argv[1])]).__enter__(); os.kill(os.getpid(), 9)"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code, str(base)], check=False, cwd=root)
    (abandoned,) = base.iterdir()
    (base / "sb-notours").mkdir(mode=0o755)
    with SocketFolder([base]) as living:
        assert sweep_abandoned([base]) == [abandoned]
        assert living.mounted.exists()
    assert sorted(path.name for path in base.iterdir()) == ["sb-notours"]


def test_nothing_spins(collector: Collector) -> None:
    with agents(collector, "sdk", "backend"):
        assert collector.wait(lambda states: all(state.hello for state in states.values()), WAIT_SECONDS)
        # Something that spins takes its share of each look, however slow or busy the machine; what others do in this
        # process (a collection of garbage, the end of another test's threads) is over at some time.
        looks = 0
        while quiet_share() >= 0.1:
            looks += 1
            assert looks < 100, "it spins"


def quiet_share() -> float:
    """CPU time of this process over a fifth of a second in which it does nothing, as a share."""
    began, used = time.monotonic(), time.process_time()
    time.sleep(0.2)
    return (time.process_time() - used) / (time.monotonic() - began)


def test_a_process_that_is_held_to_one_cpu_can_collect(base: Path) -> None:
    code = (
        "import os, sys; sys.path.insert(0, '.'); os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from pathlib import Path; from tests.unit.test_collector import agents, Builder, START\n"
        "from toolkit.collect.server import Collector; from toolkit.collect.socket_folder import SocketFolder\n"
        "with Collector(folder=SocketFolder([Path(sys.argv[1])])) as c, agents(c, 'sdk') as (a,):\n"
        "    a.say(*Builder().exit(START, 0).records())\n"
        "    assert c.wait(lambda s: s['sdk'].exit_code == 0, 120)\n"
        "    c.release('sdk'); assert [d.release for d in a.end()] == [True]\n"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code, str(base)], check=True, cwd=root, timeout=600)


def test_grpc_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, toolkit.collect.server; assert 'grpc' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).resolve().parents[2])
