"""What the user is told of an ending."""

from __future__ import annotations

from typing import get_args

import pytest

from toolkit.errors import ContainerFailed, EngineLost, Interrupted, ReproError
from toolkit.launch.terminate import Ending, Evidence, ending_error
from toolkit.model.evidence import Termination

# A full disk is raised where it happens; a lost host is found by a later command.
WORDS = [word for word in get_args(Termination) if word not in ("completed", "host-lost", "disk-full")]


def told(word: str, **parts: object) -> ReproError:
    evidence = Evidence(**parts)  # type: ignore[arg-type]
    error = ending_error(word, evidence, 1 << 29)
    assert error is not None
    return error


def test_a_launch_that_completed_has_no_error() -> None:
    assert ending_error("completed", Evidence(), 0) is None


@pytest.mark.parametrize("word", WORDS)
def test_126_every_word_has_a_text_and_a_remedy(word: str) -> None:
    error = told(word, sdk=Ending(started=True))
    assert error.title
    assert error.cause or word == "engine-lost"
    assert error.remedy


@pytest.mark.parametrize(
    ("word", "code"),
    [("engine-lost", 4), ("interrupted", 130), *((word, 5) for word in ("oom", "killed", "panic", "hang"))],
)
def test_exit_codes_are_the_designs(word: str, code: int) -> None:
    assert told(word).exit_code == code


@pytest.mark.parametrize("word", ["container-failed", "backend-not-ready", "backend-died", "agent-lost", "refused"])
def test_containers_that_failed_are_exit_5(word: str) -> None:
    assert isinstance(told(word), ContainerFailed)


def test_out_of_memory_and_a_plain_kill_are_told_apart() -> None:
    assert "--memory" in told("oom").remedy
    assert str(1 << 29) in told("oom").cause
    assert "--memory" not in told("killed").remedy
    assert "not out of memory" in told("killed").cause


def test_the_panics_own_line_is_shown() -> None:
    stderr = b"some log\npanic: runtime error: index out of range\n\ngoroutine 1 [running]:\nmain.main()\n"
    error = told("panic", sdk=Ending(started=True, exit_code=2, stderr=stderr))
    assert "exit code 2; panic: runtime error: index out of range" in error.cause


def test_the_log_of_the_container_that_failed_is_shown_and_not_the_others() -> None:
    sdk = Ending(started=True, stderr=b"connection refused\n")
    backend = Ending(started=True, ended_first=True, exit_code=3, stderr=b"boom\n")
    assert told("backend-died", sdk=sdk, backend=backend).cause.endswith("exit code 3; boom")


def test_a_refusal_names_its_row() -> None:
    error = told("refused", sdk=Ending(started=True, refused="pids.limit: expected 256, found max"))
    assert "pids.limit: expected 256, found max" in error.cause


def test_the_engines_own_words_are_kept() -> None:
    assert "no such device" in told("container-failed", sdk=Ending(engine_error="no such device")).cause


def test_a_log_that_is_no_text_is_shown_as_far_as_it_is() -> None:
    assert told("container-failed", sdk=Ending(started=True, stderr=b"\xff\xfe bad\n")).cause


def test_a_flood_is_cut() -> None:
    assert len(told("container-failed", sdk=Ending(started=True, stderr=b"x" * 100_000)).cause) < 600


def test_what_stopped_a_launch_from_outside() -> None:
    assert Evidence().stopped is None
    assert Evidence(hung=True).stopped == "hang"
    assert Evidence(interrupted=True, hung=True).stopped == "interrupted"
    assert Evidence(engine_lost="gone", interrupted=True).stopped == "engine-lost"


def test_errors_of_lost_engines_and_interrupts_have_their_own_types() -> None:
    assert isinstance(told("engine-lost", engine_lost="gone"), EngineLost)
    assert isinstance(told("interrupted"), Interrupted)
