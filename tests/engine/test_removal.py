"""Take away each setting in turn: each time the launch is refused, or invalid, and says which row.

Twice for every row that the kernel knows. An engine that makes something else and says so is caught before anything
starts. One that makes something else and shows what it was asked (it lies, or its view is not the kernel's) is caught
by the agent or by the host. What no request can take away stands in ``NOT_BY_REQUEST`` with the test that proves it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.altered import Altered, Bench, Change, bench, broken, drifts, pace, states
from toolkit.engine.docker import DockerEngine
from toolkit.host.topology import read_topology
from toolkit.launch.containers import Wiring, sdk_container
from toolkit.launch.judge import AttemptOutcome
from toolkit.lease import lease
from toolkit.readback.decide import CREATED, Observation, decide
from toolkit.readback.host_view import OWNERS_ONLY
from toolkit.readback.rows import ENGINE_BLIND, ENGINE_ONLY, HOST_JUDGED, lacking, requested_rows

pytestmark = pytest.mark.timeout(900)
Json = dict[str, Any]

NOT_BY_REQUEST = {
    "memory.high_bytes": "no request has a word for it: test_drift.py writes it on cgroup v2, v1 lacks it",
    "workload.environment": "the agent makes it: test_drift.py has a program that changes its own",
    "apparmor": "it is on or off with the kernel: below, by the engine's answer",
}


@dataclass(frozen=True)
class Removal:
    """How a row's setting is taken away. ``kernel`` may differ from ``engine``; ``plan`` changes the cell for it.

    ``same`` says why the kernel could not show it on some machine: given the bench, the reason or nothing.
    """

    engine: Change | None
    kernel: Change | None = None
    role: str = "backend"
    plan: Mapping[str, Any] | None = None
    same: Callable[[Bench], str] = lambda _: ""
    shown_as: str = ""
    """The row that breaks first where another one shows the same setting before the program is started."""


def host(**settings: Any) -> Change:
    """Other keys of ``HostConfig``."""
    return lambda body: body["HostConfig"].update(settings)


def config(**settings: Any) -> Change:
    """Other keys of the body itself."""
    return lambda body: body.update(settings)


def environment(name: str, value: str) -> Change:
    """One variable otherwise, or one more."""

    def change(body: Json) -> None:
        kept = [entry for entry in body["Env"] if not entry.startswith(f"{name}=")]
        body["Env"] = [*kept, f"{name}={value}"]

    return change


def agent(**settings: Any) -> Change:
    """Other settings of the agent; what it expects stays."""

    def change(body: Json) -> None:
        (told,) = [entry for entry in body["Env"] if entry.startswith("REPRO_AGENT=")]
        text = json.dumps({**json.loads(told.partition("=")[2]), **settings})
        environment("REPRO_AGENT", text)(body)

    return change


def with_the_agents_cpu(body: Json) -> None:
    """The program on one CPU more: of those in its container the agent's is another one on every machine."""
    (told,) = [entry for entry in body["Env"] if entry.startswith("REPRO_AGENT=")]
    settings = json.loads(told.partition("=")[2])
    agent(workload_cpus=f"{settings['workload_cpus']},{settings['agent_cpus']}")(body)


def options(*, without: str, instead: str = "") -> Change:
    """A security option less, or another."""

    def change(body: Json) -> None:
        kept = [one for one in body["HostConfig"]["SecurityOpt"] if not one.startswith(without)]
        body["HostConfig"]["SecurityOpt"] = [*kept, *([instead] if instead else [])]

    return change


def limit(name: str, value: int) -> Change:
    """Another resource limit."""

    def change(body: Json) -> None:
        kept = [one for one in body["HostConfig"]["Ulimits"] if one["Name"] != name]
        body["HostConfig"]["Ulimits"] = [*kept, {"Name": name, "Soft": value, "Hard": value}]

    return change


def mount(target: str, change: Callable[[Json], Json | None]) -> Change:
    """A bind otherwise, or none."""

    def alter(body: Json) -> None:
        mounts = body["HostConfig"]["Mounts"]
        changed = [change(dict(one)) if one["Target"] == target else one for one in mounts]
        body["HostConfig"]["Mounts"] = [one for one in changed if one is not None]

    return alter


def writable(one: Json) -> Json:
    """The same mount, not read-only."""
    one.pop("ReadOnly")
    return one


def without_membind(body: Json) -> None:
    """The program is started, and its memory is bound to no node."""
    body["Cmd"] = ["--localalloc" if word.startswith("--membind=") else word for word in body["Cmd"]]


def one_node(bench: Bench) -> str:
    """Why memory nodes cannot be taken away."""
    nodes = requested_rows(spec_of(bench), bench.cell, "sdk")["container.mems"]
    everything = Path("/sys/devices/system/node/online").read_text().strip()
    return "this machine has one memory node: no group can have another set" if nodes == everything else ""


def one_cpu(bench: Bench) -> str:
    """Why a program cannot be given another CPU than it has."""
    return "this machine has one CPU: no list can name another" if len(read_topology().cpus) < 2 else ""


EXTRA_DEVICE = {"PathOnHost": "/dev/null", "PathInContainer": "/dev/extra", "CgroupPermissions": "rwm"}
REMOVALS: dict[str, Removal] = {
    # Where agent and program share one CPU, a group without a list shows on every machine with two.
    "container.cpuset": Removal(host(CpusetCpus=""), plan={"agent_cpus": "0", "backend_cpus": "0"}, same=one_cpu),
    "container.mems": Removal(host(CpusetMems=""), same=one_node),
    "mems.allowed": Removal(None, host(CpusetMems=""), same=one_node, shown_as="container.mems"),
    "workload.affinity": Removal(None, with_the_agents_cpu, role="sdk", same=one_cpu),
    "agent.affinity": Removal(None, agent(agent_cpus="0"), role="sdk", same=one_cpu),
    "memory.policy": Removal(None, without_membind),
    "cpu.quota": Removal(host(CpuQuota=50_000, CpuPeriod=100_000)),
    "cpu.weight": Removal(host(CpuShares=512)),
    "memory.limit_bytes": Removal(host(Memory=0, MemorySwap=0), role="sdk"),
    "memory.swap_bytes": Removal(host(MemorySwap=-1)),
    "memory.swappiness": Removal(host(MemorySwappiness=60)),
    "oom.kill_disable": Removal(host(OomKillDisable=True)),
    "pids.limit": Removal(host(PidsLimit=0), role="sdk"),
    "capabilities": Removal(host(CapDrop=[]), role="sdk"),
    "no_new_privileges": Removal(options(without="no-new-privileges")),
    "seccomp.mode": Removal(options(without="seccomp=", instead="seccomp=unconfined")),
    "seccomp.profile": Removal(options(without="seccomp=")),
    "user": Removal(config(User="0:0")),
    "privileged": Removal(host(Privileged=True)),
    "devices": Removal(host(Devices=[EXTRA_DEVICE])),
    "namespaces": Removal(host(IpcMode="host")),
    "init": Removal(host(Init=True), host(PidMode="host")),
    "network": Removal(host(NetworkMode="host")),
    "resolv_conf": Removal(mount("/etc/resolv.conf", lambda _: None)),
    "rootfs.readonly": Removal(host(ReadonlyRootfs=False)),
    "sys.readonly": Removal(host(Privileged=True)),
    "proc_sys.readonly": Removal(host(ReadonlyPaths=[])),
    "mounts.writable": Removal(mount("/repro/run", writable)),
    "mounts.binds": Removal(mount("/repro/run", writable), role="sdk"),
    "tmpfs": Removal(host(Tmpfs={"/tmp": "rw,nosuid,nodev,noexec,mode=1777"})),
    "shm_bytes": Removal(host(ShmSize=0)),
    "environment": Removal(environment("EXTRA", "1")),
    "environment.values": Removal(environment("HOME", "/")),
    "agent.settings": Removal(agent(release_timeout_seconds=6), role="sdk"),
    "gomaxprocs": Removal(environment("GOMAXPROCS", "7"), role="sdk"),
    "ulimit.core": Removal(limit("core", 4096)),
    "ulimit.nofile": Removal(limit("nofile", 1024), role="sdk"),
    "log.driver": Removal(host(LogConfig={"Type": "json-file", "Config": {}})),
    "restart_policy": Removal(host(RestartPolicy={"Name": "always"})),
    "healthcheck": Removal(config(Healthcheck={"Test": ["CMD", "true"]})),
}
BY_ENGINE = sorted(row for row, removal in REMOVALS.items() if removal.engine is not None)
BY_KERNEL = sorted(row for row in REMOVALS if row not in ENGINE_ONLY)


@pytest.fixture(scope="module")
def null(engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The null SDK against the stub, as short as it can be; its lane is held for the whole file."""
    with lease("0", engine, wait_seconds=600):
        # What is refused does not warm up, and what is not must only be seen.
        yield bench(engine, tmp_path_factory.mktemp("removal") / "runs", "net-http", warmup_seconds=0.0)


def spec_of(bench: Bench) -> Any:
    """What the launch asks for the SDK's container."""
    return sdk_container(bench.cell, "image", bench.prepared.seccomp, Wiring("/journal", "/run", "/dev/null"))


def said(outcome: AttemptOutcome) -> str:
    """What the user is told."""
    assert not outcome.valid
    return str(outcome.result["invalid"])


def test_every_row_of_the_baseline_has_a_removal(null: Bench) -> None:
    rows = set(requested_rows(spec_of(null), null.cell, "sdk"))
    assert rows == REMOVALS.keys() | NOT_BY_REQUEST.keys()
    assert not REMOVALS.keys() & NOT_BY_REQUEST.keys()
    assert set(BY_ENGINE) | set(BY_KERNEL) == REMOVALS.keys()
    assert not set(BY_ENGINE) & (ENGINE_BLIND - {"memory.high_bytes"})


def test_with_nothing_taken_away_it_is_valid_and_seen_by_everybody_who_can(null: Bench) -> None:
    second = pace()
    outcome = null.launch(Altered(null.engine), warmup_seconds=second, duration_seconds=second)
    assert outcome.valid, outcome.result["invalid"]
    absent = lacking(null.cgroup_version)
    for role, row in states(outcome):
        wanted = {"engine", "host", "agent"}
        if row["id"] in ENGINE_ONLY:
            wanted = {"engine"}
        elif row["id"] in ENGINE_BLIND:
            wanted = {"host", "agent"}
        seen = set(row["witnesses"])
        if row["id"] in absent:
            assert (row["state"], seen) == ("absent", set()), (role, row)
        else:
            assert (row["state"], row["reason"]) == ("held", None), (role, row)
            if os.geteuid() != 0 and row["id"] in OWNERS_ONLY:
                wanted.discard("host")
            assert seen == wanted, (role, row)


@pytest.mark.parametrize("row", BY_ENGINE)
def test_an_engine_that_makes_something_else_starts_nothing(row: str, null: Bench) -> None:
    if row in lacking(null.cgroup_version):
        return  # there is nothing to take away: the launch above has it absent
    removal = REMOVALS[row]
    assert removal.engine is not None
    roles = ("backend",) if row == "network" else ("backend", "sdk")  # the SDK lives in the backend's network
    outcome = null.launch(Altered(null.engine, dict.fromkeys(roles, removal.engine)))
    assert outcome.result["termination"] == "refused", said(outcome)
    for role in roles:
        drift = drifts(outcome)[f"{role} {row}"]
        assert (drift["when"], drift["from"], drift["witnesses"]) == (CREATED, None, ["engine"])
        assert f"{role} {row}" in str(outcome.error), outcome.error
    assert not outcome.result["samples"]["rows"]


def check_views(row: str, null: Bench) -> None:
    """What this machine's kernel cannot be made to show, by its readers' word alone: each of them breaks the row."""
    requested = requested_rows(spec_of(null), null.cell, "sdk")[row]
    honest = [
        Observation(row, when, one, requested) for when in ("start", "end") for one in ("engine", "host", "agent")
    ]
    for witness in ("host", "agent"):
        (verdict,) = decide({row: requested}, [*honest, Observation(row, "end", witness, "0-7")])
        assert (verdict.state, verdict.found) == ("broken", "0-7")


def test_a_profile_of_apparmor_that_is_not_the_engines_own_is_named(null: Bench) -> None:
    wanted = "docker-default" if null.prepared.facts.apparmor else ""
    other = "unconfined" if wanted else "docker-default"
    outcome = null.launch(Altered(null.engine, answer=lambda view: view.update(AppArmorProfile=other)))
    drift = drifts(outcome)["sdk apparmor"]
    assert (drift["when"], drift["to"], drift["witnesses"]) == ("start", other, ["engine"]), said(outcome)


@pytest.mark.parametrize("row", BY_KERNEL)
def test_the_kernel_shows_what_an_engine_does_not_say(row: str, null: Bench) -> None:
    removal = REMOVALS[row]
    change = removal.kernel or removal.engine
    assert change is not None
    if row in lacking(null.cgroup_version):
        return  # there is nothing to take away: the launch above has it absent
    if removal.same(null):
        check_views(row, null)
        return
    outcome = null.launch(Altered(null.engine, {removal.role: change}, lies=True), **(removal.plan or {}))
    row = removal.shown_as or row
    what = f"{removal.role} {row}"
    assert what in broken(outcome), said(outcome)
    drift = drifts(outcome)[what]
    assert drift["when"] == "start"
    assert "engine" not in drift["witnesses"]
    if row not in HOST_JUDGED:  # the agent saw it by itself, and did not start the program or ended it
        assert "agent" in drift["witnesses"]
        assert outcome.result["termination"] == "refused", said(outcome)
        assert row in str(outcome.error), outcome.error
