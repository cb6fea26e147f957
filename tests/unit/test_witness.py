"""The second witness: it sees real processes, and disagrees with a journal exactly beyond its tolerances."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.journals import MS, SECOND, START, Builder, evidence
from toolkit.host.witness import ProcessView, disagreements, view_processes
from toolkit.model.cpulist import format_cpulist
from toolkit.model.evidence import Sample

MIB = 1024 * 1024
RSS = 100 * MIB


def samples(cpu_ns_per_second: int = 500 * MS, rss: int = RSS) -> tuple[Sample, ...]:
    """A sample a second for 30 s."""
    builder = Builder().hello()
    for second in range(31):
        at = START + second * SECOND
        builder.sample(at, cpu_user_ns=second * cpu_ns_per_second, rss_anon_bytes=rss)
    return evidence(builder).samples


def view(second: float, cpu: float, rss: int = RSS, affinity: tuple[str, ...] = ("0",)) -> ProcessView:
    """A look so many seconds after the start."""
    return ProcessView(START + round(second * SECOND), cpu, rss, 1, 6, affinity, ("1",))


def causes(*views: ProcessView, journal: tuple[Sample, ...] | None = None) -> list[str]:
    """What the witness says against the journal."""
    named = [(f"window:{number}", one) for number, one in enumerate(views)]
    found = disagreements("sdk", named, journal or samples(), affinity="0", agent_affinity="1")
    assert all(finding.gate == "witness" for finding in found)
    return [finding.cause for finding in found]


def test_agreement_is_no_finding() -> None:
    assert causes(view(10, 5.0), view(20.5, 10.25)) == []


@pytest.mark.parametrize(("seen", "agrees"), [(5.55, True), (5.7, False), (4.46, True), (4.3, False)])
def test_cpu_time_may_differ_by_a_tenth_and_50_ms(seen: float, agrees: bool) -> None:
    assert (causes(view(10, 5.0), view(20, 5.0 + seen)) == []) == agrees


def test_what_was_used_before_the_first_look_does_not_count() -> None:
    assert causes(view(10, 1000.0), view(20, 1005.0)) == []


@pytest.mark.parametrize(
    ("rss", "agrees"),
    [(114 * MIB, True), (115 * MIB, False), (86 * MIB, True), (85 * MIB, False)],
)
def test_resident_memory_may_differ_by_a_tenth_and_4_mib(rss: int, agrees: bool) -> None:
    assert (causes(view(10, 5.0, rss)) == []) == agrees


def test_memory_that_moves_between_two_samples_is_no_disagreement() -> None:
    builder = Builder().hello().sample(START, rss_anon_bytes=10 * MIB).sample(START + SECOND, rss_anon_bytes=90 * MIB)
    assert causes(view(0.5, 0.0, 50 * MIB), journal=evidence(builder).samples) == []


def test_a_buffer_that_comes_and_goes_between_samples_is_no_disagreement() -> None:
    builder = Builder().hello()
    for second in range(11):
        builder.sample(
            START + second * SECOND, rss_anon_bytes=(24 if second == 2 else 32) * MIB, rss_peak_bytes=40 * MIB
        )
    journal = evidence(builder).samples
    assert causes(view(5.5, 0.0, 40 * MIB), journal=journal) == []
    assert causes(view(5.5, 0.0, 24 * MIB), journal=journal) == []
    assert causes(view(5.5, 0.0, 50 * MIB), journal=journal)
    assert causes(view(5.5, 0.0, 12 * MIB), journal=journal)


@pytest.mark.parametrize("affinity", [("0-1",), ("1",), ("0", "0-1"), ()])
def test_affinity_is_exact(affinity: tuple[str, ...]) -> None:
    (cause,) = causes(view(10, 5.0, RSS, affinity))
    assert "program's threads on other CPUs" in cause


def test_the_agent_has_its_own_place() -> None:
    found = disagreements("sdk", [("t0", view(10, 5.0))], samples(), affinity="0", agent_affinity="0")
    assert "agent's threads" in found[0].cause


def test_a_program_that_was_never_seen_is_a_finding() -> None:
    (cause,) = causes(ProcessView(START, problem="NoSuchProcess"))
    assert "never saw" in cause
    assert "never saw" in causes()[0]


def test_a_process_that_came_from_outside_is_a_finding() -> None:
    (cause,) = causes(view(10, 5.0), replace(view(20, 10.0), intruders=2))
    assert "processes in the container that its agent did not start" in cause


def test_a_look_after_the_end_is_skipped() -> None:
    assert causes(view(10, 5.0), ProcessView(START + 20 * SECOND, problem="NoSuchProcess")) == []


def test_a_look_far_from_every_sample_is_not_compared() -> None:
    assert causes(view(10, 5.0), view(500, 5.0, 9000 * MIB)) == []


@pytest.fixture
def family() -> Iterator[subprocess.Popen[bytes]]:
    """A process with a child that burns CPU on one CPU: as the agent and its program."""
    cpu = min(os.sched_getaffinity(0))
    burn = f"import os, time; os.sched_setaffinity(0, {{{cpu}}}); print(flush=True)\nwhile True: pass"
    agent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    process = subprocess.Popen([sys.executable, "-c", agent], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    import psutil

    for child in psutil.Process(process.pid).children(recursive=True):
        child.kill()
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_real_family_is_seen_without_its_head(family: subprocess.Popen[bytes]) -> None:
    first = view_processes(family.pid)
    deadline = time.monotonic() + 120  # the child may have to wait for the CPU
    while True:
        time.sleep(0.1)
        second = view_processes(family.pid)
        if second.cpu_seconds > first.cpu_seconds or time.monotonic() > deadline:
            break
    apart = (second.monotonic_ns - first.monotonic_ns + first.span_ns + second.span_ns) / SECOND
    assert (second.processes, second.threads, second.problem) == (1, 1, "")
    assert second.affinity == (format_cpulist([min(os.sched_getaffinity(0))]),)
    assert second.rss_bytes > MIB
    # One thread: no more than has passed, and what the kernel's counting in ticks adds.
    assert 0 < second.cpu_seconds - first.cpu_seconds < apart + 3 / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("cgroup", ["readable", "unreadable", "of others"])
def test_children_of_children_are_seen_and_nobody_else_however_they_are_found(
    cgroup: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    head = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {deep!r}])"
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = subprocess.Popen([sys.executable, "-c", head], stdin=subprocess.PIPE)
    if cgroup != "readable":
        # Not mounted where it is looked for, or a hierarchy that does not hold the agent.
        texts = {"unreadable": "0::/nowhere\n", "of others": "0::/\n"}
        real = Path.read_text
        monkeypatch.setattr(Path, "read_text", lambda path: texts[cgroup] if path.name == "cgroup" else real(path))
    try:
        deadline = time.monotonic() + 300
        while view_processes(process.pid).processes < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert view_processes(process.pid).processes == 2
    finally:
        process.communicate(b"\n")
        bystander.communicate(b"\n")


def test_a_process_that_is_gone_is_a_view_that_says_so() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert view_processes(process.pid).problem == "NoSuchProcess"


def test_an_agent_without_a_program_is_a_view_that_says_so() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    seen = view_processes(process.pid)
    process.communicate(b"\n")
    assert "no processes below" in seen.problem


def test_a_look_that_took_long_may_differ_by_what_was_used_meanwhile() -> None:
    slow = ProcessView(START + 20 * SECOND, 5.7 + 5.0, RSS, 1, 6, ("0",), ("1",), span_ns=200 * MS)
    assert causes(view(10, 5.0), slow) == []
    assert causes(view(10, 5.0), replace(slow, span_ns=10 * MS)) != []
